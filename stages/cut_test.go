package stages

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"synupkeep/internal/item"
	"synupkeep/internal/sandbox"
	"synupkeep/internal/synapse"
)

// hazard is a shape of a room that a purge at the cut-off alone would damage. It is planted twice: one room is purged at
// its cut, its twin at a cut without the term.
type hazard struct {
	name string
	// term holds the cut, and is left out for the twin.
	term item.Reason
	// since is the release of Synapse from which on a purge fails on it; empty means all.
	since string
	// seed acts on the room while the server is up.
	seed  func(t *testing.T, w *world, r *room)
	plant func(ctx context.Context, p *sandbox.Plant, r *room) error
	// safe checks the room after its purge, damaged the twin.
	safe, damaged func(t *testing.T, w *world, r *room, purge synapse.PurgeState)
}

func (h hazard) needs(t *testing.T) {
	t.Helper()
	if h.since != "" {
		sandbox.Needs(t, h.since, "nothing holds the event before")
	}
}

func hazards() []hazard {
	all := append(hazardsOfExtremities(), hazardsOfAge()...)
	return append(all, hazardsOfContent()...)
}

func hazardsOfExtremities() []hazard {
	complete := func(t *testing.T, _ *world, _ *room, purge synapse.PurgeState) {
		if purge.Status != synapse.PurgeComplete {
			t.Errorf("the purge %s: %s", purge.Status, purge.Error)
		}
	}
	failed := func(text string) func(*testing.T, *world, *room, synapse.PurgeState) {
		return func(t *testing.T, _ *world, _ *room, purge synapse.PurgeState) {
			if purge.Status != synapse.PurgeFailed || !strings.Contains(purge.Error, text) {
				t.Errorf("the purge %s: %s, want it to fail by %q", purge.Status, purge.Error, text)
			}
		}
	}
	return []hazard{
		{
			name: "state event as extremity below the cut", term: item.StateExtremity,
			plant: func(ctx context.Context, p *sandbox.Plant, r *room) error {
				_, err := p.StateExtremity(ctx, r.id, r.messages[1], time.Now().Add(-32*day))
				return err
			},
			safe: complete,
			damaged: func(t *testing.T, w *world, r *room, _ synapse.PurgeState) {
				_, err := w.server.As("alice").Send(t.Context(), r.id, "is anybody there?")
				refused := http.StatusInternalServerError
				if w.server.Before("1.136.0") {
					refused = http.StatusForbidden // "No create event in auth events"
				}
				wantStatus(t, err, refused)
			},
		},
		{
			name: "newest event on a low fork", term: item.NewestEvent, since: "1.115.0",
			plant: func(ctx context.Context, p *sandbox.Plant, r *room) error {
				old := time.Now().Add(-31 * day)
				_, err := p.LateEventOnLowFork(ctx, r.id, r.messages[1], old, old)
				return err
			},
			safe:    complete,
			damaged: failed("sliding_sync_joined_rooms"),
		},
		{
			name: "soft-failed event above all extremities", term: item.Extremity,
			plant: func(ctx context.Context, p *sandbox.Plant, r *room) error {
				if err := p.AgeEvents(ctx, 32*day, r.messages[oldPart:]...); err != nil {
					return err
				}
				id, err := p.SoftFailed(ctx, r.id, 20, time.Now())
				if err != nil {
					return err
				}
				return p.SetNewest(ctx, r.id, id)
			},
			safe:    complete,
			damaged: failed("topological_ordering is greater than forward extremities"),
		},
	}
}

func hazardsOfAge() []hazard {
	noted := func(want bool) func(*testing.T, *world, *room, synapse.PurgeState) {
		return func(t *testing.T, w *world, r *room, _ synapse.PurgeState) {
			if got := w.has(t, r.noted); got != want {
				t.Errorf("the event is there: %t, want %t", got, want)
			}
		}
	}
	y2019 := time.Date(2019, 6, 1, 0, 0, 0, 0, time.UTC)
	age := func(name string, plant func(context.Context, *sandbox.Plant, *room) error) hazard {
		return hazard{name: name, term: item.YoungEvent, plant: plant, safe: noted(true), damaged: noted(false)}
	}
	return []hazard{
		age("young event below old ones", func(ctx context.Context, p *sandbox.Plant, r *room) error {
			r.noted = r.messages[1]
			return p.SetTimes(ctx, time.Now(), time.Now(), r.noted)
		}),
		age("received now, dated 2019", func(ctx context.Context, p *sandbox.Plant, r *room) error {
			r.noted = r.messages[1]
			return p.SetTimes(ctx, y2019, time.Now(), r.noted)
		}),
		age("backfilled, sent yesterday", func(ctx context.Context, p *sandbox.Plant, r *room) (err error) {
			r.noted, err = p.Backfilled(ctx, r.id, r.messages[1], 0, time.Now().Add(-day), time.Now())
			return err
		}),
		age("soft-failed, received now", func(ctx context.Context, p *sandbox.Plant, r *room) (err error) {
			r.noted, err = p.Event(ctx, sandbox.NewEvent{Room: r.id, Prev: r.messages[1:2], Place: sandbox.SoftFailed})
			if err == nil {
				_, err = p.Event(ctx, sandbox.NewEvent{Room: r.id}) // the newest by stream order is another
			}
			return err
		}),
		age("without any timestamp", func(ctx context.Context, p *sandbox.Plant, r *room) error {
			r.noted = r.messages[1]
			return p.NullTimestamp(ctx, r.noted)
		}),
		age("without a time of receipt, sent yesterday", func(ctx context.Context, p *sandbox.Plant, r *room) error {
			r.noted = r.messages[1]
			return p.SetTimes(ctx, time.Now().Add(-day), time.Time{}, r.noted)
		}),
	}
}

func hazardsOfContent() []hazard {
	topic := func(want any) func(*testing.T, *world, *room, synapse.PurgeState) {
		return func(t *testing.T, w *world, r *room, _ synapse.PurgeState) {
			content, err := w.server.As("alice").State(t.Context(), r.id, "m.room.topic", "")
			if err != nil || content["topic"] != want {
				t.Errorf("the topic reads %v, want %v (%v)", content["topic"], want, err)
			}
		}
	}
	body := func(want string) func(*testing.T, *world, *room, synapse.PurgeState) {
		return func(t *testing.T, w *world, r *room, _ synapse.PurgeState) {
			e, err := w.server.As("alice").Event(t.Context(), r.id, r.messages[5])
			if err != nil || e.Body() != want {
				t.Errorf("the message reads %q, want %q (%v)", e.Body(), want, err)
			}
		}
	}
	readable := func(want int) func(*testing.T, *world, *room, synapse.PurgeState) {
		return func(t *testing.T, w *world, r *room, _ synapse.PurgeState) {
			wantStatus(t, w.readReport(t, r.messages[2]), want)
		}
	}
	return []hazard{
		{
			name: "redacted topic, not censored yet", term: item.Redaction,
			seed: func(t *testing.T, w *world, r *room) {
				alice := w.server.As("alice")
				_, err := alice.Send(t.Context(), r.id, "hello")
				var set string
				if err == nil {
					set, err = alice.SetState(t.Context(), r.id, "m.room.topic", "", map[string]any{"topic": "private"})
				}
				if err == nil {
					_, err = alice.Redact(t.Context(), r.id, set)
				}
				if err != nil {
					t.Fatal(err)
				}
			},
			safe: topic(nil), damaged: topic("private"),
		},
		{
			name: "message above its redaction", term: item.Redaction,
			plant: func(ctx context.Context, p *sandbox.Plant, r *room) error {
				old := time.Now().Add(-32 * day)
				_, err := p.Event(ctx, sandbox.NewEvent{
					Room: r.id, Prev: r.messages[:1], Type: "m.room.redaction", Redacts: r.messages[5],
					Content: map[string]any{}, Sent: old, Received: old, Place: sandbox.Backfilled,
				})
				return err
			},
			safe: body(""), damaged: body("bulk 1"),
		},
		{
			name: "reported event", term: item.Reported,
			plant: func(ctx context.Context, p *sandbox.Plant, r *room) error {
				return report(ctx, p, r, r.messages[2], time.Now())
			},
			safe: readable(http.StatusOK), damaged: readable(http.StatusNotFound),
		},
		hazardOfAPin(),
	}
}

func hazardOfAPin() hazard {
	readable := func(want int) func(*testing.T, *world, *room, synapse.PurgeState) {
		return func(t *testing.T, w *world, r *room, _ synapse.PurgeState) {
			_, err := w.server.As("alice").Event(t.Context(), r.id, r.noted)
			wantStatus(t, err, want)
		}
	}
	return hazard{
		name: "pinned message", term: item.Pinned,
		seed: func(t *testing.T, w *world, r *room) {
			alice := w.server.As("alice")
			_, err := alice.Send(t.Context(), r.id, "hello")
			if err == nil {
				r.noted, err = alice.Send(t.Context(), r.id, "rules of this room")
			}
			if err == nil {
				pins := map[string]any{"pinned": []any{"$gone", r.noted, 3, r.noted}}
				_, err = alice.SetState(t.Context(), r.id, "m.room.pinned_events", "", pins)
			}
			if err != nil {
				t.Fatal(err)
			}
		},
		safe: readable(http.StatusOK), damaged: readable(http.StatusNotFound),
	}
}

// TestEachTermIsNeeded purges every hazard on the real server, and a twin of it with one term left out.
func TestEachTermIsNeeded(t *testing.T) {
	w := newWorld(t)
	all := hazards()
	rooms, twins := make([]*room, len(all)), make([]*room, len(all))
	for i, h := range all {
		for _, r := range []**room{&rooms[i], &twins[i]} {
			*r = w.room(t, sandbox.RoomOptions{})
			if h.seed != nil {
				h.seed(t, w, *r)
			}
		}
	}
	w.plant(t, func(ctx context.Context, p *sandbox.Plant) error {
		for i, h := range all {
			for _, r := range []*room{rooms[i], twins[i]} {
				if err := r.fill(ctx, p, 32*day); err != nil {
					return err
				}
				if h.plant == nil {
					continue
				}
				if err := h.plant(ctx, p, r); err != nil {
					return err
				}
			}
		}
		return nil
	})
	for i, h := range all {
		t.Run(h.name, func(t *testing.T) {
			h.needs(t)
			before := events(t, w.db, rooms[i].id)
			v := w.take(t, w.cutter(), rooms[i].id)
			if v.Status != item.Done || v.Cut.HeldBy != h.term || v.Reason != h.term {
				t.Fatalf("verdict %+v, want a cut held by %s", v, h.term)
			}
			purge := w.purge(t, v.Cut)
			w.kept(t, rooms[i].id, before)
			w.goneBelow(t, v.Cut)
			h.safe(t, w, rooms[i], purge)
			if again := w.take(t, w.cutter(), rooms[i].id); again.Status != item.Kept || again.Cut.Messages != 0 {
				t.Errorf("after the purge: %+v", again)
			}
			w.lives(t, rooms[i].id)
		})
		t.Run(h.name+", without the term", func(t *testing.T) {
			h.needs(t)
			v := w.take(t, w.cutter(h.term), twins[i].id)
			if v.Status != item.Done || v.Cut.HeldBy == h.term {
				t.Fatalf("verdict %+v, want a cut held by something else than %s", v, h.term)
			}
			h.damaged(t, w, twins[i], w.purge(t, v.Cut))
		})
	}
}

// goneBelow checks that the purge did what the cut said.
func (w *world) goneBelow(t *testing.T, cut item.Cut) {
	t.Helper()
	for _, e := range events(t, w.db, cut.RoomID) {
		if e.Depth < cut.Depth && !e.State {
			t.Errorf("message %s at depth %d is left below the cut at %d", e.ID, e.Depth, cut.Depth)
		}
	}
	if cut.Messages == 0 {
		t.Error("the purge was for nothing")
	}
}
