package sources

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"synupkeep/internal/postgres"
)

// RoomFacts are what people know a room by. Name and alias are made up by whoever is in it.
type RoomFacts struct {
	Name, Alias string
	Members     int64
	Encrypted   bool
	// Events is how many events of the room are in the database; 0 if that was not counted.
	Events int64
}

const (
	// factsAtOnce is how many rooms are looked up in one query.
	factsAtOnce = 500
	// mostCounted is of how many rooms the events are counted: each takes a walk through an index.
	mostCounted = 100
)

// LookUpRooms looks up what people know these rooms by. When it fails, or ctx ends, it returns what it has found so far. The
// statistics are those that Synapse keeps (handlers/stats.py, 1.163.2): a server with enable_stats off has none.
func LookUpRooms(ctx context.Context, db postgres.Querier, ids []string) (map[string]RoomFacts, error) {
	found := make(map[string]RoomFacts, len(ids))
	for rest := ids; len(rest) > 0; {
		some := rest[:min(len(rest), factsAtOnce)]
		rest = rest[len(some):]
		rows, err := db.Query(ctx, `
			SELECT r.id, COALESCE(s.name, ''), COALESCE(s.canonical_alias, ''), COALESCE(s.encryption, '') <> '',
				COALESCE(c.joined_members, 0)
			FROM unnest($1::text[]) r (id)
			LEFT JOIN room_stats_state s ON s.room_id = r.id LEFT JOIN room_stats_current c ON c.room_id = r.id`, some)
		if err != nil {
			return found, fmt.Errorf("look up rooms: %w", err)
		}
		var id string
		var facts RoomFacts
		_, err = pgx.ForEachRow(rows, []any{&id, &facts.Name, &facts.Alias, &facts.Encrypted, &facts.Members}, func() error {
			found[id] = facts
			return nil
		})
		if err != nil {
			return found, fmt.Errorf("look up rooms: %w", err)
		}
	}
	for _, id := range ids[:min(len(ids), mostCounted)] {
		facts := found[id]
		if err := db.QueryRow(ctx, `SELECT count(*) FROM events WHERE room_id = $1`, id).Scan(&facts.Events); err != nil {
			return found, fmt.Errorf("count the events of %s: %w", id, err)
		}
		found[id] = facts
	}
	return found, nil
}
