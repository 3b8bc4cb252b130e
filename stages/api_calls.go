package stages

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"synupkeep/internal/item"
	"synupkeep/internal/postgres"
	"synupkeep/internal/retry"
	"synupkeep/internal/synapse"
)

// MediaAPI deletes media through Synapse. A plan has none.
type MediaAPI interface {
	DeleteMedia(ctx context.Context, serverName, mediaID string) (deleted bool, err error)
	PurgeMediaCache(ctx context.Context, before time.Time) (deleted int64, err error)
}

// Turn is held while Synapse is asked to delete media, by one flow at a time: it deletes on the thread that answers
// everybody else.
type Turn struct {
	slot chan struct{}
	// unanswered is a call that Synapse may still be at; then nobody has a turn any more.
	unanswered atomic.Pointer[string]
}

// NewTurn returns a Turn that nobody holds.
func NewTurn() *Turn { return &Turn{slot: make(chan struct{}, 1)} }

func (t *Turn) take(ctx context.Context) error {
	select {
	case t.slot <- struct{}{}:
		return context.Cause(ctx)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (t *Turn) give() { <-t.slot }

// APICalls is what the flows have in common that delete media through the admin API: one call at a time, and none while
// an earlier one may still be under way, because Synapse goes on with what nobody waits for any more.
type APICalls struct {
	DB     postgres.Querier
	API    MediaAPI
	Turn   *Turn
	Budget *Budget
	Retry  retry.Policy
	Flow   Stopper
	// Held is asked before each call whether the run's lock is still held; its error stops the flow.
	Held func(context.Context) error
	// Quiet is how long nothing may happen after a call without an answer before it is given up; Longest is how long it
	// is waited for at most.
	Quiet, Longest time.Duration
	// Unanswered is told of a call of which it is not known whether the server is still at it.
	Unanswered func(call string)
}

// askedAPI is what became of a call, over all its tries.
type askedAPI struct {
	deleted int64
	tries   int
	// mayRun says that the server may still be at it.
	mayRun bool
	err    error
}

// ask makes a call, and again only where the server is not at the first one any more. before is asked before each try;
// its error ends it.
func (a *APICalls) ask(ctx context.Context, before func(context.Context) error, call func(context.Context) (int64, error)) askedAPI {
	var asked askedAPI
	again := synapse.Again()
	asked.tries, asked.err = a.Retry.Do(ctx, func() error {
		asked.mayRun = false
		if err := a.may(ctx); err != nil {
			return err
		}
		if err := before(ctx); err != nil {
			return err
		}
		if err := context.Cause(ctx); err != nil {
			return err
		}
		longer, cancel := outlast(ctx, answerGrace)
		defer cancel()
		began := time.Now()
		var err error
		asked.deleted, err = call(longer)
		asked.mayRun = err != nil && synapse.MayRun(err, time.Since(began))
		return err
	}, func(err error) (bool, time.Duration) {
		if asked.mayRun {
			return false, 0
		}
		if synapse.IsAnswer(err) {
			return again(err)
		}
		return postgres.Again(err)
	})
	return asked
}

// stillRuns notes a call that Synapse may still be at: it is the last one of the run.
func (a *APICalls) stillRuns(call string) {
	a.Turn.unanswered.Store(&call)
	a.Unanswered(call)
	a.Flow.StopFeeding(stillRuns(call))
}

func stillRuns(call string) error {
	return &item.RunError{
		Cause: item.CauseFailed, Doing: "delete media through the admin API",
		Err: errors.New(call + " was not answered, and the server may still be at it"),
		Hint: "Nothing more is asked for meanwhile, the next run goes on. Does a proxy before Synapse give up early? " +
			"A smaller --batch-size makes shorter calls.",
	}
}

// may says whether another call may be made.
func (a *APICalls) may(ctx context.Context) error {
	if call := a.Turn.unanswered.Load(); call != nil {
		a.Flow.StopFeeding(stillRuns(*call))
		return errStopping
	}
	return mayBegin(ctx, a.Flow, a.Held)
}

// await waits for a call without an answer until look finds nothing left of what was asked for. It returns false when
// that did not come: the server may still be at it, or have been interrupted.
func (a *APICalls) await(ctx context.Context, look func(context.Context) (left int, err error)) bool {
	began, moved, last := time.Now(), time.Now(), -1
	for pause := firstPoll; ; pause = min(pause*3/2, 2*time.Second) {
		left, err := look(ctx)
		if err == nil && left == 0 {
			return true
		}
		if err == nil && left != last {
			moved, last = time.Now(), left
		}
		if a.Flow.Stopping() || time.Since(moved) > a.Quiet || time.Since(began) > a.Longest {
			return false
		}
		if sleep(ctx, pause) != nil {
			return false
		}
	}
}

// stop ends the flow for an error that every further call would meet as well; it says whether this is one.
func (a *APICalls) stop(err error) bool {
	var away *retry.UnavailableError
	var refused *pgconn.PgError
	var ours *item.RunError
	end := &item.RunError{Cause: item.CauseFailed, Doing: "delete media through the admin API", Err: err, Hint: synapse.MediaAdvice(err)}
	switch {
	case errors.As(err, &ours):
		end = ours
	case errors.As(err, &away):
		if end.Hint == "" {
			end.Hint = "Is PostgreSQL running?"
		}
		end.Hint += " The next run goes on where this one ended."
	case errors.As(err, &refused):
		end.Hint = "PostgreSQL refuses to tell whether the media may go."
	case synapse.Classify(err) == synapse.Unauthorized:
		end.Cause = item.CauseToken
	case unrecognized(err):
	default:
		return false
	}
	a.Flow.StopFeeding(end)
	return true
}

func unrecognized(err error) bool {
	var refused *synapse.Error
	return errors.As(err, &refused) && refused.Code == "M_UNRECOGNIZED"
}

// notTheServers is the error of a server that did not do to the database what it says.
func notTheServers(what string) error {
	return &item.RunError{
		Cause: item.CauseRefused, Doing: "compare the database with the server", Err: errors.New(what),
		Hint: "The connection string leads to a copy of the server's database, or to another server's. Nothing else was begun.",
	}
}

const (
	// After this many media in a row whose files the server could not delete, it cannot delete any.
	mostStuck = 100
	mediaKept = "the server could not delete its file, so it keeps the row; its log says why (Failed to remove file)"
)

// errStuck is the error of a server that could not delete one of so many media.
func errStuck(doing string, media int) error {
	return &item.RunError{
		Cause: item.CauseRefused, Doing: doing, Err: fmt.Errorf("of the last %d media the server could not delete one", media),
		Hint: "May the user that Synapse runs as delete in its own media store? Its log says what failed (Failed to remove file).",
	}
}
