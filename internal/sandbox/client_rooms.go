package sandbox

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// RoomOptions are those of POST /createRoom; what is empty is left to Synapse.
type RoomOptions struct {
	Version      string         `json:"room_version,omitempty"`
	Preset       string         `json:"preset,omitempty"` // default public_chat
	Name         string         `json:"name,omitempty"`
	Topic        string         `json:"topic,omitempty"`
	Alias        string         `json:"room_alias_name,omitempty"` // localpart
	Invite       []string       `json:"invite,omitempty"`
	InitialState []StateEvent   `json:"initial_state,omitempty"`
	PowerLevels  map[string]any `json:"power_level_content_override,omitempty"`
	// At is the origin_server_ts of the room's first events; zero means now.
	At time.Time `json:"-"`
}

// StateEvent is a state event of RoomOptions.
type StateEvent struct {
	Type     string `json:"type"`
	StateKey string `json:"state_key"`
	Content  any    `json:"content"`
}

// Event is an event as a client sees it.
type Event struct {
	ID             string         `json:"event_id"`
	Type           string         `json:"type"`
	Sender         string         `json:"sender"`
	RoomID         string         `json:"room_id"`
	StateKey       *string        `json:"state_key"`
	OriginServerTS int64          `json:"origin_server_ts"` // ms
	Content        map[string]any `json:"content"`
	Unsigned       map[string]any `json:"unsigned"`
}

// Body is the text of a message.
func (e Event) Body() string {
	body, _ := e.Content["body"].(string)
	return body
}

type eventID struct {
	EventID string `json:"event_id"`
}

// CreateRoom makes a room, public unless the preset says otherwise, and returns its id.
func (c *Client) CreateRoom(ctx context.Context, o RoomOptions) (string, error) {
	if o.Preset == "" {
		o.Preset = "public_chat"
	}
	var out struct {
		RoomID string `json:"room_id"`
	}
	err := c.Do(ctx, http.MethodPost, "/_matrix/client/v3/createRoom", atTime(o.At), o, &out)
	return out.RoomID, err
}

// Invite invites a user, named in full.
func (c *Client) Invite(ctx context.Context, room, userID string) error {
	return c.Do(ctx, http.MethodPost, roomPath(room, "invite"), nil, map[string]any{"user_id": userID}, nil)
}

// Join joins a room.
func (c *Client) Join(ctx context.Context, room string) error {
	return c.Do(ctx, http.MethodPost, roomPath(room, "join"), nil, struct{}{}, nil)
}

// Leave leaves a room.
func (c *Client) Leave(ctx context.Context, room string) error {
	return c.Do(ctx, http.MethodPost, roomPath(room, "leave"), nil, struct{}{}, nil)
}

// Forget forgets a room that was left.
func (c *Client) Forget(ctx context.Context, room string) error {
	return c.Do(ctx, http.MethodPost, roomPath(room, "forget"), nil, struct{}{}, nil)
}

// Send sends a text message and returns its event id.
func (c *Client) Send(ctx context.Context, room, body string) (string, error) {
	return c.SendAt(ctx, room, body, time.Time{})
}

// SendAt sends a text message with the given origin_server_ts. received_ts is now all the same.
func (c *Client) SendAt(ctx context.Context, room, body string, ts time.Time) (string, error) {
	return c.SendContentAt(ctx, room, "m.room.message", map[string]any{"msgtype": "m.text", "body": body}, ts)
}

// SendContent sends an event of any type.
func (c *Client) SendContent(ctx context.Context, room, eventType string, content any) (string, error) {
	return c.SendContentAt(ctx, room, eventType, content, time.Time{})
}

// SendContentAt is SendContent with an origin_server_ts.
func (c *Client) SendContentAt(ctx context.Context, room, eventType string, content any, ts time.Time) (string, error) {
	var out eventID
	err := c.Do(ctx, http.MethodPut, roomPath(room, "send", eventType, transaction()), atTime(ts), content, &out)
	return out.EventID, err
}

// SetState sets a piece of state and returns the event's id.
func (c *Client) SetState(ctx context.Context, room, eventType, stateKey string, content any) (string, error) {
	return c.SetStateAt(ctx, room, eventType, stateKey, content, time.Time{})
}

// SetStateAt is SetState with an origin_server_ts.
func (c *Client) SetStateAt(ctx context.Context, room, eventType, stateKey string, content any, ts time.Time) (string, error) {
	var out eventID
	err := c.Do(ctx, http.MethodPut, roomPath(room, "state", eventType, stateKey), atTime(ts), content, &out)
	return out.EventID, err
}

// Redact redacts an event and returns the redaction's id.
func (c *Client) Redact(ctx context.Context, room, event string) (string, error) {
	var out eventID
	err := c.Do(ctx, http.MethodPut, roomPath(room, "redact", event, transaction()), nil, struct{}{}, &out)
	return out.EventID, err
}

// Report reports an event to the server admin.
func (c *Client) Report(ctx context.Context, room, event, reason string) error {
	return c.Do(ctx, http.MethodPost, roomPath(room, "report", event), nil, map[string]any{"reason": reason, "score": -100}, nil)
}

// Event fetches one event.
func (c *Client) Event(ctx context.Context, room, event string) (Event, error) {
	var e Event
	err := c.Do(ctx, http.MethodGet, roomPath(room, "event", event), nil, nil, &e)
	return e, err
}

// State fetches the content of a piece of current state.
func (c *Client) State(ctx context.Context, room, eventType, stateKey string) (map[string]any, error) {
	var content map[string]any
	err := c.Do(ctx, http.MethodGet, roomPath(room, "state", eventType, stateKey), nil, nil, &content)
	return content, err
}

// Messages fetches a page of the timeline and the token for the next one, empty at the end. dir is "b" (newest first)
// or "f"; from is empty for the first page.
func (c *Client) Messages(ctx context.Context, room string, limit int, dir, from string) ([]Event, string, error) {
	q := url.Values{"limit": {strconv.Itoa(limit)}, "dir": {dir}}
	if from != "" {
		q.Set("from", from)
	}
	var out struct {
		Chunk []Event `json:"chunk"`
		End   string  `json:"end"`
	}
	err := c.Do(ctx, http.MethodGet, roomPath(room, "messages"), q, nil, &out)
	return out.Chunk, out.End, err
}

// Timeline fetches all that is left of a room's timeline, newest first.
func (c *Client) Timeline(ctx context.Context, room string) ([]Event, error) {
	var all []Event
	from := ""
	for {
		page, next, err := c.Messages(ctx, room, 500, "b", from)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if next == "" || next == from {
			return all, nil
		}
		from = next
	}
}

// Sync makes one sync without waiting and returns the raw answer. since is empty for an initial sync.
func (c *Client) Sync(ctx context.Context, since string) (json.RawMessage, error) {
	q := url.Values{"timeout": {"0"}}
	if since != "" {
		q.Set("since", since)
	}
	var out json.RawMessage
	err := c.Do(ctx, http.MethodGet, "/_matrix/client/v3/sync", q, nil, &out)
	return out, err
}
