// Package sources enumerates what a run may have to deal with: rooms and media, read from Synapse's database in keyset
// pages. A page is read whole and its query closed before anything is done with it, so that no slow consumer keeps a
// snapshot open and holds back vacuum.
package sources

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"synupkeep/internal/item"
	"synupkeep/internal/postgres"
	"synupkeep/internal/retry"
)

// Rooms enumerates rooms with one probe each (phase A). What it says is cheap and generous: a room with a verdict has
// nothing to purge that is old by its sender's clock, any other may have. By receipt, which decides in the end, a message
// that its sender dated into the future may be old sooner; it goes with the next ones.
type Rooms struct {
	DB     postgres.Querier
	CutOff time.Time
	// Only lists the ids of the rooms to look at; nil means all of them.
	Only []string
	// Never lists the ids of rooms whose history stays.
	Never []string
	// ByArrival probes by the order of arrival instead of the sender's clock: for databases that have not built
	// events_jump_to_date_idx yet.
	ByArrival bool
	// Page is how many rooms a query reads.
	Page int
	// Retry is for a database that is away for a while.
	Retry retry.Policy
}

// MostOld is up to where a room's old events are counted, to tell small rooms from large ones.
const MostOld = 1_000

// The probe looks at the two oldest events that are not outliers. After a purge everything below the cut is gone or an
// outlier, so a dormant room keeps exactly one such event, its tip: it must not count as work, or it would be purged
// every night. Work is possible when both are old, or when the old one lies below the room's highest extremity.
const probe = `
	WITH page AS (
		SELECT room_id FROM rooms
		WHERE room_id > $1 AND ($4::text[] IS NULL OR room_id = ANY ($4))
		ORDER BY room_id LIMIT $2
	)
	SELECT page.room_id,
		EXISTS (SELECT 1 FROM partial_state_rooms p WHERE p.room_id = page.room_id) AS partial,
		work.possible,
		CASE WHEN work.possible THEN (
			SELECT count(*) FROM (
				SELECT 1 FROM events e
				WHERE e.room_id = page.room_id AND NOT e.outlier AND e.origin_server_ts < $3
				LIMIT $5
			) q
		) ELSE 0 END AS old
	FROM page
	CROSS JOIN LATERAL (
		SELECT count(*) FILTER (WHERE o.ts < $3) AS old, min(o.depth) FILTER (WHERE o.ts < $3) AS depth
		FROM (
			SELECT e.origin_server_ts AS ts, e.topological_ordering AS depth FROM events e
			WHERE e.room_id = page.room_id AND NOT e.outlier
			ORDER BY %s LIMIT 2
		) o
	) two
	CROSS JOIN LATERAL (
		SELECT two.old = 2 OR two.old = 1 AND two.depth < (
			SELECT max(e.topological_ordering) FROM event_forward_extremities f
			JOIN events e ON e.event_id = f.event_id
			WHERE f.room_id = page.room_id
		) AS possible
	) work
	ORDER BY page.room_id`

// Each yields every room once, in pages by room id. An error ends it: what was not read was not decided.
func (r Rooms) Each(ctx context.Context) iter.Seq2[item.Room, error] {
	order := "e.origin_server_ts ASC NULLS LAST"
	if r.ByArrival {
		order = "e.stream_ordering ASC"
	}
	query := fmt.Sprintf(probe, order)
	return func(yield func(item.Room, error) bool) {
		after := ""
		for {
			page, err := r.read(ctx, query, after)
			if err != nil {
				yield(item.Room{}, err)
				return
			}
			for _, room := range page {
				if !yield(room, nil) {
					return
				}
			}
			if len(page) < r.Page {
				return
			}
			after = page[len(page)-1].ID
		}
	}
}

func (r Rooms) read(ctx context.Context, query, after string) (page []item.Room, err error) {
	_, err = r.Retry.Do(ctx, func() error {
		rows, err := r.DB.Query(ctx, query, after, r.Page, r.CutOff.UnixMilli(), r.Only, MostOld)
		if err != nil {
			return err
		}
		page, err = pgx.CollectRows(rows, r.judge)
		return err
	}, postgres.Again)
	if err != nil {
		return nil, fmt.Errorf("read rooms after %q: %w", after, err)
	}
	return page, nil
}

func (r Rooms) judge(row pgx.CollectableRow) (item.Room, error) {
	var room item.Room
	var partial bool
	var possible *bool
	if err := row.Scan(&room.ID, &partial, &possible, &room.Old); err != nil {
		return room, err
	}
	switch {
	case slices.Contains(r.Never, room.ID):
		room.Verdict = item.NotSelected
	case partial:
		room.Verdict = item.PartialState
	case possible == nil || !*possible:
		room.Verdict = item.NothingOld
	}
	return room, nil
}

// UnknownRoomError names a room or alias that this server does not know. A typing mistake in --not-room would purge
// the room that it was meant to keep, so it is never passed over.
type UnknownRoomError struct{ Name string }

func (e *UnknownRoomError) Error() string {
	return fmt.Sprintf("%q is no room and no alias of this server", e.Name)
}

// ResolveRooms returns the ids of rooms named by id or alias, or an *UnknownRoomError. Nothing named gives nil.
func ResolveRooms(ctx context.Context, db postgres.Querier, names []string) ([]string, error) {
	var ids []string
	for _, name := range names {
		rows, err := db.Query(ctx, `
			SELECT room_id FROM rooms WHERE room_id = $1
			UNION SELECT room_id FROM room_aliases WHERE room_alias = $1`, name)
		if err != nil {
			return nil, fmt.Errorf("look up room %q: %w", name, err)
		}
		found, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return nil, fmt.Errorf("look up room %q: %w", name, err)
		}
		if len(found) == 0 {
			return nil, &UnknownRoomError{Name: name}
		}
		ids = append(ids, found...)
	}
	return ids, nil
}
