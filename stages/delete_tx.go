package stages

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"synupkeep/internal/item"
	"synupkeep/internal/journal"
	"synupkeep/internal/postgres"
)

// stopGrace is how long a transaction that has begun may go on after a hard stop. It takes milliseconds, and torn apart
// it leaves rows in doubt.
const stopGrace = 10 * time.Second

// transact deletes in one transaction, but for what has come to be shown meanwhile, and writes the rows into the journal
// before it commits. Rows that come beside an error may be gone or not.
func (d *DeleteRows) transact(ctx context.Context, media []item.Media, f *fate) (found map[key]string, entry uint64, err error) {
	if err := context.Cause(ctx); err != nil {
		return nil, 0, err
	}
	longer, cancel := outlast(ctx, stopGrace)
	defer cancel()
	tx, err := d.DB.Begin(longer)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = tx.Rollback(longer) }() // nothing to roll back after a commit
	if found, err = d.remove(longer, tx, media, f.saved); err != nil || len(found) == 0 {
		return nil, 0, err
	}
	shown, err := d.shown(longer, tx, found)
	if err != nil {
		return nil, 0, err
	}
	if len(shown) > 0 {
		_ = tx.Rollback(longer) // and once more without these
		f.keep(shown)
		if err := mayBegin(ctx, d.Flow, d.Held); err != nil {
			return nil, 0, err
		}
		return d.transact(ctx, slices.DeleteFunc(slices.Clone(media), func(m item.Media) bool { return shown[m.ID] != "" }), f)
	}
	if entry, err = d.Journal.Begin(media[0].Flow, journalRows(found)); err != nil {
		return nil, 0, journalError(err)
	}
	if err := tx.Commit(longer); rolledBack(err) {
		return nil, entry, err
	} else if err != nil {
		return found, entry, err
	}
	return found, entry, nil
}

// shown are those of the rows just deleted that have come to be shown since the media was found to be shown nowhere. It is
// asked after the DELETE, which may have waited, and as late as can be; and once more after the commit.
func (d *DeleteRows) shown(ctx context.Context, q postgres.Querier, found map[key]string) (map[string]item.Reason, error) {
	if d.news == nil {
		return nil, nil
	}
	ids := make([]string, 0, len(found))
	for k := range found {
		ids = append(ids, k.id)
	}
	shown, err := d.news.Shown(ctx, q, ids)
	if err != nil {
		return nil, fmt.Errorf("read what has come to be shown meanwhile: %w", err)
	}
	return shown, nil
}

func (d *DeleteRows) remove(ctx context.Context, tx pgx.Tx, media []item.Media, saved map[key]string) (map[key]string, error) {
	rows, err := tx.Query(ctx, d.sql.remove, d.args(media)...)
	if err != nil {
		return nil, err
	}
	found := make(map[key]string, len(media))
	var k key
	var file, row string
	_, err = pgx.ForEachRow(rows, []any{&k.origin, &k.id, &file, &row}, func() error {
		found[k] = file
		if row != "" {
			saved[k] = row
		}
		return nil
	})
	return found, err
}

func journalRows(found map[key]string) []journal.Row {
	rows := make([]journal.Row, 0, len(found))
	for k, file := range found {
		rows = append(rows, journal.Row{Origin: k.origin, ID: k.id, FileID: file})
	}
	return rows
}

func journalError(err error) error {
	return &item.RunError{
		Cause: item.CauseFailed, Doing: "keep the journal", Err: err,
		Hint: "Without it nothing is deleted. Is there space in --state-dir, and is it writable?",
	}
}

// rolledBack says whether the server itself refused to commit. Of a connection that ends with the commit we cannot tell.
func rolledBack(err error) bool {
	var refused *pgconn.PgError
	return errors.Is(err, pgx.ErrTxCommitRollback) || errors.As(err, &refused) && refused.Severity == "ERROR"
}

// outlast returns a context that ends some time after ctx does.
func outlast(ctx context.Context, by time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.NewTimer(by)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel(context.Cause(ctx))
		case <-longer.Done():
		}
	})
	return longer, func() {
		stop()
		cancel(context.Canceled)
	}
}
