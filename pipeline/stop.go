package pipeline

import (
	"context"
	"errors"
	"fmt"
	"time"

	"synupkeep/connect"
	"synupkeep/internal/flow"
	"synupkeep/internal/item"
	"synupkeep/internal/printable"
)

// startBudget stops the run softly when its time is used up.
func (r *run) startBudget() *time.Timer {
	limit := r.cfg.MaxDuration
	if limit <= 0 || r.plan != nil { // half a plan is none
		idle := time.NewTimer(0)
		idle.Stop()
		return idle
	}
	return time.AfterFunc(limit, func() {
		r.log.Warnf("the time budget of %s is used up: no new work is begun, what runs is finished", printable.Duration(limit))
		r.stop(&item.RunError{
			Cause: item.CauseLeft, Doing: fmt.Sprintf("time budget of %s used up", printable.Duration(limit)),
			Hint: "The next run goes on where this one ended; --max-duration gives it more time.",
		})
	})
}

// overtime is how much later than purges everything else is ended: those are let go in good order before.
const overtime = 5 * time.Second

// endAfterGrace turns a soft stop into a hard one when the grace is over: a statement may go on for minutes, and whoever
// stops us kills us in the end, without a report. The context it returns ends then, with the cause of the soft stop.
func (r *run) endAfterGrace(ctx context.Context) (ends context.Context, release func()) {
	ends, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(r.feed, func() {
		grace := time.NewTimer(r.grace + overtime)
		defer grace.Stop()
		select {
		case <-grace.C:
			cancel(context.Cause(r.feed))
		case <-ends.Done():
		}
	})
	return ends, func() {
		stop()
		cancel(nil)
	}
}

// bounded does the run and returns when it has ended, or some time after a hard stop: a call that the operating system
// does not come back from, as on a network file system that is away, must not keep the report from being written.
func (r *run) bounded(ctx context.Context) error {
	ended := make(chan error, 1)
	go func() { ended <- r.do(ctx) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	patience := time.NewTimer(r.patience)
	defer patience.Stop()
	select {
	case err := <-ended:
		return err
	case <-patience.C:
		r.abandoned = true
		return connect.Failed("stop at once", fmt.Errorf("something that is under way has not ended within %v; what it is at is not in the numbers", r.patience),
			"The next run finishes it. Does the media store hang, or PostgreSQL?")
	}
}

// settled says that what was found out about the server does not change any more, also by a run that was given up.
func (r *run) settled() bool {
	select {
	case <-r.prepared:
		return true
	default:
		return !r.abandoned
	}
}

// wait ends a flow. What stopped the whole run is no error of the flow.
func (r *run) wait(p *flow.Pipeline) error {
	err := p.Wait()
	if err == nil {
		err = p.StopCause()
	}
	if whole := context.Cause(r.feed); whole != nil && errors.Is(err, whole) {
		err = nil
	}
	if err == nil {
		return nil
	}
	var known *item.RunError
	if !errors.As(err, &known) {
		return &item.RunError{Cause: item.CauseFailed, Doing: "run", Err: err, Hint: connect.DatabaseHint(err)}
	}
	if known.Cause == item.CauseInterrupt || known.Cause == item.CauseTerminated {
		return nil // a second signal is the run's as well
	}
	return err
}

// causeOf is why a context is done, nil while it is not.
func causeOf(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return context.Cause(ctx)
}
