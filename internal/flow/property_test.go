package flow_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"synupkeep/internal/flow"
)

// shape wires random stages behind in. What it returns carries every item of in exactly once.
func shape(t *rapid.T, p *flow.Pipeline, in <-chan int, depth int) <-chan int {
	width := func() int { return rapid.IntRange(1, 6).Draw(t, "width") }
	for range rapid.IntRange(0, 3).Draw(t, "stages") {
		switch kind := rapid.IntRange(0, 4).Draw(t, "kind"); {
		case kind == 0:
			in = flow.Map(p, width(), in, pass)
		case kind == 1:
			in = doubleAndHalve(p, width(), width(), in)
		case kind == 2:
			in = rebatch(p, rapid.IntRange(0, 9).Draw(t, "size"), width(), in)
		case kind == 3:
			in = flow.Collect(p, in, func(all []int) []int { slices.Reverse(all); return all })
		case depth > 0:
			left, right := flow.Fork(p, width(), in,
				func(_ context.Context, v int, left, right func(int) error) error {
					if v%3 == 0 {
						return left(v)
					}
					return right(v)
				})
			in = flow.Merge(p, shape(t, p, left, depth-1), shape(t, p, right, depth-1))
		}
	}
	return in
}

// doubleAndHalve emits every item twice, once negative, and takes the negative ones out again.
func doubleAndHalve(p *flow.Pipeline, n, m int, in <-chan int) <-chan int {
	twice := flow.Expand(p, n, in, func(_ context.Context, v int, emit func(int) error) error {
		return errors.Join(emit(v), emit(-v-1))
	})
	return flow.Expand(p, m, twice, func(_ context.Context, v int, emit func(int) error) error {
		if v < 0 {
			return nil
		}
		return emit(v)
	})
}

func rebatch(p *flow.Pipeline, size, n int, in <-chan int) <-chan int {
	return flow.Expand(p, n, flow.Batch(p, in, func() int { return size }),
		func(_ context.Context, batch []int, emit func(int) error) error {
			if len(batch) == 0 || len(batch) > max(size, 1) {
				return errBroken
			}
			for _, v := range batch {
				if err := emit(v); err != nil {
					return err
				}
			}
			return nil
		})
}

// TestInEqualsOut: whatever the shape, every item that enters leaves once; also when the feeding ends early, and when the
// work does.
func TestInEqualsOut(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(0, 200).Draw(rt, "items")
		stopAt := rapid.IntRange(-1, 200).Draw(rt, "stop at")
		hard := rapid.Bool().Draw(rt, "hard")
		ctx, cancel := context.WithCancelCause(t.Context())
		defer cancel(nil)
		p := flow.New(ctx, t.Context())
		var entered []int
		in := flow.Map(p, 1, flow.From(p, numbers(n)), func(_ context.Context, v int) (int, error) {
			entered = append(entered, v)
			switch {
			case v == stopAt && hard:
				cancel(errInterrupt)
			case v == stopAt:
				p.StopFeeding(errWindow)
			}
			return v, nil
		})
		var got []int
		flow.Drain(p, shape(rt, p, in, 2), into(&got))
		stopped := hard && stopAt >= 0 && stopAt < n
		if err := p.Wait(); !stopped && err != nil || stopped && !errors.Is(err, errInterrupt) {
			rt.Fatalf("Wait: %v", err)
		}
		if stopAt < 0 && len(entered) != n {
			rt.Fatalf("%d of %d items entered", len(entered), n)
		}
		slices.Sort(got)
		if !slices.Equal(got, entered) {
			rt.Fatalf("entered %v, left %v", entered, got)
		}
	})
}

// TestFailureAnywhere: whatever the shape, an error at any item ends everything and is what Wait returns. That item alone
// is lost.
func TestFailureAnywhere(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 200).Draw(rt, "items")
		failAt := rapid.IntRange(0, n-1).Draw(rt, "fail at")
		p := flow.New(t.Context(), t.Context())
		var entered []int
		in := flow.Map(p, 1, flow.From(p, numbers(n)), func(_ context.Context, v int) (int, error) {
			entered = append(entered, v)
			return v, nil
		})
		out := flow.Map(p, 2, shape(rt, p, in, 1), func(_ context.Context, v int) (int, error) {
			if v == failAt {
				return 0, errBroken
			}
			return v, nil
		})
		var got []int
		flow.Drain(p, shape(rt, p, out, 1), into(&got))
		if err := p.Wait(); !errors.Is(err, errBroken) {
			rt.Fatalf("Wait: %v, want %v", err, errBroken)
		}
		slices.Sort(got)
		want := slices.DeleteFunc(slices.Clone(entered), func(v int) bool { return v == failAt })
		if !slices.Equal(got, want) {
			rt.Fatalf("entered %v, left %v, %d failed", entered, got, failAt)
		}
	})
}

// BenchmarkItem is one item's way through a source, a stage of two workers and a sink.
func BenchmarkItem(b *testing.B) {
	b.ReportAllocs()
	p := flow.New(b.Context(), b.Context())
	flow.Drain(p, flow.Map(p, 2, flow.From(p, numbers(b.N)), pass), func(context.Context, int) error { return nil })
	if err := p.Wait(); err != nil {
		b.Fatal(err)
	}
}
