package doctor

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"synupkeep/internal/homeserver"
	"synupkeep/internal/sandbox"
)

// room makes a room in which something was said, and returns that.
func room(t testing.TB, s *sandbox.Server, o sandbox.RoomOptions) (id, event string) {
	t.Helper()
	id, err := s.As("alice").CreateRoom(t.Context(), o)
	if err == nil {
		event, err = s.As("alice").Send(t.Context(), id, "hello")
	}
	if err != nil {
		t.Fatal(err)
	}
	return id, event
}

func TestARoomThatTakesNoMessagesIsAFailure(t *testing.T) {
	s := sandbox.Shared(t)
	id, end := room(t, s, sandbox.RoomOptions{Name: "Broken \x1b[2J room"})
	meanwhile(t, s, `UPDATE events SET outlier = TRUE WHERE event_id = $1`, `UPDATE events SET outlier = FALSE WHERE event_id = $1`, end)
	x := examine(t, settings(t, s), nil)
	x.wants(t, "broken-rooms", Failure, "1 room takes no messages any more", id, "version "+one[string](t, s, `SELECT room_version FROM rooms WHERE room_id = $1`, id)+", 1 user of this server in it",
		"its end "+end+" was purged and kept as state only", "Synapse itself has no repair for it", "synupkeep repair rooms")
	x.but(t, "broken-rooms")
}

func TestABrokenRoomThatEverybodyHasLeftIsAWarning(t *testing.T) {
	s := sandbox.Shared(t)
	id, _ := room(t, s, sandbox.RoomOptions{})
	if err := s.As("alice").Leave(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	end := one[string](t, s, `SELECT event_id FROM event_forward_extremities WHERE room_id = $1`, id)
	meanwhile(t, s, `UPDATE events SET outlier = TRUE WHERE event_id = $1`, `UPDATE events SET outlier = FALSE WHERE event_id = $1`, end)
	x := examine(t, settings(t, s), nil)
	x.wants(t, "broken-rooms", Warning, "1 room takes no messages any more; nobody of this server", "0 users of this server in it")
	x.but(t, "broken-rooms")
}

func TestARoomThatIsStillOnItsWayIsAWarning(t *testing.T) {
	s := sandbox.Shared(t)
	id, end := room(t, s, sandbox.RoomOptions{})
	meanwhile(t, s, `INSERT INTO partial_state_rooms (room_id) VALUES ($1)`, `DELETE FROM partial_state_rooms WHERE room_id = $1`, id)
	x := examine(t, settings(t, s), nil)
	x.wants(t, "partial-joins", OK, "1 room is being joined now")
	x.but(t)
	day := (24 * time.Hour).Milliseconds()
	meanwhile(t, s, fmt.Sprintf(`UPDATE events SET received_ts = received_ts - %d WHERE event_id = $1`, day),
		fmt.Sprintf(`UPDATE events SET received_ts = received_ts + %d WHERE event_id = $1`, day), end)
	x = examine(t, settings(t, s), nil)
	x.wants(t, "partial-joins", Warning, "1 room has been on its way for more than a day", id)
	x.but(t, "partial-joins")
	// What it lacks may be on its way: it does not count as broken.
	meanwhile(t, s, `UPDATE events SET outlier = TRUE WHERE event_id = $1`, `UPDATE events SET outlier = FALSE WHERE event_id = $1`, end)
	examine(t, settings(t, s), nil).wants(t, "broken-rooms", OK)
}

// TestRoomsThatStayLargeAreNamed with what holds them: an old end that is a state event, and an event without a timestamp.
func TestRoomsThatStayLargeAreNamed(t *testing.T) {
	s := sandbox.Own(t, sandbox.Options{})
	const day = 24 * time.Hour
	old := time.Now().Add(-100 * day)
	forked, fork := room(t, s, sandbox.RoomOptions{Name: "Forked"})
	timeless, odd := room(t, s, sandbox.RoomOptions{})
	ordinary, _ := room(t, s, sandbox.RoomOptions{})
	err := s.Plant(t.Context(), func(ctx context.Context, p *sandbox.Plant) error {
		for _, id := range []string{forked, timeless, ordinary} {
			if err := p.AgeRoom(ctx, id, 110*day); err != nil {
				return err
			}
		}
		if _, err := p.StateExtremity(ctx, forked, fork, old); err != nil {
			return err
		}
		if err := p.NullTimestamp(ctx, odd); err != nil {
			return err
		}
		for _, id := range []string{timeless, ordinary} {
			said, err := p.BulkMessages(ctx, id, 70, old, time.Minute)
			if err != nil {
				return err
			}
			if err := p.SetNewest(ctx, id, said[len(said)-1]); err != nil { // as Synapse does with each
				return err
			}
		}
		prev := fork
		for i := range 60 {
			var err error
			at := old.Add(time.Duration(i) * time.Minute)
			if prev, err = p.Event(ctx, sandbox.NewEvent{Room: forked, Prev: []string{prev}, Sent: at, Received: at}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	x := examine(t, settings(t, s), nil)
	x.wants(t, "held-rooms", Warning, "in 2 rooms, 50 messages or more stay although they are more than 30 days past the cut-off",
		timeless+": 70 messages, held by young event", forked+" (Forked): 60 messages, held by state extremity: an old end of the room; any message")
	x.but(t, "held-rooms")
	examine(t, settings(t, s, "--delta", "90d"), nil).wants(t, "held-rooms", OK, "3 rooms with old history were looked at")
	if c := examine(t, settings(t, s), func(e *exam) { e.limits.heldRooms = 1 }).of(t, "held-rooms"); !strings.Contains(c.Found, "the 1 largest of 3 rooms") {
		t.Error(c.Found)
	}
	examine(t, settings(t, s, "--skip", "history"), nil).wants(t, "held-rooms", NotChecked, "history is not one of the flows")
	cfg := settings(t, s)
	cfg.Ages = nil
	examine(t, cfg, nil).wants(t, "held-rooms", NotChecked, "no age for history is given")

	// What lets go by itself within days is left out.
	low := one[string](t, s, `SELECT event_id FROM events WHERE room_id = $1 AND type = 'm.room.message' ORDER BY depth LIMIT 1`, ordinary)
	if err := s.As("alice").Report(t.Context(), ordinary, low, "rude"); err != nil {
		t.Fatal(err)
	}
	x = examine(t, settings(t, s), nil)
	x.wants(t, "held-rooms", Warning, "in 2 rooms,")
	x = examine(t, settings(t, s, "--report-hold", "60d"), nil)
	x.wants(t, "held-rooms", Warning, "in 3 rooms,", ordinary+": 71 messages, held by reported: an abuse report")
	do(t, s, `DELETE FROM event_reports`)

	if _, err := s.As("alice").Send(t.Context(), forked, "this joins the ends"); err != nil {
		t.Fatal(err)
	}
	x = examine(t, settings(t, s), nil)
	x.wants(t, "held-rooms", Warning, "in 1 room,", timeless)
}

func TestSynapsesOwnRetentionIsAWarning(t *testing.T) {
	s := sandbox.Shared(t)
	cfg := settings(t, s)
	cfg.Synapse = &homeserver.Config{ServerName: s.ServerName()}
	examine(t, cfg, nil).wants(t, "retention", OK, "0 rooms have an m.room.retention of their own, which it does not act upon")
	cfg.Synapse.Retention = homeserver.Retention{Messages: true, LocalMedia: "90d", RemoteMedia: "14d"}
	x := examine(t, cfg, nil)
	x.wants(t, "retention", Warning, "retention is enabled, media_retention.local_media_lifetime is 90d and media_retention.remote_media_lifetime is 14d", "Decide for one")
	x.but(t, "retention")

	id, _ := room(t, s, sandbox.RoomOptions{InitialState: []sandbox.StateEvent{
		{Type: "m.room.retention", Content: map[string]any{"min_lifetime": (24 * time.Hour).Milliseconds()}},
	}})
	t.Cleanup(func() {
		if _, err := s.As("alice").SetState(context.WithoutCancel(t.Context()), id, "m.room.retention", "", map[string]any{}); err != nil {
			t.Error(err)
		}
	})
	examine(t, cfg, nil).wants(t, "retention", Warning, "1 room has an m.room.retention of its own", "stops at the first of them")
	x = examine(t, settings(t, s), nil)
	x.wants(t, "retention", Warning, "1 room has an m.room.retention", id, "--homeserver-config")
	x.but(t, "retention")
	cfg.Synapse.Retention = homeserver.Retention{}
	examine(t, cfg, nil).wants(t, "retention", OK, "1 room has")
}

func TestFederationThatIsDownIsAWarning(t *testing.T) {
	s := sandbox.Shared(t)
	now := time.Now()
	plant := func(n int, failing time.Duration) {
		do(t, s, `INSERT INTO destinations (destination, retry_last_ts, retry_interval, failure_ts)
			SELECT 'planted' || $3 || '-' || n || '.example', 0, 0, NULLIF($2::bigint, 0) FROM generate_series(1, $1::int) n`, n, max(0, now.Add(-failing).UnixMilli())*b2i(failing != 0), fmt.Sprint(failing))
	}
	t.Cleanup(func() { do(t, s, `DELETE FROM destinations WHERE destination LIKE 'planted%'`) })
	plant(20, 30*24*time.Hour) // gone for good, as servers do
	plant(3, 0)
	plant(9, time.Hour)
	x := examine(t, settings(t, s), nil)
	x.wants(t, "destinations", OK, "32 other servers, 20 without an answer for a week", "--remote-dead delete")
	plant(9, 2*time.Hour)
	x = examine(t, settings(t, s), nil)
	x.wants(t, "destinations", Warning, "18 of 21 other servers stopped answering within the last day", "federation is broken")
	x.but(t, "destinations")
}

func b2i(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// TestARedactionThatIsNeverCensoredHoldsARoomForEver, and one that came lately for some days.
func TestARedactionThatIsNeverCensoredHoldsARoomForEver(t *testing.T) {
	s := sandbox.Shared(t)
	if err := s.Snapshot(t.Context(), "redacted"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Reset(context.WithoutCancel(t.Context()), "redacted"); err != nil {
			t.Error(err)
		}
	})
	const day = 24 * time.Hour
	id, first := room(t, s, sandbox.RoomOptions{Topic: "to be redacted"})
	topic := one[string](t, s, `SELECT event_id FROM current_state_events WHERE room_id = $1 AND type = 'm.room.topic'`, id)
	var redaction string
	err := s.Plant(t.Context(), func(ctx context.Context, p *sandbox.Plant) (err error) {
		if err := p.AgeRoom(ctx, id, 110*day); err != nil {
			return err
		}
		if redaction, err = p.Redaction(ctx, id, topic, first, 0, time.Now().Add(-105*day)); err != nil {
			return err
		}
		said, err := p.BulkMessages(ctx, id, 70, time.Now().Add(-100*day), time.Minute)
		if err != nil {
			return err
		}
		return p.SetNewest(ctx, id, said[len(said)-1])
	})
	if err != nil {
		t.Fatal(err)
	}
	longer := func(e *exam) { e.limits.held = 50 * day }
	x := examine(t, settings(t, s), longer)
	x.wants(t, "held-rooms", Warning, id+": 72 messages, held by redaction", "never with null")
	x.but(t, "held-rooms")
	do(t, s, `UPDATE events SET received_ts = $2 WHERE event_id = $1`, redaction, time.Now().Add(-40*day).UnixMilli())
	examine(t, settings(t, s), longer).wants(t, "held-rooms", OK)
}
