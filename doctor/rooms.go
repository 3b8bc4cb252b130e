package doctor

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"synupkeep/sources"
)

func checkBrokenRooms(ctx context.Context, e *exam) finding {
	rooms, total, err := sources.BrokenRooms{DB: e.db.Reader}.Find(ctx, "", few)
	if err != nil {
		return unread(err)
	}
	if len(rooms) == 0 {
		return fine("every room has an end that a message can follow")
	}
	f := finding{
		result: Warning, found: plural(total, "room takes", "rooms take") + " no messages any more; nobody of this server is in any of those that are named",
		means: "An earlier purge, or a database that was mended by hand, left them without an end that a message can follow: Synapse answers each with 500.",
		do: "synupkeep repair rooms looks closer at each, mends where nothing is lost, and has statements for most of the others. Nobody can leave or join " +
			"such a room meanwhile; what nothing mends is deleted by an admin (DELETE /_synapse/admin/v2/rooms/<room>), and joined or made anew.",
	}
	names, _ := sources.NameRooms(ctx, e.db.Reader, idsOf(rooms)) // without them the ids do
	for _, room := range rooms {
		if room.Joined > 0 && f.result != Failure {
			f.result = Failure
			f.found = plural(total, "room takes", "rooms take") + " no messages any more"
		}
		f.details = append(f.details, named(room.ID, names)+": "+broken(room))
	}
	f.details = shorten(f.details, int(total))
	return f
}

func idsOf(rooms []sources.BrokenRoom) []string {
	ids := make([]string, len(rooms))
	for i, room := range rooms {
		ids[i] = room.ID
	}
	return ids
}

// named is a room by its id, and by what people call it.
func named(id string, names map[string]sources.RoomFacts) string {
	if name := cmp.Or(names[id].Alias, names[id].Name); name != "" {
		return fmt.Sprintf("%s (%s)", id, name)
	}
	return id
}

// broken says what is wrong with a room and what can be done.
func broken(room sources.BrokenRoom) string {
	text := fmt.Sprintf("version %s, %s of this server in it, ", cmp.Or(room.Version, "unknown"), plural(room.Joined, "user", "users"))
	switch {
	case room.Extremities == 0:
		text += "it has no end at all"
	case len(room.Broken) == 1:
		text += fmt.Sprintf("its end %s %s", room.Broken[0].EventID, wrong(room.Broken[0].Wrong))
	default:
		text += fmt.Sprintf("of its %d ends %d are broken, %s first, which %s", room.Extremities, len(room.Broken), room.Broken[0].EventID, wrong(room.Broken[0].Wrong))
	}
	switch room.Repair {
	case sources.DropExtremities:
		return text + "; Synapse can drop it, and repair rooms does if no state is lost by that"
	case sources.LosesState:
		return text + "; dropping it would undo what was decided on other branches: repair rooms has statements instead"
	case sources.NoRepair:
	}
	return text + "; Synapse itself has no repair for it: repair rooms may have statements"
}

func wrong(w sources.Wrong) string {
	switch w {
	case sources.IsOutlier:
		return "was purged and kept as state only"
	case sources.HasNoRow:
		return "is not in the database"
	case sources.Stateless:
		return "has no state"
	}
	return string(w)
}

// joinedFor is how long a room may be on its way.
const joinedFor = 24 * time.Hour

func checkPartialJoins(ctx context.Context, e *exam) finding {
	rows, err := e.db.Reader.Query(ctx, `
		SELECT p.room_id, max(e.received_ts) FROM partial_state_rooms p
		LEFT JOIN event_forward_extremities f ON f.room_id = p.room_id LEFT JOIN events e ON e.event_id = f.event_id
		GROUP BY p.room_id ORDER BY 2 NULLS FIRST, 1`)
	if err != nil {
		return unread(err)
	}
	var room string
	var since *int64
	var long []string
	young := 0
	if _, err := pgx.ForEachRow(rows, []any{&room, &since}, func() error {
		if since != nil && e.now.Sub(time.UnixMilli(*since)) < joinedFor {
			young++
			return nil
		}
		long = append(long, room)
		return nil
	}); err != nil {
		return unread(err)
	}
	if len(long) == 0 {
		return fine("%s being joined now", plural(young, "room is", "rooms are"))
	}
	return finding{
		result: Warning, found: plural(len(long), "room has been on its way for more than a day", "rooms have been on their way for more than a day"),
		means:   "Their state never came from the other servers: nothing of their history is purged as long as that is so.",
		do:      "Look in Synapse's log for the room (sync_partial_state_room). If the others are gone: have everybody leave, and delete the room.",
		details: shorten(long, len(long)),
	}
}
