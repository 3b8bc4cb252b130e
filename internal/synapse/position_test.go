package synapse_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"synupkeep/internal/sandbox"
	"synupkeep/internal/synapse"
)

// positions are how far the server and its database have come.
func positions(t *testing.T, s *sandbox.Server) (server, database, newest int64) {
	t.Helper()
	db := connect(t, s.ConnString())
	if err := db.QueryRow(t.Context(), `SELECT COALESCE(max(stream_ordering), 1) FROM events`).Scan(&newest); err != nil {
		t.Fatal(err)
	}
	server, err := admin(t, s).Position(t.Context(), s.ServerName())
	if err != nil {
		t.Fatal(err)
	}
	if database, err = synapse.LastPosition(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	return server, database, newest
}

// TestPositionIsThatOfTheDatabase: whatever happens, the server knows of the newest event and is never further than the
// numbers that its database gave out.
func TestPositionIsThatOfTheDatabase(t *testing.T) {
	s := sandbox.Shared(t)
	check := func(when string) {
		t.Helper()
		if server, database, newest := positions(t, s); server > database || server < newest {
			t.Errorf("%s: the server is at %d, its database at %d, the newest event is %d", when, server, database, newest)
		}
	}
	check("at first")
	roomID, _ := room(t, s, "10", anyID)
	for range 5 {
		check("after messages")
		if _, err := s.As("alice").Send(t.Context(), roomID, "one more"); err != nil {
			t.Fatal(err)
		}
	}
	err := s.Plant(t.Context(), func(ctx context.Context, p *sandbox.Plant) error {
		_, err := p.BulkMessages(ctx, roomID, 50, time.Now().Add(-time.Hour), time.Second)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	check("after planted events and a restart")
	if err := errors.Join(s.StopSynapse(t.Context()), s.StartSynapse(t.Context())); err != nil {
		t.Fatal(err)
	}
	check("after another restart")
}

// TestAskingForThePositionChangesNothing: no room is made up, and nothing is left in the database.
func TestAskingForThePositionChangesNothing(t *testing.T) {
	s := sandbox.Shared(t)
	db := connect(t, s.ConnString())
	count := func() (all map[string]int) {
		all = map[string]int{}
		for _, table := range []string{"rooms", "events", "event_edges", "room_depth", "worker_read_write_locks", "worker_read_write_locks_mode", "federation_inbound_events_staging"} {
			var n int
			if err := db.QueryRow(t.Context(), `SELECT count(*) FROM `+table).Scan(&n); err != nil {
				t.Fatal(err)
			}
			all[table] = n
		}
		return all
	}
	before := count()
	for range 3 {
		if _, err := admin(t, s).Position(t.Context(), s.ServerName()); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(before, count()); diff != "" {
		t.Error(diff)
	}
}

func TestServerAndDatabaseTellTheSameLatestEvents(t *testing.T) {
	for _, version := range []string{"10", sandbox.Shared(t).NewestRoomVersion()} { // ids of rooms with and, since 12, without a server
		t.Run("room version "+version, func(t *testing.T) { sameLatestEvents(t, version) })
	}
}

func sameLatestEvents(t *testing.T, version string) {
	t.Helper()
	s := sandbox.Shared(t)
	roomID, _ := room(t, s, version, anyID)
	err := s.Plant(t.Context(), func(ctx context.Context, p *sandbox.Plant) error {
		ids, err := p.BulkMessages(ctx, roomID, 3, time.Now().Add(-time.Hour), time.Second)
		if err != nil {
			return err
		}
		for range 3 {
			if _, err := p.Fork(ctx, roomID, ids[0], 0, time.Now()); err != nil {
				return err
			}
		}
		_, err = p.SoftFailed(ctx, roomID, 1, time.Now()) // newer, and no end of the room's history
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	db := connect(t, s.ConnString())
	latest, err := synapse.LatestRoom(t.Context(), db)
	if err != nil || latest != roomID {
		t.Errorf("the latest room is %s, want %s: %v", latest, roomID, err)
	}
	inDatabase, err := synapse.ForwardExtremities(t.Context(), db, roomID)
	if err != nil || len(inDatabase) != 4 {
		t.Errorf("%q, %v", inDatabase, err)
	}
	ofServer, err := admin(t, s).ForwardExtremities(t.Context(), roomID)
	if diff := cmp.Diff(inDatabase, ofServer); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	none, err := admin(t, s).ForwardExtremities(t.Context(), "!nowhere:"+s.ServerName())
	if err != nil || len(none) != 0 {
		t.Errorf("an unknown room ends with %q, %v", none, err)
	}
}

func TestDatabaseWithoutEvents(t *testing.T) {
	altered(t, func(ctx context.Context, tx pgx.Tx) {
		if roomID, err := synapse.LatestRoom(ctx, tx); roomID != "" || err != nil {
			t.Errorf("%q, %v", roomID, err)
		}
	}, `SET LOCAL lock_timeout = '5s'`, `DELETE FROM event_forward_extremities`)
}

func TestRoleThatMayNotAskForThePosition(t *testing.T) {
	if _, err := synapse.LastPosition(t.Context(), connect(t, sandbox.Shared(t).OutsiderConnString())); !errors.Is(err, synapse.ErrNoPrivilege) {
		t.Errorf("%v", err)
	}
	altered(t, func(ctx context.Context, tx pgx.Tx) {
		if _, err := synapse.LastPosition(ctx, tx); !errors.Is(err, synapse.ErrNoPrivilege) {
			t.Errorf("%v", err)
		}
	}, `SET LOCAL lock_timeout = '5s'`, `ALTER SEQUENCE events_stream_seq RENAME TO other_seq`)
}

func TestPositionOfAnUnknownForm(t *testing.T) {
	for _, body := range []string{`{}`, `{"start":""}`, `{"start":"z5"}`, `{"start":"t5"}`, `{"chunk":[]}`} {
		c, _ := newClient(t, fake(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }), secret)
		if got, err := c.Position(t.Context(), "hs"); !errors.Is(err, synapse.ErrNoPosition) {
			t.Errorf("%s: %d, %v", body, got, err)
		}
		if got, err := c.ForwardExtremities(t.Context(), "!r:hs"); synapse.Classify(err) != synapse.Misrouted {
			t.Errorf("%s: %q, %v", body, got, err)
		}
	}
}
