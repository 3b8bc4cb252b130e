package pipeline

import (
	"context"
	"io"
	"slices"
	"time"

	"github.com/sirupsen/logrus"

	"synupkeep/config"
	"synupkeep/internal/item"
	"synupkeep/sinks"
)

// report is where every outcome of a flow ends.
func (r *run) report(_ context.Context, o item.Outcome) error {
	r.watchCeilings(o)
	r.board.Flow(o.Flow).Ended(o)
	return r.record(o)
}

// record counts an outcome and logs it.
func (r *run) record(o item.Outcome) error {
	r.tally.Add(o)
	if r.plan != nil {
		return r.plan.outcome(o)
	}
	if r.files.outcomes != nil {
		r.files.outcomes.Add(o)
	}
	log := r.log.With(logrus.Fields{"flow": o.Flow, "item": o.Key})
	if o.Reason != "" {
		log = log.With(logrus.Fields{"reason": o.Reason})
	}
	if o.PurgeID != "" {
		log = log.With(logrus.Fields{"purge_id": o.PurgeID})
	}
	switch o.Status {
	case item.Failed:
		log.WithError(o.Err).Error("failed")
	case item.Done:
		log.WithFields(logrus.Fields{"rows": o.Rows, "files": o.Files, "bytes": o.Bytes, "took": o.Took.Round(time.Millisecond).String()}).
			Debug("done")
	case item.Kept, item.Skipped, item.Left:
		log.Trace(string(o.Status))
	}
	return nil
}

// summary is what the run has to say, err being what ended it.
func (r *run) summary(started time.Time, err error) sinks.Summary {
	s := r.tally.Summary()
	s.Version, s.Command = Version(), string(r.cfg.Command)
	s.Started, s.Ended = started, time.Now()
	s.Warnings = slices.Clone(r.cfg.Warnings)
	if r.approved != nil {
		s.Approved = &sinks.PlanMade{File: r.approved.path, Made: r.approved.MadeAt}
	}
	if r.settled() {
		s.ServerName, s.ServerVersion = r.serverName, r.serverVersion
		s.Warnings = append(s.Warnings, r.warnings...)
	}
	r.looked.tell(&s)
	s.Warnings = append(s.Warnings, r.media.warnings()...)
	s.AddError(err)
	s.AddError(causeOf(r.feed))
	return s
}

// tell writes the summary wherever it was asked for, the files first: whoever reads the log may have gone to sleep. It
// returns what became of it: a file that cannot be written is a failure of the run.
func (r *run) tell(s sinks.Summary, stdout io.Writer) sinks.Summary {
	r.tellFiles(&s)
	for _, e := range s.Errors {
		if e.Wanted() {
			continue // it was said when it came
		}
		r.log.WithField("hint", e.Hint).Error(e.Text())
	}
	write := sinks.WriteTable
	switch {
	case r.cfg.JSON:
		write = sinks.WriteJSON
	case r.cfg.Quiet && r.plan == nil: // a plan is made to be read
		write = func(io.Writer, sinks.Summary) error { return nil }
	}
	if err := write(stdout, s); err != nil {
		s.AddCause(item.CauseFailed)
		r.log.WithError(err).Error("the summary could not be printed")
		r.tellMetrics(&s)
	}
	if s.ExitCode == 0 {
		r.log.Success(string(r.cfg.Command) + " complete")
	}
	return s
}

// Version is the version of this program as its build tells it.
func Version() string { return config.Version() }
