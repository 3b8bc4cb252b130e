package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// Place says how an event came to its room.
type Place int

const (
	// Extremity is received from the network or a user, and the end of a branch; those of its previous events that were
	// forward extremities are so no longer.
	Extremity Place = iota
	// SoftFailed is received, kept, shown to nobody and not a forward extremity.
	SoftFailed
	// Backfilled is fetched from another server as history: negative stream ordering, not a forward extremity.
	Backfilled
)

// NewEvent describes an event to plant. Only Room is needed.
type NewEvent struct {
	Room     string
	Sender   string         // full user id, a member of the room; default: the sender of the room's latest event
	Type     string         // default m.room.message
	StateKey *string        // makes it a state event
	Content  map[string]any // default: a text message
	Redacts  string         // the target of an m.room.redaction
	// Prev are the previous events; default: the room's forward extremities. One that does not exist becomes a backward
	// extremity: a gap.
	Prev []string
	// Depth defaults to one more than that of the previous events; a fork may claim any.
	Depth int64
	// Sent is origin_server_ts, Received is received_ts; both default to now.
	Sent, Received time.Time
	Place          Place
}

// room is what planting has to know of a room.
type room struct {
	id, version string
	format      int
	tips        []string // forward extremities
	tipGroup    int64    // state group of one of them
	sender      string
}

func (p *Plant) room(ctx context.Context, id string) (room, error) {
	r := room{id: id}
	err := p.tx.QueryRow(ctx, `SELECT r.room_version, j.format_version, e.sender, g.state_group,
			(SELECT array_agg(event_id) FROM event_forward_extremities WHERE room_id = r.room_id)
		FROM rooms r JOIN event_forward_extremities f USING (room_id) JOIN events e ON e.event_id = f.event_id
		JOIN event_json j ON j.event_id = f.event_id JOIN event_to_state_groups g ON g.event_id = f.event_id
		WHERE r.room_id = $1 ORDER BY e.stream_ordering DESC LIMIT 1`, id).Scan(&r.version, &r.format, &r.sender, &r.tipGroup, &r.tips)
	if err != nil {
		return r, fmt.Errorf("room %s: %w", id, err)
	}
	if !atLeast(r.version, 4) {
		return r, fmt.Errorf("room %s has version %s; events are planted in rooms of version 4 and later", id, r.version)
	}
	return r, nil
}

// auth returns the events that allow the sender to send.
func (p *Plant) auth(ctx context.Context, r room, sender string) ([]string, error) {
	// Since version 12 the room's id stands for its create event.
	rows, err := p.tx.Query(ctx, `SELECT event_id FROM current_state_events WHERE room_id = $1 AND (
		(type = 'm.room.create' AND NOT $3) OR type = 'm.room.power_levels' OR (type = 'm.room.member' AND state_key = $2))
		ORDER BY type`, r.id, sender, atLeast(r.version, 12))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// Event plants one event and returns its id.
func (p *Plant) Event(ctx context.Context, n NewEvent) (string, error) {
	r, err := p.room(ctx, n.Room)
	if err != nil {
		return "", err
	}
	if n.Type == "" {
		n.Type = "m.room.message"
	}
	if n.Content == nil {
		// Two events that are alike to the millisecond would be one.
		n.Content = map[string]any{"msgtype": "m.text", "body": "planted " + randomLetters(8)}
	}
	if n.Sender == "" {
		n.Sender = r.sender
	}
	if len(n.Prev) == 0 {
		n.Prev = r.tips
	}
	n.Sent, n.Received = p.orNow(n.Sent), p.orNow(n.Received)
	known, err := p.previous(ctx, r, &n)
	if err != nil {
		return "", err
	}
	auth, err := p.auth(ctx, r, n.Sender)
	if err != nil {
		return "", err
	}
	event := map[string]any{
		"auth_events": auth, "prev_events": n.Prev, "content": n.Content, "depth": n.Depth, "room_id": r.id,
		"origin_server_ts": n.Sent.UnixMilli(), "sender": n.Sender, "type": n.Type,
	}
	if n.StateKey != nil {
		event["state_key"] = *n.StateKey
	}
	if n.Redacts != "" {
		if atLeast(r.version, 11) {
			n.Content["redacts"] = n.Redacts
		} else {
			event["redacts"] = n.Redacts
		}
	}
	id, js, err := sign(event, r.version, p.server.state.ServerName, p.key)
	if err != nil {
		return "", err
	}
	return id, p.store(ctx, r, n, known, auth, id, js)
}

// known is what the database has of an event's previous events.
type known struct {
	ids   []string
	group int64 // state group after them
}

func (p *Plant) previous(ctx context.Context, r room, n *NewEvent) (known, error) {
	k := known{group: r.tipGroup}
	var depth *int64
	var group *int64
	err := p.tx.QueryRow(ctx, `SELECT coalesce(array_agg(e.event_id), '{}'), max(e.depth),
			(array_agg(g.state_group ORDER BY e.depth DESC) FILTER (WHERE g.state_group IS NOT NULL))[1]
		FROM events e LEFT JOIN event_to_state_groups g USING (event_id)
		WHERE e.event_id = ANY ($1) AND e.room_id = $2`, n.Prev, r.id).Scan(&k.ids, &depth, &group)
	if err != nil {
		return k, err
	}
	if group != nil {
		k.group = *group
	}
	if n.Depth == 0 {
		if depth == nil {
			return k, errors.New("an event without a known previous event needs a depth")
		}
		n.Depth = *depth + 1
	}
	return k, nil
}

// store writes the rows that Synapse writes for an event.
func (p *Plant) store(ctx context.Context, r room, n NewEvent, k known, auth []string, id string, js []byte) error {
	order, metadata := p.order(n.Place)
	group := k.group
	batch := &pgx.Batch{}
	if n.StateKey != nil {
		if err := p.tx.QueryRow(ctx, "SELECT nextval('state_group_id_seq')").Scan(&group); err != nil {
			return err
		}
		queueStateGroup(batch, r, n, id, group, k.group)
	}
	_, hasURL := n.Content["url"].(string)
	batch.Queue(`INSERT INTO events (topological_ordering, event_id, type, room_id, processed, outlier, depth, origin_server_ts,
			received_ts, sender, contains_url, instance_name, stream_ordering, state_key)
		VALUES ($1, $2, $3, $4, true, false, $1, $5, $6, $7, $8, 'master', $9, $10)`,
		n.Depth, id, n.Type, r.id, n.Sent.UnixMilli(), n.Received.UnixMilli(), n.Sender, hasURL, order, n.StateKey)
	batch.Queue(`INSERT INTO event_json (event_id, room_id, internal_metadata, json, format_version) VALUES ($1, $2, $3, $4, $5)`,
		id, r.id, metadata, string(js), r.format)
	batch.Queue(`INSERT INTO event_edges (event_id, prev_event_id) SELECT $1, unnest($2::text[])`, id, n.Prev)
	batch.Queue(`INSERT INTO event_to_state_groups (event_id, state_group) VALUES ($1, $2)`, id, group)
	batch.Queue(`INSERT INTO event_backward_extremities (event_id, room_id) SELECT x, $2 FROM unnest($1::text[]) x
		ON CONFLICT DO NOTHING`, slices.DeleteFunc(slices.Clone(n.Prev), func(prev string) bool { return slices.Contains(k.ids, prev) }), r.id)
	batch.Queue(`UPDATE room_depth SET min_depth = LEAST(min_depth, $2) WHERE room_id = $1`, r.id, n.Depth)
	if n.Redacts != "" {
		p.queueRedaction(batch, id, n.Redacts)
	}
	if n.StateKey != nil {
		batch.Queue(`INSERT INTO event_auth (event_id, auth_id, room_id) SELECT $1, unnest($2::text[]), $3`, id, auth, r.id)
		queueAuthChain(batch, id, auth)
	}
	if n.Place == Extremity {
		queueExtremity(batch, r, n, id, order)
		if !p.server.Before("1.115.0") {
			batch.Queue(`UPDATE sliding_sync_joined_rooms SET event_stream_ordering = $2,
				bump_stamp = CASE WHEN $3 THEN $2 ELSE bump_stamp END WHERE room_id = $1`, r.id, order, n.Type == "m.room.message")
		}
	}
	if err := p.tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("event %s in %s: %w", n.Type, r.id, err)
	}
	return nil
}

// order takes the next stream ordering.
func (p *Plant) order(place Place) (order int64, metadata string) {
	if place == Backfilled {
		p.low--
		return p.low, "{}"
	}
	p.stream++
	if place == SoftFailed {
		return p.stream, `{"soft_failed":true}`
	}
	return p.stream, "{}"
}

// queueStateGroup makes the state group after a state event, as a difference from the one before.
func queueStateGroup(batch *pgx.Batch, r room, n NewEvent, id string, group, before int64) {
	batch.Queue(`INSERT INTO state_groups (id, room_id, event_id) VALUES ($1, $2, $3)`, group, r.id, id)
	batch.Queue(`INSERT INTO state_group_edges (state_group, prev_state_group) VALUES ($1, $2)`, group, before)
	batch.Queue(`INSERT INTO state_groups_state (state_group, room_id, type, state_key, event_id) VALUES ($1, $2, $3, $4, $5)`,
		group, r.id, n.Type, *n.StateKey, id)
	batch.Queue(`INSERT INTO state_events (event_id, room_id, type, state_key) VALUES ($1, $2, $3, $4)`, id, r.id, n.Type, *n.StateKey)
}

// queueAuthChain gives a state event an auth chain of its own, linked to those of its auth events.
func queueAuthChain(batch *pgx.Batch, id string, auth []string) {
	batch.Queue(`INSERT INTO event_auth_chains (event_id, chain_id, sequence_number) VALUES ($1, nextval('event_auth_chain_id'), 1)`, id)
	batch.Queue(`INSERT INTO event_auth_chain_links
			(origin_chain_id, origin_sequence_number, target_chain_id, target_sequence_number)
		SELECT own.chain_id, 1, a.chain_id, a.sequence_number FROM event_auth_chains own, event_auth_chains a
		WHERE own.event_id = $1 AND a.event_id = ANY ($2)`, id, auth)
}

// queueExtremity makes the event the end of its branch and, if it is state that the room does not have yet, current.
func queueExtremity(batch *pgx.Batch, r room, n NewEvent, id string, order int64) {
	batch.Queue(`DELETE FROM event_forward_extremities WHERE room_id = $1 AND event_id = ANY ($2)`, r.id, n.Prev)
	batch.Queue(`INSERT INTO event_forward_extremities (event_id, room_id) VALUES ($1, $2)`, id, r.id)
	batch.Queue(`INSERT INTO stream_ordering_to_exterm (stream_ordering, room_id, event_id)
		SELECT $1, room_id, event_id FROM event_forward_extremities WHERE room_id = $2`, order, r.id)
	if n.StateKey != nil {
		batch.Queue(`WITH new AS (
				INSERT INTO current_state_events (event_id, room_id, type, state_key, event_stream_ordering)
				VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING RETURNING 1)
			INSERT INTO current_state_delta_stream (stream_id, room_id, type, state_key, event_id, instance_name)
			SELECT $5, $2, $3, $4, $1, 'master' FROM new`, id, r.id, n.Type, *n.StateKey, order)
	}
}

// Version is the room's version, read from the database.
func (p *Plant) Version(ctx context.Context, roomID string) (string, error) {
	r, err := p.room(ctx, roomID)
	return r.version, err
}

// JSON is the signed JSON of an event as it lies in the database.
func (p *Plant) JSON(ctx context.Context, eventID string) (map[string]any, error) {
	var js string
	if err := p.tx.QueryRow(ctx, `SELECT json FROM event_json WHERE event_id = $1`, eventID).Scan(&js); err != nil {
		return nil, fmt.Errorf("event %s: %w", eventID, err)
	}
	var event map[string]any
	return event, json.Unmarshal([]byte(js), &event)
}
