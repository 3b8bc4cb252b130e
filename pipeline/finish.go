package pipeline

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"

	"synupkeep/connect"
	"synupkeep/internal/item"
	"synupkeep/internal/journal"
	"synupkeep/stages"
)

// openJournal opens the journal of this server. Without a store of ours there is nothing to write down, and what an
// earlier run wrote down waits for one that has the store.
func (r *run) openJournal(context.Context) (err error) {
	if r.store == nil || r.plan != nil {
		return nil
	}
	name := r.journalName()
	var damage journal.Damage
	r.journal, damage, err = journal.Open(r.cfg.StateDir, name)
	switch {
	case errors.Is(err, journal.ErrInUse):
		return &item.RunError{
			Cause: item.CauseLocked, Doing: "open the journal", Err: err,
			Hint: "That run is on another database, or it would hold the lock: is that a copy of this server? Give each its own --state-dir.",
		}
	case err != nil:
		return connect.Failed("open the journal", err, "Give a directory that is ours to write in: --state-dir.")
	}
	r.warnings = append(r.warnings, damageWarnings(r.cfg.StateDir+"/"+name, damage)...)
	return nil
}

// journalName differs between servers: two may share a state directory.
func (r *run) journalName() string { return "journal-" + url.PathEscape(r.serverName) + ".jsonl" }

func damageWarnings(path string, damage journal.Damage) (warnings []string) {
	if damage.Lines > 0 {
		warnings = append(warnings, fmt.Sprintf("lines of the journal %s that were damaged and are passed over: %d. "+
			"Files of media whose rows are gone may stay behind for that. Is the disk in order?", path, damage.Lines))
	}
	if damage.Cut {
		warnings = append(warnings, fmt.Sprintf("the last line of the journal %s was cut short, as when a run is killed while it "+
			"writes. That loses nothing: what it would have said was not acted upon", path))
	}
	return warnings
}

// finish deletes the files of rows that an earlier run had deleted when it ended early. It reads the journal batch by
// batch: after a night on a disk that failed it may be long.
func (r *run) finish(ctx context.Context) error {
	if r.journal == nil {
		return nil
	}
	f := stages.Finish{
		DB: r.db.Writer, Store: r.store, Journal: r.journal, Retry: r.retry, FileRetry: fileRetry(), Stopping: r.stopped,
	}
	for _, batch := range r.journal.Batches() {
		if r.stopped() {
			return nil
		}
		if !slices.Contains(r.cfg.Flows, batch.Flow) {
			continue // nobody has looked whether its part of the store is there
		}
		if err := r.finishBatch(ctx, f, batch); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) finishBatch(ctx context.Context, f stages.Finish, batch journal.Batch) error {
	if err := r.held(ctx); err != nil {
		return err
	}
	const doing = "finish what an earlier run began"
	rows, err := r.journal.Rows(batch.ID)
	if err != nil {
		return connect.Failed(doing, err, "Is the disk in order that --state-dir is on?")
	}
	finished := 0
	err = f.Do(ctx, batch, rows, func(out item.Outcome) error {
		if out.Status == item.Done {
			finished++
		}
		return r.record(out) // no plan knew of it, so no limit is compared with it
	})
	if err != nil && r.stopped() {
		return nil // it stays in the journal
	}
	if err != nil {
		return connect.Failed(doing, err, connect.DatabaseHint(err))
	}
	if finished > 0 {
		r.log.WithField("flow", batch.Flow).Infof("finished what an earlier run began: files of %d media whose rows were gone", finished)
	}
	return nil
}
