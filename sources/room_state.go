package sources

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"synupkeep/internal/postgres"
)

// StateTables says whether the state of rooms can be read in this database: a large server may keep it in one of its own, and
// what it left here when it moved says nothing about rooms any more. The newest state group that an event has is there, or
// these are not the tables that the server writes.
func StateTables(ctx context.Context, db postgres.Querier) (here bool, err error) {
	const doing = "look for the tables of room state"
	err = db.QueryRow(ctx, `
		SELECT COALESCE(bool_and(to_regclass(name) IS NOT NULL AND has_table_privilege(to_regclass(name)::oid, 'SELECT')), FALSE)
		FROM unnest('{state_groups,state_groups_state,state_group_edges}'::text[]) name`).Scan(&here)
	if err != nil {
		return false, fmt.Errorf("%s: %w", doing, err)
	}
	if !here {
		return false, nil
	}
	err = db.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM state_groups
		WHERE id = (SELECT state_group FROM event_to_state_groups ORDER BY state_group DESC LIMIT 1))`).Scan(&here)
	if err != nil {
		return false, fmt.Errorf("%s: %w", doing, err)
	}
	return here, nil
}

// StateChange is how the state right after an event differs from the current state of its room.
type StateChange struct {
	// Known is false when the event has no state here: then the rest means nothing.
	Known bool
	// Differs is how many pieces of state differ, Named are the first ten of them.
	Differs int64
	Named   []StateKey
}

// StateKey names a piece of state.
type StateKey struct {
	Type string `json:"type"`
	Key  string `json:"state_key"`
}

// A state group holds what it adds to the one before it (storage/databases/state/bg_updates.py, _get_state_groups_from_groups_txn,
// 1.163.2).
const stateChange = `
	WITH RECURSIVE groups (id) AS (
		SELECT g.state_group FROM event_to_state_groups g JOIN state_groups s ON s.id = g.state_group WHERE g.event_id = $2
		UNION
		SELECT e.prev_state_group FROM state_group_edges e JOIN groups ON groups.id = e.state_group
	), here AS (
		SELECT DISTINCT ON (s.type, s.state_key) s.type, s.state_key, s.event_id FROM state_groups_state s
		WHERE s.state_group IN (SELECT id FROM groups) ORDER BY s.type, s.state_key, s.state_group DESC
	), differs AS (
		SELECT type, state_key FROM here FULL JOIN (
			SELECT c.type, c.state_key, c.event_id AS current FROM current_state_events c WHERE c.room_id = $1
		) c USING (type, state_key)
		WHERE here.event_id IS DISTINCT FROM c.current
	), named AS (
		SELECT type, state_key FROM differs ORDER BY type, state_key LIMIT $3
	)
	SELECT EXISTS (SELECT 1 FROM groups), (SELECT count(*) FROM differs),
		ARRAY(SELECT type FROM named ORDER BY type, state_key), ARRAY(SELECT state_key FROM named ORDER BY type, state_key)`

// ReadStateChange compares the state right after an event with the current state of the room. Both must be as [StateTables]
// wants them.
func ReadStateChange(ctx context.Context, db postgres.Querier, roomID, eventID string) (change StateChange, err error) {
	var types, keys []string
	err = db.QueryRow(ctx, stateChange, roomID, eventID, some).Scan(&change.Known, &change.Differs, &types, &keys)
	if err != nil {
		return change, fmt.Errorf("compare the state of room %s: %w", roomID, err)
	}
	for i := range types {
		change.Named = append(change.Named, StateKey{Type: types[i], Key: keys[i]})
	}
	return change, nil
}

// SoundEvent is the event of a room that its history could go on from: the highest that is in the history, was not rejected,
// was not kept from the clients (soft-failed) and has its state. It is empty when there is none among the highest hundred.
func SoundEvent(ctx context.Context, db postgres.Querier, roomID string) (eventID string, err error) {
	err = db.QueryRow(ctx, `
		SELECT top.event_id FROM (
			SELECT e.event_id, e.topological_ordering, e.stream_ordering FROM events e
			WHERE e.room_id = $1 AND NOT e.outlier AND e.stream_ordering > 0
			ORDER BY e.topological_ordering DESC, e.stream_ordering DESC LIMIT 100
		) top
		JOIN event_to_state_groups g ON g.event_id = top.event_id
		JOIN event_json j ON j.event_id = top.event_id
		LEFT JOIN rejections r ON r.event_id = top.event_id
		WHERE r.event_id IS NULL AND position('"soft_failed":true' IN replace(j.internal_metadata, ' ', '')) = 0
		ORDER BY top.topological_ordering DESC, top.stream_ordering DESC LIMIT 1`, roomID).Scan(&eventID)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return "", fmt.Errorf("look for an event of room %s to go on from: %w", roomID, err)
	}
	return eventID, nil
}
