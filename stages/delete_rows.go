package stages

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"synupkeep/internal/item"
	"synupkeep/internal/postgres"
	"synupkeep/internal/retry"
)

// Transactor begins transactions that may write.
type Transactor interface {
	Querier
	Begin(ctx context.Context) (pgx.Tx, error)
}

// DeleteRows deletes media rows in batches, one transaction each, and only those that are still eligible then.
type DeleteRows struct {
	DB     Transactor
	Ramp   *Ramp
	Budget *Budget
	Retry  retry.Policy
	Flow   Stopper

	sql statements
}

// NewDeleteLocal deletes rows of uploads. position is the server's at the time before the protected set was read.
func NewDeleteLocal(d DeleteRows, cutOff time.Time, serverName string, position int64) *DeleteRows {
	d.sql = localRows(cutOff, serverName, position)
	return &d
}

// NewDeleteRemote deletes rows of cached remote media.
func NewDeleteRemote(d DeleteRows, cutOff time.Time) *DeleteRows {
	d.sql = remoteRows(cutOff)
	return &d
}

// NewDeletePreviews deletes rows of URL previews.
func NewDeletePreviews(d DeleteRows, cutOff time.Time) *DeleteRows {
	d.sql = previewRows(cutOff)
	return &d
}

// Deletion is media whose row is gone and whose files are to follow.
type Deletion struct {
	item.Media
	Began time.Time
	Batch *Batch
	Tries int
}

// Do deletes the rows of a batch. gone gets what was deleted, rest the outcome of everything else.
func (d *DeleteRows) Do(ctx context.Context, media []item.Media, gone func(Deletion) error, rest func(item.Outcome) error) error {
	began := time.Now()
	batch, err := d.Ramp.Begin(ctx)
	if err != nil {
		return err
	}
	granted := 0
	why := item.Stopped
	if !d.Flow.Stopping() {
		granted, why = d.Budget.TakeUpTo(len(media)), item.Limit
	}
	todo := media[:granted]
	deleted, tries, err := d.delete(ctx, todo)
	if err != nil {
		d.stop(err)
	}
	d.Budget.GiveBack(granted - len(deleted))
	batch.Expect(len(deleted))
	reasons := d.reasons(ctx, todo, deleted, err)
	for _, m := range todo {
		if file, ok := deleted[keyOf(m)]; ok {
			m.FileID = file
			err = gone(Deletion{Media: m, Began: began, Batch: batch, Tries: tries})
		} else {
			err = rest(reasons(m))
		}
		if err != nil {
			return err
		}
	}
	for _, m := range media[granted:] {
		if err := rest(left(m.Flow, m.Key(), why)); err != nil {
			return err
		}
	}
	return nil
}

// delete returns the names of the files of the rows that are gone. An error may come beside rows that are gone.
func (d *DeleteRows) delete(ctx context.Context, media []item.Media) (gone map[key]string, tries int, err error) {
	gone = map[key]string{}
	if len(media) == 0 {
		return gone, 0, nil
	}
	pending := media
	var unsure map[key]string // deleted in a transaction whose end we do not know
	tries, err = d.Retry.Do(ctx, func() error {
		if len(unsure) > 0 {
			there, err := d.keys(ctx, d.sql.there, media, false)
			if err != nil {
				return err
			}
			for k, file := range unsure {
				if !there[k] {
					gone[k] = file
				}
			}
			unsure, pending = nil, without(media, gone)
		}
		found, committed, err := d.transact(ctx, pending)
		if err != nil {
			unsure = found
			return err
		}
		if committed {
			for k, file := range found {
				gone[k] = file
			}
		}
		return nil
	}, postgres.Again)
	if err != nil {
		err = fmt.Errorf("delete %d media rows: %w", len(pending), err)
	}
	return gone, tries, err
}

func without(media []item.Media, gone map[key]string) []item.Media {
	var rest []item.Media
	for _, m := range media {
		if _, ok := gone[keyOf(m)]; !ok {
			rest = append(rest, m)
		}
	}
	return rest
}

// transact deletes in one transaction. After an error of the commit the rows returned may be gone or not. Once begun, a
// hard stop does not tear the transaction apart: it takes milliseconds, and the statement timeout bounds it.
func (d *DeleteRows) transact(ctx context.Context, media []item.Media) (found map[key]string, committed bool, err error) {
	if len(media) == 0 {
		return nil, true, nil
	}
	if err := context.Cause(ctx); err != nil {
		return nil, false, err
	}
	ctx = context.WithoutCancel(ctx)
	tx, err := d.DB.Begin(ctx)
	if err != nil {
		return nil, false, err
	}
	defer func() { _ = tx.Rollback(ctx) }() // nothing to roll back after a commit
	rows, err := tx.Query(ctx, d.sql.remove, d.args(media)...)
	if err != nil {
		return nil, false, err
	}
	found = make(map[key]string, len(media))
	var k key
	var file string
	if _, err := pgx.ForEachRow(rows, []any{&k.origin, &k.id, &file}, func() error {
		found[k] = file
		return nil
	}); err != nil {
		return nil, false, err
	}
	if err := tx.Commit(ctx); err != nil {
		return found, false, err
	}
	return found, true, nil
}

func (d *DeleteRows) args(media []item.Media) []any {
	origins, ids := make([]string, len(media)), make([]string, len(media))
	for i, m := range media {
		origins[i], ids[i] = m.Origin, m.ID
	}
	return append([]any{origins, ids}, d.sql.args...)
}

func (d *DeleteRows) keys(ctx context.Context, query string, media []item.Media, all bool) (map[key]bool, error) {
	args := d.args(media)
	if !all {
		args = args[:2]
	}
	rows, err := d.DB.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	found := map[key]bool{}
	var k key
	_, err = pgx.ForEachRow(rows, []any{&k.origin, &k.id}, func() error {
		found[k] = true
		return nil
	})
	return found, err
}

// reasons says why the rows that were not deleted were not: locked by the server, no longer what they were, or failed.
func (d *DeleteRows) reasons(ctx context.Context, media []item.Media, gone map[key]string, failure error) func(item.Media) item.Outcome {
	var locked map[key]bool
	if failure == nil && len(gone) < len(media) {
		// An error only leaves it open which of the two it was.
		locked, _ = d.keys(ctx, d.sql.eligible, without(media, gone), true)
	}
	return func(m item.Media) item.Outcome {
		out := item.Outcome{Flow: m.Flow, Key: m.Key(), Status: item.Skipped, Reason: item.Changed}
		switch {
		case failure != nil:
			out.Status, out.Reason, out.Err = item.Failed, "", failure
		case locked[keyOf(m)]:
			out.Reason = item.InUse
		}
		return out
	}
}

// stop ends the flow when the database is what failed.
func (d *DeleteRows) stop(err error) {
	var away *retry.UnavailableError
	if errors.As(err, &away) {
		d.Flow.StopFeeding(&item.RunError{
			Cause: item.CauseFailed, Doing: "delete media rows", Err: err,
			Hint: "Is PostgreSQL running? The next run goes on where this one ended.",
		})
	}
}
