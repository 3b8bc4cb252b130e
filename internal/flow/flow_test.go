package flow_test

import (
	"context"
	"errors"
	"iter"
	"slices"
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
		var got []int
		flow.Drain(p, flow.Batch(p, whole, func() int { return 10 }), func(ctx context.Context, b []int) error {
			if ctx.Err() == nil {
				t.Errorf("works on %v of a broken input", b)
			}
			got = append(got, b...)
			return nil
		})
		if err := p.Wait(); !errors.Is(err, errBroken) {
			t.Fatalf("Wait: %v", err)
		}
		if !slices.Equal(got, []int{1}) {
			t.Fatalf("the sink got %v, want the one that had entered", got)
		}
	}
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
