package sources

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"synupkeep/internal/item"
	"synupkeep/internal/sandbox"
)

// plot is a room as the probe sees it: events by age and depth, written straight into the database.
type plot struct {
	id      string
	events  []dot
	partial bool
	// want is the verdict, empty for a room that may have work, and old its number of old events.
	want item.Reason
	old  int64
}

type dot struct {
	days    int // since it was sent; never is without a timestamp
	depth   int
	tip     bool
	outlier bool
}

const never = -1 << 30

func plots() []plot {
	created := []dot{{days: 90, depth: 1}, {days: 90, depth: 2}}
	ended := []dot{{days: 90, depth: 1, outlier: true}, {days: 90, depth: 2, outlier: true}} // below an earlier cut
	long := make([]dot, MostOld+50)
	for i := range long {
		long[i] = dot{days: 60, depth: i + 1}
	}
	return []plot{
		{id: "!created-long-ago", events: append(created, dot{days: 1, depth: 3, tip: true}), old: 2},
		{id: "!dormant", events: append(created, dot{days: 60, depth: 3}, dot{days: 50, depth: 4, tip: true}), old: 4},
		{id: "!dormant-and-purged", events: append(ended, dot{days: 50, depth: 4, tip: true}), want: item.NothingOld},
		{id: "!purged-then-grown-old", events: append(ended, dot{days: 40, depth: 4}, dot{days: 1, depth: 5, tip: true}), old: 1},
		{id: "!old-above-the-end", events: append(ended, dot{days: 40, depth: 9}, dot{days: 1, depth: 5, tip: true}), want: item.NothingOld},
		{id: "!old-beside-the-end", events: append(ended, dot{days: 40, depth: 5}, dot{days: 1, depth: 5, tip: true}), want: item.NothingOld},
		{id: "!two-old-above-the-end", events: append(ended, dot{days: 40, depth: 9}, dot{days: 40, depth: 9}, dot{days: 1, depth: 5, tip: true}), old: 2},
		{id: "!two-ends", events: append(ended, dot{days: 40, depth: 4, tip: true}, dot{days: 1, depth: 9, tip: true}), old: 1},
		{id: "!young", events: []dot{{days: 1, depth: 1}, {days: 1, depth: 2, tip: true}}, want: item.NothingOld},
		{id: "!without-timestamps", events: []dot{{days: never, depth: 1}, {days: never, depth: 2, tip: true}}, want: item.NothingOld},
		{id: "!empty", want: item.NothingOld},
		{id: "!without-an-end", events: created, old: 2},
		{id: "!being-joined", events: append(created, dot{days: 1, depth: 3, tip: true}), partial: true, want: item.PartialState, old: 2},
		{id: "!kept-by-the-admin", events: append(created, dot{days: 1, depth: 3, tip: true}), want: item.NotSelected, old: 2},
		{id: "!long", events: append(long, dot{days: 1, depth: len(long) + 1, tip: true}), old: MostOld},
	}
}

// garden begins a transaction on the real schema in which these rooms are the only ones.
func garden(t *testing.T, all []plot, now time.Time) pgx.Tx {
	t.Helper()
	ctx := t.Context()
	conn, err := sandbox.Shared(t).DB(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(ctx)) })
	tx, err := conn.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	b := &pgx.Batch{}
	b.Queue(`SET LOCAL session_replication_role = replica`)
	b.Queue(`DELETE FROM rooms`)
	stream := int64(1_000_000_000)
	for _, p := range all {
		b.Queue(`INSERT INTO rooms (room_id, is_public) VALUES ($1, false)`, p.id)
		if p.partial {
			b.Queue(`INSERT INTO partial_state_rooms (room_id, device_lists_stream_id, joined_via) VALUES ($1, 0, 'other.example')`, p.id)
		}
		for _, e := range p.events {
			stream++
			id := fmt.Sprintf("$%d", stream)
			var sent *int64
			if e.days != never {
				ms := now.AddDate(0, 0, -e.days).UnixMilli()
				sent = &ms
			}
			b.Queue(`INSERT INTO events (event_id, room_id, type, sender, topological_ordering, depth, stream_ordering, origin_server_ts,
				received_ts, outlier, processed) VALUES ($1, $2, 'm.room.message', '@a:b', $3, $3, $4, $5, $5, $6, true)`,
				id, p.id, e.depth, stream, sent, e.outlier)
			if e.tip {
				b.Queue(`INSERT INTO event_forward_extremities (event_id, room_id) VALUES ($1, $2)`, id, p.id)
			}
		}
	}
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		t.Fatal(err)
	}
	return tx
}

func collect(t *testing.T, rooms Rooms) []item.Room {
	t.Helper()
	var got []item.Room
	for room, err := range rooms.Each(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, room)
	}
	return got
}

func TestRooms(t *testing.T) {
	now := time.Now()
	all := plots()
	var want []item.Room
	for _, p := range all {
		if p.want == item.NothingOld {
			p.old = 0
		}
		want = append(want, item.Room{ID: p.id, Old: p.old, Verdict: p.want})
	}
	slices.SortFunc(want, func(a, b item.Room) int { return strings.Compare(a.ID, b.ID) })
	tx := garden(t, all, now)
	for _, byArrival := range []bool{false, true} {
		// Pages of every size yield the same rooms, once each.
		for _, page := range []int{1, 2, len(all) - 1, len(all), len(all) + 1} {
			t.Run(fmt.Sprintf("by arrival %t, pages of %d", byArrival, page), func(t *testing.T) {
				got := collect(t, Rooms{
					DB: tx, CutOff: now.AddDate(0, 0, -30), Never: []string{"!kept-by-the-admin"}, ByArrival: byArrival, Page: page,
				})
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		}
	}
	t.Run("only some", func(t *testing.T) {
		rooms := Rooms{DB: tx, CutOff: now.AddDate(0, 0, -30), Page: 1, Only: []string{"!young", "!dormant", "!nowhere"}}
		want := []item.Room{{ID: "!dormant", Old: 4}, {ID: "!young", Verdict: item.NothingOld}}
		if diff := cmp.Diff(want, collect(t, rooms)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		rooms.Only = []string{}
		if got := collect(t, rooms); len(got) > 0 {
			t.Errorf("an empty list is no list: %v", got)
		}
	})
	t.Run("stopped by the reader", func(t *testing.T) {
		n := 0
		for _, err := range (Rooms{DB: tx, CutOff: now, Page: 2}).Each(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if n++; n == 3 {
				break
			}
		}
		if n != 3 {
			t.Errorf("%d rooms", n)
		}
	})
	t.Run("an error ends it", func(t *testing.T) {
		if _, err := tx.Exec(t.Context(), `DROP TABLE partial_state_rooms CASCADE`); err != nil {
			t.Fatal(err)
		}
		var failures []error
		for _, err := range (Rooms{DB: tx, CutOff: now, Page: 2}).Each(t.Context()) {
			failures = append(failures, err)
		}
		if len(failures) != 1 || failures[0] == nil {
			t.Errorf("%v", failures)
		}
	})
}

func TestResolveRooms(t *testing.T) {
	tx := garden(t, []plot{{id: "!one:a"}, {id: "!two"}}, time.Now())
	if _, err := tx.Exec(t.Context(), `INSERT INTO room_aliases (room_alias, room_id) VALUES ('#one:a', '!one:a'), ('#won:a', '!one:a')`); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		names, want []string
		unknown     string
	}{
		{names: nil, want: nil},
		{names: []string{"!two", "#one:a"}, want: []string{"!two", "!one:a"}},
		{names: []string{"#one:a", "#won:a"}, want: []string{"!one:a", "!one:a"}},
		{names: []string{"!two", "#none:a"}, unknown: "#none:a"},
		{names: []string{"!TWO"}, unknown: "!TWO"},
		{names: []string{"%"}, unknown: "%"},
		{names: []string{""}, unknown: ""},
	} {
		got, err := ResolveRooms(t.Context(), tx, test.names)
		var unknown *UnknownRoomError
		if errors.As(err, &unknown) != (test.want == nil && test.names != nil) || unknown != nil && unknown.Name != test.unknown {
			t.Errorf("%q: %v", test.names, err)
		}
		if !slices.Equal(got, test.want) || (got == nil) != (test.want == nil) {
			t.Errorf("%q: %q, want %q", test.names, got, test.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := ResolveRooms(ctx, tx, []string{"!two"}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
