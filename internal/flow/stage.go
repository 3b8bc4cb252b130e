package flow

import (
	"context"
	"iter"
)

// Source yields items until there are no more. Its context is done on a soft stop as well as on a hard one. A yielded
// error ends the pipeline, unless it comes after a soft stop: from then on nothing that the source says matters, and
// what runs must not be torn down because a query was interrupted.
type Source[T any] func(ctx context.Context) iter.Seq2[T, error]

// From starts a source. On a soft stop it ends early: the item that it was about to hand on is dropped, as if the source
// had never come to it. So whoever counts items counts them after From.
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

// Map turns every item into one, n at a time, in the order in which they get done. An error of f ends the pipeline.
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
// f returns its error. An error of f ends the pipeline.
func Expand[In, Out any](
	p *Pipeline, n int, in <-chan In, f func(ctx context.Context, v In, emit func(Out) error) error,
) <-chan Out {
	out := make(chan Out)
	emit := func(v Out) error { return send(p.ctx, out, v) }
	p.run(n, func() error {
		return each(p.ctx, in, func(v In) error { return f(p.ctx, v, emit) })
	}, func() { close(out) })
	return out
}

// Fork sends every item left, right, both ways or nowhere, n at a time. left and right may be called only until f
// returns; f returns their error. An error of f ends the pipeline. Both outputs must be read side by side.
func Fork[In, A, B any](
	p *Pipeline, n int, in <-chan In, f func(ctx context.Context, v In, left func(A) error, right func(B) error) error,
) (<-chan A, <-chan B) {
	lefts, rights := make(chan A), make(chan B)
	left := func(v A) error { return send(p.ctx, lefts, v) }
	right := func(v B) error { return send(p.ctx, rights, v) }
	p.run(n, func() error {
		return each(p.ctx, in, func(v In) error { return f(p.ctx, v, left, right) })
	}, func() {
		close(lefts)
		close(rights)
	})
	return lefts, rights
}

// Collect takes all items, has them arranged, and hands on what arrange returns, also after a soft stop, so that each
// item still gets its outcome. Whoever calls it promises that all items fit in memory.
func Collect[T any](p *Pipeline, in <-chan T, arrange func([]T) []T) <-chan T {
	out := make(chan T)
	p.run(1, func() error {
		var all []T
		if err := each(p.ctx, in, func(v T) error { all = append(all, v); return nil }); err != nil {
			return err
		}
		for _, v := range arrange(all) {
			if err := send(p.ctx, out, v); err != nil {
				return err
			}
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
		err := each(p.ctx, in, func(v T) error {
			if len(batch) == 0 {
				want = max(size(), 1)
			}
			batch = append(batch, v)
			if len(batch) < want {
				return nil
			}
			full := batch
			batch = nil
			return send(p.ctx, out, full)
		})
		if err != nil || len(batch) == 0 {
			return err
		}
		return send(p.ctx, out, batch)
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
		return each(p.ctx, <-all, func(v T) error { return send(p.ctx, out, v) })
	}, func() { close(out) })
	return out
}

// Drain is the sink: f gets every item, one at a time, until the input ends, also after a soft stop. An error of f ends
// the pipeline.
func Drain[T any](p *Pipeline, in <-chan T, f func(context.Context, T) error) {
	p.run(1, func() error {
		return each(p.ctx, in, func(v T) error { return f(p.ctx, v) })
	}, func() {})
}
