package sources

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"synupkeep/internal/postgres"
)

// Misses is what a purge would take away from somebody who waits for it.
type Misses struct {
	Who string // a server, or the id of an application service
	// Since is when it was last known to be reachable, the zero time if that is not known.
	Since  time.Time
	Events int64
	Rooms  int64
}

// WaitingBridges looks for events that application services have not been given yet and that would be gone. Synapse keeps a
// transaction for each that is down, with the ids of its events, and leaves out what it does not find any more
// (storage/databases/main/appservice.py:319-366, 1.163.2). goes says whether an event would be gone.
func WaitingBridges(ctx context.Context, db postgres.Querier, goes func(roomID string, depth int64) bool) ([]Misses, error) {
	rows, err := db.Query(ctx, `
		SELECT t.as_id, e.room_id, e.topological_ordering
		FROM application_services_txns t
		CROSS JOIN LATERAL jsonb_array_elements_text(t.event_ids::jsonb) i (id)
		JOIN events e ON e.event_id = i.id LEFT JOIN state_events s ON s.event_id = e.event_id
		WHERE NOT e.outlier AND s.event_id IS NULL
		ORDER BY t.as_id, e.room_id`)
	if err != nil {
		return nil, fmt.Errorf("read what application services wait for: %w", err)
	}
	var all []Misses
	var as, room, last string
	var depth int64
	_, err = pgx.ForEachRow(rows, []any{&as, &room, &depth}, func() error {
		if !goes(room, depth) {
			return nil
		}
		if len(all) == 0 || all[len(all)-1].Who != as {
			all, last = append(all, Misses{Who: as}), ""
		}
		m := &all[len(all)-1]
		m.Events++
		if room != last {
			m.Rooms++
		}
		last = room
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read what application services wait for: %w", err)
	}
	return all, nil
}

// ServersBehind looks for servers that have not been reachable since before the cut-off and wait for something of a room that
// would be purged: Synapse then sends them the latest event of the room, and they ask for those before it
// (storage/databases/main/transactions.py:376-420, 1.163.2), which would be gone as far as they are old. The last one
// that was reachable comes first. purged says whether a room would be purged.
func ServersBehind(ctx context.Context, db postgres.Querier, cutOff time.Time, purged func(roomID string) bool) ([]Misses, error) {
	rows, err := db.Query(ctx, `
		SELECT d.destination, d.failure_ts, r.room_id
		FROM destinations d JOIN destination_rooms r ON r.destination = d.destination
		WHERE d.failure_ts < $1 AND r.stream_ordering > COALESCE(d.last_successful_stream_ordering, 0)
		ORDER BY d.failure_ts DESC, d.destination`, cutOff.UnixMilli())
	if err != nil {
		return nil, fmt.Errorf("read which servers are down: %w", err)
	}
	var all []Misses
	var server, room string
	var since int64
	_, err = pgx.ForEachRow(rows, []any{&server, &since, &room}, func() error {
		if !purged(room) {
			return nil
		}
		if len(all) == 0 || all[len(all)-1].Who != server {
			all = append(all, Misses{Who: server, Since: time.UnixMilli(since).UTC()})
		}
		all[len(all)-1].Rooms++
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read which servers are down: %w", err)
	}
	return all, nil
}

// EncryptedRooms counts the encrypted rooms that a user of this server is in. What is attached there nobody can see but
// they, so that no message protects it.
func EncryptedRooms(ctx context.Context, db postgres.Querier) (n int64, err error) {
	err = db.QueryRow(ctx, `
		SELECT count(*) FROM rooms r
		WHERE EXISTS (SELECT FROM local_current_membership m WHERE m.room_id = r.room_id AND m.membership = 'join')
		  AND EXISTS (SELECT FROM current_state_events c
			WHERE c.room_id = r.room_id AND c.type = 'm.room.encryption' AND c.state_key = '')`).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count encrypted rooms: %w", err)
	}
	return n, nil
}

// BridgedBy says which of these users belong to an application service, and to which.
func BridgedBy(ctx context.Context, db postgres.Querier, users []string) (map[string]string, error) {
	rows, err := db.Query(ctx, `SELECT name, appservice_id FROM users WHERE name = ANY ($1) AND appservice_id IS NOT NULL`, users)
	if err != nil {
		return nil, fmt.Errorf("look up users of application services: %w", err)
	}
	found := map[string]string{}
	var user, as string
	_, err = pgx.ForEachRow(rows, []any{&user, &as}, func() error {
		found[user] = as
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look up users of application services: %w", err)
	}
	return found, nil
}
