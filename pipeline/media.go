package pipeline

import (
	"context"
	"errors"
	"iter"
	"time"

	"synupkeep/connect"
	"synupkeep/internal/flow"
	"synupkeep/internal/item"
	"synupkeep/internal/retry"
	"synupkeep/stages"
)

// mediaStages are what the three media flows have in common.
type mediaStages struct {
	run    *run
	flow   item.Flow
	p      *flow.Pipeline
	choose *stages.Choose
}

func (r *run) mediaStages(p *flow.Pipeline, f item.Flow) mediaStages {
	budget := stages.NewBudget(r.cfg.Media.Limit)
	choose := &stages.Choose{Protect: &stages.Protect{Budget: budget, Flow: p, Planned: r.approved.mediaOf(f)}, Check: stages.CheckName, Budget: budget}
	if r.store != nil {
		files := stages.CheckFiles{Store: r.store}
		choose.Check = files.Do
	}
	return mediaStages{run: r, flow: f, p: p, choose: choose}
}

// stillThere leaves out, in a plan, the rows that drift would have deleted before.
func (s mediaStages) stillThere(source flow.Source[item.Media]) flow.Source[item.Media] {
	return func(ctx context.Context) iter.Seq2[item.Media, error] {
		return func(yield func(item.Media, error) bool) {
			for m, err := range source(ctx) {
				if err == nil && !s.run.plan.leaves(m) {
					continue
				}
				if !yield(m, err) {
					return
				}
			}
		}
	}
}

// deletable leaves out what is protected, what could not be deleted and what is beyond the limit.
func (s mediaStages) deletable(old <-chan item.Media) (deletable <-chan item.Media, rest <-chan item.Outcome) {
	if s.run.cfg.Media.Limit > 0 || s.run.store == nil { // without a disk there is nothing to wait for
		return flow.Fork(s.p, 1, old, s.choose.InOrder)
	}
	unprotected, kept := flow.Fork(s.p, 1, old, s.choose.Unprotected)
	deletable, stuck := flow.Fork(s.p, s.run.cfg.Media.DeleteConcurrency, unprotected, s.choose.Deletable)
	return deletable, flow.Merge(s.p, kept, stuck)
}

// rowsThenFiles deletes the rows of media in batches, then their files in parallel. In a plan it only counts.
func (s mediaStages) rowsThenFiles(deletable <-chan item.Media, of deleterOf) (gone, rest <-chan item.Outcome) {
	r, p := s.run, s.p
	if r.plan != nil {
		return flow.Map(p, r.cfg.Media.DeleteConcurrency, deletable, r.plan.mediaCounter(p)), flow.Merge[item.Outcome](p)
	}
	ramp := stages.NewRamp(r.cfg.Media.BatchSize, p)
	ramp.Doubt = func() error { return r.doubt(p.Context(), s.flow) }
	rows := of(stages.DeleteRows{
		DB: r.db.Writer, Ramp: ramp, Budget: s.choose.Budget, Retry: r.retry, Flow: p, Journal: r.journal, Held: r.held,
	})
	files := stages.DeleteFiles{Store: r.store, Retry: fileRetry(), Stopping: p.Stopping}
	batches := flow.Batch(p, deletable, ramp.Size)
	rowless, rest := flow.Fork(p, 1, batches, s.deletingRows(rows))
	return flow.Map(p, r.cfg.Media.DeleteConcurrency, rowless, s.deletingFiles(&files)), rest
}

// deleterOf makes of what the flows have in common what deletes the rows of one.
type deleterOf func(stages.DeleteRows) *stages.DeleteRows

// fileRetry: what ails a file system for a moment is over in seconds or needs a person.
func fileRetry() retry.Policy {
	return retry.Policy{For: 15 * time.Second, First: 50 * time.Millisecond, Most: 3 * time.Second}
}

// gently lets an error of the source stop the flow softly: rows that are gone must be followed by their files.
func gently[T any](p *flow.Pipeline, source flow.Source[T]) flow.Source[T] {
	return func(ctx context.Context) iter.Seq2[T, error] {
		return func(yield func(T, error) bool) {
			for m, err := range source(ctx) {
				if err != nil {
					var known *item.RunError
					if !errors.As(err, &known) {
						err = connect.Failed("read which media is past the cut-off", err, connect.DatabaseHint(err))
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
