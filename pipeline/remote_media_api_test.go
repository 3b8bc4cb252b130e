package pipeline

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"synupkeep/config"
	"synupkeep/internal/item"
	"synupkeep/internal/sandbox"
	"synupkeep/internal/sandbox/stock"
)

// seen plants cached media by how long ago it was last looked at, in whole milliseconds of one clock.
func seen(t testing.TB, s *sandbox.Server, ages ...time.Duration) (mxcs []string) {
	t.Helper()
	now := time.Now().Truncate(time.Millisecond)
	var media []sandbox.Media
	for _, age := range ages {
		at := now.Add(-age)
		media = append(media, sandbox.Media{Origin: "up.example", Created: at, LastAccess: at})
	}
	return cached(t, s, media...)
}

// through is a run through the API and a front before it.
func through(t *testing.T, s *sandbox.Server, flows ...item.Flow) (*mediaFront, *config.Config) {
	t.Helper()
	f, cfg := newMediaFront(t, s), viaAPI(t, s, flows...)
	cfg.APIURL = f.URL
	return f, cfg
}

// within checks that no call reached beyond the cut-off, and that the steps went forward.
func (f *mediaFront) within(t *testing.T, cfg *config.Config, calls int) {
	t.Helper()
	f.oneByOne(t)
	last := int64(0)
	asked := f.asked()
	for _, call := range asked {
		u, err := url.Parse(strings.TrimPrefix(call, "POST "))
		if err != nil {
			t.Fatal(err)
		}
		before, err := strconv.ParseInt(u.Query().Get("before_ts"), 10, 64)
		if err != nil || before <= last || before > time.Now().Add(-cfg.Ages[item.RemoteMedia].Delta).UnixMilli() {
			t.Errorf("%s after %d: %v", call, last, err)
		}
		last = before
	}
	if len(asked) != calls {
		t.Errorf("%d calls, want %d: %v", len(asked), calls, asked)
	}
}

func TestOldRemoteMediaGoesThroughTheAPI(t *testing.T) {
	s := emptied(t)
	long := time.Now().Add(-longAgo)
	mxcs := cached(t, s,
		sandbox.Media{Origin: "up.example", Created: long, LastAccess: long},
		sandbox.Media{Origin: "up.example:8448", Created: long, LastAccess: long.Add(time.Second)},
		sandbox.Media{Origin: "[2001:db8::1]:8448", Created: long, LastAccess: long.Add(2 * time.Second)},
		sandbox.Media{Origin: "justdown.example", Created: long, LastAccess: time.UnixMilli(1)},
		sandbox.Media{Origin: "up.example", Created: long, LastAccess: time.Now().Add(-29 * aDay)},
		sandbox.Media{Origin: "down.example", Created: long, LastAccess: long, QuarantinedBy: "@admin:" + s.ServerName()},
		sandbox.Media{Origin: "down.example", Created: long, LastAccess: time.Now().Add(-29 * aDay)},
		sandbox.Media{Origin: "up.example", Created: long, Never: true},
	)
	plantMedia(t, s, func(ctx context.Context, p *sandbox.Plant) error {
		if err := p.DestinationFailure(ctx, "down.example", time.Now().Add(-8*aDay)); err != nil {
			return err
		}
		return p.DestinationFailure(ctx, "justdown.example", time.Now().Add(-6*aDay))
	})
	gone := mxcs[:4]
	before := stock.OfMedia(t, s)
	f, cfg := through(t, s, item.RemoteMedia)
	r := do(t, cfg)
	wantCauses(t, r)
	wantCounts(t, r, item.RemoteMedia, map[string]int64{"done": 4, "kept quarantined": 1})
	filesAndRows(t, s, before.Without(t, gone...))
	lengths(t, s, before, item.RemoteMedia, r)
	wantDownload(t, s, mxcs[4], http.StatusOK)
	calls := len(f.asked())
	f.within(t, cfg, calls)

	again := do(t, cfg)
	wantCauses(t, again)
	wantCounts(t, again, item.RemoteMedia, map[string]int64{"kept quarantined": 1})
	f.within(t, cfg, calls)
}

// TestStepsGrow has every media last looked at in a millisecond of its own.
func TestStepsGrow(t *testing.T) {
	s := emptied(t)
	var ages []time.Duration
	for i := range 60 {
		ages = append(ages, longAgo+time.Duration(i)*time.Second)
	}
	seen(t, s, ages...)
	f, cfg := through(t, s, item.RemoteMedia)
	cfg.Media.BatchSize = 20
	var left []int
	f.on = func(int) reaction {
		return reaction{before: func() { left = append(left, stock.All[int](t, s, `SELECT count(*)::int FROM remote_media_cache`)[0]) }}
	}
	r := do(t, cfg)
	wantCauses(t, r)
	wantCounts(t, r, item.RemoteMedia, map[string]int64{"done": 60})
	f.within(t, cfg, len(left))
	// A step is made up while the one before it is deleted, so what that teaches counts from the next but one.
	sizes := []int{}
	for i := range left {
		next := 0
		if i+1 < len(left) {
			next = left[i+1]
		}
		sizes = append(sizes, left[i]-next)
	}
	if sizes[0] != 1 || len(sizes) < 5 || len(sizes) > 8 || sizes[1] > 10 || sizes[2] > 10 {
		t.Errorf("steps of %v", sizes)
	}
	for _, n := range sizes {
		if n > 20 {
			t.Errorf("steps of %v, at most 20 were asked for", sizes)
		}
	}
}

func TestMediaOfServersThatAreDownStopsTheAPI(t *testing.T) {
	s := emptied(t)
	seen(t, s, longAgo+time.Minute)
	long := time.Now().Add(-longAgo)
	cached(t, s, sandbox.Media{Origin: "down.example", Created: long, LastAccess: long})
	plantMedia(t, s, func(ctx context.Context, p *sandbox.Plant) error {
		return p.DestinationFailure(ctx, "down.example", time.Now().Add(-8*aDay))
	})
	before := stock.OfMedia(t, s)
	f, cfg := through(t, s, item.RemoteMedia)
	r := do(t, cfg)
	wantCauses(t, r, item.CauseRefused)
	filesAndRows(t, s, before)
	f.within(t, cfg, 0)
	if !strings.Contains(r.out, "down.example") || !strings.Contains(r.out, "--remote-dead delete") {
		t.Errorf("%s", r.out)
	}
	cfg.Media.DeleteOfDeadServers = true
	r = do(t, cfg)
	wantCauses(t, r)
	wantCounts(t, r, item.RemoteMedia, map[string]int64{"done": 2})
}

// TestAServerThatGoesDownDuringTheRunStopsTheAPI: another call would delete its media, be it of the next step or what
// quarantine alone had kept in the one before.
func TestAServerThatGoesDownDuringTheRunStopsTheAPI(t *testing.T) {
	for name, test := range map[string]struct {
		origin int // which media is of that server
	}{"in the next step": {2}, "behind": {0}} {
		t.Run(name, func(t *testing.T) {
			s := emptied(t)
			mxcs := seen(t, s, longAgo+3*time.Minute, longAgo+2*time.Minute, longAgo+time.Minute)
			late := idOf(mxcs[test.origin])
			execSQL(t, s, `UPDATE remote_media_cache SET media_origin = 'late.example' WHERE media_id = $1`, late)
			execSQL(t, s, `UPDATE remote_media_cache SET quarantined_by = '@admin:x' WHERE media_id = $1`, idOf(mxcs[0]))
			f, cfg := through(t, s, item.RemoteMedia)
			f.on = func(int) reaction {
				return reaction{after: func() {
					execSQL(t, s, `UPDATE remote_media_cache SET quarantined_by = NULL`)
					execSQL(t, s, `INSERT INTO destinations (destination, failure_ts) VALUES ('late.example', $1)
						ON CONFLICT (destination) DO UPDATE SET failure_ts = EXCLUDED.failure_ts`, time.Now().Add(-8*aDay).UnixMilli())
				}}
			}
			r := do(t, cfg)
			f.within(t, cfg, 1)
			if !slices.Contains(r.causes, item.CauseRefused) || !strings.Contains(r.out, "late.example") {
				t.Errorf("%v: %s", r.causes, r.out)
			}
			if rows := stock.All[string](t, s, `SELECT media_id FROM remote_media_cache`); len(rows) != 2 || !slices.Contains(rows, late) {
				t.Errorf("left are %v", rows)
			}
		})
	}
}

func TestWhatIsUsedOrQuarantinedDuringTheRunStays(t *testing.T) {
	s := emptied(t)
	mxcs := seen(t, s, longAgo+3*time.Minute, longAgo+2*time.Minute, longAgo+time.Minute, longAgo)
	before := stock.OfMedia(t, s)
	f, cfg := through(t, s, item.RemoteMedia)
	f.on = func(n int) reaction {
		if n > 1 {
			return reaction{}
		}
		return reaction{before: func() {
			execSQL(t, s, `UPDATE remote_media_cache SET last_access_ts = $2 WHERE media_id = $1`, idOf(mxcs[1]), time.Now().UnixMilli())
			execSQL(t, s, `UPDATE remote_media_cache SET quarantined_by = '@admin:x' WHERE media_id = $1`, idOf(mxcs[2]))
		}}
	}
	r := do(t, cfg)
	wantCauses(t, r)
	wantCounts(t, r, item.RemoteMedia, map[string]int64{"done": 2, "skipped changed": 1, "kept quarantined": 1})
	execSQL(t, s, `UPDATE remote_media_cache SET quarantined_by = NULL`) // as it was before, to compare
	filesAndRows(t, s, before.Without(t, mxcs[0], mxcs[3]))
}

func TestTheLimitHoldsForThePurge(t *testing.T) {
	s := emptied(t)
	// Three were last looked at together, and must not be torn apart.
	seen(t, s, longAgo+time.Hour, longAgo+time.Minute, longAgo+time.Minute, longAgo+time.Minute, longAgo)
	f, cfg := through(t, s, item.RemoteMedia)
	for _, step := range []struct{ limit, done, left int64 }{{3, 1, 4}, {2, 0, 4}, {3, 3, 1}, {3, 1, 0}} {
		cfg.Media.Limit = int(step.limit)
		r := do(t, cfg)
		want := map[string]int64{}
		if step.done > 0 {
			want["done"] = step.done
		}
		if step.left > 0 {
			want["left limit"] = step.left
			wantCauses(t, r, item.CauseLeft)
		} else {
			wantCauses(t, r)
		}
		wantCounts(t, r, item.RemoteMedia, want)
	}
	f.within(t, cfg, 3)
}

// TestAPurgeIsNotAskedForTwice: the proxy gives up while Synapse has yet to begin.
func TestAPurgeIsNotAskedForTwice(t *testing.T) {
	s := emptied(t)
	var ages []time.Duration
	for i := range 30 {
		ages = append(ages, longAgo+time.Duration(i)*time.Second)
	}
	mxcs := seen(t, s, ages...)
	for range 5 {
		upload(t, s, "alice", longAgo)
	}
	f, cfg := through(t, s, item.RemoteMedia, item.LocalMedia)
	f.on = func(int) reaction {
		return reaction{status: http.StatusGatewayTimeout, forward: true, slow: 200 * time.Millisecond}
	}
	r := do(t, cfg)
	wantCauses(t, r)
	wantCounts(t, r, item.RemoteMedia, map[string]int64{"done": 30})
	wantCounts(t, r, item.LocalMedia, map[string]int64{"done": 5})
	f.oneByOne(t)
	if left := stock.OfMedia(t, s); len(left.Rows)+len(left.Files) > 0 {
		t.Errorf("of %d media there are left %v", len(mxcs), left.Rows)
	}
}
