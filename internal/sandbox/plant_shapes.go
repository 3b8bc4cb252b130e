package sandbox

import (
	"context"
	"time"
)

// Fork plants a message that becomes a second forward extremity: it follows prev, which need not be an extremity, and
// claims the given depth (0: one more than prev).
func (p *Plant) Fork(ctx context.Context, roomID, prev string, depth int64, at time.Time) (string, error) {
	return p.Event(ctx, NewEvent{Room: roomID, Prev: []string{prev}, Depth: depth, Sent: at, Received: at})
}

// LateEventOnLowFork is a message that arrives now on a branch that left the room at prev: the newest by stream order, at
// a low depth, and the one that the sliding sync table names.
func (p *Plant) LateEventOnLowFork(ctx context.Context, roomID, prev string, sent, received time.Time) (string, error) {
	return p.Event(ctx, NewEvent{Room: roomID, Prev: []string{prev}, Sent: sent, Received: received})
}

// StateExtremity plants a state event, of a type that no other event has, as a second forward extremity after prev.
func (p *Plant) StateExtremity(ctx context.Context, roomID, prev string, at time.Time) (string, error) {
	key := ""
	return p.Event(ctx, NewEvent{
		Room: roomID, Prev: []string{prev}, Type: "org.example.fork", StateKey: &key, Sent: at, Received: at,
		Content: map[string]any{"planted": true},
	})
}

// SoftFailed plants a soft-failed message the given number of levels above the room's forward extremities, of which it
// is none.
func (p *Plant) SoftFailed(ctx context.Context, roomID string, above int64, at time.Time) (string, error) {
	var depth int64
	err := p.tx.QueryRow(ctx, `SELECT max(e.depth) FROM event_forward_extremities f JOIN events e USING (event_id)
		WHERE f.room_id = $1`, roomID).Scan(&depth)
	if err != nil {
		return "", err
	}
	return p.Event(ctx, NewEvent{Room: roomID, Depth: depth + above, Sent: at, Received: at, Place: SoftFailed})
}

// Gap plants a message after the room's forward extremities and after an event that is missing, whose id it returns too.
func (p *Plant) Gap(ctx context.Context, roomID string, at time.Time) (eventID, missing string, err error) {
	r, err := p.room(ctx, roomID)
	if err != nil {
		return "", "", err
	}
	missing = MissingEventID()
	eventID, err = p.Event(ctx, NewEvent{Room: roomID, Prev: append(r.tips, missing), Sent: at, Received: at})
	return eventID, missing, err
}

// Backfilled plants a message that was sent long ago and fetched from another server just now: it follows prev at the
// given depth (0: one more than prev) and has a negative stream ordering.
func (p *Plant) Backfilled(ctx context.Context, roomID, prev string, depth int64, sent, received time.Time) (string, error) {
	return p.Event(ctx, NewEvent{Room: roomID, Prev: []string{prev}, Depth: depth, Sent: sent, Received: received, Place: Backfilled})
}

// Redaction plants a redaction after prev, for example one that lies lower than its target. Synapse has not censored the
// target yet.
func (p *Plant) Redaction(ctx context.Context, roomID, target, prev string, depth int64, at time.Time) (string, error) {
	return p.Event(ctx, NewEvent{
		Room: roomID, Prev: []string{prev}, Depth: depth, Type: "m.room.redaction", Redacts: target,
		Content: map[string]any{}, Sent: at, Received: at,
	})
}
