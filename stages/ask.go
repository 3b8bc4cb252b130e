package stages

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"synupkeep/internal/item"
	"synupkeep/internal/postgres"
	"synupkeep/internal/printable"
	"synupkeep/internal/retry"
	"synupkeep/internal/synapse"
)

const (
	// clockSkew is how far the server's clock may be behind the database's when a task is looked for by time.
	clockSkew = time.Minute
	// answerGrace is how long an answer that is under way is still waited for after a hard stop. It takes milliseconds;
	// without it nobody could say which purge the server works on.
	answerGrace = time.Second
)

// asked is one room's request for a purge, over all its tries.
type asked struct {
	p         *Purge
	cut       item.Cut
	since     time.Time // the database's clock before the first try
	known     []string  // purges of the room that since alone would take for ours
	ambiguous bool      // the server may have begun a purge without our hearing of it
	stopped   bool      // the flow was told to stop before anything was asked
	pending   string    // somebody else's purge of the room, which is under way
	id        string
	verdict   Verdict // of the cut that was taken last, when the first one was not used
}

// ask posts the purge. The result holds its id, or the verdict that there is nothing to purge after all, or that the flow
// was stopped first.
func (p *Purge) ask(ctx context.Context, cut item.Cut) (*asked, int, error) {
	a := &asked{p: p, cut: cut}
	_, err := p.Retry.Do(ctx, func() (err error) { a.since, err = p.Now(ctx); return err }, postgres.Again)
	if err != nil {
		return a, 0, err
	}
	// The server overwrites a task's time when the task ends: a purge that ended a moment ago looks like one asked for now.
	if a.known, err = p.Tasks.SinceIn(ctx, cut.RoomID, a.since.Add(-clockSkew)); err != nil {
		return a, 0, err
	}
	tries, err := p.Retry.Do(ctx, func() error { return a.once(ctx) }, synapse.Again())
	if err == nil || !a.ambiguous {
		return a, tries, err
	}
	// The last try may have begun a purge as well.
	ctx, cancel := outlast(ctx, answerGrace)
	defer cancel()
	if lookup := a.find(ctx); lookup != nil {
		return a, tries, fmt.Errorf("the purge may have begun all the same: %w", err)
	}
	if a.id != "" {
		err = nil
	}
	return a, tries, err
}

// find looks for the purge that an earlier try may have begun.
func (a *asked) find(ctx context.Context) error {
	ids, err := a.p.Tasks.SinceIn(ctx, a.cut.RoomID, a.since.Add(-clockSkew))
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(ids, func(id string) bool { return !slices.Contains(a.known, id) }); i >= 0 {
		a.id = ids[i]
	}
	return nil
}

// once is one try. After an answer that never came the room's task is looked for before anything is asked again, or the
// room would be purged twice. When the server does not find the event, the cut is taken once more. The lock is looked at
// each time: a question of a millisecond before work of 40.
//
// A run that was killed may have asked for a purge that nobody saw when this room was looked at. A second one finds nothing
// to delete, and before Synapse 1.143 takes away all backward extremities of the room, where clients fetch what is older
// (storage/databases/main/purge_events.py:184-210, 1.98.0).
func (a *asked) once(ctx context.Context) error {
	if a.ambiguous {
		if err := a.find(ctx); err != nil || a.id != "" {
			return err
		}
	}
	if err := a.p.Held(ctx); err != nil {
		a.p.Flow.StopFeeding(err)
		a.stopped = true
		return nil
	}
	task, under, err := a.p.Tasks.OfRoom(ctx, a.cut.RoomID)
	if err != nil {
		return err
	}
	if under && !task.DeletesRoom() {
		a.pending = task.ID
		return nil
	}
	err = a.post(ctx, len(a.known) > 0 || time.Since(a.cut.TakenAt) > freshness)
	if err != nil && synapse.Classify(err) == synapse.NotFound {
		err = a.post(ctx, true)
	}
	return err
}

func (a *asked) post(ctx context.Context, anew bool) error {
	if anew {
		v, err := a.p.Cutter.Take(ctx, a.cut.RoomID)
		if err != nil {
			return err
		}
		a.verdict = v
		if v.Status != item.Done {
			return nil
		}
		a.cut = v.Cut
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if a.p.Flow.Stopping() {
		a.stopped = true
		return nil
	}
	ctx, cancel := outlast(ctx, answerGrace)
	defer cancel()
	id, err := a.p.Purger.StartPurge(ctx, a.cut.RoomID, a.cut.EventID)
	if err != nil {
		a.ambiguous = a.ambiguous || synapse.IsAmbiguous(err)
		return err
	}
	a.id = id
	return nil
}

// The first question comes soon, since a small purge takes 40 ms.
const (
	firstPoll = 20 * time.Millisecond
	lastPoll  = 10 * time.Second
)

// await waits until the server has ended a purge. unfinished says that it may still work on it.
func (p *Purge) await(ctx context.Context, out item.Outcome, cut item.Cut, id string) (_ item.Outcome, unfinished bool) {
	out.PurgeID = id
	began := time.Now()
	end := &ending{flow: p.Flow, grace: p.Grace}
	for pause := firstPoll; ; pause = min(pause*6/5, lastPoll) {
		if err := sleep(ctx, pause); err != nil {
			return interrupted(out), true
		}
		status, text, err := p.status(ctx, id, pause == lastPoll || time.Since(began) > p.Timeout, end)
		switch {
		case err != nil && synapse.Classify(err) == synapse.Unavailable && end.over():
			return interrupted(out), true
		case err != nil:
			return p.failed(ctx, out, fmt.Errorf("ask for purge %s, which may go on: %w", id, err)), true
		case status == synapse.PurgeComplete:
			out.Rows, out.Pinned = cut.Messages, cut.Pinned
			return p.inspect(ctx, out), false
		case status != synapse.PurgeActive:
			out.Status, out.Reason = item.Failed, ""
			out.Err = fmt.Errorf("purge %s %s: %s", id, status, text)
			return out, false
		case time.Since(began) > p.Timeout:
			out.Status, out.Reason = item.Failed, ""
			out.Err = fmt.Errorf("purge %s is still under way after %s; the server goes on with it, the next run looks again. "+
				"A purge during which PostgreSQL was restarted never ends until Synapse is restarted, too", id, printable.Duration(p.Timeout))
			return out, true
		case end.over():
			return interrupted(out), true
		}
	}
}

// ending tells when the time is over that what runs gets once the flow has been told to stop.
type ending struct {
	flow  Stopper
	grace time.Duration
	since time.Time
}

func (e *ending) over() bool {
	if e.since.IsZero() && e.flow.Stopping() {
		e.since = time.Now()
	}
	return !e.since.IsZero() && time.Since(e.since) > e.grace
}

// before tries again only as long as there is time.
func (e *ending) before(again retry.Again) retry.Again {
	return func(err error) (bool, time.Duration) {
		more, wait := again(err)
		return more && !e.over(), wait
	}
}

// status asks the server how far a purge is. It calls active what waits and what was cancelled, so thoroughly the
// database is asked as well. A purge that it does not know any more is lost.
func (p *Purge) status(ctx context.Context, id string, thoroughly bool, end *ending) (status, text string, err error) {
	var state synapse.PurgeState
	_, err = p.Retry.Do(ctx, func() error {
		var err error
		state, err = p.Purger.PurgeStatus(ctx, id)
		return err
	}, end.before(synapse.Again()))
	if err != nil && synapse.Classify(err) == synapse.NotFound {
		return "lost", "the server does not know it any more", nil
	}
	if err != nil || state.Status != synapse.PurgeActive || !thoroughly {
		return state.Status, state.Error, err
	}
	task, ok, err := p.Tasks.ByID(ctx, id)
	if err != nil || !ok || task.Running() || task.Status == synapse.PurgeComplete {
		return state.Status, state.Error, err
	}
	return task.Status, task.Error, nil
}

const (
	// After this many rooms that cannot be sent into any more something is wrong with our cuts.
	mostHurt = 3
	// After this many answers in a row that are not the admin API's it is not to be reached. A single one may be due to
	// a proxy that does not like one room's id.
	mostAstray = 3
)

// inspect looks at a room that was purged: nothing could be sent into it any more if one of its extremities had lost
// its state.
func (p *Purge) inspect(ctx context.Context, out item.Outcome) item.Outcome {
	longer, cancel := outlast(ctx, answerGrace)
	defer cancel()
	broken, err := p.Tasks.BrokenExtremities(longer, out.Key)
	if err != nil {
		err = fmt.Errorf("the purge is complete, but the room could not be checked: %w", err)
		if ctx.Err() == nil {
			return p.failed(ctx, out, err)
		}
		out.Status, out.Reason, out.Err = item.Failed, "", err // nothing of it is left to the next run
		return out
	}
	if len(broken) == 0 {
		return out
	}
	out.Status, out.Reason = item.Failed, ""
	out.Err = fmt.Errorf("the room takes no messages any more: its forward extremities %s have lost their state; "+
		"unless its newest extremity is among them, DELETE /_synapse/admin/v1/rooms/%s/forward_extremities repairs it",
		strings.Join(broken, ", "), out.Key)
	if p.hurt.Add(1) == mostHurt {
		p.Flow.StopFeeding(&item.RunError{
			Cause: item.CauseFailed, Doing: "purge history",
			Err:  fmt.Errorf("%d rooms take no messages after their purge", mostHurt),
			Hint: "Repair them as the report says, and please report this: it must not happen.",
		})
	}
	return out
}

// failed turns an error into the outcome of a room, and ends the flow when the error is one of the server and not of
// the room. What fails because ctx is done has not failed: it is left.
func (p *Purge) failed(ctx context.Context, out item.Outcome, err error) item.Outcome {
	if ctx.Err() != nil {
		return interrupted(out)
	}
	out.Status, out.Reason, out.Err = item.Failed, "", err
	var away *retry.UnavailableError
	switch {
	case errors.As(err, &away):
		hint := synapse.Advice(err)
		if hint == "" {
			hint = "Is PostgreSQL running?"
		}
		p.Flow.StopFeeding(&item.RunError{
			Cause: item.CauseFailed, Doing: "purge history", Err: err,
			Hint: hint + " The next run goes on where this one ended.",
		})
	case synapse.Classify(err) == synapse.Misrouted:
		if p.astray.Add(1) >= mostAstray {
			p.Flow.StopFeeding(&item.RunError{
				Cause: item.CauseFailed, Doing: "purge history", Err: err, Hint: synapse.Advice(err),
			})
		}
	case synapse.Classify(err) == synapse.Unauthorized:
		p.Flow.StopFeeding(&item.RunError{
			Cause: item.CauseToken, Doing: "purge history", Err: err, Hint: synapse.Advice(err),
		})
	}
	return out
}
