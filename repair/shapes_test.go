package repair

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"synupkeep/internal/sandbox"
	"synupkeep/sources"
)

// Each shape in which no repair is safe on a running server: nothing is touched, and what is said to do by hand mends the
// room and keeps its state.
func TestAShapeThatOnlyStatementsMendIsLeftAndTheyMendIt(t *testing.T) {
	end := func(p *place) string {
		return fmt.Sprintf(`(SELECT event_id FROM event_forward_extremities WHERE room_id = '%s')`, p.id)
	}
	for name, broken := range map[string]func(t *testing.T, p *place){
		"the event that came last is the broken one": func(t *testing.T, p *place) {
			b := p.fork("m.room.topic", "", map[string]any{"topic": "another"}, true)
			must(t, p.s.Plant(t.Context(), func(ctx context.Context, plant *sandbox.Plant) error {
				_, err := plant.StateExtremity(ctx, p.id, p.first, time.Now().Add(-80*day))
				return err
			}))
			p.purge(b.messages[10])
		},
		"the broken one was taken for lost by somebody who came in by it": func(t *testing.T, p *place) {
			b := p.fork("m.room.topic", "", map[string]any{"topic": "only here"}, false)
			p.purge(b.messages[10])
		},
		"every latest event is an outlier": func(t *testing.T, p *place) {
			p.sql(`DELETE FROM event_to_state_groups WHERE event_id IN `+end(p), `UPDATE events SET outlier = TRUE WHERE event_id IN `+end(p))
		},
		"the only latest event has lost its state": func(t *testing.T, p *place) {
			p.sql(`DELETE FROM event_to_state_groups WHERE event_id IN ` + end(p))
		},
		"an outlier that still has its state": func(t *testing.T, p *place) {
			p.sql(`UPDATE events SET outlier = TRUE WHERE event_id IN ` + end(p))
		},
		"no latest event": func(t *testing.T, p *place) {
			p.sql(`DELETE FROM event_forward_extremities WHERE room_id = '` + p.id + `'`)
		},
		"the only latest event is one of another room": func(t *testing.T, p *place) {
			other := newPlace(t, sandbox.RoomOptions{})
			p.sql(fmt.Sprintf(`UPDATE event_forward_extremities SET event_id = '%s' WHERE room_id = '%s'`, other.first, p.id))
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, sandbox.RoomOptions{})
			broken(t, p)
			if !strings.Contains(name, "still has its state") && !strings.Contains(name, "of another room") {
				p.takesNone()
			}
			before, state := p.snapshot(), p.state()
			room := yes(t, p.s, p.id).room(t, p.id)
			if room.Status != NotSafe || room.Why == "" || room.Advice == "" {
				t.Fatalf("%+v", room)
			}
			if diff := cmp.Diff(before, p.snapshot()); diff != "" {
				t.Error(diff)
			}
			p.byHand(room, state)
		})
	}
}

func TestAnEndThatIsNoEventOfTheRoomIsForgotten(t *testing.T) {
	p, other := newPlace(t, sandbox.RoomOptions{}), newPlace(t, sandbox.RoomOptions{})
	p.sql(fmt.Sprintf(`INSERT INTO event_forward_extremities (room_id, event_id) VALUES ('%s', '%s')`, p.id, other.first))
	before, state := other.snapshot(), p.state()
	room := yes(t, p.s, p.id).room(t, p.id)
	if room.Status != Repaired || room.Broken[0].Wrong != sources.HasNoRow {
		t.Fatalf("%+v", room)
	}
	p.takes()
	if diff := cmp.Diff(state, p.state()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(before, other.snapshot()); diff != "" {
		t.Error(diff)
	}
}

// A database of old may have no foreign key from the extremities to the events.
func TestAnEndWithoutAnyRowIsForgotten(t *testing.T) {
	p := newPlace(t, sandbox.RoomOptions{})
	p.sql(`ALTER TABLE event_forward_extremities DROP CONSTRAINT event_forward_extremities_event_id`,
		`INSERT INTO event_forward_extremities (room_id, event_id) VALUES ('`+p.id+`', '$nowhere')`)
	t.Cleanup(func() {
		must(t, p.s.WithDB(context.WithoutCancel(t.Context()), func(ctx context.Context, c *pgx.Conn) error {
			_, err := c.Exec(ctx, `ALTER TABLE event_forward_extremities ADD CONSTRAINT event_forward_extremities_event_id
				FOREIGN KEY (event_id) REFERENCES events (event_id)`)
			return err
		}))
	})
	if room := yes(t, p.s, p.id).room(t, p.id); room.Status != Repaired {
		t.Fatalf("%+v", room)
	}
	p.takes()
}

func TestSoundEndsWhoseStateIsTheRoomsGoAlongAndTheirMessagesStay(t *testing.T) {
	p := newPlace(t, sandbox.RoomOptions{})
	b := p.fork("m.room.topic", "", map[string]any{"topic": "by the fork"}, true)
	side := ""
	must(t, p.s.Plant(t.Context(), func(ctx context.Context, plant *sandbox.Plant) (err error) {
		side, err = plant.Fork(ctx, p.id, b.messages[11], 0, time.Now().Add(-time.Hour))
		if err == nil {
			_, err = plant.Event(ctx, sandbox.NewEvent{Room: p.id, Prev: []string{b.messages[11]}, Sender: p.alice.UserID()})
		}
		return err
	}))
	p.purge(b.messages[10])
	state := p.state()
	if room := yes(t, p.s, p.id).room(t, p.id); room.Status != Repaired || room.Forgotten != 2 {
		t.Fatalf("%+v", room)
	}
	p.takes()
	if diff := cmp.Diff(state, p.state()); diff != "" {
		t.Error(diff)
	}
	if _, err := p.alice.Event(t.Context(), p.id, side); err != nil {
		t.Error(err)
	}
}

func TestASoundEndThatDecidesSomethingIsNotForgotten(t *testing.T) {
	p := newPlace(t, sandbox.RoomOptions{})
	b := p.fork("m.room.topic", "", map[string]any{"topic": "by the fork"}, true)
	must(t, p.s.Plant(t.Context(), func(ctx context.Context, plant *sandbox.Plant) error {
		_, err := plant.StateExtremity(ctx, p.id, b.messages[11], time.Now().Add(-time.Hour))
		if err == nil {
			_, err = plant.Event(ctx, sandbox.NewEvent{Room: p.id, Prev: []string{b.messages[11]}, Sender: p.alice.UserID()})
		}
		return err
	}))
	p.purge(b.messages[10])
	state := p.state()
	room := yes(t, p.s, p.id).room(t, p.id)
	if room.Status != NotSafe || room.Loses != 1 {
		t.Fatalf("%+v", room)
	}
	p.byHand(room, state)
}

func TestARoomThatIsStillBeingJoinedIsLeft(t *testing.T) {
	p, _ := broken(t, sandbox.RoomOptions{})
	must(t, p.s.WithDB(t.Context(), func(ctx context.Context, c *pgx.Conn) error { // at a start Synapse would complete it
		_, err := c.Exec(ctx, `INSERT INTO partial_state_rooms (room_id, device_lists_stream_id, joined_via) VALUES ($1, 0, 'elsewhere')`, p.id)
		return err
	}))
	t.Cleanup(func() {
		must(t, p.s.WithDB(context.WithoutCancel(t.Context()), func(ctx context.Context, c *pgx.Conn) error {
			_, err := c.Exec(ctx, `DELETE FROM partial_state_rooms WHERE room_id = $1`, p.id)
			return err
		}))
	})
	before := p.snapshot()
	if r := yes(t, p.s, p.id); len(r.causes) != 0 || r.report.Found != 0 {
		t.Error(r.text)
	}
	if diff := cmp.Diff(before, p.snapshot()); diff != "" {
		t.Error(diff)
	}
}

func TestWhatIsHeldIsLeftAndSaysWhy(t *testing.T) {
	for name, test := range map[string]struct{ sql, undo, why string }{
		"nobody of this server is in it": {
			`UPDATE local_current_membership SET membership = 'leave' WHERE room_id = $1`,
			`UPDATE local_current_membership SET membership = 'join' WHERE room_id = $1`, "nobody of this server is in it",
		},
		"a purge is under way": { // or will be in a moment, so that Synapse does not take it up meanwhile
			`INSERT INTO scheduled_tasks (id, action, status, timestamp, resource_id, params)
				VALUES ('held', 'purge_history', 'scheduled', (extract(epoch FROM now()) * 1000)::bigint + 55000, $1, '{}')`,
			`DELETE FROM scheduled_tasks WHERE id = 'held' AND resource_id = $1`, "the server works on it right now",
		},
		"an experimental version": {
			`UPDATE rooms SET room_version = 'org.matrix.msc4242.12' WHERE room_id = $1`,
			`UPDATE rooms SET room_version = '` + sandbox.Shared(t).NewestRoomVersion() + `' WHERE room_id = $1`, "experimental",
		},
		"its state is elsewhere": {
			`ALTER TABLE state_group_edges RENAME TO moved -- $1`, `ALTER TABLE moved RENAME TO state_group_edges -- $1`, "in another database",
		},
		"what is here was left when it moved": {
			`UPDATE state_groups SET id = -id WHERE room_id = room_id AND $1 <> ''`, `UPDATE state_groups SET id = -id WHERE $1 <> ''`, "in another database",
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, _ := broken(t, sandbox.RoomOptions{Version: sandbox.Shared(t).NewestRoomVersion()})
			exec := func(sql string) {
				must(t, p.s.WithDB(context.WithoutCancel(t.Context()), func(ctx context.Context, c *pgx.Conn) error {
					_, err := c.Exec(ctx, strings.ReplaceAll(sql, "$1", "'"+p.id+"'"))
					return err
				}))
			}
			exec(test.sql)
			before := p.snapshot()
			room := yes(t, p.s, p.id).room(t, p.id)
			after := p.snapshot()
			exec(test.undo)
			if room.Status != NotSafe || !strings.Contains(room.Why, test.why) || room.Advice == "" || len(room.SQL) > 0 {
				t.Errorf("%+v", room)
			}
			if diff := cmp.Diff(before, after); diff != "" {
				t.Error(diff)
			}
			if room := yes(t, p.s, p.id).room(t, p.id); room.Status != Repaired {
				t.Errorf("and without that: %+v", room)
			}
		})
	}
}

func TestARoomWithoutAnEndGoesOnFromNoEventOfAnotherState(t *testing.T) {
	p := newPlace(t, sandbox.RoomOptions{})
	p.sql(`DELETE FROM event_forward_extremities WHERE room_id = '`+p.id+`'`,
		`DELETE FROM current_state_events WHERE room_id = '`+p.id+`' AND type = 'm.room.name'`)
	room := yes(t, p.s, p.id).room(t, p.id)
	if room.Status != NotSafe || len(room.SQL) > 0 || !strings.Contains(room.Advice, "backup") {
		t.Errorf("%+v", room)
	}
}
