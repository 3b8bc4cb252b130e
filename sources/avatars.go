package sources

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"synupkeep/internal/postgres"
	"synupkeep/internal/retry"
)

// Avatars enumerates the local media that are shown as avatars: of users, members and rooms. The current ones, and those
// that were replaced since the cut-off, because clients draw kept messages with the avatar of their time.
type Avatars struct {
	DB         postgres.Querier
	ServerName string
	CutOff     time.Time
	Retry      retry.Policy
}

// Here returns the position now. It is taken before anything is read, so that nothing falls between. Several writers take
// stream orderings and commit in their own order: what arrived in the last minutes counts as new, since an event below it
// may yet appear.
func (a Avatars) Here(ctx context.Context) (at Position, err error) {
	_, err = a.Retry.Do(ctx, func() error {
		return a.DB.QueryRow(ctx, `
			SELECT COALESCE(min(stream_ordering) FILTER (
				WHERE received_ts > extract(epoch FROM clock_timestamp() - interval '5 minutes') * 1000) - 1, max(stream_ordering), 0)
			FROM (SELECT stream_ordering, received_ts FROM events WHERE stream_ordering > 0
				ORDER BY stream_ordering DESC LIMIT 1000) e`).Scan(&at.Events)
	}, postgres.Again)
	if err != nil {
		return at, fmt.Errorf("read the server's position: %w", err)
	}
	return at, nil
}

// Each calls f with the media id of every avatar, some of them more than once. When it fails, the set is not complete
// and no local media may be deleted.
func (a Avatars) Each(ctx context.Context, f func(mediaID string)) error {
	since, err := a.firstAfterCutOff(ctx)
	if err != nil {
		return err
	}
	prefix := "mxc://" + a.ServerName + "/"
	for _, q := range avatarQueries() {
		args := []any{prefix}
		if strings.Contains(q.sql, "$2") {
			args = append(args, since)
		}
		if err := a.read(ctx, q, prefix, args, f); err != nil {
			return err
		}
	}
	return nil
}

// avatarQuery gives mxc URIs, or with content the JSON of events whose content names them.
type avatarQuery struct {
	what, sql string
	content   bool
}

func avatarQueries() []avatarQuery {
	return []avatarQuery{
		{what: "profiles", sql: `SELECT avatar_url FROM profiles WHERE starts_with(avatar_url, $1)`},
		{what: "user directory", sql: `SELECT avatar_url FROM user_directory WHERE starts_with(avatar_url, $1)`},
		{what: "room avatars", sql: `SELECT avatar FROM room_stats_state WHERE starts_with(avatar, $1)`},
		{what: "room avatars", content: true, sql: `SELECT j.json FROM current_state_events c
			JOIN event_json j ON j.event_id = c.event_id WHERE c.type = 'm.room.avatar'`},
		{what: "members", sql: `SELECT m.avatar_url FROM room_memberships m
			JOIN current_state_events c ON c.event_id = m.event_id WHERE starts_with(m.avatar_url, $1)`},
		// What a change replaced: the table keeps every change of current state, with its event's stream ordering.
		{what: "replaced members", sql: `SELECT m.avatar_url FROM current_state_delta_stream d
			JOIN room_memberships m ON m.event_id = d.prev_event_id
			WHERE d.stream_id >= $2 AND d.type = 'm.room.member' AND starts_with(m.avatar_url, $1)`},
		{what: "replaced room avatars", content: true, sql: `SELECT j.json FROM current_state_delta_stream d
			JOIN event_json j ON j.event_id = d.prev_event_id
			WHERE d.stream_id >= $2 AND d.type = 'm.room.avatar'`},
	}
}

func (a Avatars) read(ctx context.Context, q avatarQuery, prefix string, args []any, f func(string)) error {
	if q.content && !strings.Contains(q.sql, "$1") {
		args = args[1:]
		q.sql = strings.ReplaceAll(q.sql, "$2", "$1")
	}
	_, err := a.Retry.Do(ctx, func() error {
		rows, err := a.DB.Query(ctx, q.sql, args...)
		if err != nil {
			return err
		}
		var text string
		_, err = pgx.ForEachRow(rows, []any{&text}, func() error {
			for _, uri := range q.uris(text) {
				if id, ours := mediaID(uri, prefix); ours {
					f(id)
				}
			}
			return nil
		})
		return err
	}, postgres.Again)
	if err != nil {
		return fmt.Errorf("read avatars (%s): %w", q.what, err)
	}
	return nil
}

// mediaID is the media that a URI names, if it is one of ours. Clients have written #auto and the like behind it.
func mediaID(uri, prefix string) (id string, ours bool) {
	rest, ours := strings.CutPrefix(uri, prefix)
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		rest = rest[:end]
	}
	return rest, ours
}

// uris are the mxc URIs in a row. An event that is not JSON as it should be names nothing that a client could show.
//
// The content is decoded into maps: for the fields of a struct, encoding/json takes "URL" for "url" and gives up the rest
// of an object over one value of another type.
func (q avatarQuery) uris(text string) (found []string) {
	if !q.content {
		return []string{text}
	}
	var event map[string]any
	_ = json.Unmarshal([]byte(text), &event) // after a number that is none to Go the rest is there all the same
	content, _ := event["content"].(map[string]any)
	info, _ := content["info"].(map[string]any)
	for _, v := range []any{content["url"], info["thumbnail_url"]} {
		if uri, ok := v.(string); ok {
			found = append(found, uri)
		}
	}
	return found
}

func (a Avatars) firstAfterCutOff(ctx context.Context) (int64, error) {
	return firstAfterCutOff(ctx, a.DB, a.Retry, a.CutOff)
}
