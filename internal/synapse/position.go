package synapse

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"synupkeep/internal/postgres"
)

// What tells whether two views are of the same server: how far its events have come, and which events are the latest of a
// room.

// ErrNoPosition comes from Client.Position for a token that is not of a form we know.
var ErrNoPosition = errors.New("the server's position cannot be read from its answer")

// noRoom is a room that nobody has: its messages are none, and nothing is fetched from other servers to complete them.
const noRoom = "!synupkeep.asks.for.the.position"

// Position returns how far the server's events have come: every event up to this stream ordering was written by it. With
// several event writers it may lie behind the newest event, and never beyond the last number that the database gave out
// (synapse/storage/util/id_generators.py:800-815, 1.163.2).
//
// It is part of the token from which the admin API lists the latest messages of a room (synapse/storage/databases/main/
// stream.py:1848-1856), also of one that does not exist.
func (c *Client) Position(ctx context.Context, serverName string) (int64, error) {
	var answer struct {
		Start string `json:"start"`
	}
	path := "/_synapse/admin/v1/rooms/" + url.PathEscape(noRoom+":"+serverName) + "/messages?dir=b&limit=1"
	if err := c.call(ctx, http.MethodGet, path, nil, &answer); err != nil {
		return 0, err
	}
	position, ok := parsePosition(answer.Start)
	if !ok {
		return 0, fmt.Errorf("%w: %q", ErrNoPosition, oneLine(answer.Start, 100))
	}
	return position, nil
}

// parsePosition reads the events' part of a token: t<depth>-<position>, s<position>, or m<position>~ and how far each of
// several writers is beyond it (synapse/types/__init__.py, RoomStreamToken). The other streams follow after a _.
func parsePosition(token string) (int64, bool) {
	events, _, _ := strings.Cut(token, "_")
	if events == "" {
		return 0, false
	}
	number := events[1:]
	switch events[0] {
	case 't':
		depth, position, found := strings.Cut(number, "-")
		if _, err := strconv.ParseUint(depth, 10, 63); err != nil || !found {
			return 0, false
		}
		number = position
	case 'm':
		number, _, _ = strings.Cut(number, "~")
	case 's':
	default:
		return 0, false
	}
	position, err := strconv.ParseUint(number, 10, 63)
	return int64(position), err == nil
}

// ForwardExtremities returns the ids of the latest events of a room, as the server has them, in order. A room that the
// server does not know has none.
func (c *Client) ForwardExtremities(ctx context.Context, roomID string) ([]string, error) {
	var answer struct {
		Results *[]struct {
			EventID string `json:"event_id"`
		} `json:"results"`
	}
	path := "/_synapse/admin/v1/rooms/" + url.PathEscape(roomID) + "/forward_extremities"
	if err := c.call(ctx, http.MethodGet, path, nil, &answer); err != nil {
		return nil, err
	}
	if answer.Results == nil {
		return nil, c.foreign(http.MethodGet, path)
	}
	events := []string{}
	for _, result := range *answer.Results {
		events = append(events, result.EventID)
	}
	slices.Sort(events)
	return events, nil
}

// LastPosition is the last stream ordering that the database gave out. The error is ErrNoPrivilege where the role may not
// ask.
func LastPosition(ctx context.Context, db postgres.Querier) (last int64, err error) {
	const doing = "read the position of the database's events"
	var allowed bool
	err = db.QueryRow(ctx, `SELECT COALESCE(has_sequence_privilege(to_regclass('events_stream_seq')::oid, 'SELECT'), false)`).Scan(&allowed)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", doing, err)
	}
	if !allowed {
		return 0, fmt.Errorf("%w: SELECT on events_stream_seq", ErrNoPrivilege)
	}
	if err := db.QueryRow(ctx, `SELECT last_value FROM events_stream_seq`).Scan(&last); err != nil {
		return 0, fmt.Errorf("%s: %w", doing, err)
	}
	return last, nil
}

// fewExtremities is how many a room may have whose extremities the server is asked for.
const fewExtremities = 1000

// LatestRoom is the room of the newest event, or none: one that ends its room's history, for the server tells of no other.
func LatestRoom(ctx context.Context, db postgres.Querier) (roomID string, err error) {
	err = db.QueryRow(ctx, `
		WITH newest AS (SELECT event_id, room_id, stream_ordering FROM events ORDER BY stream_ordering DESC LIMIT 1000)
		SELECT n.room_id FROM newest n JOIN event_forward_extremities USING (event_id, room_id)
		JOIN event_to_state_groups USING (event_id)
		WHERE (SELECT count(*) FROM event_forward_extremities x WHERE x.room_id = n.room_id) <= $1
		ORDER BY n.stream_ordering DESC LIMIT 1`, fewExtremities).Scan(&roomID)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return "", fmt.Errorf("look for the newest event: %w", err)
	}
	return roomID, nil
}

// ForwardExtremities are the latest events of a room as the database has them, in order, and by the query with which the
// server answers (synapse/storage/databases/main/events_forward_extremities.py:112-118, 1.163.2).
func ForwardExtremities(ctx context.Context, db postgres.Querier, roomID string) ([]string, error) {
	rows, err := db.Query(ctx, `
		SELECT event_id FROM event_forward_extremities
		JOIN event_to_state_groups USING (event_id) JOIN events USING (room_id, event_id)
		WHERE room_id = $1`, roomID)
	if err != nil {
		return nil, fmt.Errorf("look up the latest events of a room: %w", err)
	}
	events, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("look up the latest events of a room: %w", err)
	}
	slices.Sort(events) // by bytes, whatever the database sorts by
	return events, nil
}
