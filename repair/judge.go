package repair

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"synupkeep/sources"
)

// judge finds out what can be done about a broken room.
//
// Synapse forgets all forward extremities but the one that came last. That loses nothing where this one is sound and the
// state right after it is the room's current state: it is by the same rule that Synapse itself prunes extremities
// (storage/controllers/persist_events.py, _prune_extremities, 1.163.2). Where the state differs, the room would look as before
// and its next event would be judged by another state: whoever came in by the broken event could read and not write.
func (c *command) judge(ctx context.Context, broken sources.BrokenRoom) (Room, error) {
	room := newRoom(broken)
	task, pending, err := c.tasks.OfRoom(ctx, broken.ID)
	if err != nil {
		return room, err
	}
	switch {
	case pending:
		room.hold("the server works on it right now ("+task.Action+" "+task.ID+")", "Call this again when that has ended.")
		return room, nil
	case strings.Contains(broken.Version, "msc4242"):
		room.hold("it is of the experimental version "+broken.Version+", whose state is kept in another way", "Ask the developers of Synapse.")
		return room, nil
	case broken.Joined == 0:
		room.hold("nobody of this server is in it, so whether it takes messages cannot be seen, and nobody misses it",
			"To be rid of it: DELETE /_synapse/admin/v2/rooms/<room_id>, see Synapse's documentation of the delete room API.")
		return room, nil
	case !c.tables:
		room.hold("the server keeps the state of rooms in another database, or our role may not read it: whether something would be lost cannot be told",
			"Connect as the role that Synapse uses. With two databases see docs/repair.md.")
		return room, nil
	}
	if broken.Repair != sources.NoRepair {
		change, err := sources.ReadStateChange(ctx, c.db.Reader, broken.ID, broken.Keeps)
		if err != nil {
			return room, err
		}
		if change.Known && change.Differs == 0 {
			room.Repair = DropExtremities
			return room, nil
		}
		room.Loses, room.LosesNamed = change.Differs, change.Named
	}
	return c.byHand(ctx, room, broken)
}

// byHand says how somebody who stops Synapse mends the room.
func (c *command) byHand(ctx context.Context, room Room, broken sources.BrokenRoom) (Room, error) {
	sound := ""
	switch {
	case broken.Repair != sources.NoRepair && room.Loses == 0:
		room.Why = "the state of the event that came last, with which it would go on, is not in the database"
	case broken.Repair != sources.NoRepair:
		room.Why = "a part of its state is only known at an event that Synapse would forget: the server would show it and not act by it"
	case lacksAll(broken):
		room.Why = "it has no latest event any more: there is none that Synapse could keep"
		var err error
		if sound, err = c.goesOn(ctx, broken.ID); err != nil {
			return room, err
		}
		if sound == "" {
			room.Advice = "No event of it is in the state that the room is in now: restore it from a backup, or delete the room " +
				"(DELETE /_synapse/admin/v2/rooms/<room_id>) and, if other servers are in it, join again through one of them."
			return room, nil
		}
	default:
		room.Why = "of its latest events the one that came last is broken itself, and that is the one which Synapse would keep"
	}
	if !printableID(room.ID) || sound != "" && !printableID(sound) {
		room.Advice = "Its id holds characters that cannot be shown as they are: see docs/repair.md for the statements."
		return room, nil
	}
	room.Advice = "Make a backup, stop Synapse with all its workers, run these statements in its database, start it, and call this again."
	room.SQL = statements(room.ID, sound)
	return room, nil
}

// lacksAll says whether no latest event of the room is an event of it.
func lacksAll(room sources.BrokenRoom) bool {
	for _, extremity := range room.Broken {
		if extremity.Wrong != sources.HasNoRow {
			return false
		}
	}
	return int64(len(room.Broken)) == room.Extremities
}

// goesOn is the event from which the room can go on in its current state; empty when there is none.
func (c *command) goesOn(ctx context.Context, roomID string) (string, error) {
	sound, err := sources.SoundEvent(ctx, c.db.Reader, roomID)
	if err != nil || sound == "" {
		return "", err
	}
	change, err := sources.ReadStateChange(ctx, c.db.Reader, roomID, sound)
	if err != nil || !change.Known || change.Differs > 0 {
		return "", err
	}
	return sound, nil
}

// printableID says whether an id can be pasted from a terminal.
func printableID(id string) bool { return regexp.MustCompile(`^[!$][!-~]+$`).MatchString(id) }

// statements mend a room while Synapse is stopped, and lose nothing. What is no event of the room is no latest event of it
// either; where that leaves none the room goes on from sound. Latest events whose state is gone get the room's current
// state: it was made of theirs. All that is added has numbers that nobody had before.
func statements(roomID, sound string) []string {
	room := quote(roomID)
	lines := []string{
		"BEGIN;",
		"DELETE FROM event_forward_extremities f WHERE f.room_id = " + room,
		"  AND NOT EXISTS (SELECT 1 FROM events e WHERE e.event_id = f.event_id AND e.room_id = f.room_id);",
	}
	if sound != "" {
		lines = append(lines,
			fmt.Sprintf("INSERT INTO event_forward_extremities (room_id, event_id) SELECT %s, %s", room, quote(sound)),
			"  WHERE NOT EXISTS (SELECT 1 FROM event_forward_extremities WHERE room_id = "+room+");")
	}
	return append(lines,
		"WITH made AS (",
		"  INSERT INTO state_groups (id, room_id, event_id)",
		"  SELECT nextval('state_group_id_seq'), f.room_id, f.event_id FROM event_forward_extremities f",
		"  WHERE f.room_id = "+room,
		"    AND NOT EXISTS (SELECT 1 FROM event_to_state_groups g WHERE g.event_id = f.event_id)",
		"    AND NOT EXISTS (SELECT 1 FROM rejections r WHERE r.event_id = f.event_id)",
		"  RETURNING id, room_id, event_id",
		"), state AS (",
		"  INSERT INTO state_groups_state (state_group, room_id, type, state_key, event_id)",
		"  SELECT made.id, c.room_id, c.type, c.state_key, c.event_id FROM made JOIN current_state_events c USING (room_id)",
		")",
		"INSERT INTO event_to_state_groups (event_id, state_group) SELECT event_id, id FROM made;",
		"UPDATE events SET outlier = FALSE WHERE outlier AND room_id = "+room,
		"  AND event_id IN (SELECT f.event_id FROM event_forward_extremities f JOIN event_to_state_groups g USING (event_id)",
		"    WHERE f.room_id = "+room+");",
		"COMMIT;",
	)
}

// quote is a text as SQL has it.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }
