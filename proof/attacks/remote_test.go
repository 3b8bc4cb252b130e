package attacks_test

import (
	"context"
	"fmt"
	"math"
	"testing"
	"time"

	"synupkeep/internal/sandbox"
	"synupkeep/internal/sandbox/stock"
	"synupkeep/proof/program"
)

// liar is a room in which the admin of another server lies about depth and time. That his messages come from a user of this
// server here changes nothing: depth and time are what Synapse takes over from their sender unseen.
type liar struct {
	id   string
	old  []string // messages that are past the cut-off
	lies []string // what he sent, all received today
	said []string // what others said after it, today
}

// TestLyingDepthsAndTimesTakeNoYoungMessageAway has the only end of a room lie lower than everything, or as high as can be, so
// that what is said after it follows from there; and gives times of every kind.
func TestLyingDepthsAndTimesTakeNoYoungMessageAway(t *testing.T) {
	s := sandbox.Shared(t)
	rooms := map[string]*liar{}
	for _, name := range []string{"lowest", "zero", "highest", "times"} {
		rooms[name] = newLiar(t, s)
	}
	plant(t, s, func(ctx context.Context, p *sandbox.Plant) error {
		for name, r := range rooms {
			if err := p.AgeRoom(ctx, r.id, longAgo); err != nil {
				return err
			}
			if err := r.lie(ctx, p, name); err != nil {
				return err
			}
		}
		return nil
	})
	for _, r := range rooms {
		for i := range 3 {
			r.said = append(r.said, must[string](t)(s.As("victim").Send(t.Context(), r.id, fmt.Sprint("after that ", i))))
		}
	}
	depths := stock.All[int64](t, s, `SELECT depth FROM events WHERE event_id = ANY ($1) ORDER BY depth`, rooms["lowest"].said)
	if depths[len(depths)-1] > 6 {
		t.Fatalf("Synapse did not follow the lie: %v", depths)
	}
	for run, what := range []string{"the run", "the run after it"} {
		result := program.Run(t, where(t, s), "--only", "history")
		wantCode(t, result, 0)
		if done := result.Summary(t).Flows[0].Done; run == 1 && done != 0 {
			t.Errorf("%s purges %d rooms again", what, done)
		}
		for name, r := range rooms {
			t.Run(name+", "+what, func(t *testing.T) {
				allThere(t, s, "victim", r.id, r.lies)
				allThere(t, s, "victim", r.id, r.said)
			})
		}
	}
	for name, r := range rooms {
		alive(t, s, "victim", r.id)
		// Whoever has the room end below everything keeps its history from being purged; who has it end above does not.
		left := len(there(t, s, r.old))
		if held := name == "lowest" || name == "zero"; held && left != len(r.old) || !held && left != 0 {
			t.Errorf("%s: %d of %d old messages are left", name, left, len(r.old))
		}
	}
	if hurt := stock.Hurt(t, s); len(hurt) > 0 {
		t.Errorf("rooms that were hurt: %v", hurt)
	}
}

func newLiar(t *testing.T, s *sandbox.Server) *liar {
	t.Helper()
	r := &liar{id: must[string](t)(s.As("victim").CreateRoom(t.Context(), sandbox.RoomOptions{Version: "10"}))}
	if err := s.As("mallory").Join(t.Context(), r.id); err != nil {
		if err := s.As("victim").Invite(t.Context(), r.id, s.As("mallory").UserID()); err != nil {
			t.Fatal(err)
		}
		if err := s.As("mallory").Join(t.Context(), r.id); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 12 {
		r.old = append(r.old, must[string](t)(s.As("victim").Send(t.Context(), r.id, fmt.Sprint("long ago ", i))))
	}
	return r
}

func (r *liar) lie(ctx context.Context, p *sandbox.Plant, kind string) error {
	now := time.Now()
	lies := map[string][]sandbox.NewEvent{
		"lowest":  {{Depth: 1}},
		"zero":    {{Depth: 1, Sent: time.UnixMilli(0)}, {Depth: 1, Sent: time.UnixMilli(1)}},
		"highest": {{Depth: math.MaxInt64 - 1}},
		"times": {
			{Sent: time.UnixMilli(0)}, {Sent: time.UnixMilli(-1 << 40)}, {Sent: time.UnixMilli(1<<53 - 1)}, {Sent: now.Add(-3000 * day)},
		},
	}[kind]
	for _, e := range lies {
		e.Room, e.Sender, e.Received = r.id, mallory, now
		id, err := p.Event(ctx, e)
		if err != nil {
			return err
		}
		r.lies = append(r.lies, id)
	}
	return nil
}

const mallory = "@mallory:localhost"

// TestNamesThatOthersChoseDoNotSpeakToTheTerminal has media and a room fail whose names hold escapes, line breaks and a
// forged line of the log.
func TestNamesThatOthersChoseDoNotSpeakToTheTerminal(t *testing.T) {
	s := sandbox.Shared(t)
	const forged = "2026-01-01T00:00:00Z CRITICAL"
	evil := []string{
		"a\x1b]0;owned\x07\x1b[2J", "b\n" + forged + " all is lost", "c\r\n" + forged + " all is lost", "d\u202ednuora", "e\u009b31m", "f\x7f\ufeff",
	}
	old := time.Now().Add(-longAgo)
	for i, name := range evil {
		execSQL(t, s, `INSERT INTO remote_media_cache (media_origin, media_id, filesystem_id, created_ts, last_access_ts, media_length, media_type)
			VALUES ($1, $1, $1, $2, $2, 1, $1)`, name, old.UnixMilli())
		execSQL(t, s, `INSERT INTO rooms (room_id, is_public, creator, room_version, has_auth_chain_index) VALUES ($1, false, $2, '1', true)`, "!"+name, name)
		for depth := range 3 {
			execSQL(t, s, `INSERT INTO events (event_id, room_id, type, sender, topological_ordering, depth, stream_ordering, origin_server_ts, received_ts,
				outlier, processed) VALUES ($1, $2, 'm.room.message', $2, $3, $3, $4, $5, $5, false, true)`,
				fmt.Sprint("$", depth, name), "!"+name, depth+1, -int64(1_000_000+10*i+depth), old.UnixMilli())
		}
		execSQL(t, s, `INSERT INTO event_forward_extremities (event_id, room_id) VALUES ($1, $2)`, fmt.Sprint("$", 2, name), "!"+name)
	}
	t.Cleanup(func() {
		execSQL(t, s, `DELETE FROM remote_media_cache WHERE media_id = ANY ($1)`, evil)
		execSQL(t, s, `DELETE FROM event_forward_extremities WHERE event_id LIKE '$2%' AND room_id IN (SELECT room_id FROM rooms WHERE creator = ANY ($1))`, evil)
		execSQL(t, s, `DELETE FROM events WHERE stream_ordering <= -1000000`)
		execSQL(t, s, `DELETE FROM rooms WHERE creator = ANY ($1)`, evil)
	})
	for _, form := range [][]string{{"--json"}, {"--json=false"}, {"--json", "--log-format", "json"}} {
		args := append([]string{"--only", "history", "--only", "remote-media", "--logging-level", "TRACE"}, form...)
		r := program.Run(t, where(t, s), args...)
		wantCode(t, r, 3)
		printable(t, "stdout", r.Out, forged)
		printable(t, "the log", r.Log, forged)
		if form[0] == "--json" {
			if sum := r.Summary(t); len(sum.Failures) != 2*len(evil) {
				t.Errorf("%d failures are named, want %d: %+v", len(sum.Failures), 2*len(evil), sum.Failures)
			}
		}
	}
}
