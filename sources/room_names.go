package sources

import (
	"context"
	"fmt"

	"synupkeep/internal/postgres"
)

// NameRooms looks up what people call these rooms: name and alias, both made up by whoever is in them, and empty where there
// is none. The state is the one that Synapse keeps for its statistics (storage/databases/main/stats.py, 1.163.2).
func NameRooms(ctx context.Context, db postgres.Querier, ids []string) (map[string]RoomFacts, error) {
	rows, err := db.Query(ctx, `
		SELECT r.id, COALESCE(s.name, ''), COALESCE(s.canonical_alias, '')
		FROM unnest($1::text[]) r (id) LEFT JOIN room_stats_state s ON s.room_id = r.id`, ids)
	if err != nil {
		return nil, fmt.Errorf("look up the names of rooms: %w", err)
	}
	defer rows.Close()
	names := make(map[string]RoomFacts, len(ids))
	for rows.Next() {
		var id string
		var facts RoomFacts
		if err := rows.Scan(&id, &facts.Name, &facts.Alias); err != nil {
			return nil, fmt.Errorf("look up the names of rooms: %w", err)
		}
		names[id] = facts
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("look up the names of rooms: %w", err)
	}
	return names, nil
}
