package pipeline

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"synupkeep/config"
	"synupkeep/internal/item"
	"synupkeep/internal/postgres"
	"synupkeep/internal/sandbox"
	"synupkeep/internal/sandbox/stock"
)

// warnedWorld has something of everything that a plan warns of, and what is like it and no reason to warn.
func warnedWorld(t *testing.T, s *sandbox.Server) (rooms []*talk, change func(*config.Config)) {
	t.Helper()
	restored(t, s)
	newRoom(t, s, "puppet", sandbox.RoomOptions{})
	rooms = []*talk{newTalk(t, s, "pinned", sandbox.RoomOptions{}, 20), newTalk(t, s, "kept", sandbox.RoomOptions{}, 20)}
	plant(t, s, func(ctx context.Context, p *sandbox.Plant) error {
		for _, r := range rooms {
			if err := r.plantOld(ctx, p, 20); err != nil {
				return err
			}
		}
		old := sandbox.Media{Data: []byte("12345"), Created: time.Now().Add(-longAgo)}
		old.User, old.ContentType = s.As("alice").UserID(), encryptedType
		if _, err := p.LocalMedia(ctx, 3, old, time.Second); err != nil {
			return err
		}
		old.User, old.ContentType = s.As("puppet").UserID(), "image/png"
		_, err := p.LocalMedia(ctx, 2, old, time.Second)
		return err
	})
	state(t, s.As("alice"), rooms[0].id, "m.room.encryption", "", map[string]any{"algorithm": "m.megolm.v1.aes-sha2"})
	state(t, s.As("alice"), rooms[0].id, "m.room.pinned_events", "", map[string]any{"pinned": []string{rooms[0].messages[0], rooms[0].messages[3]}})
	execSQL(t, s, `UPDATE users SET appservice_id = 'irc' WHERE name = $1`, s.As("puppet").UserID())
	// Two of the messages that the bridge waits for would go, of which one is in the room that is not purged.
	waits := `INSERT INTO application_services_txns (as_id, txn_id, event_ids) VALUES ($1, 1, jsonb_build_array($2::text, $3::text, '$unknown')::text)`
	execSQL(t, s, waits, "irc", rooms[0].messages[1], rooms[1].messages[1])
	execSQL(t, s, waits, "well", rooms[1].messages[1], rooms[1].messages[2])
	for server, since := range map[string]time.Duration{"away.example": longAgo, "hiccup.example": time.Hour} {
		execSQL(t, s, `INSERT INTO destinations (destination, retry_last_ts, retry_interval, failure_ts) VALUES ($1, 0, 0, $2)`,
			server, time.Now().Add(-since).UnixMilli())
		execSQL(t, s, `INSERT INTO destination_rooms (destination, room_id, stream_ordering)
			SELECT $1, room_id, stream_ordering FROM events WHERE event_id = ANY ($2)`, server, []string{rooms[0].messages[5]})
	}
	return rooms, func(c *config.Config) {
		c.History.Rooms, c.History.NotRooms = []string{rooms[0].id, rooms[1].id}, []string{rooms[1].id}
	}
}

func TestAPlanWarnsOfWhatSomebodyShouldKnowBefore(t *testing.T) {
	s := emptied(t)
	rooms, change := warnedWorld(t, s)
	cfg := settings(s, item.History, item.LocalMedia)
	cfg.StateDir = t.TempDir()
	change(cfg)
	plan := makePlan(t, cfg)
	endsWith(t, plan)
	texts := slices.DeleteFunc(slices.Clone(plan.summary.Warnings), func(text string) bool {
		return strings.HasPrefix(text, "Synapse 1.") // what is to be known of an old release is said of each
	})
	take := func(parts ...string) {
		t.Helper()
		for i, text := range texts {
			all := true
			for _, part := range parts {
				all = all && strings.Contains(text, part)
			}
			if all {
				texts = append(texts[:i:i], texts[i+1:]...)
				return
			}
		}
		t.Errorf("no warning says %q:\n%s", parts, strings.Join(plan.summary.Warnings, "\n"))
	}
	encrypted := stock.All[string](t, s, `SELECT count(*)::text FROM current_state_events WHERE type = 'm.room.encryption'`)[0]
	take("Such rooms: "+encrypted+";", "3 media (15 B)", "--keep-type application/octet-stream")
	take("users of application services (irc)", "2 media (10 B)")
	take("stays because of --not-room: 1")
	take("pinned in their room", "around them: 2.", "--keep-pinned")
	take("--room names 2 rooms:")
	take("application service irc", "1 message of 1 room that wait for it")
	take("not been reachable since before the cut-off", ": 1 (away.example; the last of them since ")
	if len(texts) > 0 {
		t.Errorf("more than there is to say:\n%s", strings.Join(texts, "\n"))
	}
	room := plan.flow(t, item.History).ByRoom
	if len(room) != 1 || room[0].RoomID != rooms[0].id || !room[0].Encrypted || room[0].Members != 1 || room[0].Events < 40 {
		t.Errorf("%+v", room)
	}

	// Of all this nothing is said where it does not matter.
	execSQL(t, s, `UPDATE local_media_repository SET media_type = 'image/png'`)
	cfg = settings(s, item.LocalMedia)
	cfg.StateDir, cfg.Media.KeepUsers = t.TempDir(), []string{"@puppet:*"}
	plan = makePlan(t, cfg)
	endsWith(t, plan)
	if len(plan.summary.Warnings) > 0 {
		t.Errorf("%q", plan.summary.Warnings)
	}
}

// A plan beside a run takes nothing from it, and says that it is out of date.
func TestAPlanIsMadeBesideARunAndSaysSo(t *testing.T) {
	s := emptied(t)
	db, err := postgres.Open(t.Context(), s.ConnString())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	lock, err := db.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Release(context.Background())
	plan := makePlan(t, settings(s, item.LocalMedia))
	endsWith(t, plan)
	if !strings.Contains(strings.Join(plan.summary.Warnings, "\n"), `a run is at work ("synupkeep", database process `) {
		t.Errorf("%q", plan.summary.Warnings)
	}
	if err := lock.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// A role that may read and nothing else can make a plan, which says that a run could not be made with it.
func TestAPlanOfARoleThatMayOnlyRead(t *testing.T) {
	s := emptied(t)
	upload(t, s, "alice", longAgo)
	cfg := settings(s, item.LocalMedia)
	cfg.StateDir = t.TempDir()
	cfg.Postgres = config.NewSecret(granted(t, s, "SELECT ON account_data_sequence"))
	plan := makePlan(t, cfg)
	endsWith(t, plan)
	wantCounts(t, plan, item.LocalMedia, map[string]int64{"done": 1})
	says := strings.Join(plan.summary.Warnings, "\n")
	if !strings.Contains(says, "a run with this connection string would be refused") || !strings.Contains(says, "DELETE on local_media_repository") {
		t.Errorf("%q", says)
	}
	endsWith(t, do(t, cfg), item.CauseFailed)
}

// What a plan cannot look up is said, and is no reason to be without a plan.
func TestAPlanSaysWhatItCouldNotLookUp(t *testing.T) {
	s := emptied(t)
	tx := begun(t, s, `LOCK TABLE application_services_txns IN ACCESS EXCLUSIVE MODE`)
	cfg := settings(s, item.History)
	cfg.RetryFor = time.Second
	plan := makePlan(t, cfg)
	if err := errors.Join(tx.Rollback(t.Context())); err != nil {
		t.Fatal(err)
	}
	endsWith(t, plan)
	if !strings.Contains(strings.Join(plan.summary.Warnings, "\n"), "a warning may be missing: read what application services wait for") {
		t.Errorf("%q", plan.summary.Warnings)
	}
}

// A plan that is larger than the limits allow is shown whole, and refused as the run would be.
func TestAPlanThatIsLargerThanTheLimitsIsShownWhole(t *testing.T) {
	s := emptied(t)
	plantMedia(t, s, func(ctx context.Context, p *sandbox.Plant) error {
		_, err := p.LocalMedia(ctx, 20, sandbox.Media{Data: []byte("x"), Created: time.Now().Add(-longAgo)}, time.Second)
		return err
	})
	cfg := settings(s, item.LocalMedia)
	cfg.StateDir, cfg.Max.Media.Count = t.TempDir(), 19
	plan := makePlan(t, cfg)
	endsWith(t, plan, item.CauseRefused)
	wantCounts(t, plan, item.LocalMedia, map[string]int64{"done": 20})
	endsWith(t, do(t, cfg), item.CauseRefused)
	cfg.Max.Media.Count, cfg.Media.Limit, cfg.MaxDuration = 20, 5, time.Nanosecond
	plan = makePlan(t, cfg)
	endsWith(t, plan) // what is left by a limit is no work that the plan has left, and no budget of time cuts it short
	wantCounts(t, plan, item.LocalMedia, map[string]int64{"done": 5, "left limit": 15})
}
