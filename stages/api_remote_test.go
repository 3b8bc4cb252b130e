package stages

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"synupkeep/internal/item"
	"synupkeep/internal/synapse"
)

func (r *apiRig) purger() *PurgeCache {
	return &PurgeCache{APICalls: r.calls(), Pace: &Pace{Most: 1000}, CutOff: limit()}
}

// cachedRow is remote media that was last looked at that many ms before the cut-off.
func (r *apiRig) cachedRow(t *testing.T, id string, ms int64) item.Media {
	t.Helper()
	m := remoteRow(t, r.db, "hs", id, fmt.Sprint("last_access_ts = ", limit().UnixMilli()-ms))
	m.FileID, m.Bytes, m.LastAccess = "file"+id, 5, limit().UnixMilli()-ms
	return m
}

// purgeBefore does what Synapse does.
func (r *apiRig) purgeBefore(t *testing.T, before time.Time) int64 {
	t.Helper()
	tag, err := r.db.Exec(context.Background(), `DELETE FROM remote_media_cache WHERE last_access_ts < $1 AND quarantined_by IS NULL`, before.UnixMilli())
	if err != nil {
		t.Error(err)
	}
	if _, err := r.db.Exec(context.Background(), `DELETE FROM remote_media_cache_thumbnails`); err != nil {
		t.Error(err)
	}
	return tag.RowsAffected()
}

func (r *apiRig) step(t *testing.T, ctx context.Context, c *PurgeCache, step ...item.Media) map[string]string { //nolint:revive // the test's t first
	t.Helper()
	got := map[string]string{}
	err := c.Do(ctx, step, func(o item.Outcome) error {
		got[o.Key[len("mxc://hs/"):]] = says(o)
		if done := o.Status == item.Done; done != (o.Rows == 1) || done != (o.Bytes == 5) || o.Flow != item.RemoteMedia {
			t.Errorf("%+v", o)
		}
		return nil
	})
	if err != nil || len(got) != len(step) {
		t.Errorf("%v, %v", got, err)
	}
	return got
}

func wantFates(t *testing.T, want, got map[string]string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestWhatBecameOfAStep(t *testing.T) {
	r := newAPIRig(t)
	kept := r.cachedRow(t, "kept", 9)
	sql(t, r.db, `UPDATE remote_media_cache SET quarantined_by = 'x' WHERE media_id = 'kept'`)
	kept.Keep = item.Quarantined
	step := []item.Media{kept}
	for _, id := range []string{"goes", "used", "fetched", "quarantined", "stuck"} {
		step = append(step, r.cachedRow(t, id, 8))
	}
	r.api.purge = func(_ int, before time.Time) (int64, error) {
		sql(t, r.db, `UPDATE remote_media_cache SET last_access_ts = $1 WHERE media_id = 'used'`, limit().UnixMilli())
		sql(t, r.db, `UPDATE remote_media_cache SET quarantined_by = 'x' WHERE media_id IN ('quarantined', 'stuck')`)
		n := r.purgeBefore(t, before)
		remoteRow(t, r.db, "hs", "fetched", "filesystem_id = 'another'")
		sql(t, r.db, `UPDATE remote_media_cache SET quarantined_by = NULL WHERE media_id = 'stuck'`)
		return n, nil
	}
	wantFates(t, map[string]string{
		"kept": "kept quarantined", "goes": "done ", "used": "skipped changed", "fetched": "done ", "quarantined": "kept quarantined", "stuck": "failed ",
	}, r.step(t, t.Context(), r.purger(), step...))
	if !slices.Equal(r.api.befores, []int64{limit().UnixMilli() - 7}) || r.flow.Stopping() {
		t.Errorf("before_ts %v, %v", r.api.befores, r.flow.Cause())
	}
}

// TestNoStepFollowsOneThatWasNotMade: its call would delete what the earlier one left.
func TestNoStepFollowsOneThatWasNotMade(t *testing.T) {
	r := newAPIRig(t)
	r.api.purge = func(_ int, before time.Time) (int64, error) { return r.purgeBefore(t, before), nil }
	r.budget = NewBudget(2)
	c := r.purger()
	together := []item.Media{r.cachedRow(t, "a", 9), r.cachedRow(t, "b", 9), r.cachedRow(t, "c", 9)}
	wantFates(t, map[string]string{"a": "left limit", "b": "left limit", "c": "left limit"}, r.step(t, t.Context(), c, together...))
	wantFates(t, map[string]string{"d": "left limit"}, r.step(t, t.Context(), c, r.cachedRow(t, "d", 8)))
	if len(r.api.befores) > 0 {
		t.Errorf("asked for %v", r.api.befores)
	}
}

func TestAStepBeyondTheCutOffIsNotMade(t *testing.T) {
	r := newAPIRig(t)
	r.api.purge = func(_ int, before time.Time) (int64, error) { return r.purgeBefore(t, before), nil }
	c := r.purger()
	wantFates(t, map[string]string{"old": "done "}, r.step(t, t.Context(), c, r.cachedRow(t, "old", 1)))
	wantFates(t, map[string]string{"young": "left stopped"}, r.step(t, t.Context(), c, r.cachedRow(t, "young", 0)))
	if len(r.api.befores) != 1 {
		t.Errorf("asked for %v", r.api.befores)
	}
	r.flow.stopped(t, item.CauseFailed)
}

// TestAnUnansweredPurgeIsWaitedFor: nothing is asked for while rows go.
func TestAnUnansweredPurgeIsWaitedFor(t *testing.T) {
	r := newAPIRig(t)
	var step []item.Media
	for i := range 12 {
		step = append(step, r.cachedRow(t, fmt.Sprintf("m%02d", i), 8))
	}
	c := r.purger()
	c.Quiet = 2 * time.Second // of the pauses between two rows none is as long, all together are
	r.api.purge = func(n int, before time.Time) (int64, error) {
		if n > 1 {
			return r.purgeBefore(t, before), nil
		}
		go func() {
			for _, m := range step {
				<-time.After(250 * time.Millisecond)
				_, _ = r.db.Exec(context.Background(), `DELETE FROM remote_media_cache WHERE media_id = $1`, m.ID)
			}
		}()
		return 0, errGateway
	}
	for id, says := range r.step(t, t.Context(), c, step...) {
		if says != "done " {
			t.Errorf("%s: %s", id, says)
		}
	}
	wantFates(t, map[string]string{"next": "done "}, r.step(t, t.Context(), c, r.cachedRow(t, "next", 7)))
	if len(r.api.befores) != 2 || len(r.unanswered) > 0 || r.flow.Stopping() {
		t.Errorf("%v %v %v", r.api.befores, r.unanswered, r.flow.Cause())
	}
}

func TestErrorsOfThePurgeEndIt(t *testing.T) {
	for name, test := range map[string]struct {
		err   error
		cause item.Cause
		named bool
	}{
		"unanswered":    {errGateway, item.CauseFailed, true},
		"lost":          {errLost, item.CauseFailed, true},
		"elsewhere":     {errElsewhere, item.CauseFailed, false},
		"token":         {refusal(http.StatusForbidden, "M_FORBIDDEN"), item.CauseToken, false},
		"refused":       {refusal(http.StatusBadRequest, "M_INVALID_PARAM"), item.CauseFailed, false},
		"a proxy's 404": {&synapse.Error{Status: http.StatusNotFound, Foreign: true}, item.CauseFailed, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newAPIRig(t)
			c := r.purger()
			r.api.purge = func(int, time.Time) (int64, error) {
				r.gone(t, "a") // it got so far
				return 0, test.err
			}
			got := r.step(t, t.Context(), c, r.cachedRow(t, "a", 9), r.cachedRow(t, "b", 9))
			wantFates(t, map[string]string{"a": "done ", "b": "left stopped"}, got)
			wantFates(t, map[string]string{"c": "left stopped"}, r.step(t, t.Context(), c, r.cachedRow(t, "c", 8)))
			if len(r.api.befores) != 1 || len(r.unanswered) > 0 != test.named {
				t.Errorf("%v, named: %v", r.api.befores, r.unanswered)
			}
			r.flow.stopped(t, test.cause)
		})
	}
}

func TestThePurgeIsAskedForAgainWhereThatIsSafe(t *testing.T) {
	for name, err := range map[string]error{
		"not reached": errNotReached, "internal error": refusal(http.StatusInternalServerError, "M_UNKNOWN"),
		"bad gateway": &synapse.Error{Status: http.StatusBadGateway, Foreign: true},
	} {
		r := newAPIRig(t)
		r.api.purge = func(n int, before time.Time) (int64, error) {
			if n == 1 {
				return 0, err
			}
			return r.purgeBefore(t, before), nil
		}
		wantFates(t, map[string]string{"a": "done "}, r.step(t, t.Context(), r.purger(), r.cachedRow(t, "a", 9)))
		if len(r.api.befores) != 2 {
			t.Errorf("%s: %d calls", name, len(r.api.befores))
		}
	}
}

func TestAPurgeThatTheDatabaseDoesNotShowIsTheLast(t *testing.T) {
	r := newAPIRig(t)
	c := r.purger()
	r.api.purge = func(int, time.Time) (int64, error) { return 1, nil }
	wantFates(t, map[string]string{"a": "failed "}, r.step(t, t.Context(), c, r.cachedRow(t, "a", 9)))
	wantFates(t, map[string]string{"b": "left stopped"}, r.step(t, t.Context(), c, r.cachedRow(t, "b", 8)))
	if hint := r.flow.stopped(t, item.CauseRefused); !strings.Contains(hint, "copy") {
		t.Error(hint)
	}
}

func TestAServerThatCanPurgeNothingEndsTheFlow(t *testing.T) {
	r := newAPIRig(t)
	c := r.purger()
	r.api.purge = func(int, time.Time) (int64, error) { return 0, nil }
	for i := range mostStuck + 5 {
		r.step(t, t.Context(), c, r.cachedRow(t, fmt.Sprint("m", i), int64(1000-i)))
	}
	if len(r.api.befores) != mostStuck || c.Pace.Size() != 1 {
		t.Errorf("%d calls, the next of %d", len(r.api.befores), c.Pace.Size())
	}
	r.flow.stopped(t, item.CauseRefused)
}

func TestThePurgeStops(t *testing.T) {
	t.Run("without the lock", func(t *testing.T) {
		r := newAPIRig(t)
		r.held = errors.New("lost")
		wantFates(t, map[string]string{"a": "left stopped"}, r.step(t, t.Context(), r.purger(), r.cachedRow(t, "a", 9)))
		if len(r.api.befores) > 0 || !errors.Is(r.flow.Cause(), r.held) {
			t.Errorf("%v %v", r.api.befores, r.flow.Cause())
		}
	})
	t.Run("softly, after the call", func(t *testing.T) {
		r := newAPIRig(t)
		c := r.purger()
		r.api.purge = func(_ int, before time.Time) (int64, error) {
			r.flow.StopFeeding(errors.New("enough"))
			return r.purgeBefore(t, before), nil
		}
		wantFates(t, map[string]string{"a": "done "}, r.step(t, t.Context(), c, r.cachedRow(t, "a", 9)))
		wantFates(t, map[string]string{"b": "left stopped"}, r.step(t, t.Context(), c, r.cachedRow(t, "b", 8)))
	})
	t.Run("hard, and names the call", func(t *testing.T) {
		r := newAPIRig(t)
		ctx, cancel := context.WithCancelCause(t.Context())
		r.api.purge = func(int, time.Time) (int64, error) {
			r.gone(t, "a")
			cancel(errors.New("at once"))
			return 0, &synapse.TransportError{Err: context.Canceled}
		}
		got := r.step(t, ctx, r.purger(), r.cachedRow(t, "a", 9), r.cachedRow(t, "b", 9))
		wantFates(t, map[string]string{"a": "done ", "b": "left stopped"}, got)
		if len(r.unanswered) != 1 || !strings.Contains(r.unanswered[0], fmt.Sprint(limit().UnixMilli()-8)) {
			t.Errorf("named: %q", r.unanswered)
		}
	})
}

// TestALimitTakesNothingApart: what was last looked at together goes together, and never more than the limit.
func TestALimitTakesNothingApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var step []item.Media
		at := int64(0)
		for range rapid.IntRange(0, 30).Draw(t, "rows") {
			at += rapid.Int64Range(0, 1).Draw(t, "later")
			m := item.Media{Flow: item.RemoteMedia, LastAccess: at}
			if rapid.Bool().Draw(t, "kept") {
				m.Keep = item.Quarantined
			}
			step = append(step, m)
		}
		limit := rapid.IntRange(1, 20).Draw(t, "limit")
		b := NewBudget(limit)
		part, granted := afford(b, step)
		goes := 0
		for _, m := range part {
			if m.Keep == "" {
				goes++
			}
		}
		if goes != granted || goes > limit || b.used.Load() != int64(goes) {
			t.Fatalf("%d go, %d granted of %d, %d used up", goes, granted, limit, b.used.Load())
		}
		if n := len(part); n > 0 && n < len(step) && step[n].LastAccess == step[n-1].LastAccess {
			t.Fatalf("torn apart after %d", n)
		}
		// As many as the limit allows.
		if n := len(part); n < len(step) {
			for _, m := range step[n:] {
				if m.LastAccess == step[n].LastAccess && m.Keep == "" {
					goes++
				}
			}
			if goes <= limit {
				t.Fatalf("%d would have been within the limit of %d", goes, limit)
			}
		}
	})
}
