package pipeline

import (
	"context"
	"fmt"

	"synupkeep/connect"
	"synupkeep/internal/flow"
	"synupkeep/internal/item"
	"synupkeep/internal/journal"
	"synupkeep/stages"
)

// make makes the plan of the command plan: what a run does, with nothing to do it with.
func (r *run) make(ctx context.Context) error {
	if err := r.prepare(func() {}); err != nil {
		return err
	}
	close(r.prepared)
	if err := r.beginPlanOut(ctx); err != nil {
		return err
	}
	if r.store != nil {
		r.plan.measure = func(p *flow.Pipeline) *stages.Measure {
			return &stages.Measure{Store: r.store, Retry: fileRetry(), Flow: p}
		}
	}
	r.plan.note = r.newNoted(ctx)
	var err error
	if r.cfg.Max.Any() {
		r.board.Phase("reading how much there is, to compare the plan with the limits")
		if r.ceilings, err = r.readCeilings(r.feed); err != nil && !r.stopped() {
			return connect.Failed("read how much there is to compare the plan with", err, connect.DatabaseHint(err))
		}
	}
	r.stockBefore()
	r.board.Phase("looking at what an earlier run began")
	if err := r.countFinish(ctx); err != nil {
		return err
	}
	r.board.Phase("")
	err = r.flows(ctx)
	r.board.Phase("looking up what the rooms are called, and what to warn of")
	r.nameRooms(ctx)
	r.warnOfPlan(ctx)
	if err == nil && !r.stopped() {
		err = tooLarge(r.ceilings)
	}
	return err
}

// sayAtWork stands where the lock is taken: a plan may be made beside a run, and is then out of date at once.
func (r *run) sayAtWork(ctx context.Context) error {
	who, held, err := r.db.Holder(ctx)
	if err != nil {
		return connect.Failed("ask whether a run is at work", err, connect.DatabaseHint(err))
	}
	if held {
		r.warnings = append(r.warnings, "a run is at work ("+who+"): what it deletes meanwhile may still be in this plan")
	}
	return nil
}

// countFinish counts what an earlier run began and the next one finishes, and says so. The journal stays as it is.
func (r *run) countFinish(ctx context.Context) error {
	if r.store == nil {
		return nil
	}
	const doing = "look at what an earlier run began"
	peek, damage, err := journal.Look(r.cfg.StateDir, r.journalName())
	if err != nil {
		return connect.Failed(doing, err, "May uid and mode of --state-dir keep us from reading it? A run needs to write there.")
	}
	defer peek.Close()
	r.looked.warn(damageWarnings(r.cfg.StateDir+"/"+r.journalName(), damage)...)
	count := stages.CountFinish{DB: r.db.Reader, Store: r.store, Retry: r.retry, FileRetry: fileRetry(), Stopping: r.stopped}
	found := 0
	for _, batch := range peek.Batches() {
		if r.stopped() || !r.has(batch.Flow) {
			continue
		}
		rows, err := peek.Rows(batch.ID)
		if err == nil {
			err = count.Do(ctx, batch.Flow, rows, func(o item.Outcome) error {
				found++
				r.plan.finishes(o)
				return r.record(o) // as in a run, no limit is compared with it
			})
		}
		if err != nil && !r.stopped() {
			return connect.Failed(doing, err, "Is a run at work? Then make the plan when it has ended.")
		}
	}
	if found > 0 {
		r.looked.warn(fmt.Sprintf("an earlier run ended before its time: files of %d media whose rows it had deleted are still there. "+
			"The next run deletes them, they are in the numbers", found))
	}
	return nil
}
