package stages

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"synupkeep/internal/item"
	"synupkeep/internal/journal"
	"synupkeep/internal/postgres"
	"synupkeep/internal/retry"
)

// Transactor begins transactions that may write.
type Transactor interface {
	postgres.Querier
	Begin(ctx context.Context) (pgx.Tx, error)
}

// DeleteRows deletes media rows in batches, one transaction each, and only those that are still eligible then.
type DeleteRows struct {
	DB   Transactor
	Ramp *Ramp
	// Budget is what Choose took the media of; it gets back what was not deleted.
	Budget *Budget
	Retry  retry.Policy
	Flow   Stopper
	// Journal remembers the rows until their files are gone.
	Journal Journal
	// Held is asked before each transaction whether the run's lock is still held; its error stops the flow.
	Held func(context.Context) error

	sql  statements
	news News // nil where nothing is shown by its media id
}

// Journal is what the next run reads when this one does not come to its end. It is written between a deletion and its
// commit.
type Journal interface {
	Begin(flow item.Flow, rows []journal.Row) (id uint64, err error)
	// End strikes out what was begun, but for the rows that are left.
	End(id uint64, left []journal.Row) error
}

// NewDeleteLocal deletes rows of uploads, but for what news tells.
func NewDeleteLocal(d DeleteRows, cutOff time.Time, news News) *DeleteRows {
	d.sql, d.news = localRows(cutOff), news
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

// Do deletes the rows of a batch. gone gets what was deleted, rest the outcome of everything else. Once ctx is done no
// transaction is begun; one that is under way comes to its end.
func (d *DeleteRows) Do(ctx context.Context, media []item.Media, gone func(Deletion) error, rest func(item.Outcome) error) error {
	began := time.Now()
	batch, err := d.Ramp.Begin(ctx)
	if err != nil {
		return leave(media, item.Stopped, rest)
	}
	taken, stopped := media, media[:0]
	if d.Flow.Stopping() {
		taken, stopped = stopped, taken
	}
	f := d.delete(ctx, taken)
	d.bringBack(ctx, &f)
	d.stop(errors.Join(f.failure, f.afterwards))
	d.Budget.GiveBack(len(media) - len(f.gone))
	batch.Expect(len(f.gone), func(stuck []journal.Row) { d.settle(f, stuck) })
	reason := d.reasons(ctx, taken, f)
	for _, m := range taken {
		if file, ok := f.gone[keyOf(m)]; ok {
			delete(f.gone, keyOf(m)) // a source may have found it twice
			m.FileID = file
			err = gone(Deletion{Media: m, Began: began, Batch: batch, Tries: f.tries})
		} else {
			err = rest(reason(m))
		}
		if err != nil {
			return err
		}
	}
	return leave(stopped, item.Stopped, rest)
}

// leave leaves media to the next run.
func leave(media []item.Media, why item.Reason, rest func(item.Outcome) error) error {
	for _, m := range media {
		if err := rest(leftMedia(m, why)); err != nil {
			return err
		}
	}
	return nil
}

// settle strikes the batch out of the journal, but for what the next run has to finish.
func (d *DeleteRows) settle(f fate, stuck []journal.Row) {
	left := append(stuck, journalRows(f.unsure)...)
	for _, entry := range f.entries {
		if err := d.Journal.End(entry, left); err != nil {
			d.stop(journalError(err))
			return
		}
	}
}

func (d *DeleteRows) delete(ctx context.Context, media []item.Media) fate {
	f := fate{gone: map[key]string{}, saved: map[key]string{}}
	pending := media
	f.tries, f.failure = d.Retry.Do(ctx, func() error {
		if len(f.unsure) > 0 {
			if err := d.resolve(ctx, &f, media); err != nil {
				return err
			}
			pending = without(media, f.gone)
		}
		if err := mayBegin(ctx, d.Flow, d.Held); err != nil {
			return err
		}
		if len(pending) == 0 {
			return nil
		}
		found, entry, err := d.transact(ctx, pending, &f)
		if entry != 0 {
			f.entries = append(f.entries, entry)
		}
		if err != nil {
			f.unsure = found
			return err
		}
		maps.Copy(f.gone, found)
		return nil
	}, func(err error) (bool, time.Duration) {
		// Rows must not stay in doubt over an error of another kind: their files would stay for good.
		if len(f.unsure) > 0 {
			return true, 0
		}
		var ours *item.RunError // such as a journal on a full disk, whose error looks like one of the network
		if errors.As(err, &ours) {
			return false, 0
		}
		return postgres.Again(err)
	})
	if f.failure != nil {
		f.failure = fmt.Errorf("delete %d media rows: %w", len(pending), f.failure)
	}
	return f
}

// resolve finds out what became of the rows in doubt. The lock makes it wait for a transaction that the server has not
// ended yet, although our connection has.
func (d *DeleteRows) resolve(ctx context.Context, f *fate, media []item.Media) error {
	there, err := d.keys(ctx, d.sql.there, media, false)
	if err != nil {
		return err
	}
	for k, file := range f.unsure {
		if !there[k] {
			f.gone[k] = file
		}
	}
	f.unsure = nil
	return nil
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
	return selectKeys(ctx, d.DB, query, args...)
}

func selectKeys(ctx context.Context, db postgres.Querier, query string, args ...any) (map[key]bool, error) {
	rows, err := db.Query(ctx, query, args...)
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

// stop ends the flow when the database or the journal is what failed: what it refuses for one batch it will refuse for
// all of them.
func (d *DeleteRows) stop(err error) {
	var away *retry.UnavailableError
	var ours *item.RunError
	var refused *pgconn.PgError
	switch {
	case errors.As(err, &ours):
		d.Flow.StopFeeding(ours)
	case errors.As(err, &away):
		d.Flow.StopFeeding(&item.RunError{
			Cause: item.CauseFailed, Doing: "delete media rows", Err: err,
			Hint: "Is PostgreSQL running? The next run goes on where this one ended.",
		})
	case errors.As(err, &refused):
		d.Flow.StopFeeding(&item.RunError{
			Cause: item.CauseFailed, Doing: "delete media rows", Err: err,
			Hint: "PostgreSQL refuses. Is it the primary, with space on its disk, and may our role delete and insert there?",
		})
	}
}
