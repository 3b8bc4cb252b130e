package sources

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"synupkeep/internal/item"
	"synupkeep/internal/postgres"
	"synupkeep/internal/retry"
)

// Space says what takes the space, and how old it is. Each media table is read once, whatever is asked of it; of the events, of
// which there are too many, some are drawn.
type Space struct {
	DB postgres.Querier
	// Now is the database's clock.
	Now time.Time
	// Top is how many users, servers and types are named, 0 for none: then only the curves are wanted.
	Top int
	// Blocks is how much is drawn of a table of events, 0 for DrawnBlocks.
	Blocks int64
	Retry  retry.Policy
}

// What the age of each flow is counted from.
const (
	byReceipt    = "received"
	byUpload     = "uploaded"
	byLastAccess = "last access"
	byFetch      = "fetched"
)

// bounds are the cut-offs in ms as width_bucket wants them, the earliest first. What has the bucket b is older than those with
// an index of b or more.
func (s Space) bounds() []int64 {
	ages := item.CurveAges()
	bounds := make([]int64, len(ages))
	for i, a := range ages {
		bounds[len(ages)-1-i] = s.Now.Add(-a.Age).UnixMilli()
	}
	return bounds
}

// curve makes points out of how much has each bucket: those of a bucket are older than each bound from there on.
func (s Space) curve(f item.Flow, byTime string, items, bytes map[int]int64) item.AgeCurve {
	c := item.AgeCurve{Flow: f, ByTime: byTime}
	ages := item.CurveAges()
	for i := range ages {
		bound := len(ages) - 1 - i
		p := item.AgePoint{Age: ages[i].Name, CutOff: s.Now.Add(-ages[i].Age).UTC()}
		for bucket := range bound + 1 {
			p.Items += items[bucket]
			p.Bytes += bytes[bucket]
		}
		c.Points = append(c.Points, p)
	}
	return c
}

// messageAge is the time that a message's age is counted from, as in the cut of a room: when this server got it, and of history
// that was fetched later the sender's time if that is earlier.
const messageAge = `CASE WHEN e.stream_ordering < 0 THEN LEAST(e.origin_server_ts, e.received_ts)
	ELSE COALESCE(e.received_ts, e.origin_server_ts) END`

// drawnMessages counts the messages of the drawn blocks by age, and adds up the squares of what each block has, for the margin.
// The ordinals are those of the bounds; -1 are all messages, -2 all events.
const drawnMessages = `
	WITH counted AS (
		SELECT (e.ctid::text::point)[0]::bigint AS block, e.state_key IS NULL AND NOT e.outlier AS message,
			width_bucket(` + messageAge + `, $1::bigint[]) AS bucket, count(*)::float8 AS n
		FROM events e TABLESAMPLE SYSTEM ($2::real) REPEATABLE (1)
		GROUP BY 1, 2, 3
	), sums AS (
		SELECT c.block, o.ordinal, sum(c.n) AS n
		FROM counted c CROSS JOIN LATERAL generate_series(c.bucket, cardinality($1::bigint[]) - 1) o (ordinal)
		WHERE c.message GROUP BY 1, 2
		UNION ALL SELECT block, -1, sum(n) FROM counted WHERE message GROUP BY 1
		UNION ALL SELECT block, -2, sum(n) FROM counted GROUP BY 1
	)
	SELECT ordinal, sum(n), sum(n * n) FROM sums GROUP BY 1`

// History estimates how many messages are older than each age, and about how much their JSON takes: as much as that many
// events take on average. State events, which no purge deletes, are not among them.
func (s Space) History(ctx context.Context) (item.AgeCurve, error) {
	curve := s.curve(item.History, byReceipt, nil, nil)
	d, err := DrawFrom(ctx, s.DB, "events", s.Blocks)
	if err != nil {
		return curve, err
	}
	size, err := s.meanJSON(ctx)
	if err != nil {
		return curve, err
	}
	var sums, squares map[int]float64
	_, err = s.Retry.Do(ctx, func() error {
		sums, squares = map[int]float64{}, map[int]float64{}
		rows, err := s.DB.Query(ctx, drawnMessages, s.bounds(), d.Percent)
		if err != nil {
			return err
		}
		var ordinal int
		var n, n2 float64
		_, err = pgx.ForEachRow(rows, []any{&ordinal, &n, &n2}, func() error {
			sums[ordinal], squares[ordinal] = n, n2
			return nil
		})
		return err
	}, postgres.Again)
	if err != nil {
		return curve, fmt.Errorf("count messages by age: %w", err)
	}
	bytes := func(items int64) int64 { return int64(float64(items) * size) }
	for i := range curve.Points {
		p, bound := &curve.Points[i], len(curve.Points)-1-i
		p.Items, p.Margin = d.Estimate(sums[bound]), d.Margin(squares[bound])
		p.Bytes = bytes(p.Items)
	}
	curve.Items = d.Estimate(sums[-1])
	curve.Bytes = bytes(curve.Items)
	curve.Sample = d.Sample(int64(sums[-2]))
	return curve, nil
}

// meanJSON is how many bytes the JSON of an event takes in its table, compressed as PostgreSQL has it.
func (s Space) meanJSON(ctx context.Context) (mean float64, err error) {
	d, err := DrawFrom(ctx, s.DB, "event_json", s.Blocks)
	if err != nil {
		return 0, err
	}
	_, err = s.Retry.Do(ctx, func() error {
		return s.DB.QueryRow(ctx, `SELECT COALESCE(avg(pg_column_size(json)), 0)::float8
			FROM event_json TABLESAMPLE SYSTEM ($1::real) REPEATABLE (1)`, d.Percent).Scan(&mean)
	}, postgres.Again)
	if err != nil {
		return 0, fmt.Errorf("read the size of events: %w", err)
	}
	return mean, nil
}

// AgeCurves are the curves of these flows, in their order.
func (s Space) AgeCurves(ctx context.Context, flows []item.Flow) (curves []item.AgeCurve, err error) {
	s.Top = 0
	byFlow := map[item.Flow]item.AgeCurve{}
	if slices.Contains(flows, item.History) {
		if byFlow[item.History], err = s.History(ctx); err != nil {
			return nil, err
		}
	}
	if slices.Contains(flows, item.LocalMedia) || slices.Contains(flows, item.Previews) {
		uploads, previews, err := s.LocalMedia(ctx)
		if err != nil {
			return nil, err
		}
		byFlow[item.LocalMedia], byFlow[item.Previews] = uploads.Curve, previews.Curve
	}
	if slices.Contains(flows, item.RemoteMedia) {
		remote, err := s.RemoteMedia(ctx)
		if err != nil {
			return nil, err
		}
		byFlow[item.RemoteMedia] = remote.Curve
	}
	for _, f := range flows {
		curves = append(curves, byFlow[f])
	}
	return curves, nil
}
