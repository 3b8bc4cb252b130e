package sources

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"synupkeep/internal/retry"
)

// TestFirstAfterCutOff compares with a look at every event. It may be too early, never too late.
func TestFirstAfterCutOff(t *testing.T) {
	db := emptyTables(t, "events")
	r := rand.New(rand.NewPCG(5, 6))
	cutOff := time.Now().Add(-30 * 24 * time.Hour)
	for _, n := range []int{0, 1, 2, 3, 10, 100, 1000} {
		run(t, db, "TRUNCATE events")
		var rows [][]any
		stream, at := int64(r.IntN(5)), cutOff.Add(-60*24*time.Hour)
		first := int64(-1)
		for i := range n {
			stream += 1 + int64(r.IntN(3))
			at = at.Add(time.Duration(r.IntN(int(240*24*time.Hour) / n)))
			came := at.Add(time.Duration(r.IntN(40)-20) * time.Hour) // out of order
			if !came.Before(cutOff) && first < 0 {
				first = stream
			}
			rows = append(rows, eventRow(i, stream, came))
		}
		rows = append(rows, eventRow(n, -7, time.Now())) // backfilled: no change of the state
		copyIn(t, db, "events", eventColumns(), rows)

		got, err := firstAfterCutOff(t.Context(), db, retry.Policy{}, cutOff)
		if err != nil {
			t.Fatal(err)
		}
		if first >= 0 && got > first {
			t.Errorf("of %d events: it begins at %d, the first after the cut-off is %d", n, got, first)
		}
		var tooMany int
		err = db.QueryRow(t.Context(), `SELECT count(*) FROM events WHERE stream_ordering >= $1 AND received_ts < $2`,
			got, cutOff.Add(-3*arrivalSlack).UnixMilli()).Scan(&tooMany)
		if err != nil || tooMany > 0 {
			t.Errorf("of %d events: it begins at %d, %d events long before the cut-off: %v", n, got, tooMany, err)
		}
	}
}

func eventColumns() []string {
	return []string{"topological_ordering", "event_id", "type", "room_id", "processed", "outlier", "depth", "received_ts", "stream_ordering", "instance_name"}
}

func eventRow(i int, stream int64, came time.Time) []any {
	return []any{int64(i), fmt.Sprintf("$%d", i), "m.room.message", "!r", true, false, int64(i), came.UnixMilli(), stream, "master"}
}
