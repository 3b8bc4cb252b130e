package sandbox_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"synupkeep/internal/sandbox"
)

const day = 24 * time.Hour

// newRoom makes a room of alice with three messages and returns their ids.
func newRoom(t *testing.T, s *sandbox.Server, version string) (room string, messages []string) {
	t.Helper()
	room, messages, err := makeRoom(t.Context(), s, version)
	if err != nil {
		t.Fatal(err)
	}
	return room, messages
}

func makeRoom(ctx context.Context, s *sandbox.Server, version string) (room string, messages []string, err error) {
	alice := s.As("alice")
	if room, err = alice.CreateRoom(ctx, sandbox.RoomOptions{Version: version}); err != nil {
		return "", nil, err
	}
	for _, body := range []string{"one", "two", "three"} {
		id, err := alice.Send(ctx, room, body)
		if err != nil {
			return "", nil, err
		}
		messages = append(messages, id)
	}
	return room, messages, nil
}

// serves checks that the room takes a message and shows the wanted events, and not the unwanted.
func serves(t *testing.T, s *sandbox.Server, room string, shown, hidden []string) {
	t.Helper()
	alice := s.As("alice")
	last, err := alice.Send(t.Context(), room, "after planting")
	if err != nil {
		t.Fatalf("the room takes no message: %v", err)
	}
	timeline, err := alice.Timeline(t.Context(), room)
	if err != nil {
		t.Fatal(err)
	}
	ids := make([]string, 0, len(timeline))
	for _, e := range timeline {
		ids = append(ids, e.ID)
	}
	for _, id := range append(shown, last) {
		if !slices.Contains(ids, id) {
			t.Errorf("the timeline lacks %s: %v", id, ids)
		}
		if _, err := alice.Event(t.Context(), room, id); err != nil {
			t.Error(err)
		}
	}
	for _, id := range hidden {
		if slices.Contains(ids, id) {
			t.Errorf("the timeline shows %s", id)
		}
	}
}

// extremities are the room's forward extremities, lowest first.
func extremities(t *testing.T, s *sandbox.Server, room string) []string {
	t.Helper()
	return column[string](t, s, `SELECT event_id FROM event_forward_extremities JOIN events USING (event_id)
		WHERE event_forward_extremities.room_id = $1 ORDER BY depth`, room)
}

func column[T any](t *testing.T, s *sandbox.Server, sql string, args ...any) []T {
	t.Helper()
	var out []T
	err := s.WithDB(t.Context(), func(ctx context.Context, conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, sql, args...)
		if err != nil {
			return err
		}
		out, err = pgx.CollectRows(rows, pgx.RowTo[T])
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func plant(t *testing.T, s *sandbox.Server, f func(ctx context.Context, p *sandbox.Plant) error) {
	t.Helper()
	if err := s.Plant(t.Context(), f); err != nil {
		t.Fatal(err)
	}
}

func TestPlantedShapesAreServed(t *testing.T) {
	s := sandbox.Shared(t)
	for _, version := range sandbox.Shared(t).RoomVersions() {
		t.Run("version "+version, func(t *testing.T) { plantShapes(t, s, version) })
	}
}

func plantShapes(t *testing.T, s *sandbox.Server, version string) {
	old := time.Now().Add(-100 * day)
	type shape struct {
		room     string
		messages []string
		planted  string
		tips     int
	}
	shapes := map[string]*shape{}
	var rooms errgroup.Group
	for name, tips := range map[string]int{
		"fork": 2, "late": 2, "state": 2, "soft": 1, "gap": 1, "backfilled": 1, "redaction": 2, "bulk": 1,
	} {
		sh := &shape{tips: tips}
		shapes[name] = sh
		rooms.Go(func() (err error) {
			sh.room, sh.messages, err = makeRoom(t.Context(), s, version)
			return err
		})
	}
	if err := rooms.Wait(); err != nil {
		t.Fatal(err)
	}
	var missing string
	plant(t, s, func(ctx context.Context, p *sandbox.Plant) error {
		var err error
		keep := func(name string, id string, e error) {
			shapes[name].planted = id
			if e != nil && err == nil {
				err = e
			}
		}
		at := func(name string, i int) (string, string) { return shapes[name].room, shapes[name].messages[i] }
		room, prev := at("fork", 0)
		id, e := p.Fork(ctx, room, prev, 2, old)
		keep("fork", id, e)
		room, prev = at("late", 0)
		id, e = p.LateEventOnLowFork(ctx, room, prev, old, time.Time{})
		keep("late", id, e)
		room, prev = at("state", 0)
		id, e = p.StateExtremity(ctx, room, prev, old)
		keep("state", id, e)
		id, e = p.SoftFailed(ctx, shapes["soft"].room, 20, old)
		keep("soft", id, e)
		id, missing, e = p.Gap(ctx, shapes["gap"].room, time.Time{})
		keep("gap", id, e)
		room, prev = at("backfilled", 0)
		id, e = p.Backfilled(ctx, room, prev, 0, old, time.Time{})
		keep("backfilled", id, e)
		room, prev = at("redaction", 0)
		id, e = p.Redaction(ctx, room, shapes["redaction"].messages[2], prev, 0, time.Time{})
		keep("redaction", id, e)
		ids, e := p.BulkMessages(ctx, shapes["bulk"].room, 300, old, time.Minute)
		keep("bulk", ids[len(ids)-1], e)
		return err
	})
	for name, sh := range shapes {
		if got := extremities(t, s, sh.room); len(got) != sh.tips {
			t.Errorf("%s: forward extremities %v, want %d", name, got, sh.tips)
		}
	}
	if got := column[string](t, s, `SELECT event_id FROM event_backward_extremities WHERE room_id = $1`, shapes["gap"].room); !slices.Equal(got, []string{missing}) {
		t.Errorf("backward extremities %v, want %s", got, missing)
	}
	if !s.Before("1.115.0") {
		if got := column[string](t, s, `SELECT e.event_id FROM sliding_sync_joined_rooms s JOIN events e ON e.stream_ordering = s.event_stream_ordering
			WHERE s.room_id = $1`, shapes["late"].room); !slices.Equal(got, []string{shapes["late"].planted}) {
			t.Errorf("sliding sync names %v, want %s", got, shapes["late"].planted)
		}
	}
	if got := column[bool](t, s, `SELECT stream_ordering < 0 FROM events WHERE event_id = $1`, shapes["backfilled"].planted); !slices.Equal(got, []bool{true}) {
		t.Errorf("backfilled: %v", got)
	}
	validates(t, s)
	for name, sh := range shapes {
		shown, hidden := append(slices.Clone(sh.messages), sh.planted), []string(nil)
		if name == "soft" {
			shown, hidden = sh.messages, []string{sh.planted}
		}
		t.Run(name, func(t *testing.T) {
			serves(t, s, sh.room, shown, hidden)
			if got := extremities(t, s, sh.room); len(got) != 1 {
				t.Errorf("a message left the extremities %v", got)
			}
		})
	}
	if _, err := s.As("alice").Sync(t.Context(), ""); err != nil {
		t.Error(err)
	}
	content, err := s.As("alice").State(t.Context(), shapes["state"].room, "org.example.fork", "")
	if err != nil || content["planted"] != true {
		t.Errorf("planted state: %v, %v", content, err)
	}
	redacted, err := s.As("alice").Event(t.Context(), shapes["redaction"].room, shapes["redaction"].messages[2])
	if err != nil || redacted.Body() != "" {
		t.Errorf("planted redaction had no effect: %+v, %v", redacted, err)
	}
}

func TestPlantAges(t *testing.T) {
	s := sandbox.Shared(t)
	room, messages := newRoom(t, s, s.NewestRoomVersion())
	young, _ := newRoom(t, s, s.NewestRoomVersion())
	y2019 := time.Date(2019, 1, 1, 0, 0, 0, 0, time.UTC)
	plant(t, s, func(ctx context.Context, p *sandbox.Plant) error {
		if err := p.AgeRoom(ctx, room, 90*day); err != nil {
			return err
		}
		if err := p.AgeEvents(ctx, -80*day, messages[2]); err != nil {
			return err
		}
		if err := p.NullTimestamp(ctx, messages[0]); err != nil {
			return err
		}
		return p.SetTimes(ctx, y2019, time.Now(), messages[1])
	})
	days := `SELECT (($1::bigint - coalesce(received_ts, 0)) / 86400000)::int FROM events WHERE event_id = $2`
	now := time.Now().UnixMilli()
	if got := column[int](t, s, days, now, messages[2]); got[0] != 10 {
		t.Errorf("the third message is %d days old, want 10", got[0])
	}
	if got := column[bool](t, s, `SELECT received_ts IS NULL AND origin_server_ts IS NULL FROM events WHERE event_id = $1`, messages[0]); !got[0] {
		t.Error("the first message has a timestamp")
	}
	if got := column[int64](t, s, `SELECT origin_server_ts FROM events WHERE event_id = $1`, messages[1]); got[0] != y2019.UnixMilli() {
		t.Errorf("sent %d", got[0])
	}
	if got := column[int64](t, s, `SELECT count(*) FROM events WHERE room_id = $1 AND received_ts < $2`, young, now-int64(day/time.Millisecond)); got[0] != 0 {
		t.Error("another room was aged")
	}
	serves(t, s, room, messages, nil)
	err := s.Plant(t.Context(), func(ctx context.Context, p *sandbox.Plant) error {
		return p.AgeEvents(ctx, day, sandbox.MissingEventID())
	})
	if err == nil {
		t.Error("ageing an event that is not there is no error")
	}
	if err := s.As("alice").Do(t.Context(), "GET", "/_matrix/client/v3/account/whoami", nil, nil, nil); err != nil {
		t.Errorf("after a failed plant Synapse is not back: %v", err)
	}
}

// Which events Synapse's search meets depends on how many there are, so here all of them lack the receipt.
func TestSynapseStartsWithEventsThatLackTheirReceipt(t *testing.T) {
	s := sandbox.Shared(t)
	room, messages := newRoom(t, s, s.NewestRoomVersion())
	var before int64
	if err := s.WhileDown(t.Context(), func(ctx context.Context, conn *pgx.Conn) error {
		tag, err := conn.Exec(ctx, `CREATE TABLE kept_receipts AS SELECT event_id, received_ts FROM events WHERE received_ts IS NOT NULL`)
		if err != nil {
			return err
		}
		before = tag.RowsAffected()
		_, err = conn.Exec(ctx, `UPDATE events SET received_ts = NULL`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if got := column[int64](t, s, `SELECT count(received_ts) FROM events`); got[0] != 0 {
		t.Errorf("%d of %d events have a receipt after the start", got[0], before)
	}
	if err := s.WithDB(t.Context(), func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, `WITH back AS (UPDATE events e SET received_ts = k.received_ts FROM kept_receipts k
			WHERE k.event_id = e.event_id) SELECT 1`)
		if err == nil {
			_, err = conn.Exec(ctx, `DROP TABLE kept_receipts`)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	serves(t, s, room, messages, nil)
}
