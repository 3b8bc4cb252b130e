package stages

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"synupkeep/internal/item"
	"synupkeep/internal/retry"
	"synupkeep/internal/synapse"
)

// Purger asks the server to purge and how far it is. A plan has none.
type Purger interface {
	StartPurge(ctx context.Context, roomID, upToEventID string) (purgeID string, err error)
	PurgeStatus(ctx context.Context, purgeID string) (synapse.PurgeState, error)
}

// Purge purges the history of rooms, each up to its cut, and looks at the room afterwards. What Decide took of the budget
// and no purge used is given back.
type Purge struct {
	Purger Purger
	Tasks  Tasks
	Cutter *Cutter
	Gate   *Gate
	Budget *Budget
	Pace   *rate.Limiter
	Retry  retry.Policy
	// Timeout is how long one purge may take.
	Timeout time.Duration
	// Grace is how long a purge is waited for once the flow has been told to stop.
	Grace time.Duration
	Flow  Stopper
	// Held is asked before each purge whether the run's lock is still held; its error stops the flow.
	Held func(context.Context) error
	// Now is the database's clock.
	Now func(context.Context) (time.Time, error)

	proven atomic.Bool
	hurt   atomic.Int32
	astray atomic.Int32 // answers in a row that were not the admin API's
}

// Do purges one room. What goes wrong with the room is in the outcome; what goes wrong with the server ends the flow
// gently. It returns no error. Once ctx is done no purge is asked for, and one that is under way is left to the server.
func (p *Purge) Do(ctx context.Context, cut item.Cut) (item.Outcome, error) {
	began := time.Now()
	out := p.do(ctx, cut)
	out.Took = time.Since(began)
	return out, nil
}

func (p *Purge) do(ctx context.Context, cut item.Cut) item.Outcome {
	out := ofCut(cut, item.Done, cut.HeldBy)
	if p.Flow.Stopping() || ctx.Err() != nil {
		if cut.Pending == "" {
			p.Budget.GiveBack(1)
		}
		return interrupted(out)
	}
	if cut.Pending != "" {
		adopted, fresh := p.adopt(ctx, out, cut)
		if fresh.EventID == "" {
			return adopted
		}
		if !p.Budget.Take() {
			return leftRoom(cut.RoomID, item.Limit)
		}
		cut, out = fresh, ofCut(fresh, item.Done, fresh.HeldBy)
	}
	if err := p.enter(ctx); err != nil {
		p.Budget.GiveBack(1)
		if ctx.Err() == nil && !errors.Is(err, errStopping) {
			p.Flow.StopFeeding(err)
		}
		return interrupted(out)
	}
	if p.Flow.Stopping() {
		p.Budget.GiveBack(1)
		p.leave("")
		return interrupted(out)
	}
	return p.purge(ctx, out, cut)
}

// interrupted leaves a room to the next run, and to the server the purge that it may still work on.
func interrupted(out item.Outcome) item.Outcome {
	out.Status, out.Reason, out.Err = item.Left, item.Stopped, nil
	return out
}

// adopt waits for a purge that somebody else began. Its cut need not be ours: with a fresh one there is more to do.
func (p *Purge) adopt(ctx context.Context, out item.Outcome, cut item.Cut) (_ item.Outcome, fresh item.Cut) {
	out, _ = p.await(ctx, out, cut, cut.Pending)
	if out.Status != item.Done {
		return out, fresh
	}
	v, err := p.Cutter.Take(ctx, cut.RoomID)
	if err != nil {
		out = p.failed(ctx, out, err)
		out.PurgeID = "" // that one has ended
		return out, fresh
	}
	out.Reason = v.Cut.HeldBy
	if v.Status == item.Done {
		fresh = v.Cut
	}
	return out, fresh
}

// purge asks and waits, inside the gate.
func (p *Purge) purge(ctx context.Context, out item.Outcome, cut item.Cut) item.Outcome {
	asked, tries, err := p.ask(ctx, cut)
	p.Gate.Asked()
	out = ofCut(asked.cut, item.Done, asked.cut.HeldBy)
	out.Tries = tries
	switch {
	case err != nil:
		p.Gate.Leave("")
		if !asked.ambiguous { // or rooms that fail every night would use up the limit of every night
			p.Budget.GiveBack(1)
		}
		return p.failed(ctx, out, err)
	case asked.id == "" && asked.stopped:
		p.Gate.Leave("")
		p.Budget.GiveBack(1)
		return leftRoom(cut.RoomID, item.Stopped)
	case asked.pending != "":
		p.Gate.Leave("")
		p.Budget.GiveBack(1)
		return p.do(ctx, item.Cut{RoomID: cut.RoomID, Pending: asked.pending})
	case asked.id == "": // looked at again, there is nothing to purge after all
		p.Gate.Leave("")
		p.Budget.GiveBack(1)
		out.Status, out.Reason = asked.verdict.Status, asked.verdict.Reason
		return out
	}
	p.astray.Store(0)
	if err := p.prove(ctx, asked.id); err != nil {
		p.Gate.Leave(asked.id)
		out.PurgeID = asked.id
		return p.failed(ctx, out, err)
	}
	out, unfinished := p.await(ctx, out, asked.cut, asked.id)
	if unfinished {
		p.Gate.Leave(asked.id)
	} else {
		p.Gate.Leave("")
	}
	return out
}

// prove makes sure, with the first purge, that the database which decides is the one that the server works on, and not a
// copy of it: the server has just written the purge down there.
func (p *Purge) prove(ctx context.Context, id string) error {
	if p.proven.Load() {
		return nil
	}
	_, ok, err := p.Tasks.ByID(ctx, id)
	if err != nil {
		return err
	}
	if !ok {
		err = &item.RunError{
			Cause: item.CauseRefused, Doing: "compare the database with the server",
			Err:  fmt.Errorf("the server began purge %s, and the database knows nothing of it", id),
			Hint: "The connection string leads to a copy of the server's database, or to another server's. Nothing else was begun.",
		}
		p.Flow.StopFeeding(err)
		return err
	}
	p.proven.Store(true)
	return nil
}

func (p *Purge) leave(unfinished string) {
	p.Gate.Asked()
	p.Gate.Leave(unfinished)
}

// enter waits for a place on the server and for the pace.
func (p *Purge) enter(ctx context.Context) error {
	if err := p.pace(ctx); err != nil {
		return err
	}
	err := p.Gate.Enter(ctx, p.Flow)
	if err == nil || ctx.Err() != nil || errors.Is(err, errStopping) {
		return err
	}
	var full *FullError
	if errors.As(err, &full) {
		return &item.RunError{
			Cause: item.CauseFailed, Doing: "wait for the server to take another purge", Err: err,
			Hint: "See GET /_synapse/admin/v1/scheduled_tasks; is the worker that run_background_tasks_on names running?",
		}
	}
	return &item.RunError{Cause: item.CauseFailed, Doing: "ask the database what the server works on", Err: err}
}

// pace waits for the purge's turn. The limiter's own Wait would not see that the flow is stopping.
func (p *Purge) pace(ctx context.Context) error {
	if p.Pace == nil {
		return nil
	}
	turn := p.Pace.Reserve()
	begin := time.Now().Add(turn.Delay())
	for {
		if p.Flow.Stopping() {
			turn.Cancel()
			return errStopping
		}
		wait := time.Until(begin)
		if wait <= 0 {
			return nil
		}
		if err := sleep(ctx, min(wait, time.Second)); err != nil {
			turn.Cancel()
			return err
		}
	}
}
