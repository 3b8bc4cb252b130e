package stages

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"synupkeep/internal/item"
	"synupkeep/internal/synapse"
)

func (r *apiRig) deleter(news News) *DeleteMedia {
	return &DeleteMedia{APICalls: r.calls(), CutOff: limit(), News: news}
}

func (r *apiRig) delete(t *testing.T, d *DeleteMedia, m item.Media) item.Outcome {
	t.Helper()
	out, err := d.Do(t.Context(), m)
	if err != nil || out.Key != m.Key() || out.Flow != item.LocalMedia {
		t.Fatalf("%+v, %v", out, err)
	}
	return out
}

// obliging deletes what it is asked for.
func (r *apiRig) obliging(t *testing.T) {
	t.Helper()
	r.api.delete = func(_ int, id string) (bool, error) {
		r.gone(t, id)
		return true, nil
	}
}

func TestOnlyUploadsThatAreStillEligibleAreAskedFor(t *testing.T) {
	r := newAPIRig(t)
	r.obliging(t)
	d := r.deleter(shownNow{"shown-now": item.Avatar})
	for id, test := range map[string]struct{ change, want string }{
		"eligible":    {"", "done "},
		"quarantined": {"quarantined_by = '@admin:hs'", "skipped changed"},
		"protected":   {"safe_from_quarantine = true", "skipped changed"},
		"young":       {fmt.Sprint("created_ts = ", limit().UnixMilli()), "skipped changed"},
		"without-age": {"created_ts = NULL", "skipped changed"},
		"preview":     {"url_cache = 'https://example.org'", "skipped changed"},
		"uploading":   {"media_length = NULL", "skipped changed"},
		"shown-now":   {"", "kept avatar"},
	} {
		if out := r.delete(t, d, localRow(t, r.db, id, test.change)); says(out) != test.want {
			t.Errorf("%s: %s, want %s (%v)", id, says(out), test.want, out.Err)
		}
	}
	if out := r.delete(t, d, item.Media{Flow: item.LocalMedia, Origin: "hs", ID: "vanished"}); says(out) != "skipped changed" {
		t.Errorf("%+v", out)
	}
	if !slices.Equal(r.api.calls, []string{"eligible"}) || r.flow.Stopping() {
		t.Errorf("asked for %v, %v", r.api.calls, r.flow.Cause())
	}
}

func TestNothingIsAskedForWithoutTheNews(t *testing.T) {
	r := newAPIRig(t)
	r.obliging(t)
	if out := r.delete(t, r.deleter(noNews{}), localRow(t, r.db, "abcdef", "")); out.Status != item.Failed || len(r.api.calls) > 0 {
		t.Errorf("%+v, asked for %v", out, r.api.calls)
	}
}

func TestAnswersOfTheMediaAPI(t *testing.T) {
	proxy := func(code int) error { return &synapse.Error{Status: code, Foreign: true} }
	for name, test := range map[string]struct {
		errs    []error // of the first calls; those that follow are granted
		deletes bool    // also when it answers with an error
		keeps   bool    // says that it did not delete
		lies    bool    // says that it did, and did not
		want    string
		calls   int
		cause   item.Cause // of the flow's end
		named   bool       // as unanswered
	}{
		"granted":                         {want: "done ", calls: 1},
		"somebody else did it":            {errs: []error{errUnknownMedia}, deletes: true, want: "skipped changed", calls: 1},
		"not known, and there":            {errs: []error{errUnknownMedia}, want: "failed ", calls: 1, cause: item.CauseRefused},
		"could not":                       {keeps: true, want: "failed ", calls: 1},
		"deleted, and there":              {lies: true, want: "failed ", calls: 1, cause: item.CauseRefused},
		"not reached for a while":         {errs: []error{errNotReached, errNotReached}, want: "done ", calls: 3},
		"too many":                        {errs: []error{proxy(http.StatusTooManyRequests)}, want: "done ", calls: 2},
		"restarted behind a proxy":        {errs: []error{proxy(http.StatusBadGateway), proxy(http.StatusServiceUnavailable)}, want: "done ", calls: 3},
		"its database was restarted":      {errs: []error{refusal(http.StatusInternalServerError, "M_UNKNOWN")}, want: "done ", calls: 2},
		"a proxy gave up, it did not":     {errs: []error{errGateway}, deletes: true, want: "done ", calls: 1},
		"a proxy gave up":                 {errs: []error{errGateway}, want: "failed ", calls: 1, cause: item.CauseFailed, named: true},
		"lost, and done":                  {errs: []error{errLost}, deletes: true, want: "done ", calls: 1},
		"lost":                            {errs: []error{errLost}, want: "failed ", calls: 1, cause: item.CauseFailed, named: true},
		"an answer that is not Synapse's": {errs: []error{proxy(http.StatusOK)}, want: "failed ", calls: 1, cause: item.CauseFailed, named: true},
		"another process":                 {errs: []error{errElsewhere}, want: "failed ", calls: 1, cause: item.CauseFailed},
		"token taken back":                {errs: []error{refusal(http.StatusUnauthorized, "M_UNKNOWN_TOKEN")}, want: "failed ", calls: 1, cause: item.CauseToken},
		"refused":                         {errs: []error{refusal(http.StatusBadRequest, "M_UNKNOWN")}, want: "failed ", calls: 1},
	} {
		t.Run(name, func(t *testing.T) {
			r := newAPIRig(t)
			m := localRow(t, r.db, "abcdef", "")
			r.api.delete = func(n int, id string) (bool, error) {
				fails := n <= len(test.errs)
				if test.deletes || !fails && !test.keeps && !test.lies {
					r.gone(t, id)
				}
				if fails {
					return false, test.errs[n-1]
				}
				return !test.keeps, nil
			}
			out := r.delete(t, r.deleter(nil), m)
			if says(out) != test.want || len(r.api.calls) != test.calls || out.Tries != test.calls || (out.Err != nil) != (out.Status == item.Failed) {
				t.Errorf("%+v after %d calls, want %s after %d", out, len(r.api.calls), test.want, test.calls)
			}
			if done := out.Status == item.Done; done && out.Rows != 1 {
				t.Errorf("%+v", out)
			}
			if test.cause != "" {
				r.flow.stopped(t, test.cause)
			} else if r.flow.Stopping() {
				t.Errorf("the flow ended: %v", r.flow.Cause())
			}
			if (len(r.unanswered) > 0) != test.named {
				t.Errorf("named as unanswered: %v", r.unanswered)
			}
		})
	}
}

func TestTheRowIsLookedAtBeforeEachTry(t *testing.T) {
	r := newAPIRig(t)
	r.api.delete = func(int, string) (bool, error) {
		sql(t, r.db, `UPDATE local_media_repository SET quarantined_by = '@admin:hs'`)
		return false, errNotReached
	}
	out := r.delete(t, r.deleter(nil), localRow(t, r.db, "abcdef", ""))
	if says(out) != "skipped changed" || len(r.api.calls) != 1 {
		t.Errorf("%+v, asked for %v", out, r.api.calls)
	}
}

func TestServerErrorsInARowEndTheFlow(t *testing.T) {
	r := newAPIRig(t)
	d := r.deleter(nil)
	r.api.delete = func(n int, id string) (bool, error) {
		if n == 3 { // one that goes well lets them be counted anew
			r.gone(t, id)
			return true, nil
		}
		return false, refusal(http.StatusBadRequest, "M_UNKNOWN")
	}
	for i := range 10 {
		r.delete(t, d, localRow(t, r.db, fmt.Sprint("abcdef", i), ""))
	}
	if len(r.api.calls) != 3+mostAstray {
		t.Errorf("%d calls", len(r.api.calls))
	}
	r.flow.stopped(t, item.CauseFailed)
}

// The other flow asks for nothing more either.
func TestACallThatMayStillRunIsTheLastOfTheRun(t *testing.T) {
	r := newAPIRig(t)
	d, c := r.deleter(nil), r.purger()
	other := &memFlow{}
	d.Quiet, c.Turn, c.Flow = time.Millisecond, d.Turn, other
	r.api.delete = func(int, string) (bool, error) { return false, errGateway }
	r.api.purge = func(_ int, before time.Time) (int64, error) { return r.purgeBefore(t, before), nil }
	first, second := r.delete(t, d, localRow(t, r.db, "abcdef", "")), r.delete(t, d, localRow(t, r.db, "abcdeg", ""))
	if says(first) != "failed " || says(second) != "left stopped" || len(r.api.calls) != 1 {
		t.Errorf("%s, %s after %d calls", says(first), says(second), len(r.api.calls))
	}
	wantFates(t, map[string]string{"cached": "left stopped"}, r.step(t, t.Context(), c, r.cachedRow(t, "cached", 9)))
	if len(r.api.befores) != 0 {
		t.Errorf("the cache was purged: %v", r.api.befores)
	}
	r.flow.stopped(t, item.CauseFailed)
	other.stopped(t, item.CauseFailed)
}

func TestAServerThatCanDeleteNothingEndsTheFlow(t *testing.T) {
	r := newAPIRig(t)
	d := r.deleter(nil)
	r.api.delete = func(int, string) (bool, error) { return false, nil }
	for i := range mostStuck + 5 {
		r.delete(t, d, localRow(t, r.db, fmt.Sprint("abcdef", i), ""))
	}
	if len(r.api.calls) != mostStuck {
		t.Errorf("%d calls", len(r.api.calls))
	}
	if hint := r.flow.stopped(t, item.CauseRefused); !strings.Contains(hint, "media store") {
		t.Error(hint)
	}
}

func TestNothingIsAskedForOnceTheFlowStops(t *testing.T) {
	r := newAPIRig(t)
	r.api.delete = func(int, string) (bool, error) {
		r.flow.StopFeeding(errors.New("enough"))
		return false, errNotReached
	}
	m, d := localRow(t, r.db, "abcdef", ""), r.deleter(nil)
	for range 2 {
		if out := r.delete(t, d, m); says(out) != "left stopped" {
			t.Errorf("%+v", out)
		}
	}
	if len(r.api.calls) != 1 {
		t.Errorf("asked for %v", r.api.calls)
	}
}

func TestNothingIsAskedForWithoutTheLock(t *testing.T) {
	r := newAPIRig(t)
	r.obliging(t)
	r.held = errors.New("lost")
	out := r.delete(t, r.deleter(nil), localRow(t, r.db, "abcdef", ""))
	if says(out) != "left stopped" || len(r.api.calls) > 0 || !errors.Is(r.flow.Cause(), r.held) {
		t.Errorf("%+v, asked for %v, %v", out, r.api.calls, r.flow.Cause())
	}
}

// TestAHardStopNamesTheCall: the server is still at it when the answer is not waited for any more.
func TestAHardStopNamesTheCall(t *testing.T) {
	for name, deletes := range map[string]bool{"left stopped": false, "done ": true} {
		r := newAPIRig(t)
		ctx, cancel := context.WithCancelCause(t.Context())
		r.api.delete = func(_ int, id string) (bool, error) {
			cancel(errors.New("at once"))
			if deletes {
				r.gone(t, id)
			}
			return false, &synapse.TransportError{Err: context.Canceled}
		}
		out, err := r.deleter(nil).Do(ctx, localRow(t, r.db, "abcdef", ""))
		if err != nil || says(out) != name || len(r.unanswered) == 0 == !deletes {
			t.Errorf("%+v, %v, want %s; named: %v", out, err, name, r.unanswered)
		}
	}
}

func TestTheLimitIsNotUsedUpByWhatStays(t *testing.T) {
	r := newAPIRig(t)
	r.obliging(t)
	r.budget = NewBudget(1)
	d := r.deleter(nil)
	var got []string
	choose := Choose{Check: CheckName, Budget: r.budget}
	for _, change := range []string{"quarantined_by = 'x'", "", ""} {
		m := localRow(t, r.db, fmt.Sprint("abcdef", len(got)), change)
		err := choose.Deletable(t.Context(), m, func(m item.Media) error {
			got = append(got, says(r.delete(t, d, m)))
			return nil
		}, func(o item.Outcome) error {
			got = append(got, says(o))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"skipped changed", "done ", "left limit"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestTwoFlowsDoNotAskAtOnce(t *testing.T) {
	r := newAPIRig(t)
	turn := NewTurn()
	r.api.delete = func(_ int, id string) (bool, error) {
		time.Sleep(time.Millisecond)
		r.gone(t, id)
		return true, nil
	}
	var media [2][]item.Media
	for i := range 20 {
		media[i%2] = append(media[i%2], localRow(t, r.db, fmt.Sprint("abcdef", i), ""))
	}
	var both sync.WaitGroup
	for _, some := range media {
		d := r.deleter(nil)
		d.Turn = turn
		both.Go(func() {
			for _, m := range some {
				if out, err := d.Do(t.Context(), m); err != nil || out.Status != item.Done {
					t.Errorf("%+v, %v", out, err)
				}
			}
		})
	}
	both.Wait()
	if r.api.overlap.Load() || len(r.api.calls) != 20 {
		t.Errorf("two calls at once: %t; %d calls", r.api.overlap.Load(), len(r.api.calls))
	}
}
