package sources

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"synupkeep/internal/postgres"
	"synupkeep/internal/references"
)

// reach is how far the events go, and how far of that will be remembered.
type reach struct {
	references.Head
	top, bottom int64 // the highest and the lowest stream ordering
}

// unsettled is how long what has arrived is read once more by the next run, and within how many of the newest events that
// is looked for.
const (
	unsettled = time.Hour
	within    = 50_000
)

func (r References) reach(ctx context.Context) (to reach, err error) {
	_, err = r.Retry.Do(ctx, func() error {
		to, err = r.readReach(ctx)
		return err
	}, postgres.Again)
	if err != nil {
		return to, fmt.Errorf("read how far the events go: %w", err)
	}
	return to, nil
}

func (r References) readReach(ctx context.Context) (to reach, err error) {
	ends, err := readEnds(ctx, r.DB, unsettled, within)
	if err != nil {
		return to, err
	}
	to.High, to.Low, to.top, to.bottom = ends.high, ends.low, ends.top, ends.bottom
	if to.Transaction, to.Database, err = r.database(ctx); err != nil {
		return to, err
	}
	to.Anchors, err = anchors(ctx, r.DB, 32, 32)
	return to, err
}

// database tells the database from every other one, as far as can be told, and how far it has come.
func (r References) database(ctx context.Context) (transaction int64, name string, err error) {
	err = r.DB.QueryRow(ctx, `
		SELECT txid_snapshot_xmax(txid_current_snapshot()), (SELECT oid FROM pg_database WHERE datname = current_database())
			|| '/' || 'events'::regclass::oid || '/' || 'event_json'::regclass::oid`).Scan(&transaction, &name)
	if err != nil {
		return 0, "", err
	}
	cluster, err := r.cluster(ctx)
	return transaction, r.ServerName + "/" + cluster + "/" + name, err
}

// cluster tells this PostgreSQL from others, and from itself after it was put back to an earlier state by its write-ahead
// log or was replaced by a standby.
func (r References) cluster(ctx context.Context) (name string, err error) {
	err = r.DB.QueryRow(ctx, `
		SELECT system_identifier || '/' || timeline_id FROM pg_control_system(), pg_control_checkpoint()`).Scan(&name)
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == "42501" {
		return "unknown", nil // the role may not ask
	}
	return name, err
}

// anchors are the newest events of the stream, and of its other end, which grows with what is backfilled: as many of each as
// is said, and of the newest as many state events again, because they outlive purges. The highest stream ordering is first.
func anchors(ctx context.Context, db Database, newest, backfilled int) ([]references.Anchor, error) {
	rows, err := db.Query(ctx, `
		WITH newest AS (SELECT stream_ordering, event_id FROM events WHERE stream_ordering > 0 ORDER BY stream_ordering DESC LIMIT $1)
		(SELECT stream_ordering, event_id FROM newest ORDER BY stream_ordering DESC LIMIT $2)
		UNION (SELECT n.stream_ordering, n.event_id FROM newest n JOIN state_events s ON s.event_id = n.event_id
			ORDER BY n.stream_ordering DESC LIMIT $2)
		UNION (SELECT stream_ordering, event_id FROM events WHERE stream_ordering < 0 ORDER BY stream_ordering LIMIT $3)
		ORDER BY stream_ordering DESC`, within, newest, backfilled)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[references.Anchor])
}

// unbelievableError says why a memory is not that of this database as it is now.
type unbelievableError struct{ err error }

func (e *unbelievableError) Error() string { return e.err.Error() }

func (e *unbelievableError) Unwrap() error { return e.err }

// recall opens the memory if it is to be believed, and takes over from it what is remembered already. The error says why it
// is not; none when there is no memory at all.
func (r References) recall(ctx context.Context, to *reach) (*references.Reader, error) {
	if r.Memory == nil {
		return nil, nil
	}
	old, err := r.Memory.Read()
	if err != nil {
		return nil, err
	}
	head := old.Head()
	if err := r.believe(ctx, head, *to); err != nil {
		old.Close()
		return nil, err
	}
	to.High, to.Low = max(to.High, head.High), min(to.Low, head.Low)
	return old, nil
}

// believe refuses what another database was remembered to be, or this one before it was put back to an earlier state: it
// would give the same places in the stream to other events, and purged ones would be there again.
func (r References) believe(ctx context.Context, head references.Head, now reach) error {
	switch {
	case head.Database != now.Database:
		return errors.New("what is remembered is of another database")
	case head.Transaction > now.Transaction, head.High > now.top:
		return errors.New("the database is older than what is remembered of it")
	}
	same, other, err := r.compare(ctx, head.Anchors)
	switch {
	case err != nil:
		return err
	case other > 0:
		return errors.New("the database was put back to an earlier state since")
	case same == 0:
		return errors.New("none of the newest events that are remembered is there any more")
	}
	return nil
}

// compare counts the events that lie where they lay, and the others that lie there now.
func (r References) compare(ctx context.Context, anchors []references.Anchor) (same, other int, err error) {
	places := map[int64]string{}
	streams := []int64{}
	for _, a := range anchors {
		places[a.Stream] = a.EventID
		streams = append(streams, a.Stream)
	}
	_, err = r.Retry.Do(ctx, func() error {
		same, other = 0, 0
		rows, err := r.DB.Query(ctx, `SELECT stream_ordering, event_id FROM events WHERE stream_ordering = ANY ($1)`, streams)
		if err != nil {
			return err
		}
		var a references.Anchor
		_, err = pgx.ForEachRow(rows, []any{&a.Stream, &a.EventID}, func() error {
			if places[a.Stream] == a.EventID {
				same++
			} else {
				other++
			}
			return nil
		})
		return err
	}, postgres.Again)
	return same, other, err
}
