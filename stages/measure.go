package stages

import (
	"context"
	"fmt"
	"time"

	"synupkeep/internal/item"
	"synupkeep/internal/journal"
	"synupkeep/internal/mediastore"
	"synupkeep/internal/postgres"
	"synupkeep/internal/retry"
)

// Measurer says what a Remover would delete, and changes nothing.
type Measurer interface {
	Measure(ctx context.Context, kind mediastore.Kind, origin, fileID string) (mediastore.Removed, error)
}

// Measure stands where rows and then files are deleted, in a plan: it says what DeleteFiles would say, and does nothing.
type Measure struct {
	Store Measurer
	// Retry is for errors of the file system that go away.
	Retry retry.Policy
	Flow  Stopper
}

// Do measures the files of one media item. It returns no error.
func (f *Measure) Do(ctx context.Context, m item.Media) (item.Outcome, error) {
	if f.Flow.Stopping() {
		return leftMedia(m, item.Stopped), nil
	}
	out := ofMedia(m, item.Done, "")
	out.Rows, out.Length, out.ShownByEvent = 1, m.Bytes, m.ShownByEvent
	found, tries, err := measureFiles(ctx, f.Store, f.Retry, f.Flow.Stopping, m)
	out.Files, out.Missing, out.Bytes, out.Tries = found.Files, found.Missing, found.Bytes, tries
	switch {
	case err != nil && ctx.Err() != nil:
		out = leftMedia(m, item.Stopped)
	case err != nil:
		out.Status, out.Err = item.Failed, fmt.Errorf("its files could not all be deleted: %w", err)
	}
	return out, nil
}

func measureFiles(
	ctx context.Context, store Measurer, again retry.Policy, stopping func() bool, m item.Media,
) (found mediastore.Removed, tries int, err error) {
	tries, err = again.Do(ctx, func() (err error) {
		found, err = store.Measure(ctx, kindOf(m.Flow), m.Origin, m.FileID)
		return err
	}, func(err error) (bool, time.Duration) { return mediastore.IsTransient(err) && !stopping(), 0 })
	return found, tries, err
}

// CountFinish stands where Finish does, in a plan.
type CountFinish struct {
	DB    postgres.Querier
	Store Measurer
	// Retry is for the database, FileRetry for the disk.
	Retry, FileRetry retry.Policy
	Stopping         func() bool
}

// Do gives the outcomes that Finish would report of the rows of one batch of the journal.
func (c *CountFinish) Do(ctx context.Context, f item.Flow, rows []journal.Row, report func(item.Outcome) error) error {
	media := mediaOf(f, rows)
	var there map[key]bool
	_, err := c.Retry.Do(ctx, func() (err error) {
		there, err = stillThere(ctx, c.DB, media, false)
		return err
	}, postgres.Again)
	if err != nil {
		return fmt.Errorf("look whether the rows of the journal are gone: %w", err)
	}
	for _, m := range media {
		if there[keyOf(m)] {
			continue
		}
		if c.ends(ctx) {
			break // half a plan says so itself
		}
		out := ofMedia(m, item.Done, "")
		out.Finished = true
		found, tries, err := measureFiles(ctx, c.Store, c.FileRetry, c.Stopping, m)
		out.Files, out.Bytes, out.Tries = found.Files, found.Bytes, tries
		if err != nil {
			out.Status, out.Err = item.Failed, fmt.Errorf("its row was deleted by an earlier run, its files could not all be deleted: %w", err)
		}
		if out.Files == 0 && out.Status == item.Done {
			continue
		}
		if err := report(out); err != nil {
			return err
		}
	}
	return nil
}

func (c *CountFinish) ends(ctx context.Context) bool { return c.Stopping() || ctx.Err() != nil }
