package pipeline

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"synupkeep/internal/flow"
	"synupkeep/internal/item"
	"synupkeep/internal/mediastore"
	"synupkeep/sources"
	"synupkeep/stages"
)

const (
	// driftBatch is how many suspects are looked up at once, for want of an index.
	driftBatch = 1000
	// previewPatience is how old a preview's row must be to count: Synapse deletes the file of a page when its answer expires, and
	// the row two days after it was made (url_previewer.py:817-853, 1.163.2).
	previewPatience = 72 * time.Hour
)

// drift compares the media store with the rows, tells of what does not fit together, and deletes what it is to delete.
func (r *run) drift(ctx context.Context) error {
	p := flow.New(ctx, r.feed)
	seen := &sources.Compared{}
	compare := sources.Drift{
		DB: r.db.Reader, Store: r.store, Retry: r.retry, Seen: seen, NoRows: r.noRows,
		Dirs: []string{r.cfg.StateDir, filepath.Dir(r.cfg.StateDir), r.cfg.MediaStore},
	}
	settle := r.settleDrift(p)

	workers := r.cfg.Media.DeleteConcurrency
	if r.cfg.Media.Limit > 0 { // then their order decides which go
		workers = 1
	}
	suspects := flow.From(p, gently(p, compare.Each))
	batches := flow.Batch(p, suspects, func() int { return driftBatch })
	found := flow.Expand(p, workers, batches, settle)
	flow.Drain(p, found, r.report)

	err := r.wait(p)
	r.log.WithField("flow", item.Drift).Infof("compared %d media on disk with %d rows", seen.Media.Load(), seen.Rows.Load())
	return err
}

func (r *run) settleDrift(p *flow.Pipeline) func(context.Context, []item.Suspect, func(item.Outcome) error) error {
	d := &stages.Drift{
		DB: r.db.Reader, Store: r.store, ServerName: r.serverName, Delete: map[item.Reason]bool{},
		Before: r.cutOffs[item.Drift], Planned: r.approved.mediaOf(item.Drift), Budget: stages.NewBudget(r.cfg.Media.Limit),
		Flow: p, Retry: r.retry, FileRetry: fileRetry(), Held: r.held,
		Doubt: func() error { return r.doubtDrift(p.Context()) },
	}
	for _, finding := range r.cfg.Drift.Delete {
		d.Delete[finding] = true
	}
	d.Uploads, d.Previews = earlier(d.Before, r.now.Add(-r.cfg.Drift.UploadLifetime)), earlier(d.Before, r.now.Add(-previewPatience))
	if r.plan == nil {
		d.Writer = r.db.Writer
		return d.Do
	}
	d.Note = r.plan.driftTakes
	return func(ctx context.Context, suspects []item.Suspect, emit func(item.Outcome) error) error {
		return d.Do(ctx, r.plan.unfinished(suspects), emit)
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// doubtDrift looks at the store again before rows are deleted for want of their files.
func (r *run) doubtDrift(ctx context.Context) error {
	for _, f := range mediaFlows([]item.Flow{item.Drift}) {
		if err := r.doubt(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

// noRows refuses to delete the files of all uploads: a database that knows of none is not that of this store.
func (r *run) noRows(pass mediastore.Pass) error {
	if pass != mediastore.LocalPass || len(r.cfg.Drift.Delete) == 0 {
		return nil
	}
	return &item.RunError{
		Cause: item.CauseRefused, Doing: "compare the media store " + r.store.Path() + " with the database",
		Err:  errors.New("there are files of uploads, and not one row of an upload in the database"),
		Hint: "Is it the database of this server, and restored whole? --drift report tells of the files without deleting them.",
	}
}
