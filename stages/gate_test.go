package stages

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// through sends n purges through the gate, each a task of the server for a while.
func through(t *testing.T, r *rig, n int, takes time.Duration) {
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			if err := r.gate.Enter(t.Context(), r.flow); err != nil {
				t.Error(err)
				return
			}
			_ = sleep(t.Context(), 3*time.Millisecond) // the POST is on its way
			r.server.mu.Lock()
			m := r.server.add("purge_history", "!r", takes)
			r.server.mu.Unlock()
			r.gate.Asked()
			_ = sleep(t.Context(), time.Until(m.ends))
			r.gate.Leave("")
		})
	}
	all.Wait()
}

func TestNeverMoreTasksThanTheServerStartsAtOnce(t *testing.T) {
	for _, others := range []int{0, 1, 3, 4} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig()
			r.gate.InFlight = 50
			for range others {
				r.server.add("delete_device_messages", "x", time.Hour)
			}
			through(t, r, 40, 700*time.Millisecond)
			if r.server.most != 5 {
				t.Errorf("%d others: %d tasks at once, want 5", others, r.server.most)
			}
			if r.gate.inside != 0 || r.gate.asking != 0 {
				t.Errorf("%d are left inside", r.gate.inside)
			}
		})
	}
}

func TestNeverMoreOfOursThanInFlight(t *testing.T) {
	for _, inFlight := range []int{1, 2, 3} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig()
			r.gate.InFlight = inFlight
			through(t, r, 20, 300*time.Millisecond)
			if r.server.most != inFlight {
				t.Errorf("%d at once, want %d", r.server.most, inFlight)
			}
		})
	}
}

func TestPlaceOfAnOverduePurgeIsKeptUntilTheServerEndsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.gate.InFlight = 1
		m := r.server.add("purge_history", "!r", 10*time.Minute)
		r.gate.inside = 1
		r.gate.Leave(m.id)
		began := time.Now()
		if err := r.gate.Enter(t.Context(), r.flow); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(began); waited < 10*time.Minute || waited > 10*time.Minute+3*time.Second {
			t.Errorf("let in after %v", waited)
		}
	})
}

func TestOverduePurgesOutliveAnErrorOfTheDatabase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		for range 4 {
			r.gate.overdue = append(r.gate.overdue, r.server.add("purge_history", "!r", 0).id)
		}
		r.server.tasks[0].status = "complete"
		calls := 0
		r.server.onDB = func() error {
			if calls++; calls == 3 {
				return errors.New("no")
			}
			return nil
		}
		if _, err := r.gate.try(t.Context()); err == nil {
			t.Fatal("no error")
		}
		if want := []string{"task2", "task3", "task4"}; !slices.Equal(r.gate.overdue, want) {
			t.Errorf("overdue %v, want %v", r.gate.overdue, want)
		}
		if r.gate.inside != 0 || r.gate.asking != 0 {
			t.Error("an error took a place")
		}
	})
}

func TestGateThatNeverOpens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.gate.Patience = 10 * time.Minute
		for range 5 {
			r.server.add("redact_all_events", "x", 0)
		}
		began := time.Now()
		err := r.gate.Enter(t.Context(), r.flow)
		var full *FullError
		if !errors.As(err, &full) || time.Since(began) < 10*time.Minute || time.Since(began) > 10*time.Minute+3*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
}

// TestALongWaitIsTold says once why nothing happens.
func TestALongWaitIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		told := 0
		r.gate.Waiting = func() { told++ }
		for range 5 {
			r.server.add("update_join_states", "x", 55*time.Second)
		}
		began := time.Now()
		if err := r.gate.Enter(t.Context(), r.flow); err != nil || told != 1 {
			t.Errorf("after %v: told %d times, %v", time.Since(began), told, err)
		}
		if err := r.gate.Enter(t.Context(), r.flow); err != nil || told != 1 {
			t.Errorf("without a wait: told %d times, %v", told, err)
		}
	})
}

func TestGateLetsGoOfThoseWhoWaitWhenTheFlowStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		for range 5 {
			r.server.add("redact_all_events", "x", 0)
		}
		time.AfterFunc(time.Minute, func() { r.flow.StopFeeding(errors.New("terminated")) })
		began := time.Now()
		err := r.gate.Enter(t.Context(), r.flow)
		if !errors.Is(err, errStopping) || time.Since(began) > time.Minute+3*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
}

func TestGateEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		for range 5 {
			r.server.add("redact_all_events", "x", 0)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		why := errors.New("second signal")
		time.AfterFunc(time.Minute+7*time.Millisecond, func() { cancel(why) })
		began := time.Now()
		if err := r.gate.Enter(ctx, r.flow); !errors.Is(err, why) && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if time.Since(began) != time.Minute+7*time.Millisecond {
			t.Errorf("after %v", time.Since(began))
		}
	})
}
