package flow

import (
	"context"
	"errors"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// errEnded is the cause of the contexts of a pipeline that has come to its end by itself.
var errEnded = errors.New("the pipeline has ended")

// Pipeline is the stages of one flow and what stops them. It is for one use.
type Pipeline struct {
	group  errgroup.Group
	ctx    context.Context // hard; the first error of a stage is its cause
	cancel context.CancelCauseFunc
	feed   context.Context // soft
	stop   context.CancelCauseFunc
}

// New returns a pipeline without stages. When ctx is done nothing more is worked on, and what has entered goes through to
// the sink at once; when feed is done no new work is taken and what runs is finished. feed is normally derived from ctx.
//
// Every pipeline must be waited for, or its contexts stay registered with ctx and feed.
func New(ctx, feed context.Context) *Pipeline {
	p := &Pipeline{}
	p.ctx, p.cancel = context.WithCancelCause(ctx)
	p.feed, p.stop = context.WithCancelCause(feed)
	return p
}

// Wait returns when every stage has ended: the first run error, or the cause of ctx when that was done before the last
// stage had ended. A soft stop is not an error; StopCause tells of it.
func (p *Pipeline) Wait() error {
	err := p.group.Wait()
	if err != nil {
		err = context.Cause(p.ctx) // every error has cancelled ctx, the first one is the cause
	}
	p.stop(errEnded)
	p.cancel(errEnded)
	return err
}

// Context is what the stages work with. It is done on a hard stop, with the first run error as its cause, and after Wait.
func (p *Pipeline) Context() context.Context { return p.ctx }

// Stopping says whether the pipeline has been told to stop, softly or hard. A pipeline that ended by itself has not.
func (p *Pipeline) Stopping() bool { return p.StopCause() != nil }

// StopCause is why the pipeline stops: the first cause of a soft stop, else that of a hard stop, else nil.
func (p *Pipeline) StopCause() error {
	for _, ctx := range []context.Context{p.feed, p.ctx} {
		if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, errEnded) {
			return cause
		}
	}
	return nil
}

// StopFeeding ends the sources gently, as if feed had been cancelled with this cause. The first cause stays.
func (p *Pipeline) StopFeeding(cause error) { p.stop(cause) }

// run starts n workers of one stage and closes its outputs when the last of them has ended. After a hard stop none of
// them has done its work, however quietly it ended.
func (p *Pipeline) run(n int, work func() error, closeOutputs func()) {
	var running atomic.Int64
	running.Store(int64(n))
	for range n {
		p.group.Go(func() error {
			err := p.failed(work())
			if running.Add(-1) == 0 {
				closeOutputs()
			}
			if err == nil {
				err = context.Cause(p.ctx)
			}
			return err
		})
	}
}

// failed ends the pipeline when err is one. It does so before the output is closed: a reader that sees the close then sees
// this too.
func (p *Pipeline) failed(err error) error {
	if err = p.settle(err); err != nil {
		p.cancel(err)
	}
	return err
}

// settle gives the cause of a hard stop in place of the bare context error that it made a call return.
func (p *Pipeline) settle(err error) error {
	cancelled := errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
	if cancelled && p.ctx.Err() != nil {
		return context.Cause(p.ctx)
	}
	return err
}

// each calls f for every item of the input, also after a hard stop and after an error of f: who does not read what the
// stage before hands on holds it up for ever. It returns the first error.
func each[T any](p *Pipeline, in <-chan T, f func(T) error) error {
	var first error
	for v := range in {
		if err := p.failed(f(v)); err != nil && first == nil {
			first = err
		}
	}
	return first
}
