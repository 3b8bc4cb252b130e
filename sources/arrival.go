package sources

import (
	"context"
	"fmt"
	"time"

	"synupkeep/internal/postgres"
	"synupkeep/internal/retry"
)

// arrivalSlack is how much earlier than the cut-off the search for the first event after it ends: several writers give
// stream orderings out of order of arrival.
const arrivalSlack = 24 * time.Hour

// firstAfterCutOff returns a stream ordering at or before that of the first event which arrived after the cut-off, by
// bisection: there is no index on received_ts.
func firstAfterCutOff(ctx context.Context, db postgres.Querier, again retry.Policy, cutOff time.Time) (int64, error) {
	bound := cutOff.Add(-arrivalSlack).UnixMilli()
	var high int64 // everything below low arrived before, everything from high on after
	_, err := again.Do(ctx, func() error {
		return db.QueryRow(ctx, `SELECT COALESCE(max(stream_ordering), 0) + 1 FROM events`).Scan(&high)
	}, postgres.Again)
	if err != nil {
		return 0, fmt.Errorf("find the first event after the cut-off: %w", err)
	}
	low := int64(0)
	for low < high {
		middle := low + (high-low)/2
		var stream, arrived int64
		_, err := again.Do(ctx, func() error {
			return db.QueryRow(ctx, `
				SELECT COALESCE(max(stream_ordering), $2), COALESCE(max(COALESCE(received_ts, origin_server_ts, $3)), $3) FROM (
					SELECT stream_ordering, received_ts, origin_server_ts FROM events
					WHERE stream_ordering >= $1 ORDER BY stream_ordering LIMIT 1
				) e`, middle, high, bound).Scan(&stream, &arrived)
		}, postgres.Again)
		if err != nil {
			return 0, fmt.Errorf("find the first event after the cut-off: %w", err)
		}
		if arrived >= bound {
			high = middle
		} else {
			low = stream + 1
		}
	}
	return low, nil
}
