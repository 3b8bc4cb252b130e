package pipeline

import (
	"context"
	"errors"
	"sync"
	"time"

	"synupkeep/connect"
	"synupkeep/internal/item"
	"synupkeep/internal/logging"
	"synupkeep/sinks"
)

// files are where a run is told of beside its output and the log. They are there before the first delete: what was deleted
// and cannot be told of is worse than a run that does not begin. Each is nil unless it was asked for.
type files struct {
	report   *sinks.Report
	outcomes *sinks.Outcomes
	metrics  *sinks.Metrics
	plan     *planOut
}

// createFiles creates what was asked for. What of it could be created is used also where something could not.
func (r *run) createFiles(ctx context.Context, started time.Time) (err error) {
	if path := r.cfg.Metrics; path != "" {
		if r.files.metrics, err = sinks.CreateMetrics(path); err != nil {
			return err
		}
		r.warnings = append(r.warnings, r.files.metrics.Warnings...)
	}
	if path := r.cfg.Report; path != "" {
		if r.files.report, err = sinks.CreateReport(path); err != nil {
			return err
		}
	}
	if path := r.cfg.Outcomes; path != "" {
		if r.files.outcomes, err = sinks.CreateOutcomes(ctx, path, started); err != nil {
			return err
		}
		r.files.outcomes.Redact = r.log.Redact
		r.files.outcomes.Failed = func(err error) { r.stop(err) } // in good order: what runs is finished
		r.files.outcomes.Lost = func(line string) {
			r.log.WithField("outcome", line).Error("this outcome is not in the file of --outcomes")
		}
		r.warnings = append(r.warnings, r.files.outcomes.Warnings...)
	}
	if err := r.createPage(); err != nil {
		return err
	}
	return r.createPlanOut()
}

// endOutcomes completes the file of outcomes. Where something hangs, it may be this file's disk.
func (r *run) endOutcomes() error {
	o := r.files.outcomes
	if o == nil {
		return nil
	}
	if !r.abandoned {
		return o.Close()
	}
	ended := make(chan error, 1)
	go func() { ended <- o.Close() }()
	patience := time.NewTimer(lastClose)
	defer patience.Stop()
	select {
	case err := <-ended:
		return err
	case <-patience.C:
		return connect.Failed("close the outcomes "+r.cfg.Outcomes, errors.New("the disk does not answer"), "Its last lines may be missing.")
	}
}

// tellFiles writes the files that hold the whole of a run. One that cannot be written is a failure of the run, and the last
// of them says so.
func (r *run) tellFiles(s *sinks.Summary) {
	r.tellPlan(s)
	r.tellPage(s)
	if r.files.report != nil {
		if err := r.files.report.Write(*s); err != nil {
			s.AddError(&item.RunError{Cause: item.CauseFailed, Doing: "write the report", Err: err})
			r.log.WithError(err).Error("the report could not be written")
		}
	}
	r.tellMetrics(s)
}

// tellMetrics writes the metrics. A run that another one keeps from its work leaves the file to that one: it did nothing, and
// what it says of that would hide how the last one that worked ended.
func (r *run) tellMetrics(s *sinks.Summary) {
	m := r.files.metrics
	if m == nil {
		return
	}
	var err error
	if s.Locked() {
		err = m.Abandon()
	} else {
		err = m.Write(*s)
	}
	if err != nil {
		s.AddError(err)
		r.log.WithError(err).Error("the metrics could not be written")
	}
}

// pinger tells a URL of begin and end. Nothing that happens to it matters to the run.
type pinger struct {
	ping  *sinks.Ping // nil: nobody asked for it
	log   *logging.Logger
	begun sync.WaitGroup
}

// lastClose is how long a file may take to close once something has hung.
const lastClose = 3 * time.Second

// lastPing is how long the end is told once everything is to stop at once.
const lastPing = 8 * time.Second

// startPing tells of the begin, while the run begins.
func (r *run) startPing(ctx context.Context) *pinger {
	p := &pinger{log: r.log}
	if !r.cfg.Ping.IsSet() {
		return p
	}
	var err error
	if p.ping, err = sinks.NewPing(r.cfg.Ping.Reveal(), Version()); err != nil {
		r.log.WithError(err).Warn("ping")
		return p
	}
	p.begun.Go(func() {
		if err := p.ping.Start(ctx); err != nil && ctx.Err() == nil {
			p.log.WithError(err).Warn("the URL of --ping could not be told that the run begins; the run goes on")
		}
	})
	return p
}

// end tells of the end, after it has been told of the begin. A hard stop gives it little time, and does not keep it from
// being told.
func (p *pinger) end(ctx context.Context, s sinks.Summary) {
	if p.ping == nil {
		return
	}
	defer p.ping.Close()
	p.begun.Wait()
	err := p.ping.End(ctx, s)
	if err != nil && ctx.Err() != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), lastPing)
		defer cancel()
		err = p.ping.End(ctx, s)
	}
	if err != nil {
		p.log.WithError(err).Warn("the URL of --ping could not be told how the run ended")
	}
}
