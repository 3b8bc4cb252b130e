package sources

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"synupkeep/internal/item"
	"synupkeep/internal/postgres"
)

// Position is how far the server's changes were read. Changes after it are new.
type Position struct {
	// Events is the highest stream ordering of an event, Backfilled the lowest.
	Events, Backfilled int64
	// AccountData is a position in the stream of account data, Reports the id of an abuse report.
	AccountData, Reports int64
}

// Many writers take numbers and commit in their own order: these are looked at again.
const (
	accountDataSlack = 1000
	reportsSlack     = 100
)

// Here returns the position now. It is taken before anything is read, so that nothing falls between. What arrived in the
// last minutes counts as new.
func (r References) Here(ctx context.Context) (at Position, err error) {
	_, err = r.Retry.Do(ctx, func() error {
		at, err = here(ctx, r.DB)
		return err
	}, postgres.Again)
	return at, err
}

func here(ctx context.Context, q postgres.Querier) (at Position, err error) {
	ends, err := readEnds(ctx, q, 5*time.Minute, 5000)
	if err == nil {
		at.Events, at.Backfilled = ends.high, ends.low
		err = q.QueryRow(ctx, `SELECT (SELECT last_value FROM account_data_sequence) - $1::bigint,
			COALESCE((SELECT max(id) FROM event_reports), 0) - $2::bigint`, accountDataSlack, reportsSlack).
			Scan(&at.AccountData, &at.Reports)
	}
	if err != nil {
		return at, fmt.Errorf("read the server's position: %w", err)
	}
	return at, nil
}

// Since calls f with what has come to be shown after a position, but for account data: a hash of the media's id, and why. It is meant for the
// transaction q that deletes, once a batch: it reads along indexes, and of small tables all.
func (r References) Since(ctx context.Context, q postgres.Querier, from Position, f func(hash uint64, why item.Reason)) error {
	has, err := readFeatures(ctx, q)
	if err != nil {
		return err
	}
	if err := r.newEvents(ctx, q, from, f); err != nil {
		return fmt.Errorf("read which local media new events name: %w", err)
	}
	for _, t := range small(has) {
		if err := r.readOnce(ctx, q, t, f); err != nil {
			return err
		}
	}
	pins, err := readPins(ctx, q, `
		SELECT j.json FROM events e JOIN event_json j ON j.event_id = e.event_id
		WHERE e.stream_ordering > $1 AND e.type = 'm.room.pinned_events'`, from.Events)
	if err == nil && len(pins) > 0 {
		err = r.namedBy(ctx, q, item.Pinned, ids, f, pins)
	}
	if err == nil {
		err = r.namedBy(ctx, q, item.Reported, newer, f, from.Reports)
	}
	if err != nil {
		return fmt.Errorf("read which local media is pinned or reported: %w", err)
	}
	return nil
}

// AccountDataSince is Since for account data, where what is new is found by a look for each user.
func (r References) AccountDataSince(ctx context.Context, q postgres.Querier, from Position, f func(hash uint64, why item.Reason)) error {
	for _, table := range []string{"account_data", "room_account_data"} {
		if err := r.readOnce(ctx, q, changed(table, from), f); err != nil {
			return err
		}
	}
	return nil
}

// changed reads the account data that was written after a position. There is no index by the stream alone, but one by user
// and stream: for each user, who is found by hopping along it, one look.
func changed(table string, from Position) text {
	return text{what: table, why: item.AccountData, args: []any{from.AccountData}, sql: `
		WITH RECURSIVE users AS (
			(SELECT user_id FROM ` + table + ` ORDER BY user_id LIMIT 1)
			UNION ALL
			SELECT (SELECT t.user_id FROM ` + table + ` t WHERE t.user_id > u.user_id ORDER BY t.user_id LIMIT 1)
			FROM users u WHERE u.user_id IS NOT NULL
		)
		SELECT d.content FROM users u CROSS JOIN LATERAL (
			SELECT t.content FROM ` + table + ` t WHERE t.user_id = u.user_id AND t.stream_id > $2 OFFSET 0
		) d WHERE position($1 in d.content) > 0`}
}

// newEvents reads events that are new, that are no outliers any more or that have become current state.
func (r References) newEvents(ctx context.Context, q postgres.Querier, from Position, f func(uint64, item.Reason)) error {
	rows, err := q.Query(ctx, `
		WITH news AS (
			SELECT event_id FROM events WHERE stream_ordering > $2
			UNION SELECT event_id FROM events WHERE stream_ordering < $3
			UNION SELECT event_id FROM ex_outlier_stream WHERE event_stream_ordering > $2
			UNION SELECT event_id FROM ex_outlier_stream WHERE event_stream_ordering < $3
			UNION SELECT event_id FROM current_state_delta_stream WHERE stream_id > $2
		)
		SELECT e.type, s.event_id IS NOT NULL, j.json FROM news n
		JOIN events e ON e.event_id = n.event_id JOIN event_json j ON j.event_id = n.event_id
		LEFT JOIN state_events s ON s.event_id = n.event_id
		WHERE e.type <> 'm.room.encrypted' AND position($1 in j.json) > 0`, needle(r.ServerName), from.Events, from.Backfilled)
	if err != nil {
		return err
	}
	var kind, json string
	var isState bool
	_, err = pgx.ForEachRow(rows, []any{&kind, &isState, &json}, func() error {
		why := item.Event
		if isState {
			why = state(kind)
		}
		for _, hash := range named(json, r.ServerName) {
			f(hash, why)
		}
		return nil
	})
	return err
}
