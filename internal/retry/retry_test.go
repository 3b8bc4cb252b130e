package retry_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"synupkeep/internal/retry"
)

var errAway = errors.New("away")

func always(error) (bool, time.Duration) { return true, 0 }

func never(error) (bool, time.Duration) { return false, 0 }

// after answers errAway for a while.
func after(d time.Duration) func() error {
	began := time.Now()
	return func() error {
		if time.Since(began) < d {
			return errAway
		}
		return nil
	}
}

func TestFirstTrySucceeds(t *testing.T) {
	tries, err := retry.Policy{For: time.Minute}.Do(t.Context(), func() error { return nil }, never)
	if tries != 1 || err != nil {
		t.Errorf("%d tries, %v", tries, err)
	}
}

func TestZeroPolicyTriesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		tries, err := retry.Policy{}.Do(t.Context(), func() error { return errAway }, always)
		var away *retry.UnavailableError
		if tries != 1 || !errors.As(err, &away) || !errors.Is(err, errAway) {
			t.Errorf("%d tries, %v", tries, err)
		}
		if waited := time.Since(began); waited != 0 {
			t.Errorf("waited %v", waited)
		}
	})
}

func TestPermanentErrorIsNotTriedAgain(t *testing.T) {
	tries, err := retry.Policy{For: time.Hour}.Do(t.Context(), func() error { return errAway }, never)
	var away *retry.UnavailableError
	if tries != 1 || !errors.Is(err, errAway) || errors.As(err, &away) {
		t.Errorf("%d tries, %v", tries, err)
	}
}

func TestServerThatComesBackIsReached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries, err := retry.Policy{For: 2 * time.Minute}.Do(t.Context(), after(time.Minute), always)
		if err != nil || tries < 5 || tries > 20 {
			t.Errorf("%d tries, %v", tries, err)
		}
	})
}

func TestGivesUpInTime(t *testing.T) {
	for _, policy := range []retry.Policy{
		{For: 10 * time.Second},
		{For: 2 * time.Minute},
		{For: time.Second, First: 10 * time.Millisecond, Most: 50 * time.Millisecond},
	} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			tries, err := policy.Do(t.Context(), func() error { return errAway }, always)
			took := time.Since(began)
			var away *retry.UnavailableError
			if !errors.As(err, &away) || !errors.Is(err, errAway) {
				t.Fatalf("%+v: %v", policy, err)
			}
			// The last pause is left out when it would end too late: at most 1.5 times the longest one.
			if took > policy.For || took < policy.For/3 || tries < 4 {
				t.Errorf("%+v: gave up after %v and %d tries", policy, took, tries)
			}
			if away.For != took {
				t.Errorf("it says %v, it was %v", away.For, took)
			}
			if want := fmt.Sprintf("away (tried for %v)", took.Round(time.Second)); err.Error() != want {
				t.Errorf("text %q, want %q", err, want)
			}
		})
	}
}

func TestPausesGrowUpToTheLongest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Time
		_, _ = retry.Policy{For: 5 * time.Minute, First: time.Second, Most: 10 * time.Second}.Do(t.Context(), func() error {
			at = append(at, time.Now())
			return errAway
		}, always)
		if first := at[1].Sub(at[0]); first < 500*time.Millisecond || first > 1500*time.Millisecond {
			t.Errorf("first pause %v", first)
		}
		for i := 1; i < len(at); i++ {
			if pause := at[i].Sub(at[i-1]); pause > 15*time.Second {
				t.Errorf("pause %d is %v", i, pause)
			}
		}
		if len(at) < 20 {
			t.Errorf("%d tries in 5 minutes", len(at))
		}
	})
}

func TestServerThatAsksForTimeGetsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Time
		asks := []time.Duration{20 * time.Second, 0, 0}
		tries, err := retry.Policy{For: time.Minute}.Do(t.Context(), func() error {
			at = append(at, time.Now())
			if len(at) > 3 {
				return nil
			}
			return errAway
		}, func(error) (bool, time.Duration) { return true, asks[len(at)-1] })
		if err != nil || tries != 4 {
			t.Fatalf("%d tries, %v", tries, err)
		}
		if pause := at[1].Sub(at[0]); pause < 20*time.Second || pause > 21*time.Second {
			t.Errorf("it asked for 20 s and got %v", pause)
		}
		if pause := at[2].Sub(at[1]); pause > 2*time.Second {
			t.Errorf("it asked for nothing any more and got %v", pause)
		}
	})
}

func TestServerThatAsksForTooMuchTimeIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		tries, err := retry.Policy{For: time.Minute}.Do(t.Context(), func() error { return errAway },
			func(error) (bool, time.Duration) { return true, time.Hour })
		var away *retry.UnavailableError
		if tries != 1 || !errors.As(err, &away) || time.Since(began) > 0 {
			t.Errorf("%d tries in %v, %v", tries, time.Since(began), err)
		}
	})
}

func TestDeadContextMeansNoCall(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("terminated")
	cancel(why)
	tries, err := retry.Policy{For: time.Hour}.Do(ctx, func() error {
		t.Error("called")
		return nil
	}, always)
	if tries != 0 || !errors.Is(err, why) {
		t.Errorf("%d tries, %v", tries, err)
	}
}

// endsSoon is a context that ends between the first look at it and the second.
type endsSoon struct {
	context.Context
	looks int
}

func (c *endsSoon) Err() error {
	if c.looks++; c.looks == 1 {
		return nil
	}
	return context.Canceled
}

func TestContextThatEndsBeforeTheFirstCallIsNoSuccess(t *testing.T) {
	called := false
	tries, err := retry.Policy{For: time.Hour}.Do(&endsSoon{Context: t.Context()}, func() error { called = true; return nil }, always)
	if called || tries != 0 || err == nil {
		t.Errorf("called: %v, %d tries, error %v", called, tries, err)
	}
}

func TestEndOfTheContextEndsAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		why := errors.New("terminated")
		time.AfterFunc(5*time.Second, func() { cancel(why) })
		began := time.Now()
		_, err := retry.Policy{For: time.Hour, First: time.Minute, Most: time.Hour}.Do(ctx, func() error { return errAway }, always)
		if !errors.Is(err, why) || !errors.Is(err, errAway) || time.Since(began) != 5*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("more than one line: %q", err)
		}
		var away *retry.UnavailableError
		if errors.As(err, &away) {
			t.Error("an interrupted call says nothing about the server")
		}
	})
}

// The context that has ended when a pause does must win, each time: backoff/v4 picks at random.
func TestNothingIsCalledOnAContextThatEndedWithThePause(t *testing.T) {
	for range 200 {
		ctx, cancel := context.WithCancel(t.Context())
		_, err := retry.Policy{For: time.Hour, First: time.Nanosecond}.Do(ctx, func() error {
			if ctx.Err() != nil {
				t.Fatal("called on a dead context")
			}
			return errAway
		}, func(error) (bool, time.Duration) {
			cancel()
			return true, 0
		})
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
}

func TestHiccupIsForgivenOnce(t *testing.T) {
	hiccups := func() retry.Again {
		n := 0
		return func(error) (bool, time.Duration) { n++; return n == 1, 0 }
	}
	synctest.Test(t, func(t *testing.T) {
		tries, err := retry.Policy{For: time.Hour}.Do(t.Context(), func() error { return errAway }, hiccups())
		if tries != 2 || !errors.Is(err, errAway) {
			t.Errorf("%d tries, %v", tries, err)
		}
	})
}

func TestSuccessOfTheLastTryCountsThoughTheContextEnded(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	tries, err := retry.Policy{For: time.Hour}.Do(ctx, func() error { cancel(); return nil }, always)
	if tries != 1 || err != nil {
		t.Errorf("%d tries, %v: what was done must be told", tries, err)
	}
}
