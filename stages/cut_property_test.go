package stages

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"synupkeep/internal/item"
	"synupkeep/internal/sandbox"
)

// TestCutOfAnyRoom takes cuts of rooms of every shape and does to them what Synapse's purge would do.
func TestCutOfAnyRoom(t *testing.T) {
	ctx := t.Context()
	conn, err := sandbox.Shared(t).DB(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	var now time.Time
	if err := conn.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&now); err != nil {
		t.Fatal(err)
	}
	w := &world{now: now, cutOff: now.Add(-30 * day)}
	purged := 0
	defer func() {
		if !t.Failed() && purged == 0 {
			t.Error("not one of the rooms had anything to purge")
		}
		t.Logf("%d rooms were purged", purged)
	}()

	rapid.Check(t, func(rt *rapid.T) {
		shape := anyRoom(rt, w)
		w.losePinned = rapid.Bool().Draw(rt, "without --keep-pinned")
		tx, err := conn.Begin(ctx)
		if err != nil {
			rt.Fatal(err)
		}
		defer func() { _ = tx.Rollback(ctx) }()
		if err := shape.write(ctx, tx); err != nil {
			rt.Fatal(err)
		}
		cutter := func() *Cutter {
			return &Cutter{
				DB: tx, CutOff: w.cutOff, Now: now, GapGrace: 72 * time.Hour, SlidingSync: true, KeepPinned: !w.losePinned,
				Holds: &Holds{DB: tx, ReportsSince: now.Add(-14 * day)},
			}
		}
		v, err := cutter().Take(ctx, anyID)
		if err != nil {
			rt.Fatal(err)
		}
		if want := shape.cut(w); v.Cut.Depth != want {
			rt.Fatalf("cut at %d (%s), want %d", v.Cut.Depth, v.Cut.HeldBy, want)
		}
		if want := shape.pinnedBelow(v.Cut.Depth); v.Cut.Pinned != want {
			rt.Fatalf("%d pinned messages below the cut at %d, want %d", v.Cut.Pinned, v.Cut.Depth, want)
		}
		if v.Status != item.Done {
			shape.mayBeKept(rt, w, v)
			return
		}
		purged++
		token, err := simulate(ctx, tx, v.Cut)
		if err != nil {
			rt.Fatal(err)
		}
		if token != v.Cut.Depth {
			rt.Fatalf("the event given to the server lies at %d, the cut at %d", token, v.Cut.Depth)
		}
		shape.survived(ctx, rt, w, tx)
		again, err := cutter().Take(ctx, anyID)
		if err != nil {
			rt.Fatal(err)
		}
		if again.Status != item.Kept || again.Cut.Messages != 0 {
			rt.Fatalf("after the purge at %d: %+v", v.Cut.Depth, again)
		}
	})
}

const anyID = "!any:property"

// anyEvent is an event of a room that rapid made up.
type anyEvent struct {
	id             string
	depth, stream  int64
	sent, received *int64
	outlier        bool
	rejected       bool
	state          bool
	extremity      bool
	newest         bool // by sliding sync
	redacts        string
	censored       bool
	reported       *int64 // ms
	gap            bool   // one of its previous events is missing
	pinned         bool
}

type shape []anyEvent

// anyRoom draws up to 14 events with few depths, so that forks and ties are frequent.
func anyRoom(rt *rapid.T, w *world) shape {
	n := rapid.IntRange(1, 14).Draw(rt, "events")
	some := rapid.IntRange(0, 9)
	ms := func(name string) *int64 {
		ages := []time.Duration{0, time.Hour, 29 * day, 30 * day, 30*day + time.Millisecond, 33 * day, 38 * day, 3000 * day, -300 * day}
		i := rapid.IntRange(0, len(ages)+4).Draw(rt, name)
		switch {
		case i == len(ages):
			return nil
		case i > len(ages): // most are old, or there would be nothing to purge
			i = 5
		}
		at := w.now.Add(-ages[i]).UnixMilli()
		return &at
	}
	room := make(shape, n)
	for i := range room {
		e := &room[i]
		e.id = fmt.Sprintf("$event%d:property", i)
		e.depth = rapid.Int64Range(1, 8).Draw(rt, "depth")
		e.stream = int64(1_000_000_000 + i)
		if some.Draw(rt, "backfilled") < 2 {
			e.stream = -e.stream
		}
		e.sent, e.received = ms("sent"), ms("received")
		e.state = some.Draw(rt, "state") < 2
		e.rejected = some.Draw(rt, "rejected") < 1
		e.outlier = e.state && some.Draw(rt, "outlier") < 2
		usual := !e.rejected && !e.outlier
		e.extremity = usual && some.Draw(rt, "extremity") < 3
		e.gap = usual && some.Draw(rt, "gap") < 1
		if usual && !e.state && i > 0 && some.Draw(rt, "redaction") < 2 {
			e.redacts = room[rapid.IntRange(0, i-1).Draw(rt, "target")].id
			e.censored = some.Draw(rt, "censored") < 3
		}
		e.pinned = some.Draw(rt, "pinned") < 1
		if usual && some.Draw(rt, "reported") < 1 {
			e.reported = ms("report")
		}
	}
	if i := rapid.IntRange(-1, n-1).Draw(rt, "newest"); i >= 0 && room[i].stream > 0 {
		room[i].newest = true
	}
	return room
}

// cut is the depth at which the room can be cut, 0 for nowhere: worked out without SQL.
func (s shape) cut(w *world) int64 {
	var limits []int64
	var top int64
	for _, e := range s {
		if e.judged().young(w.cutOff) || e.extremity && e.state || e.newest && !e.state || e.holdsRedaction(s) || e.holdsReport(w) || !w.losePinned && e.shownPinned() {
			limits = append(limits, e.depth)
		}
		if e.extremity {
			top = max(top, e.depth)
		}
	}
	if top > 0 {
		limits = append(limits, top)
	}
	if len(limits) == 0 {
		return 0
	}
	return slices.Min(limits)
}

func (e anyEvent) judged() event {
	return event{Stream: &e.stream, Sent: e.sent, Received: e.received, Outlier: e.outlier, Rejected: e.rejected}
}

// holdsRedaction: without this event the content of a message that stays would come back.
func (e anyEvent) holdsRedaction(s shape) bool {
	return e.redacts != "" && !e.censored && slices.ContainsFunc(s, func(target anyEvent) bool {
		return target.id == e.redacts && (target.state || target.depth >= e.depth)
	})
}

func (e anyEvent) holdsReport(w *world) bool {
	return e.reported != nil && *e.reported >= w.now.Add(-14*day).UnixMilli() && !e.state
}

// shownPinned says that clients show it among the pinned messages, and that a purge could take it away.
func (e anyEvent) shownPinned() bool { return e.pinned && !e.state && !e.outlier && !e.rejected }

func (s shape) pinnedBelow(depth int64) (n int64) {
	for _, e := range s {
		if e.shownPinned() && e.depth < depth {
			n++
		}
	}
	return n
}

// mayBeKept checks the reason why a room is not purged.
func (s shape) mayBeKept(rt *rapid.T, w *world, v Verdict) {
	cut := s.cut(w)
	some := func(f func(anyEvent) bool) bool { return slices.ContainsFunc(s, f) }
	held := func() bool { return !some(func(e anyEvent) bool { return !e.outlier && !e.state && e.depth < cut }) }
	right, known := map[item.Reason]func() bool{
		item.NoExtremity:     func() bool { return !some(func(e anyEvent) bool { return e.extremity }) },
		item.NoEventAtTheCut: func() bool { return !some(func(e anyEvent) bool { return e.depth == cut && !e.rejected }) },
		item.Gap:             func() bool { return some(func(e anyEvent) bool { return e.gap && e.depth >= cut }) },
		item.NothingToPurge:  held,
		item.StateExtremity:  held,
		item.NewestEvent:     held,
		item.Redaction:       held,
		item.Reported:        held,
		item.Pinned:          held,
	}[v.Reason]
	if !known || !right() {
		rt.Fatalf("kept for %q, cut at %d, %d messages below it", v.Reason, cut, v.Cut.Messages)
	}
}

// survived checks what a purge must not have touched.
func (s shape) survived(ctx context.Context, rt *rapid.T, w *world, tx pgx.Tx) {
	rows, err := tx.Query(ctx, `SELECT event_id, outlier FROM events WHERE room_id = $1`, anyID)
	if err != nil {
		rt.Fatal(err)
	}
	outlier := map[string]bool{}
	var id string
	var isOutlier bool
	if _, err := pgx.ForEachRow(rows, []any{&id, &isOutlier}, func() error { outlier[id] = isOutlier; return nil }); err != nil {
		rt.Fatal(err)
	}
	has := func(id string) bool { _, ok := outlier[id]; return ok }
	tips := 0
	for _, e := range s {
		if e.judged().young(w.cutOff) && (!has(e.id) || outlier[e.id]) {
			rt.Fatalf("young %s has gone", e.id)
		}
		if e.extremity && has(e.id) {
			tips++
			if outlier[e.id] {
				rt.Fatalf("extremity %s has lost its state", e.id)
			}
		}
		if e.newest && !has(e.id) {
			rt.Fatalf("a foreign key names %s", e.id)
		}
		if e.redacts != "" && !e.censored && has(e.redacts) && !has(e.id) {
			rt.Fatalf("%s is readable again", e.redacts)
		}
		if e.holdsReport(w) && !has(e.id) {
			rt.Fatalf("the report on %s cannot be read", e.id)
		}
		if !w.losePinned && e.shownPinned() && !has(e.id) {
			rt.Fatalf("pinned %s has gone", e.id)
		}
	}
	if tips == 0 {
		rt.Fatal("no extremity is left")
	}
}
