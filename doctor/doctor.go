package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"synupkeep/config"
	"synupkeep/internal/item"
	"synupkeep/internal/logging"
	"synupkeep/internal/mediastore"
	"synupkeep/internal/postgres"
	"synupkeep/internal/printable"
	"synupkeep/internal/synapse"
)

// exam is what is known of the server. Each check gets a copy, and tells through its finding what it learnt.
type exam struct {
	cfg *config.Config
	log *logging.Logger

	db      *postgres.DB // nil without one
	now     time.Time    // the database's clock when it was opened
	standby bool

	features    synapse.Features
	knowsSchema bool

	api           *synapse.Client // nil if there is no address to ask
	answers       bool            // the admin API does
	version       synapse.Version
	serverVersion string
	user          string // whose the token is; empty unless an admin's
	serverName    string

	store *mediastore.Store // nil without one that we use

	world  world
	limits limits
}

// Run is synupkeep doctor. It returns why its exit code should be other than 0. When feed is done no check is begun any more,
// and the one under way ends.
func Run(ctx, feed context.Context, cfg *config.Config, log *logging.Logger, stdout io.Writer) []item.Cause {
	e := &exam{cfg: cfg, log: log, world: realWorld(), limits: usual()}
	return e.run(ctx, feed, stdout, checks())
}

func (e *exam) run(ctx, feed context.Context, stdout io.Writer, all []check) []item.Cause {
	stopping, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	defer context.AfterFunc(feed, func() { stop(context.Cause(feed)) })()

	findings := report{Checked: time.Now().UTC()}
	for _, c := range all {
		began := time.Now()
		f := e.make(stopping, c)
		if f.learn != nil {
			f.learn(e)
		}
		findings.add(c.name, f, time.Since(began))
	}
	e.close()
	causes := findings.causes(context.Cause(stopping))
	findings.complete(e, item.ExitCode(causes))
	findings.redact(e.log.Redact)
	if err := findings.write(stdout, e.cfg); err != nil {
		e.log.WithError(err).Error("what was found could not be written")
		causes = append(causes, item.CauseFailed)
	}
	return item.SortCauses(causes)
}

// make makes one check.
func (e *exam) make(ctx context.Context, c check) finding {
	if ctx.Err() != nil {
		return notChecked("doctor was stopped before")
	}
	for _, missing := range c.needs {
		if why := missing(e); why != "" {
			return notChecked(why)
		}
	}
	f := bounded(ctx, c, *e)
	if ctx.Err() != nil && f.result != OK {
		return notChecked("doctor was stopped meanwhile")
	}
	return f
}

// lateness is how long a check may take to notice that its time is up. What then still waits, for a disk that does not answer
// mostly, is left behind.
const lateness = 2 * time.Second

// bounded makes a check within its time, whatever it does.
func bounded(ctx context.Context, c check, e exam) finding {
	limit := c.limit
	if limit == 0 {
		limit = e.limits.check
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("no answer within %s", printable.Duration(limit)))
	defer cancel()
	done := make(chan finding, 1)
	go func() {
		defer func() {
			if broke := recover(); broke != nil {
				done <- finding{
					result: Failure, found: fmt.Sprintf("the check itself broke off: %v", broke), means: "This is a mistake in synupkeep.",
					do: "Please report it.",
				}
			}
		}()
		done <- c.do(ctx, &e)
	}()
	select {
	case f := <-done:
		return inTime(ctx, f, limit)
	case <-ctx.Done():
	}
	select {
	case f := <-done:
		return inTime(ctx, f, limit)
	case <-time.After(lateness):
		return late(limit)
	}
}

// inTime tells an end that is due to the time being up from what was found.
func inTime(ctx context.Context, f finding, limit time.Duration) finding {
	if f.result != OK && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return late(limit)
	}
	return f
}

func late(limit time.Duration) finding {
	return finding{
		result: Failure, found: fmt.Sprintf("no answer within %s", printable.Duration(limit)), means: "What was asked is overloaded, or hangs.",
		do: "Look at the load of the machine that it is about, and run doctor again.",
	}
}

func (e *exam) close() {
	if e.api != nil {
		e.api.Close()
	}
	if e.store != nil {
		_ = e.store.Close() // it was only looked at
	}
	if e.db == nil {
		return
	}
	closed := make(chan struct{})
	go func() { defer close(closed); e.db.Close() }() // it waits for sessions that are in use
	select {
	case <-closed:
	case <-time.After(lateness):
	}
}

// causes are why the exit code is other than 0: a failure, or what stopped us.
func (r *report) causes(stopped error) []item.Cause {
	var causes []item.Cause
	var known *item.RunError
	if errors.As(stopped, &known) {
		causes = append(causes, known.Cause)
	}
	if slices.ContainsFunc(r.Checks, func(c result) bool { return c.Result == Failure }) {
		causes = append(causes, item.CauseItems)
	}
	return causes
}
