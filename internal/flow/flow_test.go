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

	"go.uber.org/goleak"

	"synupkeep/internal/flow"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	errBroken    = errors.New("broken")
	errInterrupt = errors.New("interrupted")
	errWindow    = errors.New("time budget used up")
)

// numbers yields 0 to n-1.
func numbers(n int) flow.Source[int] {
	return func(context.Context) iter.Seq2[int, error] {
		return func(yield func(int, error) bool) {
			for i := range n {
				if !yield(i, nil) {
					return
				}
			}
		}
	}
}

// endless yields numbers for ever and counts them.
func endless(yielded *atomic.Int64) flow.Source[int] {
	return func(context.Context) iter.Seq2[int, error] {
		return func(yield func(int, error) bool) {
			for i := 0; ; i++ {
				yielded.Add(1)
				if !yield(i, nil) {
					return
				}
			}
		}
	}
}

func pass(_ context.Context, v int) (int, error) { return v, nil }

// into is a sink that keeps what it gets. Read the slice after Wait.
func into[T any](got *[]T) func(context.Context, T) error {
	return func(_ context.Context, v T) error { *got = append(*got, v); return nil }
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func TestEmptyPipeline(t *testing.T) {
	p := flow.New(t.Context(), t.Context())
	if err := p.Wait(); err != nil {
		t.Fatal(err)
	}
	if p.Stopping() || p.StopCause() != nil {
		t.Errorf("a pipeline that ended by itself says it was stopped: %v", p.StopCause())
	}
	if p.Context().Err() == nil {
		t.Error("the context outlives Wait")
	}
}

func TestErrors(t *testing.T) {
	broken := func(context.Context) iter.Seq2[int, error] {
		return func(yield func(int, error) bool) { _ = yield(1, nil) && yield(2, nil) && yield(0, errBroken) }
	}
	failAt7 := func(_ context.Context, v int) (int, error) {
		if v == 7 {
			return 0, errBroken
		}
		return v, nil
	}
	cases := map[string]func(p *flow.Pipeline){
		"source": func(p *flow.Pipeline) {
			flow.Drain(p, flow.Map(p, 3, flow.From(p, broken), pass), into(new([]int)))
		},
		"stage": func(p *flow.Pipeline) {
			flow.Drain(p, flow.Map(p, 3, flow.From(p, numbers(1000)), failAt7), into(new([]int)))
		},
		"expanding stage": func(p *flow.Pipeline) {
			out := flow.Expand(p, 2, flow.From(p, numbers(1000)),
				func(ctx context.Context, v int, emit func(int) error) error {
					if _, err := failAt7(ctx, v); err != nil {
						return err
					}
					return emit(v)
				})
			flow.Drain(p, out, into(new([]int)))
		},
		"forking stage": func(p *flow.Pipeline) {
			a, b := flow.Fork(p, 2, flow.From(p, numbers(1000)),
				func(ctx context.Context, v int, left, right func(int) error) error {
					if _, err := failAt7(ctx, v); err != nil {
						return err
					}
					return errors.Join(left(v), right(v))
				})
			flow.Drain(p, flow.Merge(p, a, b), into(new([]int)))
		},
		"sink": func(p *flow.Pipeline) {
			flow.Drain(p, flow.Map(p, 3, flow.From(p, numbers(1000)), pass),
				func(ctx context.Context, v int) error { _, err := failAt7(ctx, v); return err })
		},
		"no worker": func(p *flow.Pipeline) {
			out := flow.Map(p, 0, flow.From(p, numbers(1000)), func(context.Context, int) (int, error) {
				panic("called")
			})
			flow.Drain(p, out, into(new([]int)))
		},
	}
	for name, wire := range cases {
		t.Run(name, func(t *testing.T) {
			p := flow.New(t.Context(), t.Context())
			wire(p)
			err := p.Wait()
			if name == "no worker" {
				if err == nil {
					t.Error("a stage without workers ends as success")
				}
				return
			}
			if !errors.Is(err, errBroken) {
				t.Errorf("Wait: %v, want %v", err, errBroken)
			}
			if !errors.Is(p.StopCause(), errBroken) || !p.Stopping() {
				t.Errorf("StopCause: %v, want %v", p.StopCause(), errBroken)
			}
		})
	}
}

// TestBrokenInputIsNoEnd: what gathers its whole input must never act on a part of it.
func TestBrokenInputIsNoEnd(t *testing.T) {
	for range 200 {
		p := flow.New(t.Context(), t.Context())
		source := func(context.Context) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) { _ = yield(1, nil) && yield(0, errBroken) }
		}
		whole := flow.Collect(p, flow.From(p, source), func(all []int) []int {
			t.Errorf("arranges %v of a broken input", all)
			return all
		})
		flow.Drain(p, flow.Batch(p, whole, func() int { return 10 }), func(_ context.Context, b []int) error {
			t.Errorf("got %v of a broken input", b)
			return nil
		})
		if err := p.Wait(); !errors.Is(err, errBroken) {
			t.Fatalf("Wait: %v", err)
		}
	}
}

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
			seen := 0
			flow.Drain(p, flow.Map(p, 2, flow.From(p, endless(new(atomic.Int64))), stage),
				func(context.Context, int) error {
					if seen++; seen == 11 {
						cancel(errInterrupt)
					}
					return nil
				})
			if err := p.Wait(); !errors.Is(err, errInterrupt) {
				t.Errorf("Wait: %v, want %v", err, errInterrupt)
			}
			if seen != 11 {
				t.Errorf("the sink got %d items, want none after the cancel at 11", seen)
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

func TestHardStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		_, begun, ended, err := stopping(t, func(_ *flow.Pipeline, hard, _ context.CancelCauseFunc) { hard(errInterrupt) })
		if !errors.Is(err, errInterrupt) {
			t.Errorf("Wait: %v, want %v", err, errInterrupt)
		}
		if begun != 8 || ended != 4 {
			t.Errorf("begun %d, ended %d, want 8 and 4", begun, ended)
		}
		if took := time.Since(start); took != 90*time.Second {
			t.Errorf("took %v, want 90s", took)
		}
	})
}

// TestNothingBeginsAfterHardStop: an item that is ready together with the stop is not begun.
func TestNothingBeginsAfterHardStop(t *testing.T) {
	for range 300 {
		ctx, cancel := context.WithCancelCause(t.Context())
		p := flow.New(ctx, ctx)
		var stopped atomic.Bool
		work := flow.Map(p, 1, flow.From(p, endless(new(atomic.Int64))), func(_ context.Context, v int) (int, error) {
			if stopped.Load() {
				t.Error("an item was begun after the hard stop")
			}
			if v == 5 {
				cancel(errInterrupt)
				stopped.Store(true)
			}
			return v, nil
		})
		flow.Drain(p, work, into(new([]int)))
		if err := p.Wait(); !errors.Is(err, errInterrupt) {
			t.Fatalf("Wait: %v", err)
		}
	}
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

// TestCollectEmitsAllWhenStopping: what was taken gets its outcome.
func TestCollectEmitsAllWhenStopping(t *testing.T) {
	p := flow.New(t.Context(), t.Context())
	sorted := flow.Collect(p, flow.From(p, numbers(50)), func(all []int) []int {
		slices.Reverse(all)
		return all
	})
	var got []int
	flow.Drain(p, flow.Map(p, 1, sorted, func(_ context.Context, v int) (int, error) {
		p.StopFeeding(errWindow)
		return v, nil
	}), into(&got))
	if err := p.Wait(); err != nil {
		t.Fatal(err)
	}
	if len(got) != 50 || got[0] != 49 || got[49] != 0 {
		t.Errorf("got %v, want 49 to 0", got)
	}
}

func TestBatch(t *testing.T) {
	p := flow.New(t.Context(), t.Context())
	sizes := []int{1, 3, 0, 4, 100}
	asked := 0
	var got [][]int
	flow.Drain(p, flow.Batch(p, flow.From(p, numbers(12)), func() int { asked++; return sizes[asked-1] }), into(&got))
	if err := p.Wait(); err != nil {
		t.Fatal(err)
	}
	want := [][]int{{0}, {1, 2, 3}, {4}, {5, 6, 7, 8}, {9, 10, 11}}
	if !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("got %v, want %v", got, want)
	}
	p = flow.New(t.Context(), t.Context())
	flow.Drain(p, flow.Batch(p, flow.From(p, numbers(4)), func() int { return 2 }), func(_ context.Context, b []int) error {
		if len(b) != 2 {
			t.Errorf("got a batch of %d, want 2", len(b))
		}
		return nil
	})
	if err := p.Wait(); err != nil {
		t.Fatal(err)
	}
}

func TestMergeOfNothing(t *testing.T) {
	p := flow.New(t.Context(), t.Context())
	var got []int
	flow.Drain(p, flow.Merge[int](p), into(&got))
	if err := p.Wait(); err != nil || len(got) != 0 {
		t.Errorf("Wait: %v, got %v", err, got)
	}
}

// TestBackpressure: with a sink that takes nothing, the source stops after one item for each hand that holds one.
func TestBackpressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		p := flow.New(ctx, ctx)
		var yielded atomic.Int64
		left, right := flow.Fork(p, 2, flow.Map(p, 3, flow.From(p, endless(&yielded)), pass),
			func(_ context.Context, v int, left, right func(int) error) error {
				if v%2 == 0 {
					return left(v)
				}
				return right(v)
			})
		batches := flow.Batch(p, flow.Merge(p, left, right), func() int { return 10 })
		flow.Drain(p, batches, func(ctx context.Context, _ []int) error {
			<-ctx.Done()
			return ctx.Err()
		})
		synctest.Wait()
		// Two batches of 10 (one in the sink, one before it), 2 in Merge, 2 in Fork, 3 in Map, 1 in From.
		const most = 10 + 10 + 2 + 2 + 3 + 1
		if n := yielded.Load(); n > most || n < 20 {
			t.Errorf("the source was asked for %d items, want 20 to %d", n, most)
		}
		cancel(errInterrupt)
		if err := p.Wait(); !errors.Is(err, errInterrupt) {
			t.Errorf("Wait: %v", err)
		}
	})
}
