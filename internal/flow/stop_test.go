package flow_test

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"synupkeep/internal/flow"
)

func TestParentCancelIsReported(t *testing.T) {
	stages := map[string]func(ctx context.Context, v int) (int, error){
		"stage that looks away": pass,
		"stage that returns the bare context error": func(ctx context.Context, v int) (int, error) {
			return v, ctx.Err()
		},
	}
	for name, stage := range stages {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			p := flow.New(ctx, ctx)
			var entered, lost, seen atomic.Int64
			counted := flow.Map(p, 2, flow.From(p, endless(new(atomic.Int64))), func(ctx context.Context, v int) (int, error) {
				entered.Add(1)
				v, err := stage(ctx, v)
				if err != nil {
					lost.Add(1)
				}
				return v, err
			})
			flow.Drain(p, counted, func(context.Context, int) error {
				if seen.Add(1) == 11 {
					cancel(errInterrupt)
				}
				return nil
			})
			if err := p.Wait(); !errors.Is(err, errInterrupt) {
				t.Errorf("Wait: %v, want %v", err, errInterrupt)
			}
			if seen.Load() != entered.Load()-lost.Load() {
				t.Errorf("the sink got %d items of %d that entered, less %d", seen.Load(), entered.Load(), lost.Load())
			}
		})
	}
}

// TestQuietSource: a source that just leaves when its context is done has not come to its end.
func TestQuietSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		p := flow.New(ctx, ctx)
		flow.Drain(p, flow.From(p, func(ctx context.Context) iter.Seq2[int, error] {
			return func(func(int, error) bool) { <-ctx.Done() }
		}), into(new([]int)))
		synctest.Wait()
		cancel(errInterrupt)
		if err := p.Wait(); !errors.Is(err, errInterrupt) {
			t.Errorf("Wait: %v, want %v", err, errInterrupt)
		}
	})
}

func TestAlreadyStopped(t *testing.T) {
	done, cancel := context.WithCancelCause(t.Context())
	cancel(errInterrupt)
	never := func(context.Context) iter.Seq2[int, error] {
		t.Error("the source was begun")
		return func(func(int, error) bool) {}
	}
	p := flow.New(t.Context(), done)
	if !p.Stopping() {
		t.Error("not stopping although feed is done")
	}
	flow.Drain(p, flow.From(p, never), into(new([]int)))
	if err := p.Wait(); err != nil {
		t.Errorf("Wait after a soft stop: %v", err)
	}
	p = flow.New(done, done)
	flow.Drain(p, flow.From(p, never), into(new([]int)))
	if err := p.Wait(); !errors.Is(err, errInterrupt) {
		t.Errorf("Wait after a hard stop: %v", err)
	}
}

// stopping runs items of one minute each through four workers and stops after 90 seconds by stop.
func stopping(t *testing.T, stop func(p *flow.Pipeline, hard, soft context.CancelCauseFunc)) (
	p *flow.Pipeline, begun, ended int, err error,
) {
	t.Helper()
	ctx, hard := context.WithCancelCause(t.Context())
	feed, soft := context.WithCancelCause(ctx)
	p = flow.New(ctx, feed)
	var mu sync.Mutex
	work := flow.Map(p, 4, flow.From(p, endless(new(atomic.Int64))), func(ctx context.Context, v int) (int, error) {
		mu.Lock()
		begun++
		mu.Unlock()
		return v, wait(ctx, time.Minute)
	})
	flow.Drain(p, work, func(context.Context, int) error { ended++; return nil })
	timer := time.AfterFunc(90*time.Second, func() { stop(p, hard, soft) })
	defer timer.Stop()
	err = p.Wait()
	hard(nil)
	return p, begun, ended, err
}

func TestSoftStopFinishesWhatRuns(t *testing.T) {
	stops := map[string]func(p *flow.Pipeline, hard, soft context.CancelCauseFunc){
		"feed":  func(_ *flow.Pipeline, _, soft context.CancelCauseFunc) { soft(errWindow) },
		"stage": func(p *flow.Pipeline, _, _ context.CancelCauseFunc) { p.StopFeeding(errWindow) },
		"both": func(p *flow.Pipeline, _, soft context.CancelCauseFunc) {
			p.StopFeeding(errWindow)
			soft(errInterrupt)
			p.StopFeeding(errBroken)
		},
	}
	for name, stop := range stops {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				p, begun, ended, err := stopping(t, stop)
				if err != nil {
					t.Errorf("Wait: %v, want nil", err)
				}
				if begun != 8 || ended != 8 {
					t.Errorf("begun %d, ended %d, want 8 of 8", begun, ended)
				}
				if took := time.Since(start); took != 2*time.Minute {
					t.Errorf("took %v, want 2m", took)
				}
				if cause := p.StopCause(); !errors.Is(cause, errWindow) {
					t.Errorf("StopCause: %v, want %v", cause, errWindow)
				}
			})
		})
	}
}

func TestHardStopInterruptsWhatRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		_, begun, ended, err := stopping(t, func(_ *flow.Pipeline, hard, _ context.CancelCauseFunc) { hard(errInterrupt) })
		if !errors.Is(err, errInterrupt) {
			t.Errorf("Wait: %v, want %v", err, errInterrupt)
		}
		// Those that were interrupted end in an error, and so nowhere.
		if begun != 8 || ended != 4 {
			t.Errorf("begun %d, ended %d, want 8 and 4", begun, ended)
		}
		if took := time.Since(start); took != 90*time.Second {
			t.Errorf("took %v, want 90s", took)
		}
	})
}

// TestWhatComesAfterAHardStopSeesIt: a function of a stage may still be called, but never without knowing.
func TestWhatComesAfterAHardStopSeesIt(t *testing.T) {
	for range 300 {
		ctx, cancel := context.WithCancelCause(t.Context())
		p := flow.New(ctx, ctx)
		var stopped atomic.Bool
		after := 0
		work := flow.Map(p, 1, flow.From(p, endless(new(atomic.Int64))), func(ctx context.Context, v int) (int, error) {
			if stopped.Load() {
				after++
				if !errors.Is(context.Cause(ctx), errInterrupt) {
					t.Error("an item was begun after the hard stop")
				}
			}
			if v == 5 {
				cancel(errInterrupt)
				stopped.Store(true)
			}
			return v, nil
		})
		var got []int
		flow.Drain(p, work, into(&got))
		if err := p.Wait(); !errors.Is(err, errInterrupt) {
			t.Fatalf("Wait: %v", err)
		}
		if len(got) != 6+after || after > 1 {
			t.Fatalf("the sink got %v, %d of them from after the stop", got, after)
		}
	}
}

// TestHardStopWaitsForTheSink: a sink that is slow still gets everything, and the end waits for it.
func TestHardStopWaitsForTheSink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		p := flow.New(ctx, ctx)
		var entered, got atomic.Int64
		counted := flow.Map(p, 3, flow.From(p, endless(new(atomic.Int64))), func(_ context.Context, v int) (int, error) {
			entered.Add(1)
			return v, nil
		})
		flow.Drain(p, counted, func(context.Context, int) error {
			if got.Add(1) == 4 {
				cancel(errInterrupt)
			}
			time.Sleep(time.Minute)
			return nil
		})
		if err := p.Wait(); !errors.Is(err, errInterrupt) {
			t.Errorf("Wait: %v", err)
		}
		if got.Load() != entered.Load() {
			t.Errorf("%d entered, %d left", entered.Load(), got.Load())
		}
	})
}

// TestSourceErrorAfterSoftStop: an interrupted query must not tear down what runs.
func TestSourceErrorAfterSoftStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancelCause(t.Context())
		p := flow.New(t.Context(), ctx)
		source := func(ctx context.Context) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) {
				if yield(1, nil) {
					<-ctx.Done()
					yield(0, errBroken)
				}
			}
		}
		var got []int
		flow.Drain(p, flow.Map(p, 1, flow.From(p, source), func(ctx context.Context, v int) (int, error) {
			return v, wait(ctx, time.Hour)
		}), into(&got))
		synctest.Wait()
		stop(errWindow)
		if err := p.Wait(); err != nil || !slices.Equal(got, []int{1}) {
			t.Errorf("Wait: %v, got %v; want nil and [1]", err, got)
		}
	})
}
