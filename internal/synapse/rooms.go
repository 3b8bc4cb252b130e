package synapse

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// DropExtremities has the server forget all forward extremities of a room but the one that came last, whether that one is
// sound or not, and returns how many it forgot. It tells its caches and its workers, so the room can be used at once
// (synapse/storage/databases/main/events_forward_extremities.py:36-97, 1.163.2). A room without an extremity that has a row
// in events is answered by 500.
func (c *Client) DropExtremities(ctx context.Context, roomID string) (int64, error) {
	var answer struct {
		Deleted *int64 `json:"deleted"`
	}
	path := "/_synapse/admin/v1/rooms/" + url.PathEscape(roomID) + "/forward_extremities"
	if err := c.call(ctx, http.MethodDelete, path, nil, &answer); err != nil {
		return 0, err
	}
	if answer.Deleted == nil {
		return 0, c.foreign(http.MethodDelete, path)
	}
	return *answer.Deleted, nil
}

// ErrNoState comes from CheckRoom: the server cannot tell the state in which the room's next event would be.
var ErrNoState = errors.New("the server cannot make another event of this room")

// notInRoom is how the server refuses to take somebody out of a room who is not in it (handlers/room_member.py:1050, 1.163.2;
// the same in 1.98 and 1.130).
const notInRoom = "The target user is not in the room"

// CheckRoom proves that the server can make the next event of a room, without making one: it is asked to take somebody out of
// the room who is not in it. To find that out it takes the first steps of every message, it looks up what the event would
// follow and resolves the state there, and then refuses. Nothing is sent, written or shown to anybody, whoever is in the
// room; nobody has the name that is asked for (handlers/room_member.py:966-1050, 1.163.2). The error is ErrNoState when the
// state cannot be resolved, or is one in which nobody of this server is in the room.
//
// It is proof only of a room whose forward extremities all have their state in the database: Synapse passes over those
// without one as long as it has that of another in its caches (util/caches/descriptors.py, cachedList, 1.163.2), and fails
// when it writes the event.
func (c *Client) CheckRoom(ctx context.Context, roomID, serverName string) error {
	nobody := "@synupkeep-asks-" + strings.ToLower(rand.Text()) + ":" + serverName
	path := "/_matrix/client/v3/rooms/" + url.PathEscape(roomID) + "/kick"
	err := c.call(ctx, http.MethodPost, path, map[string]string{"user_id": nobody}, &struct{}{})
	var refused *Error
	switch {
	case err == nil:
		return fmt.Errorf("%w: it says that it took %s out, who is nobody", ErrNoState, nobody)
	case !errors.As(err, &refused) || refused.Foreign:
		return err
	case refused.Status == http.StatusForbidden && refused.Message == notInRoom:
		return nil
	case refused.Status == http.StatusInternalServerError, refused.Status == http.StatusNotFound && refused.Code != "M_UNRECOGNIZED":
		return fmt.Errorf("%w: %w", ErrNoState, err)
	}
	return err
}
