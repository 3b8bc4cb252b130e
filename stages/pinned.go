package stages

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
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
	return pinnedIDs(event), err
}

// pinnedIDs takes the ids out of an m.room.pinned_events event. Whoever may set it can write anything there; clients show
// nothing of what is not a list of event ids, and so it holds nothing here.
func pinnedIDs(event string) []string {
	ids := []string{}
	// Into a struct, Go would also read keys that are spelled in another case.
	var whole, content map[string]json.RawMessage
	var list []json.RawMessage
	if json.Unmarshal([]byte(event), &whole) != nil || json.Unmarshal(whole["content"], &content) != nil ||
		json.Unmarshal(content["pinned"], &list) != nil {
		return ids
	}
	for _, entry := range list {
		var id string
		const longest = 255 // event_auth.py:500
		if json.Unmarshal(entry, &id) != nil || !strings.HasPrefix(id, "$") || len(id) > longest || strings.Contains(id, "\x00") {
			continue
		}
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}
