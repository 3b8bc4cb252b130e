// Package usage is the command usage: it shows what uses the space of a homeserver, and for cut-offs from a day to five years
// how much would go. It reads the database, and nothing else; a standby will do. Each part is read by itself: one that fails
// does not take the others with it.
package usage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"synupkeep/config"
	"synupkeep/connect"
	"synupkeep/internal/item"
	"synupkeep/internal/logging"
	"synupkeep/internal/postgres"
	"synupkeep/internal/printable"
	"synupkeep/internal/retry"
	"synupkeep/internal/synapse"
	"synupkeep/sinks"
	"synupkeep/sinks/page"
	"synupkeep/sources"
)

// statementTimeout is after how long the server gives up on one part.
const statementTimeout = 10 * time.Minute

// Run reads everything and shows it: the table or JSON on stdout, the report file. A part that cannot be read is named in the
// errors and makes the exit code 1. It changes nothing, so that a first signal ends it at once.
func Run(ctx, feed context.Context, cfg *config.Config, log *logging.Logger, stdout io.Writer) []item.Cause {
	r := newReader(cfg, log)
	return r.run(ctx, feed, stdout)
}

// reader is one look at a server.
type reader struct {
	cfg *config.Config
	log *logging.Logger

	db       *postgres.DB
	retry    retry.Policy
	features synapse.Features
	now      time.Time // the database's clock
	blocks   int64     // how much is drawn of a large table, 0 for the usual
	timeout  time.Duration
	parts    []part

	report *sinks.Report // nil where none was asked for
	page   *page.File

	usage sinks.Usage
}

func newReader(cfg *config.Config, log *logging.Logger) *reader {
	r := &reader{cfg: cfg, log: log, retry: retry.Policy{For: cfg.RetryFor}, timeout: statementTimeout}
	r.parts = r.allParts()
	r.usage.Version, r.usage.Redact = config.Version(), log.Redact
	return r
}

func (r *reader) run(ctx, feed context.Context, stdout io.Writer) []item.Cause {
	r.usage.Started = time.Now()
	err := r.createFiles()
	defer r.abandonFiles()
	if err == nil {
		// When ctx is done so is feed, and there is nothing to finish.
		err = errors.Join(r.read(feed), ended(feed), ended(ctx))
	}
	r.usage.AddError(err)
	return r.tell(stdout)
}

// createFiles makes sure before everything else that the files can be written: it takes a while.
func (r *reader) createFiles() (err error) {
	if r.cfg.Report != "" {
		r.report, err = sinks.CreateReport(r.cfg.Report)
	}
	if err == nil && r.cfg.HTML != "" {
		r.page, err = page.Create(r.cfg.HTML)
	}
	return err
}

// abandonFiles removes what was begun and not completed.
func (r *reader) abandonFiles() {
	var errs []error
	if r.report != nil {
		errs = append(errs, r.report.Abandon())
	}
	if r.page != nil {
		errs = append(errs, r.page.Abandon())
	}
	if err := errors.Join(errs...); err != nil {
		r.log.WithError(err).Warn("a file was left behind")
	}
}

// ended is why a context is done, nil while it is not.
func ended(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	var known *item.RunError
	if errors.As(context.Cause(ctx), &known) {
		return known
	}
	return connect.Failed("stopped", context.Cause(ctx), "")
}

// part is one of the things that are shown.
type part struct {
	name string
	read func(context.Context) error
}

func (r *reader) allParts() []part {
	return []part{
		{"the tables", r.tables},
		{"local media and previews", r.localMedia},
		{"remote media", r.remoteMedia},
		{"the answers of previews", r.urlCache},
		{"the age of messages", r.messages},
		{"the history of rooms", r.history},
		{"the state groups of rooms", r.stateGroups},
		{"the media of rooms", r.roomMedia},
		{"what purges have left", r.leftovers},
	}
}

// read returns an error when nothing could be read at all; those of parts are in the usage.
func (r *reader) read(ctx context.Context) error {
	if err := r.open(ctx); err != nil {
		return err
	}
	defer r.db.Close()
	for _, p := range r.parts {
		r.log.Info("reading " + p.name)
		begun := time.Now()
		err := p.read(ctx)
		if ctx.Err() != nil {
			return nil // which is told once
		}
		if err == nil {
			r.log.WithField("took", time.Since(begun).Round(time.Millisecond).String()).Debug("read " + p.name)
			continue
		}
		r.usage.AddError(connect.Failed("read "+p.name, err, r.hint(err)))
		var away *retry.UnavailableError
		if errors.As(err, &away) {
			r.usage.Warnings = append(r.usage.Warnings, "the database went away while reading "+p.name+": what comes after it was not read")
			return nil
		}
	}
	return nil
}

// hint says what to do about a part that could not be read.
func (r *reader) hint(err error) string {
	var refused interface{ SQLState() string }
	state := ""
	if errors.As(err, &refused) {
		state = refused.SQLState()
	}
	switch state {
	case "57014":
		return fmt.Sprintf("The database gave up after %s. Is it busy, are its statistics old (ANALYZE)? A standby can be asked instead.", printable.Duration(r.timeout))
	case "42501":
		return "Connect as the role that Synapse uses, or GRANT SELECT on what it names (against row-level security: BYPASSRLS)."
	case "55P03":
		return "Something holds a lock on a table, such as VACUUM FULL or a REINDEX: try again when it has ended."
	case "40001":
		return "A standby ends queries that stand in the way of what it replays: see max_standby_streaming_delay, or ask the primary."
	}
	return connect.DatabaseHint(err)
}

// space is what the sources read from.
func (r *reader) space() sources.Space {
	return sources.Space{DB: r.db.Reader, Now: r.now, Top: r.cfg.Top, Blocks: r.blocks, Retry: r.retry}
}

// tell writes the usage wherever it was asked for. The report is written last of the files, so that it names what went wrong
// with the page.
func (r *reader) tell(stdout io.Writer) []item.Cause {
	u := &r.usage
	u.Ended = time.Now()
	if r.page != nil && u.Database != nil {
		u.AddError(r.page.WriteUsage(*u))
	}
	if r.report != nil {
		u.AddError(r.report.WriteUsage(*u))
	}
	for _, e := range u.Errors {
		if !e.Wanted() {
			r.log.WithField("hint", e.Hint).Error(e.Text())
		}
	}
	write := sinks.WriteUsage
	if r.cfg.JSON {
		write = sinks.WriteUsageJSON
	}
	if err := write(stdout, *u); err != nil {
		u.AddCause(item.CauseFailed)
		r.log.WithError(err).Error("the usage could not be printed")
	}
	return u.Causes
}
