package sources

import (
	"context"
	"time"

	"synupkeep/internal/postgres"
)

// ends are where the stream of events ends on either side: the highest stream ordering and the lowest, which is negative
// when something was backfilled, and what has settled of them.
//
// Several writers take stream orderings and commit in their own order. An event is settled when it and all below it are
// older than some time: no other will appear among them. An unsettled one says nothing about the places right below it,
// so it is the last settled event that counts, and not the place before the first unsettled one.
type ends struct{ high, low, top, bottom int64 }

// readEnds looks at so many events of either end. Time is the server's, whatever its clock shows.
func readEnds(ctx context.Context, q postgres.Querier, unsettled time.Duration, within int) (e ends, err error) {
	err = q.QueryRow(ctx, `
		WITH newest AS (SELECT stream_ordering AS s, received_ts AS t FROM events WHERE stream_ordering > 0 ORDER BY stream_ordering DESC LIMIT $1),
		lowest AS (SELECT stream_ordering AS s, received_ts AS t FROM events WHERE stream_ordering < 0 ORDER BY stream_ordering LIMIT $1),
		ago AS (SELECT LEAST(extract(epoch FROM clock_timestamp()) * 1000, (SELECT max(t) FROM newest)) - $2::bigint AS t),
		young AS (SELECT (SELECT min(n.s) FROM newest n, ago WHERE n.t > ago.t) AS high, (SELECT max(l.s) FROM lowest l, ago WHERE l.t > ago.t) AS low)
		SELECT COALESCE((SELECT max(s) FROM newest, young WHERE high IS NULL OR s < high),
				(SELECT min(s) - 1 FROM newest HAVING count(*) = $1), 0),
			COALESCE((SELECT min(s) FROM lowest, young WHERE low IS NULL OR s > low),
				(SELECT max(s) + 1 FROM lowest HAVING count(*) = $1), 0),
			COALESCE((SELECT max(s) FROM newest), 0), COALESCE((SELECT min(s) FROM lowest), 0)`, within, unsettled.Milliseconds()).
		Scan(&e.high, &e.low, &e.top, &e.bottom)
	return e, err
}
