package stages

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"synupkeep/internal/item"
	"synupkeep/internal/sandbox"
	"synupkeep/internal/synapse"
)

// rule is a room that is kept, or that is purged although it looks as if it had to be kept.
type rule struct {
	name   string
	age    time.Duration // default 32 days: past the cut-off, not overdue
	room   sandbox.RoomOptions
	seed   func(t *testing.T, w *world, r *room)
	plant  func(ctx context.Context, p *sandbox.Plant, r *room) error
	change func(c *Cutter) // what a run could have set otherwise
	status item.Status
	reason item.Reason
	after  func(t *testing.T, w *world, r *room) // a room that is to be purged has been by then
}

func rules() []rule {
	all := append(rulesOfGaps(), rulesOfReports()...)
	all = append(all, rulesOfPins()...)
	all = append(all, rulesOfWorth()...)
	return append(all, rulesOfShape()...)
}

func rulesOfGaps() []rule {
	gap := func(arrived time.Duration) func(context.Context, *sandbox.Plant, *room) error {
		return func(ctx context.Context, p *sandbox.Plant, r *room) (err error) {
			_, r.noted, err = p.Gap(ctx, r.id, time.Now().Add(-arrived))
			return err
		}
	}
	remembered := func(want bool) func(*testing.T, *world, *room) {
		return func(t *testing.T, w *world, r *room) {
			got := column[bool](t, w.db, `SELECT EXISTS (SELECT 1 FROM event_backward_extremities WHERE event_id = $1)`, r.noted)[0]
			if got != want {
				t.Errorf("the gap is remembered: %t, want %t", got, want)
			}
		}
	}
	return []rule{
		{name: "gap that came a day ago", plant: gap(day), status: item.Kept, reason: item.Gap, after: remembered(true)},
		{
			name: "gap without the grace", plant: gap(day), status: item.Done, reason: item.YoungEvent, after: remembered(false),
			change: func(c *Cutter) { c.GapGrace = 0 },
		},
		{name: "gap that came four days ago", plant: gap(4 * day), status: item.Done, reason: item.YoungEvent, after: remembered(false)},
		{name: "gap in a room that is overdue", age: 38 * day, plant: gap(day), status: item.Done, reason: item.YoungEvent, after: remembered(false)},
		{
			name: "gap below the cut", status: item.Done, reason: item.YoungEvent, after: remembered(false),
			plant: func(ctx context.Context, p *sandbox.Plant, r *room) error {
				r.noted = sandbox.MissingEventID()
				old := time.Now().Add(-31 * day)
				_, err := p.Event(ctx, sandbox.NewEvent{
					Room: r.id, Prev: []string{r.messages[0], r.noted}, Place: sandbox.Backfilled, Sent: old,
				})
				return err
			},
		},
	}
}

func rulesOfReports() []rule {
	first := func(ago time.Duration) func(context.Context, *sandbox.Plant, *room) error {
		return func(ctx context.Context, p *sandbox.Plant, r *room) error {
			return report(ctx, p, r, r.messages[0], time.Now().Add(-ago))
		}
	}
	readable := func(want int) func(*testing.T, *world, *room) {
		return func(t *testing.T, w *world, r *room) { wantStatus(t, w.readReport(t, r.messages[0]), want) }
	}
	return []rule{
		{name: "first message reported", plant: first(day), status: item.Kept, reason: item.Reported, after: readable(http.StatusOK)},
		{
			name: "report two weeks ago", plant: first(15 * day), status: item.Done, reason: item.YoungEvent,
			after: readable(http.StatusNotFound),
		},
		{
			name: "report without the hold", plant: first(day), status: item.Done, reason: item.YoungEvent,
			after:  readable(http.StatusNotFound),
			change: func(c *Cutter) { c.Holds.ReportsSince = c.Now.Add(time.Hour) },
		},
	}
}

func rulesOfPins() []rule {
	seed := func(t *testing.T, w *world, r *room) {
		_, err := w.server.As("alice").SetState(t.Context(), r.id, "m.room.pinned_events", "", map[string]any{"pinned": []any{}})
		if err != nil {
			t.Fatal(err)
		}
	}
	pins := func(content func(r *room) string) func(context.Context, *sandbox.Plant, *room) error {
		return func(ctx context.Context, p *sandbox.Plant, r *room) error {
			return p.Exec(ctx, `UPDATE event_json SET json = $2 WHERE event_id = (SELECT event_id FROM current_state_events
				WHERE room_id = $1 AND type = 'm.room.pinned_events' AND state_key = '')`, r.id, content(r))
		}
	}
	list := func(ids ...string) string { return `{"content":{"pinned":["` + strings.Join(ids, `","`) + `"]}}` }
	first := func(r *room) string { return list(r.messages[0]) }
	there := func(want bool) func(*testing.T, *world, *room) {
		return func(t *testing.T, w *world, r *room) {
			if got := w.has(t, r.messages[0]); got != want {
				t.Errorf("the first message is there: %t, want %t", got, want)
			}
		}
	}
	other := "" // an old message of another room that stays
	return []rule{
		{
			name: "first message pinned", seed: seed, status: item.Kept, reason: item.Pinned, after: there(true),
			plant: pins(func(r *room) string { other = r.messages[0]; return first(r) }),
		},
		{
			name: "first message pinned, which is not to count", seed: seed, plant: pins(first), status: item.Done, reason: item.YoungEvent,
			change: func(c *Cutter) { c.KeepPinned = false }, after: there(false),
		},
		{
			name: "garbage pinned", seed: seed, status: item.Done, reason: item.YoungEvent, after: there(false),
			plant: pins(func(r *room) string { return `{"content":{"pinned":{"\u0000":["` + r.messages[0] + `"]}}}` }),
		},
		{
			name: "message of another room pinned", seed: seed, status: item.Done, reason: item.YoungEvent, after: there(false),
			plant: pins(func(*room) string { return list(other, `$\u0000`, `$\ud800`) }),
		},
		{
			// No client ever saw it.
			name: "rejected message pinned", seed: seed, status: item.Done, reason: item.YoungEvent, after: there(false),
			plant: func(ctx context.Context, p *sandbox.Plant, r *room) error {
				if err := p.Exec(ctx, `INSERT INTO rejections (event_id, reason, last_check) VALUES ($1, 'auth_error', '0')`, r.messages[0]); err != nil {
					return err
				}
				return pins(first)(ctx, p, r)
			},
		},
		{
			name: "state event pinned", seed: seed, status: item.Done, reason: item.YoungEvent, after: there(false),
			plant: func(ctx context.Context, p *sandbox.Plant, r *room) error {
				return p.Exec(ctx, `UPDATE event_json SET json = '{"content":{"pinned":["' || (SELECT event_id FROM current_state_events
					WHERE room_id = $1 AND type = 'm.room.create') || '"]}}' WHERE event_id = (SELECT event_id FROM current_state_events
					WHERE room_id = $1 AND type = 'm.room.pinned_events' AND state_key = '')`, r.id)
			},
		},
		{
			name: "pinned by an event that is too large to be one", seed: seed, status: item.Done, reason: item.YoungEvent, after: there(false),
			plant: pins(func(r *room) string {
				return list(r.messages[0], strings.Repeat("x", 300_000))
			}),
		},
	}
}

func rulesOfWorth() []rule {
	state := make([]sandbox.StateEvent, 60)
	for i := range state {
		state[i] = sandbox.StateEvent{Type: "org.example.state", StateKey: fmt.Sprint(i), Content: map[string]any{}}
	}
	big := sandbox.RoomOptions{InitialState: state}
	return []rule{
		{name: "four messages in a room of much state", room: big, status: item.Kept, reason: item.NotYetWorthIt},
		{name: "the same, overdue", room: big, age: 38 * day, status: item.Done, reason: item.YoungEvent},
		{
			name: "the same with more messages", room: big, status: item.Done, reason: item.YoungEvent,
			plant: func(ctx context.Context, p *sandbox.Plant, r *room) error {
				for range 4 {
					_, err := p.Backfilled(ctx, r.id, r.messages[0], 0, time.Now().Add(-31*day), time.Now())
					if err != nil {
						return err
					}
				}
				return nil
			},
		},
	}
}

func rulesOfShape() []rule {
	old := func() time.Time { return time.Now().Add(-32 * day) }
	exec := func(sql string) func(context.Context, *sandbox.Plant, *room) error {
		return func(ctx context.Context, p *sandbox.Plant, r *room) error { return p.Exec(ctx, sql, r.id) }
	}
	gone := func(t *testing.T, w *world, r *room) {
		if w.has(t, r.noted) {
			t.Error("the event is still there")
		}
	}
	return []rule{
		{
			name: "nothing old", status: item.Kept, reason: item.NothingToPurge,
			plant: func(ctx context.Context, p *sandbox.Plant, r *room) error { return p.AgeRoom(ctx, r.id, -31*day) },
		},
		{
			name: "only state below the cut", status: item.Kept, reason: item.NothingToPurge,
			plant: func(ctx context.Context, p *sandbox.Plant, r *room) error {
				return p.AgeEvents(ctx, -31*day, r.messages[:oldPart]...)
			},
		},
		{
			name: "backfilled just now, dated 2019", status: item.Done, reason: item.YoungEvent, after: gone,
			plant: func(ctx context.Context, p *sandbox.Plant, r *room) (err error) {
				r.noted, err = p.Backfilled(ctx, r.id, r.messages[0], 0, time.Date(2019, 6, 1, 0, 0, 0, 0, time.UTC), time.Now())
				return err
			},
		},
		{
			name: "backfilled two months ago, dated in the future", status: item.Done, reason: item.YoungEvent, after: gone,
			plant: func(ctx context.Context, p *sandbox.Plant, r *room) (err error) {
				r.noted, err = p.Backfilled(ctx, r.id, r.messages[0], 0, time.Now().Add(365*day), old())
				return err
			},
		},
		{
			name: "received long ago, dated in the future", status: item.Done, reason: item.YoungEvent, after: gone,
			plant: func(ctx context.Context, p *sandbox.Plant, r *room) error {
				r.noted = r.messages[1]
				return p.SetTimes(ctx, time.Now().Add(365*day), old(), r.noted)
			},
		},
		{
			name: "young event that was rejected", status: item.Done, reason: item.YoungEvent, after: gone,
			plant: func(ctx context.Context, p *sandbox.Plant, r *room) (err error) {
				r.noted, err = p.Backfilled(ctx, r.id, r.messages[0], 0, time.Now(), time.Now())
				if err != nil {
					return err
				}
				return p.Exec(ctx, `INSERT INTO rejections (event_id, reason, last_check) VALUES ($1, 'auth_error', '0')`, r.noted)
			},
		},
		{
			name: "nobody is in the room any more", status: item.Done, reason: item.Extremity,
			seed: func(t *testing.T, w *world, r *room) {
				if err := w.server.As("alice").Leave(t.Context(), r.id); err != nil {
					t.Fatal(err)
				}
			},
			plant: func(ctx context.Context, p *sandbox.Plant, r *room) error {
				return p.AgeEvents(ctx, 32*day, r.messages[oldPart:]...)
			},
		},
		{
			// As after a purge that took the target: the server says that it could not find the redaction.
			name: "a redaction of what is gone alone at the cut", status: item.Done, reason: item.Extremity,
			plant: func(ctx context.Context, p *sandbox.Plant, r *room) error {
				if err := p.AgeEvents(ctx, 32*day, r.messages[oldPart:]...); err != nil {
					return err
				}
				_, err := p.Event(ctx, sandbox.NewEvent{
					Room: r.id, Type: "m.room.redaction", Redacts: sandbox.MissingEventID(), Content: map[string]any{},
					Sent: old(), Received: old(),
				})
				return err
			},
			after: func(t *testing.T, w *world, r *room) { w.lives(t, r.id) },
		},
		{name: "no extremity", status: item.Kept, reason: item.NoExtremity, plant: exec(`DELETE FROM event_forward_extremities WHERE room_id = $1`)},
		{
			name: "a rejected event alone at the cut", status: item.Done, reason: item.Redaction,
			plant: func(ctx context.Context, p *sandbox.Plant, r *room) error {
				// A redaction that holds, because its target lies above it, and that was rejected.
				if err := p.AgeEvents(ctx, 32*day, r.messages[oldPart:]...); err != nil {
					return err
				}
				tip, err := p.JSON(ctx, r.messages[len(r.messages)-1])
				if err != nil {
					return err
				}
				depth := int64(tip["depth"].(float64))
				target, err := p.Event(ctx, sandbox.NewEvent{Room: r.id, Depth: depth + 4, Sent: old(), Received: old()})
				if err != nil {
					return err
				}
				id, err := p.Redaction(ctx, r.id, target, r.messages[0], depth+2, old())
				if err != nil {
					return err
				}
				const unend = `DELETE FROM event_forward_extremities WHERE event_id = $1`
				const reject = `INSERT INTO rejections (event_id, reason, last_check) VALUES ($1, 'auth_error', '0')`
				if err := p.Exec(ctx, unend, id); err != nil {
					return err
				}
				return p.Exec(ctx, reject, id)
			},
		},
	}
}

// TestEachRule shows what becomes of rooms which the terms alone would have purged, and of their counterparts.
func TestEachRule(t *testing.T) {
	w := newWorld(t)
	all := rules()
	rooms := make([]*room, len(all))
	for i, u := range all {
		rooms[i] = w.room(t, u.room)
		if u.seed != nil {
			u.seed(t, w, rooms[i])
		}
	}
	w.plant(t, func(ctx context.Context, p *sandbox.Plant) error {
		for i, u := range all {
			if u.age == 0 {
				u.age = 32 * day
			}
			if err := rooms[i].fill(ctx, p, u.age); err != nil {
				return err
			}
			if u.plant == nil {
				continue
			}
			if err := u.plant(ctx, p, rooms[i]); err != nil {
				return fmt.Errorf("%s: %w", u.name, err)
			}
		}
		return nil
	})
	for i, u := range all {
		t.Run(u.name, func(t *testing.T) {
			c := w.cutter()
			if u.change != nil {
				u.change(c)
			}
			before := events(t, w.db, rooms[i].id)
			v := w.take(t, c, rooms[i].id)
			if v.Status != u.status || v.Reason != u.reason {
				t.Fatalf("%s, %s (%+v), want %s, %s", v.Status, v.Reason, v.Cut, u.status, u.reason)
			}
			if v.Status == item.Done {
				if purge := w.purge(t, v.Cut); purge.Status != synapse.PurgeComplete {
					t.Fatalf("the purge %s: %s", purge.Status, purge.Error)
				}
				w.kept(t, rooms[i].id, before)
				w.goneBelow(t, v.Cut)
			}
			if u.after != nil {
				u.after(t, w, rooms[i])
			}
		})
	}
}

// TestOtherServers looks at a room as other servers would have it.
func TestOtherServers(t *testing.T) {
	w := newWorld(t)
	r := w.room(t, sandbox.RoomOptions{})
	w.plant(t, func(ctx context.Context, p *sandbox.Plant) error { return r.fill(ctx, p, 32*day) })
	tests := []struct {
		name, sql   string
		slidingSync bool
		status      item.Status
		reason      item.Reason
	}{
		{
			// It knows only part of the room's state for a while; a purge would fail on a foreign key.
			name: "still joining the room", slidingSync: !w.server.Before("1.115.0"), status: item.Kept, reason: item.PartialState,
			sql: `INSERT INTO partial_state_rooms (room_id, device_lists_stream_id, joined_via)
				SELECT room_id, 0, 'other.example' FROM rooms WHERE room_id = $1`,
		},
		{
			name: "older than 1.115, without the sliding sync table", status: item.Done, reason: item.YoungEvent,
			sql: `DROP TABLE IF EXISTS sliding_sync_joined_rooms`,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			tx, err := w.db.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
			sql := strings.ReplaceAll(test.sql, "$1", "'"+r.id+"'")
			if _, err := tx.Exec(t.Context(), sql); err != nil {
				t.Fatal(err)
			}
			c := w.cutter()
			c.DB, c.Holds.DB, c.SlidingSync = tx, tx, test.slidingSync
			if v := w.take(t, c, r.id); v.Status != test.status || v.Reason != test.reason {
				t.Errorf("%s, %s, want %s, %s", v.Status, v.Reason, test.status, test.reason)
			}
		})
	}
}
