package stages

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"synupkeep/internal/synapse"
)

// pinnedEvents reads what is pinned in a room: one row by the primary key of its state. An event has at most 65,536 bytes
// (api/constants.py:32, 1.163.2), up to three times as many with escapes; anything larger is none.
const pinnedEvents = `
	SELECT j.json FROM current_state_events c JOIN event_json j ON j.event_id = c.event_id
	WHERE c.room_id = $1 AND c.type = 'm.room.pinned_events' AND c.state_key = '' AND octet_length(j.json) <= 262144`

// pinned returns the ids of the events that are pinned in a room, whether they are there or not.
func (c *Cutter) pinned(ctx context.Context, roomID string) ([]string, error) {
	var event string
	err := c.DB.QueryRow(ctx, pinnedEvents, roomID).Scan(&event)
	if errors.Is(err, pgx.ErrNoRows) {
		return []string{}, nil
	}
	return synapse.PinnedIDs(event), err
}
