package stages

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"synupkeep/internal/item"
)

// write puts the room into the database, in a transaction that is rolled back. Foreign keys are not looked at: what the
// purge has to know of an event is in few tables.
func (s shape) write(ctx context.Context, tx pgx.Tx) error {
	b := &pgx.Batch{}
	b.Queue(`SET LOCAL session_replication_role = replica`)
	for _, e := range s {
		b.Queue(`INSERT INTO events (event_id, room_id, type, sender, topological_ordering, depth, stream_ordering, origin_server_ts,
				received_ts, outlier, processed) VALUES ($1, $2, 'm.room.message', '@alice:property', $3, $3, $4, $5, $6, $7, true)`,
			e.id, anyID, e.depth, e.stream, e.sent, e.received, e.outlier)
		if e.state {
			b.Queue(`INSERT INTO state_events (event_id, room_id, type, state_key) VALUES ($1, $2, 'm.state', $1)`, e.id, anyID)
		}
		if e.rejected {
			b.Queue(`INSERT INTO rejections (event_id, reason, last_check) VALUES ($1, 'auth_error', '0')`, e.id)
		}
		if e.extremity {
			b.Queue(`INSERT INTO event_forward_extremities (event_id, room_id) VALUES ($1, $2)`, e.id, anyID)
		}
		if e.newest {
			b.Queue(`INSERT INTO sliding_sync_joined_rooms (room_id, event_stream_ordering) VALUES ($1, $2)`, anyID, e.stream)
		}
		if e.redacts != "" {
			b.Queue(`INSERT INTO redactions (event_id, redacts, have_censored, received_ts) VALUES ($1, $2, $3, $4)`,
				e.id, e.redacts, e.censored, e.received)
		}
		if e.reported != nil {
			b.Queue(`INSERT INTO event_reports (id, received_ts, room_id, event_id, user_id) VALUES ($1, $2, $3, $4, '@bob:property')`,
				max(e.stream, -e.stream), *e.reported, anyID, e.id)
		}
		if e.gap {
			b.Queue(`INSERT INTO event_edges (event_id, prev_event_id) VALUES ($1, $2)`, e.id, "$missing"+e.id)
			b.Queue(`INSERT INTO event_backward_extremities (event_id, room_id) VALUES ($1, $2)`, "$missing"+e.id, anyID)
		}
	}
	pins := map[string]any{"content": map[string]any{"pinned": s.pins()}}
	event, err := json.Marshal(pins)
	if err != nil {
		return err
	}
	b.Queue(`INSERT INTO event_json (event_id, room_id, internal_metadata, json, format_version) VALUES ('$pins:property', $1, '{}', $2, 3)`,
		anyID, string(event))
	b.Queue(`INSERT INTO current_state_events (event_id, room_id, type, state_key) VALUES ('$pins:property', $1, 'm.room.pinned_events', '')`, anyID)
	return tx.SendBatch(ctx, b).Close()
}

// pins are entries of a list of pinned events, with what does not belong there.
func (s shape) pins() []any {
	pins := []any{7, nil, "", "$unknown:property", []any{"$nested:property"}, "$" + strings.Repeat("x", 300), "$nul\x00"}
	for _, e := range s {
		if e.pinned {
			pins = append(pins, e.id, e.id)
		}
	}
	return pins
}

// simulate does what _purge_history_txn of Synapse does to the tables that the tests look at (storage/databases/main/
// purge_events.py:150-450, 1.163.2) and returns the depth at which it cuts.
func simulate(ctx context.Context, tx pgx.Tx, cut item.Cut) (token int64, err error) {
	var rejected bool
	err = tx.QueryRow(ctx, `SELECT topological_ordering, EXISTS (SELECT 1 FROM rejections WHERE event_id = $1)
		FROM events WHERE event_id = $1 AND room_id = $2`, cut.EventID, cut.RoomID).Scan(&token, &rejected)
	if err != nil {
		return 0, fmt.Errorf("event %q: %w", cut.EventID, err)
	}
	if rejected {
		return 0, fmt.Errorf("404: could not find event %s", cut.EventID)
	}
	var top *int64
	if err = tx.QueryRow(ctx, `SELECT max(e.depth) FROM event_forward_extremities JOIN events e USING (event_id)
		WHERE e.room_id = $1`, cut.RoomID).Scan(&top); err != nil {
		return 0, err
	}
	if top != nil && *top < token {
		return 0, fmt.Errorf("400: topological_ordering is greater than forward extremities")
	}
	b := &pgx.Batch{}
	b.Queue(`CREATE TEMPORARY TABLE events_to_purge ON COMMIT DROP AS
		SELECT event_id, state_events.state_key IS NULL AS should_delete
		FROM events AS e LEFT JOIN state_events USING (event_id)
		WHERE (NOT outlier OR state_events.state_key IS NULL) AND e.room_id = $1 AND topological_ordering < $2`, cut.RoomID, token)
	if err = tx.SendBatch(ctx, b).Close(); err != nil {
		return 0, err
	}
	b = &pgx.Batch{}
	b.Queue(`DELETE FROM event_backward_extremities WHERE room_id = $1`, cut.RoomID)
	b.Queue(`INSERT INTO event_backward_extremities (room_id, event_id) SELECT DISTINCT $1, e.event_id FROM events_to_purge e
		JOIN event_edges ed ON e.event_id = ed.prev_event_id LEFT JOIN events_to_purge ep2 ON ed.event_id = ep2.event_id
		WHERE ep2.event_id IS NULL`, cut.RoomID)
	for _, table := range []string{"event_edges", "events", "event_forward_extremities", "rejections", "redactions"} {
		b.Queue(`DELETE FROM ` + table + ` WHERE event_id IN (SELECT event_id FROM events_to_purge WHERE should_delete)`)
	}
	b.Queue(`UPDATE events SET outlier = TRUE WHERE event_id IN (SELECT event_id FROM events_to_purge WHERE NOT should_delete)`)
	return token, tx.SendBatch(ctx, b).Close()
}
