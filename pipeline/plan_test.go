package pipeline

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"synupkeep/config"
	"synupkeep/internal/item"
	"synupkeep/internal/logging"
	"synupkeep/internal/sandbox"
	"synupkeep/internal/sandbox/stock"
)

// A plan that is larger than the limits allow is refused before anything is deleted or asked for.
func TestARunThatIsLargerThanAllowedIsRefused(t *testing.T) {
	s := emptied(t)
	rooms := []*talk{newTalk(t, s, "one", sandbox.RoomOptions{}, 3), newTalk(t, s, "two", sandbox.RoomOptions{}, 3)}
	plant(t, s, func(ctx context.Context, p *sandbox.Plant) error {
		for _, r := range rooms {
			if err := r.plantOld(ctx, p, 20); err != nil {
				return err
			}
		}
		old := sandbox.Media{Data: []byte("12345"), Created: time.Now().Add(-longAgo), LastAccess: time.Now().Add(-longAgo)}
		young := sandbox.Media{Data: []byte("12345"), Created: time.Now(), LastAccess: time.Now()}
		for n, m := range map[int]sandbox.Media{10: old, 30: young} {
			if _, err := p.LocalMedia(ctx, n, m, time.Second); err != nil {
				return err
			}
			m.Origin = "elsewhere.example"
			for range 2 * n {
				if _, err := p.RemoteMedia(ctx, m); err != nil {
					return err
				}
			}
		}
		return nil
	})
	front := newFront(t, s)
	run := func(change func(*config.Maxima)) result {
		cfg := settings(s, item.History, item.LocalMedia, item.RemoteMedia)
		cfg.APIURL = front.URL
		for _, r := range rooms {
			cfg.History.Rooms = append(cfg.History.Rooms, r.id)
		}
		change(&cfg.Max)
		return do(t, cfg)
	}
	before := stock.OfMedia(t, s)
	for says, change := range map[string]func(*config.Maxima){
		"history: 2 rooms would be purged, --max-rooms 1":   func(m *config.Maxima) { m.Rooms.Count = 1 },
		"would be purged, --max-rooms 0.01% allows 0 rooms": func(m *config.Maxima) { m.Rooms.Percent = 0.01 },
		// Together they are more, each by itself is not.
		"local-media, remote-media: 30 media would be deleted, --max-media 29": func(m *config.Maxima) {
			m.Media.Count = 29
		},
		"remote-media: 20 media of 80 media (25.0%) would be deleted, --max-media 24.9% allows 19 media": func(m *config.Maxima) {
			m.Media.Percent = 24.9
		},
		"150 B would be deleted, --max-bytes 149":             func(m *config.Maxima) { m.Bytes.Count = 149 },
		"local-media: 50 B of 200 B (25.0%) would be deleted": func(m *config.Maxima) { m.Bytes.Percent = 10 },
	} {
		r := run(change)
		endsWith(t, r, item.CauseRefused)
		if len(r.summary.Errors) != 1 || !strings.Contains(r.summary.Errors[0].Error, says) {
			t.Errorf("want %q, got %+v", says, r.summary.Errors)
		}
		for _, f := range r.summary.Flows {
			if f.Ran || f.Examined != 0 {
				t.Errorf("%s: a plan counts as nothing that was done: %+v", says, f)
			}
		}
		stock.Exactly(t, s, before)
	}
	if asked := front.asked(); len(asked) != 0 {
		t.Fatalf("purges were asked for: %v", asked)
	}

	r := run(func(m *config.Maxima) {
		*m = config.Maxima{
			Rooms: config.Max{Count: 2}, Media: config.Max{Count: 30, Percent: 25}, Bytes: config.Max{Count: 150, Percent: 25},
		}
	})
	endsWith(t, r)
	wantCounts(t, r, item.LocalMedia, map[string]int64{"done": 10})
	wantCounts(t, r, item.RemoteMedia, map[string]int64{"done": 20})
	wantCounts(t, r, item.History, map[string]int64{"done": 2})
	if asked := front.asked(); len(asked) != 2 {
		t.Errorf("purges of %v were asked for", asked)
	}
}

// What becomes old or unprotected between plan and run counts as well, and so does what is half done.
func TestARunThatOutgrowsItsPlanStops(t *testing.T) {
	for says, outcomes := range map[string][]item.Outcome{
		"":  {{Flow: item.RemoteMedia, Status: item.Done, Rows: 1}, {Flow: item.LocalMedia, Status: item.Kept}, {Flow: item.History, Status: item.Failed, Rows: 1}},
		" ": {{Flow: item.LocalMedia, Status: item.Failed}, {Flow: item.LocalMedia, Status: item.Done, Rows: 1, Bytes: 1000, Length: 5}},
		"4 media would be deleted, --max-media 3": {
			{Flow: item.LocalMedia, Status: item.Done, Rows: 1},
			{Flow: item.Previews, Status: item.Done, Rows: 1},
			{Flow: item.LocalMedia, Status: item.Failed, Rows: 1},
			{Flow: item.LocalMedia, Status: item.Left, Rows: 1},
		},
		"3 rooms would be purged, --max-rooms 2": {
			{Flow: item.History, Status: item.Done}, {Flow: item.History, Status: item.Done}, {Flow: item.History, Status: item.Done},
		},
		"11 B would be deleted, --max-bytes 10": {
			{Flow: item.LocalMedia, Status: item.Done, Rows: 1, Length: 6}, {Flow: item.LocalMedia, Status: item.Done, Rows: 1, Length: 5},
		},
	} {
		feed, stop := context.WithCancelCause(t.Context())
		r := &run{feed: feed, stop: stop, ceilings: []*ceiling{
			{flag: "--max-rooms 2", what: "rooms", whose: "history", flows: []item.Flow{item.History}, max: 2},
			{flag: "--max-media 3", what: "media", whose: "media", flows: []item.Flow{item.LocalMedia, item.Previews}, max: 3},
			{flag: "--max-bytes 10", what: "bytes", whose: "media", flows: []item.Flow{item.LocalMedia}, max: 10},
		}}
		for _, o := range outcomes {
			if r.stopped() {
				t.Errorf("%q: stopped before %+v", says, o)
			}
			r.watchCeilings(o)
		}
		if want := strings.TrimSpace(says); r.stopped() != (want != "") || !strings.Contains(fmt.Sprint(context.Cause(feed)), want) && want != "" {
			t.Errorf("%q: %v", says, context.Cause(feed))
		}
		stop(nil)
	}
}

// A purge under way may take more than its room's next one, and there may be another one after it.
func TestAPlanProtectsNothingByWhatAPurgeUnderWayMayTake(t *testing.T) {
	p := &plan{cuts: map[string]int64{}}
	p.add(item.Cut{RoomID: "!a", Depth: 10})
	p.add(item.Cut{RoomID: "!b", Pending: "purge"})
	for _, e := range []struct {
		room  string
		depth int64
		goes  bool
	}{{"!a", 9, true}, {"!a", 10, false}, {"!b", 9, true}, {"!b", 1 << 40, true}, {"!c", 1, false}} {
		if got := p.goes(e.room, e.depth); got != e.goes {
			t.Errorf("%s at %d goes: %t", e.room, e.depth, got)
		}
	}
}

// A plan counts what the limits of the run leave of the work.
func TestAPlanKnowsTheLimits(t *testing.T) {
	s := emptied(t)
	plantMedia(t, s, func(ctx context.Context, p *sandbox.Plant) error {
		_, err := p.LocalMedia(ctx, 20, sandbox.Media{Data: []byte("x"), Created: time.Now().Add(-longAgo)}, time.Second)
		return err
	})
	cfg := settings(s, item.LocalMedia)
	cfg.Media.Limit, cfg.Max.Media.Count = 7, 7
	r := do(t, cfg)
	endsWith(t, r, item.CauseLeft)
	wantCounts(t, r, item.LocalMedia, map[string]int64{"done": 7, "left limit": 13})
}

// A stop while a plan is made is a stop, and no failure to do the work.
func TestAStopWhileAPlanIsMade(t *testing.T) {
	s := emptied(t)
	tx := begun(t, s, `LOCK TABLE rooms IN ACCESS EXCLUSIVE MODE`)
	cfg := settings(s, item.History)
	cfg.Max.Rooms.Percent = 50
	feed, stop := context.WithCancelCause(t.Context())
	defer stop(nil)
	ended := make(chan []item.Cause, 1)
	var out, log bytes.Buffer
	go func() {
		ended <- Run(t.Context(), feed, cfg, logging.New(&log, logging.LevelInfo, logging.Text), &out)
	}()
	until(t, "the rooms are counted", func() bool {
		return stock.All[int](t, s, `SELECT count(*)::int FROM pg_locks WHERE NOT granted AND relation = 'rooms'::regclass`)[0] > 0
	})
	stop(&item.RunError{Cause: item.CauseTerminated, Doing: "stopped by a signal"})
	if causes := <-ended; !slices.Equal(causes, []item.Cause{item.CauseTerminated}) {
		t.Errorf("%v\n%s%s", causes, out.String(), log.String())
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Error(err)
	}
}
