package sources

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"

	"synupkeep/internal/sandbox"
)

// A purge leaves such a state event behind as this does: kept as an outlier, without its state group.
const asAPurgeLeavesIt = `WITH g AS (DELETE FROM event_to_state_groups WHERE event_id = $1) UPDATE events SET outlier = TRUE WHERE event_id = $1`

// ends are the forward extremities of a planted room: a state event, and messages that came after it.
type roomEnds struct{ room, state, message, later string }

// TestRoomsThatTakeNoMessagesAreFound, each with what is wrong and what would mend it. Synapse itself is asked whether they
// take any.
func TestRoomsThatTakeNoMessagesAreFound(t *testing.T) {
	s := sandbox.Own(t, sandbox.Options{})
	healthy, forked, stuck, lossy, stateless, missing, none, left := brokenWorld(t, s)
	version := s.NewestRoomVersion()
	want := []BrokenRoom{
		{
			ID: stuck.room, Version: version, Joined: 1, Extremities: 2, Repair: DropExtremities, Keeps: stuck.message,
			Broken: []BrokenExtremity{{EventID: stuck.state, Wrong: IsOutlier, Current: true}},
		},
		{
			ID: lossy.room, Version: version, Joined: 1, Extremities: 4, Repair: LosesState, Keeps: lossy.later, Loses: []string{lossy.message},
			Broken: []BrokenExtremity{{EventID: lossy.state, Wrong: IsOutlier, Current: true}},
		},
		{
			ID: stateless.room, Version: version, Joined: 1, Extremities: 2, Repair: NoRepair, Keeps: stateless.message,
			Broken: []BrokenExtremity{{EventID: stateless.message, Wrong: Stateless}},
		},
		{
			ID: missing.room, Version: version, Joined: 1, Extremities: 3, Repair: LosesState, Keeps: missing.message, Loses: []string{missing.state},
			Broken: []BrokenExtremity{{EventID: "$gone", Wrong: HasNoRow}},
		},
		{ID: none.room, Version: version, Joined: 1, Repair: NoRepair},
		{
			ID: left.room, Version: version, Extremities: 1, Repair: NoRepair, Keeps: left.later,
			Broken: []BrokenExtremity{{EventID: left.later, Wrong: Stateless}},
		},
	}
	found, total := findBroken(t, s, "", 100)
	inOrder := cmpopts.SortSlices(func(a, b BrokenRoom) bool { return a.ID < b.ID })
	if diff := cmp.Diff(want, found, inOrder, cmpopts.EquateEmpty()); diff != "" || total != int64(len(want)) {
		t.Fatalf("%d rooms (-want +got):\n%s", total, diff)
	}
	if only, total := findBroken(t, s, "", 100, none.room, healthy.room); len(only) != 1 || total != 1 || only[0].ID != none.room {
		t.Errorf("of two rooms %v, %d", only, total)
	}
	page, total := findBroken(t, s, "", 2)
	rest, after := findBroken(t, s, page[1].ID, 100)
	if diff := cmp.Diff(found, append(page, rest...)); diff != "" || total != 6 || after != 4 {
		t.Errorf("in pages, %d and %d (-want +got):\n%s", total, after, diff)
	}

	for _, room := range []string{healthy.room, forked.room} {
		if _, err := s.As("alice").Send(t.Context(), room, "hello"); err != nil {
			t.Errorf("a room that is not broken: %v", err)
		}
	}
	for _, room := range want[:5] {
		_, err := s.As("alice").Send(t.Context(), room.ID, "hello")
		var refused *sandbox.APIError
		old := errors.As(err, &refused) && s.Before("1.124.0") && refused.Message == "No create event in auth events"
		if !old && (!errors.As(err, &refused) || refused.Status != http.StatusInternalServerError) {
			t.Errorf("Synapse does not think that room %+v is broken: %v", room, err)
		}
	}
	for _, room := range want[:5] {
		err := s.Admin().Do(t.Context(), http.MethodDelete, "/_synapse/admin/v1/rooms/"+room.ID+"/forward_extremities", nil, nil, nil)
		_, sent := s.As("alice").Send(t.Context(), room.ID, "hello")
		if mends := err == nil && sent == nil; mends != (room.Repair != NoRepair) {
			t.Errorf("room %+v: dropping extremities gives %v, then sending %v", room, err, sent)
		}
	}
}

func findBroken(t *testing.T, s *sandbox.Server, after string, most int, only ...string) (found []BrokenRoom, total int64) {
	t.Helper()
	err := s.WithDB(t.Context(), func(ctx context.Context, c *pgx.Conn) (err error) {
		found, total, err = BrokenRooms{DB: c, Only: only}.Find(ctx, after, most)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found, total
}

// brokenWorld are rooms of alice's.
func brokenWorld(t *testing.T, s *sandbox.Server) (healthy, forked, stuck, lossy, stateless, missing, none, left roomEnds) {
	t.Helper()
	ctx := t.Context()
	all := []*roomEnds{&healthy, &forked, &stuck, &lossy, &stateless, &missing, &none, &left}
	for _, r := range all {
		var err error
		if r.room, err = s.As("alice").CreateRoom(ctx, sandbox.RoomOptions{Version: s.NewestRoomVersion()}); err != nil {
			t.Fatal(err)
		}
		if r.message, err = s.As("alice").Send(ctx, r.room, "first"); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.As("alice").Leave(ctx, left.room); err != nil {
		t.Fatal(err)
	}
	err := s.Plant(ctx, func(ctx context.Context, p *sandbox.Plant) (err error) {
		// An extremity without a row is possible only where this key was lost, in a dump for example.
		err = p.Exec(ctx, `ALTER TABLE event_forward_extremities DROP CONSTRAINT IF EXISTS event_forward_extremities_event_id`)
		if err != nil {
			return err
		}
		rows, err := p.Query(ctx, `SELECT event_id FROM event_forward_extremities WHERE room_id = $1`, left.room)
		if err != nil {
			return err
		}
		if left.later, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[string]); err != nil {
			return err
		}
		for _, r := range []*roomEnds{&forked, &stuck, &lossy, &stateless, &missing} {
			first := r.message
			if r.state, err = p.StateExtremity(ctx, r.room, first, time.Now()); err != nil {
				return err
			}
			if r.message, err = p.Event(ctx, sandbox.NewEvent{Room: r.room, Prev: []string{first}}); err != nil {
				return err
			}
			if r != &lossy {
				continue
			}
			if r.message, err = p.StateExtremity(ctx, r.room, first, time.Now()); err != nil {
				return err
			}
			if r.later, err = p.Event(ctx, sandbox.NewEvent{Room: r.room, Prev: []string{first}}); err != nil {
				return err
			}
		}
		return breakThem(ctx, p, stuck, lossy, stateless, missing, none, left)
	})
	if err != nil {
		t.Fatal(err)
	}
	return healthy, forked, stuck, lossy, stateless, missing, none, left
}

func breakThem(ctx context.Context, p *sandbox.Plant, stuck, lossy, stateless, missing, none, left roomEnds) error {
	for _, step := range []struct {
		sql  string
		args []any
	}{
		{asAPurgeLeavesIt, []any{stuck.state}},
		{asAPurgeLeavesIt, []any{lossy.state}},
		{`DELETE FROM event_to_state_groups WHERE event_id = $1`, []any{stateless.message}},
		{`INSERT INTO event_forward_extremities (event_id, room_id) VALUES ('$gone', $1)`, []any{missing.room}},
		{`DELETE FROM event_forward_extremities WHERE room_id = $1`, []any{none.room}},
		{`DELETE FROM event_to_state_groups WHERE event_id = $1`, []any{left.later}},
	} {
		if err := p.Exec(ctx, step.sql, step.args...); err != nil {
			return fmt.Errorf("%s: %w", strings.TrimSpace(step.sql), err)
		}
	}
	return nil
}
