package sources

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"synupkeep/internal/postgres"
	"synupkeep/internal/retry"
)

// BrokenRooms finds the rooms into which nothing can be sent any more. The next event of a room must name its forward
// extremities and needs their state: one that a purge has made an outlier, or that has no state or no row, makes Synapse
// answer every message with 500 (storage/databases/main/state.py:721-723, 1.163.2; 1.98 says 403 of some, for it finds no
// m.room.create), and so does a room without any (handlers/message.py, create_new_client_event).
type BrokenRooms struct {
	DB postgres.Querier
	// Only lists the ids of the rooms to look at; nil means all of them.
	Only []string
	// Retry is for a database that is away for a while.
	Retry retry.Policy
}

// BrokenRoom is a room into which nothing can be sent.
type BrokenRoom struct {
	ID string
	// Version is the room's version; empty where Synapse never noted it.
	Version string
	// Joined is how many users of this server are in it. Without any, nobody notices.
	Joined int64
	// Extremities is how many forward extremities it has. Without any, Broken is empty as well.
	Extremities int64
	// Broken are those that nothing can be sent on, the first ten.
	Broken []BrokenExtremity
	// Keeps is the extremity that DELETE /_synapse/admin/v1/rooms/<room>/forward_extremities would leave: the one that came
	// last (events_forward_extremities.py:47-64, 1.163.2). It is empty when none has a row.
	Keeps string
	// Loses are the sound extremities that would go with the broken ones although their state is another, the first ten: what
	// was decided on their branches would be undone.
	Loses []string
	// Repair is what can be done about it.
	Repair RoomRepair
}

// BrokenExtremity is a forward extremity that nothing can be sent on.
type BrokenExtremity struct {
	EventID string
	Wrong   Wrong
	// Current says that it is part of the room's current state, which would lose it.
	Current bool
}

// Wrong is what is wrong with a forward extremity. The words stand in JSON.
type Wrong string

// What can be wrong.
const (
	IsOutlier Wrong = "outlier"  // a purge took it out of the history and kept it as state
	HasNoRow  Wrong = "missing"  // it is no event of the room in this database
	Stateless Wrong = "no state" // it has no state group
)

// RoomRepair is what can be done about a broken room. The words stand in JSON.
type RoomRepair string

// The repairs.
const (
	// DropExtremities: to have Synapse drop all extremities but the last is safe, for that one is sound and no sound one of
	// another state goes.
	DropExtremities RoomRepair = "drop extremities"
	// LosesState: the same would mend it, and undo what was decided on the sound extremities that it drops.
	LosesState RoomRepair = "drop extremities, losing state"
	// NoRepair: Synapse would keep a broken one, or there is none that it could keep.
	NoRepair RoomRepair = "none"
)

// some is how many event ids of a room are named.
const some = 10

// A room that is still being joined is left out: what it lacks may be on its way.
const brokenRooms = `
	WITH ext AS MATERIALIZED (
		SELECT f.room_id, f.event_id, e.stream_ordering AS came, g.state_group, CASE
			WHEN e.event_id IS NULL THEN '` + string(HasNoRow) + `'
			WHEN e.outlier THEN '` + string(IsOutlier) + `'
			WHEN g.event_id IS NULL THEN '` + string(Stateless) + `'
			ELSE '' END AS wrong
		FROM event_forward_extremities f
		LEFT JOIN events e ON e.event_id = f.event_id AND e.room_id = f.room_id
		LEFT JOIN event_to_state_groups g ON g.event_id = f.event_id
		WHERE $1::text[] IS NULL OR f.room_id = ANY ($1)
	), broken AS (
		SELECT room_id FROM ext WHERE wrong <> ''
		UNION
		SELECT m.room_id FROM local_current_membership m
		WHERE m.membership = 'join' AND ($1::text[] IS NULL OR m.room_id = ANY ($1))
		  AND NOT EXISTS (SELECT 1 FROM event_forward_extremities f WHERE f.room_id = m.room_id)
	), page AS (
		SELECT b.room_id, count(*) OVER () AS total FROM broken b
		WHERE b.room_id > $2 AND NOT EXISTS (SELECT 1 FROM partial_state_rooms p WHERE p.room_id = b.room_id)
		ORDER BY b.room_id LIMIT $3
	)
	SELECT page.total, page.room_id, COALESCE((SELECT r.room_version FROM rooms r WHERE r.room_id = page.room_id), ''),
		(SELECT count(*) FROM local_current_membership m WHERE m.room_id = page.room_id AND m.membership = 'join'),
		(SELECT count(*) FROM ext x WHERE x.room_id = page.room_id),
		COALESCE(last.event_id, ''), COALESCE(last.wrong, ''),
		bad.ids, bad.wrongs, bad.currents, lost.ids
	FROM page
	LEFT JOIN LATERAL (
		SELECT x.event_id, x.wrong, x.state_group FROM ext x WHERE x.room_id = page.room_id AND x.came IS NOT NULL
		ORDER BY x.came DESC LIMIT 1
	) last ON TRUE
	CROSS JOIN LATERAL (
		SELECT COALESCE(array_agg(b.event_id), '{}') AS ids, COALESCE(array_agg(b.wrong), '{}') AS wrongs,
			COALESCE(array_agg(EXISTS (SELECT 1 FROM current_state_events c WHERE c.event_id = b.event_id)), '{}') AS currents
		FROM (SELECT x.event_id, x.wrong FROM ext x WHERE x.room_id = page.room_id AND x.wrong <> '' ORDER BY x.event_id LIMIT $4) b
	) bad
	CROSS JOIN LATERAL (
		SELECT COALESCE(array_agg(h.event_id), '{}') AS ids
		FROM (SELECT x.event_id FROM ext x WHERE x.room_id = page.room_id AND x.wrong = '' AND x.event_id <> last.event_id
			AND last.wrong = '' AND x.state_group IS DISTINCT FROM last.state_group ORDER BY x.event_id LIMIT $4) h
	) lost
	ORDER BY page.room_id`

// Find returns the broken rooms whose ids follow after, in their order, at most so many, and how many there are.
func (b BrokenRooms) Find(ctx context.Context, after string, most int) (rooms []BrokenRoom, total int64, err error) {
	_, err = b.Retry.Do(ctx, func() error {
		rows, err := b.DB.Query(ctx, brokenRooms, b.Only, after, most, some)
		if err != nil {
			return err
		}
		total = 0
		rooms, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (BrokenRoom, error) { return scanBroken(row, &total) })
		return err
	}, postgres.Again)
	if err != nil {
		return nil, 0, fmt.Errorf("look for rooms that take no messages: %w", err)
	}
	return rooms, total, nil
}

func scanBroken(row pgx.CollectableRow, total *int64) (BrokenRoom, error) {
	var room BrokenRoom
	var last Wrong
	var ids []string
	var wrongs []Wrong
	var current []bool
	err := row.Scan(total, &room.ID, &room.Version, &room.Joined, &room.Extremities, &room.Keeps, &last, &ids, &wrongs, &current, &room.Loses)
	if err != nil {
		return room, err
	}
	for i, id := range ids {
		room.Broken = append(room.Broken, BrokenExtremity{EventID: id, Wrong: wrongs[i], Current: current[i]})
	}
	switch {
	case room.Keeps == "" || last != "":
		room.Repair = NoRepair
	case len(room.Loses) > 0:
		room.Repair = LosesState
	default:
		room.Repair = DropExtremities
	}
	return room, nil
}
