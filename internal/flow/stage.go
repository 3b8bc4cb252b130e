package flow

import (
	"context"
	"fmt"
	"iter"
)

// Source yields items until there are no more. Its context is done on a soft stop as well as on a hard one. A yielded
// error ends the pipeline, unless it comes after a soft stop: from then on nothing that the source says matters, and
// what runs must not be torn down because a query was interrupted.
type Source[T any] func(ctx context.Context) iter.Seq2[T, error]

// From starts a source. On a stop it ends early: the item that it was about to hand on is dropped, as if the source had
// never come to it. So whoever counts items counts them after From.
func From[T any](p *Pipeline, source Source[T]) <-chan T {
	out := make(chan T)
	p.run(1, func() error {
		ctx, cancel := context.WithCancelCause(p.feed)
		defer cancel(nil)
		defer context.AfterFunc(p.ctx, func() { cancel(context.Cause(p.ctx)) })()

		if p.halted() {
			return context.Cause(p.ctx)
		}
		for v, err := range source(ctx) {
			if p.halted() {
				break
			}
			if err != nil {
				return err
			}
			select {
			case out <- v:
			case <-p.feed.Done():
			case <-p.ctx.Done():
			}
			if p.halted() {
				break
			}
		}
		return context.Cause(p.ctx) // a source that left quietly because of a hard stop has not come to its end
	}, func() { close(out) })
	return out
}

// halted says that no source may go on.
func (p *Pipeline) halted() bool { return p.ctx.Err() != nil || p.feed.Err() != nil }

// Map turns every item into one, n at a time, in the order in which they get done. An error of f ends the pipeline, and
// the item is lost. After a hard stop f is still called, with a context that is done.
func Map[In, Out any](p *Pipeline, n int, in <-chan In, f func(context.Context, In) (Out, error)) <-chan Out {
	return Expand(p, n, in, func(ctx context.Context, v In, emit func(Out) error) error {
		result, err := f(ctx, v)
		if err != nil {
			return err
		}
		return emit(result)
	})
}

// Expand turns every item into as many as f emits, none included, n at a time. emit may be called only until f returns;
// f returns its error, which is nil: what is emitted is taken, whatever happens. An error of f ends the pipeline. After a
// hard stop f is still called, with a context that is done.
func Expand[In, Out any](
	p *Pipeline, n int, in <-chan In, f func(ctx context.Context, v In, emit func(Out) error) error,
) <-chan Out {
	out := make(chan Out)
	if err := p.width(&n); err != nil {
		f = func(context.Context, In, func(Out) error) error { return err }
	}
	emit := func(v Out) error { out <- v; return nil }
	p.run(n, func() error {
		return each(p, in, func(v In) error { return f(p.ctx, v, emit) })
	}, func() { close(out) })
	return out
}

// Fork sends every item left, right, both ways or nowhere, n at a time. left and right may be called only until f
// returns; f returns their error, which is nil. An error of f ends the pipeline. After a hard stop f is still called, with
// a context that is done. Both outputs must be read side by side.
func Fork[In, A, B any](
	p *Pipeline, n int, in <-chan In, f func(ctx context.Context, v In, left func(A) error, right func(B) error) error,
) (<-chan A, <-chan B) {
	lefts, rights := make(chan A), make(chan B)
	if err := p.width(&n); err != nil {
		f = func(context.Context, In, func(A) error, func(B) error) error { return err }
	}
	left := func(v A) error { lefts <- v; return nil }
	right := func(v B) error { rights <- v; return nil }
	p.run(n, func() error {
		return each(p, in, func(v In) error { return f(p.ctx, v, left, right) })
	}, func() {
		close(lefts)
		close(rights)
	})
	return lefts, rights
}

// width ends the pipeline when a stage has no workers; one is there then to read its input.
func (p *Pipeline) width(n *int) error {
	if *n > 0 {
		return nil
	}
	err := fmt.Errorf("a stage of %d workers: at least one is needed", *n)
	*n = 1
	p.run(1, func() error { return err }, func() {})
	return err
}

// Collect takes all items, has them arranged, and hands on what arrange returns, also after a soft stop, so that each
// item still gets its outcome. After a hard stop it hands them on as they came: of a part nothing is to be concluded.
// Whoever calls it promises that all items fit in memory.
func Collect[T any](p *Pipeline, in <-chan T, arrange func([]T) []T) <-chan T {
	out := make(chan T)
	p.run(1, func() error {
		var all []T
		for v := range in {
			all = append(all, v)
		}
		if p.ctx.Err() == nil {
			all = arrange(all)
		}
		for _, v := range all {
			out <- v
		}
		return nil
	}, func() { close(out) })
	return out
}

// Batch gathers items into slices of their own, in order. size is asked when the first item of a batch arrives, less
// than 1 counts as 1; since a batch is gathered while the one before it is worked on, what that one teaches counts from
// the next but one. The last batch may be smaller, none is empty.
func Batch[T any](p *Pipeline, in <-chan T, size func() int) <-chan []T {
	out := make(chan []T)
	p.run(1, func() error {
		var batch []T
		want := 0
		for v := range in {
			if len(batch) == 0 {
				want = max(size(), 1)
			}
			if batch = append(batch, v); len(batch) >= want {
				out <- batch
				batch = nil
			}
		}
		if len(batch) > 0 {
			out <- batch
		}
		return nil
	}, func() { close(out) })
	return out
}

// Merge joins inputs of one type, in the order in which items come.
func Merge[T any](p *Pipeline, ins ...<-chan T) <-chan T {
	out := make(chan T)
	all := make(chan (<-chan T), len(ins)) // one worker for each input takes one from here
	for _, in := range ins {
		all <- in
	}
	if len(ins) == 0 {
		close(out)
		return out
	}
	p.run(len(ins), func() error {
		for v := range <-all {
			out <- v
		}
		return nil
	}, func() { close(out) })
	return out
}

// Drain is the sink: f gets every item, one at a time, until the input ends, also after a stop of either kind. An error of
// f ends the pipeline.
func Drain[T any](p *Pipeline, in <-chan T, f func(context.Context, T) error) {
	p.run(1, func() error {
		return each(p, in, func(v T) error { return f(p.ctx, v) })
	}, func() {})
}
