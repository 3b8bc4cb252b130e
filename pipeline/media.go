package pipeline

import (
	"context"
	"errors"
	"iter"
	"time"

	"synupkeep/internal/flow"
	"synupkeep/internal/item"
	"synupkeep/internal/retry"
	"synupkeep/stages"
)

// mediaStages are what the three media flows have in common.
type mediaStages struct {
	protect *stages.Protect
	check   *stages.CheckFiles
	ramp    *stages.Ramp
	rows    stages.DeleteRows // the common part; each flow makes its own of it
	files   *stages.DeleteFiles
}

func (r *run) mediaStages(p *flow.Pipeline, f item.Flow) mediaStages {
	m := r.cfg.Media
	budget := stages.NewBudget(m.Limit)
	ramp := stages.NewRamp(m.BatchSize, p)
	ramp.Doubt = func() error { return r.doubt(p.Context(), f) }
	return mediaStages{
		protect: &stages.Protect{Budget: budget, Flow: p},
		check:   &stages.CheckFiles{Store: r.store},
		ramp:    ramp,
		rows:    stages.DeleteRows{DB: r.db.Writer, Ramp: ramp, Budget: budget, Retry: r.retry, Flow: p, Journal: r.journal, Held: r.held},
		files:   &stages.DeleteFiles{Store: r.store, Retry: fileRetry(), Stopping: p.Stopping},
	}
}

// rowsThenFiles deletes the rows of media in batches, then their files in parallel. In a plan it only counts.
func (r *run) rowsThenFiles(p *flow.Pipeline, s mediaStages, rows *stages.DeleteRows, deletable <-chan item.Media) (gone, rest <-chan item.Outcome) {
	if r.plan != nil {
		count := stages.Count{Budget: s.rows.Budget, Flow: p}
		return flow.Map(p, 1, deletable, count.Media), flow.Merge[item.Outcome](p)
	}
	batches := flow.Batch(p, deletable, s.ramp.Size)
	rowless, rest := flow.Fork(p, 1, batches, rows.Do)
	return flow.Map(p, r.cfg.Media.DeleteConcurrency, rowless, s.files.Do), rest
}

// fileRetry: what ails a file system for a moment is over in seconds or needs a person.
func fileRetry() retry.Policy {
	return retry.Policy{For: 15 * time.Second, First: 50 * time.Millisecond, Most: 3 * time.Second}
}

// unless forks on a decision: what has an outcome already goes to the report.
func unless(decide func(item.Media) (item.Outcome, bool)) func(context.Context, item.Media, func(item.Media) error, func(item.Outcome) error) error {
	return func(ctx context.Context, m item.Media, pass func(item.Media) error, keep func(item.Outcome) error) error {
		if ctx.Err() != nil {
			return pass(m) // what follows leaves it to the next run
		}
		if out, ok := decide(m); !ok {
			return keep(out)
		}
		return pass(m)
	}
}

// protecting forks on what is to stay.
func protecting(protect *stages.Protect) func(context.Context, item.Media, func(item.Media) error, func(item.Outcome) error) error {
	return func(_ context.Context, m item.Media, pass func(item.Media) error, keep func(item.Outcome) error) error {
		if out, ok := protect.Do(&m); !ok {
			return keep(out)
		}
		return pass(m)
	}
}

// gently lets an error of the source stop the flow softly: rows that are gone must be followed by their files.
func gently[T any](p *flow.Pipeline, source flow.Source[T]) flow.Source[T] {
	return func(ctx context.Context) iter.Seq2[T, error] {
		return func(yield func(T, error) bool) {
			for m, err := range source(ctx) {
				if err != nil {
					var known *item.RunError
					if !errors.As(err, &known) {
						err = failed("read which media is past the cut-off", err, databaseHint(err))
					}
					p.StopFeeding(err)
					return
				}
				if !yield(m, nil) {
					return
				}
			}
		}
	}
}
