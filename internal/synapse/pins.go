package synapse

import (
	"encoding/json"
	"slices"
	"strings"
)

// PinnedIDs takes the ids out of the JSON of an m.room.pinned_events event, sorted, each once. Whoever may set it can write
// anything there; clients show nothing of what is not a list of event ids, and so it names nothing here. PostgreSQL takes
// each of them as a text.
func PinnedIDs(event string) []string {
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
