// Package cron runs synupkeep again and again, by a schedule: it waits, runs, and says how the last run ended.
package cron

import (
	"context"
	"io"
	"math/rand/v2"
	"time"

	"github.com/sirupsen/logrus"

	"synupkeep/config"
	"synupkeep/internal/item"
	"synupkeep/internal/logging"
	"synupkeep/internal/printable"
)

// Run does one run, as pipeline.Run.
type Run func(ctx, feed context.Context, cfg *config.Config, log *logging.Logger, stdout io.Writer) []item.Cause

// longestSleep is after how long the clock is looked at again: a machine that was asleep, or whose clock was set, must not
// run hours late.
const longestSleep = 30 * time.Second

// daemon is the state of a cron.
type daemon struct {
	cfg    *config.Config
	log    *logging.Logger
	run    Run
	stdout io.Writer
	health *health
	// random is a number of 0 up to 1, 1 excluded.
	random func() float64
}

// With returns a command that runs by the schedule of its configuration until feed is done. What a run ends with is not
// the command's end: it is logged, shown by /health, and the next one comes. It returns the causes of a run only when that
// one was stopped with it.
func With(run Run) Run {
	return func(ctx, feed context.Context, cfg *config.Config, log *logging.Logger, stdout io.Writer) []item.Cause {
		d := &daemon{cfg: cfg, log: log, run: run, stdout: stdout, health: newHealth(), random: rand.Float64}
		server, err := d.health.serve(ctx, cfg.Cron.Listen, cfg.Metrics)
		if err != nil {
			log.WithError(err).Error("answer /health and /metrics at " + cfg.Cron.Listen + ": is another program there? See --listen")
			return []item.Cause{item.CauseFailed}
		}
		defer server.close()
		return d.all(ctx, feed)
	}
}

func (d *daemon) all(ctx, feed context.Context) []item.Cause {
	due := time.Now()
	if !d.cfg.Cron.RunNow {
		due = d.next(time.Now())
	}
	for {
		if !sleepUntil(feed, due) {
			d.log.Info("stopped while no run was at work")
			return nil
		}
		began := time.Now()
		causes := d.once(ctx, feed)
		if feed.Err() != nil {
			return causes
		}
		if missed := d.passedOver(began, time.Now()); missed > 0 {
			d.log.Warnf("the run took %s: %d times of the schedule fell into it and are passed over. --max-duration ends it before the next",
				printable.Duration(time.Since(began).Round(time.Second)), missed)
		}
		due = d.next(time.Now())
	}
}

// once does a run and remembers how it ended.
func (d *daemon) once(ctx, feed context.Context) []item.Cause {
	d.health.begin(time.Now())
	causes := d.run(ctx, feed, d.cfg, d.log, d.stdout)
	code := item.ExitCode(causes)
	d.health.end(time.Now(), code)
	log := d.log.WithField("exit_code", code)
	if code != 0 {
		log.Warn("the run ended with another exit code than 0; the next one comes all the same")
	}
	return causes
}

// next is when the next run begins.
func (d *daemon) next(after time.Time) time.Time {
	due := d.cfg.Cron.Schedule.Next(after)
	due = due.Add(time.Duration(d.random() * float64(d.cfg.Cron.Jitter)))
	d.log.WithFields(logrus.Fields{"at": due.Format(time.RFC3339)}).Info("waiting for the next run")
	d.health.wait(due)
	return due
}

// passedOver counts what fell due while a run was at work, up to a hundred.
func (d *daemon) passedOver(began, ended time.Time) (n int) {
	for at := d.cfg.Cron.Schedule.Next(began); at.Before(ended) && n < 100; at = d.cfg.Cron.Schedule.Next(at) {
		n++
	}
	return n
}

// sleepUntil waits for a time of the wall clock; it is false when ctx is done before.
func sleepUntil(ctx context.Context, at time.Time) bool {
	at = at.Round(0) // without the monotonic clock, which stands still while a machine sleeps
	for ctx.Err() == nil {
		left := at.Sub(time.Now().Round(0))
		if left <= 0 {
			return true
		}
		timer := time.NewTimer(min(left, longestSleep))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
	return false
}
