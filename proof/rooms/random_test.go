package rooms

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"synupkeep/internal/item"
	"synupkeep/internal/sandbox/dag"
)

// TestCutOfAnyRoom takes cuts of rooms of every shape. A cut is right when a purge there keeps every promise and one at the
// next depth breaks one, by a simulation in Go of what Synapse does; when there is a reason not to purge, then that one; and
// when a second run finds nothing left to do.
func TestCutOfAnyRoom(t *testing.T) {
	ctx := t.Context()
	db, rules := tables(t)
	seen := map[string]int{}
	repeat(t, func() {
		rapid.Check(t, func(rt *rapid.T) {
			rules := rules
			rules.KeepPinned = rapid.Bool().Draw(rt, "--keep-pinned")
			r := dag.Draw(rt, "!any:property", 14, rules)
			tx, err := db.Begin(ctx)
			if err != nil {
				rt.Fatal(err)
			}
			defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
			if err := dag.Write(ctx, tx, r); err != nil {
				rt.Fatal(err)
			}
			v, err := cutter(tx, rules).Take(ctx, r.ID)
			if err != nil {
				rt.Fatal(err)
			}
			want := agrees(rt, r, rules, v)
			seen[string(v.Status)+" "+string(v.Reason)]++
			listed, err := probe(ctx, tx, rules)
			if err != nil {
				rt.Fatal(err)
			}
			found(rt, listed[r.ID], r, want, rules)
			if !want.Purge {
				return
			}
			after, err := r.Purge(v.Cut.Depth)
			if err != nil {
				rt.Fatal(err)
			}
			if _, err := tx.Exec(ctx, dag.Clear(), pgx.QueryExecModeSimpleProtocol); err != nil {
				rt.Fatal(err)
			}
			if err := dag.Write(ctx, tx, after); err != nil {
				rt.Fatal(err)
			}
			again, err := cutter(tx, rules).Take(ctx, r.ID)
			if err != nil {
				rt.Fatal(err)
			}
			if again.Status != item.Kept || again.Cut.Messages != 0 {
				rt.Fatalf("after the purge at %d: %+v\n%s", v.Cut.Depth, again, text(after))
			}
		})
	})
	t.Log(seen)
	// What is rarer than this is in the rooms of TestCutOfEverySmallRoom.
	for _, usual := range []string{"done young event", "done extremity", "kept nothing to purge", "kept not yet worth it", "kept gap"} {
		if !t.Failed() && seen[usual] == 0 {
			t.Errorf("not one of the rooms was %q: %v", usual, seen)
		}
	}
}

// TestARoomIsReadAsItWasWritten: what the other tests compare is what the database holds.
func TestARoomIsReadAsItWasWritten(t *testing.T) {
	ctx := t.Context()
	db, rules := tables(t)
	rapid.Check(t, func(rt *rapid.T) {
		r := dag.Draw(rt, "!any:property", 14, rules)
		tx, err := db.Begin(ctx)
		if err != nil {
			rt.Fatal(err)
		}
		defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
		if err := dag.Write(ctx, tx, r); err != nil {
			rt.Fatal(err)
		}
		var pinned []string
		for _, e := range r.Events {
			if e.Pinned {
				pinned = append(pinned, e.ID)
			}
		}
		got, err := dag.Read(ctx, tx, r.ID, pinned...)
		if err != nil {
			rt.Fatal(err)
		}
		if diff := cmp.Diff(r.Sorted(), got, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(dag.Event{}, "SoftFailed")); diff != "" {
			rt.Fatal(diff)
		}
	})
}

// text shows a room, an event a line.
func text(r dag.Room) string {
	var b strings.Builder
	day := func(ms *int64) string {
		if ms == nil {
			return "never"
		}
		return time.UnixMilli(*ms).UTC().Format(time.DateTime)
	}
	for _, e := range r.Events {
		fmt.Fprintf(&b, "%s after %v, depth %d, order %d, sent %s, received %s", e.ID, e.Prev, e.Depth, e.Stream, day(e.Sent), day(e.Received))
		for _, is := range []struct {
			word string
			true bool
		}{
			{"state", e.State},
			{"outlier", e.Outlier},
			{"rejected", e.Rejected},
			{"soft-failed", e.SoftFailed},
			{"extremity", e.Tip},
			{"newest", e.Newest},
			{"pinned", e.Pinned},
			{"redacts " + e.Redacts, e.Redacts != ""},
			{"censored", e.Censored},
			{"reported " + day(e.Reported), e.Reported != nil},
		} {
			if is.true {
				b.WriteString(", " + is.word)
			}
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "gaps %v, %d state events", r.Gaps, r.State)
	return b.String()
}
