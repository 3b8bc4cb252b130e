package stages

import (
	"context"
	"fmt"
	"time"

	"synupkeep/internal/item"
)

// heldBack counts, up to $4, the messages of room $1 that are older than $2 (ms) and stay because they are not below depth $3.
const heldBack = `
	SELECT count(*) FROM (
		SELECT 1 FROM events e LEFT JOIN state_events s ON s.event_id = e.event_id
		WHERE e.room_id = $1 AND NOT e.outlier AND s.event_id IS NULL AND e.topological_ordering >= $3 AND ` + age + ` < $2
		LIMIT $4
	) held`

// HeldBack counts the messages that are older than the cut-off by more than that and that a cut leaves all the same, up to
// most. It is for finding out which rooms stay large and why; no cut depends on it.
func (c *Cutter) HeldBack(ctx context.Context, cut item.Cut, by time.Duration, most int64) (messages int64, err error) {
	err = c.DB.QueryRow(ctx, heldBack, cut.RoomID, c.CutOff.Add(-by).UnixMilli(), cut.Depth, most).Scan(&messages)
	if err != nil {
		return 0, fmt.Errorf("count what is held back in %s: %w", cut.RoomID, err)
	}
	return messages, nil
}
