package sources

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"synupkeep/internal/item"
	"synupkeep/internal/postgres"
	"synupkeep/internal/synapse"
)

// pinnedRooms is how many rooms are asked at once for what they have pinned. Whoever may pin can fill a list with 1,500 ids.
const pinnedRooms = 100

// pinned reads the events that rooms have pinned. A purge takes messages away all the same; state events stay.
func (r References) pinned(ctx context.Context, f func(uint64, item.Reason)) error {
	for after, more := "", true; more; {
		var pins []string
		_, err := r.Retry.Do(ctx, func() (err error) {
			var last string
			if pins, last, err = r.pinsAfter(ctx, after); err == nil {
				after, more = last, last != ""
			}
			return err
		}, postgres.Again)
		for len(pins) > 0 && err == nil {
			n := min(page, len(pins))
			_, err = r.Retry.Do(ctx, func() error { return r.namedBy(ctx, r.DB, item.Pinned, ids, f, pins[:n]) }, postgres.Again)
			pins = pins[n:]
		}
		if err != nil {
			return fmt.Errorf("read which local media pinned events name: %w", err)
		}
	}
	return nil
}

// pinsAfter returns what is pinned in the next rooms, and the last of these, "" when there are no more.
func (r References) pinsAfter(ctx context.Context, after string) (pins []string, last string, err error) {
	rows, err := r.DB.Query(ctx, `
		WITH page AS (SELECT room_id FROM rooms WHERE room_id > $1 ORDER BY room_id LIMIT $2)
		SELECT page.room_id, COALESCE(p.json, '') FROM page LEFT JOIN LATERAL (
			SELECT j.json FROM current_state_events c JOIN event_json j ON j.event_id = c.event_id
			WHERE c.room_id = page.room_id AND c.type = 'm.room.pinned_events' AND c.state_key = '' OFFSET 0
		) p ON true ORDER BY page.room_id`, after, pinnedRooms)
	if err != nil {
		return nil, "", err
	}
	var text string
	_, err = pgx.ForEachRow(rows, []any{&last, &text}, func() error {
		pins = append(pins, synapse.PinnedIDs(text)...)
		return nil
	})
	return pins, last, err
}

// readPins returns the events that events of the type m.room.pinned_events name.
func readPins(ctx context.Context, q postgres.Querier, sql string, args ...any) (pins []string, err error) {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	var text string
	_, err = pgx.ForEachRow(rows, []any{&text}, func() error {
		pins = append(pins, synapse.PinnedIDs(text)...)
		return nil
	})
	return pins, err
}

// Which events namedBy reads.
const (
	ids     = `e.event_id = ANY ($2)`
	reports = `e.event_id IN (SELECT event_id FROM event_reports WHERE received_ts >= $2)`
	newer   = `e.event_id IN (SELECT event_id FROM event_reports WHERE id > $2)`
)

// reported reads the events that users have reported to the admin.
func (r References) reported(ctx context.Context, f func(uint64, item.Reason)) error {
	_, err := r.Retry.Do(ctx, func() error {
		return r.namedBy(ctx, r.DB, item.Reported, reports, f, r.ReportsSince.UnixMilli())
	}, postgres.Again)
	if err != nil {
		return fmt.Errorf("read which local media reported events name: %w", err)
	}
	return nil
}

// namedBy reads what some events name. A purge that is still to come takes those away that are no state.
func (r References) namedBy(ctx context.Context, q postgres.Querier, why item.Reason, where string, f func(uint64, item.Reason), arg any) error {
	rows, err := q.Query(ctx, `
		SELECT j.json, e.room_id, COALESCE(e.topological_ordering, e.depth), EXISTS (SELECT FROM state_events s WHERE s.event_id = e.event_id)
		FROM events e JOIN event_json j ON j.event_id = e.event_id
		WHERE e.type <> 'm.room.encrypted' AND position($1 in j.json) > 0 AND `+where, needle(r.ServerName), arg)
	if err != nil {
		return err
	}
	var text, room string
	var depth int64
	var isState bool
	_, err = pgx.ForEachRow(rows, []any{&text, &room, &depth, &isState}, func() error {
		if !isState && r.Going != nil && r.Going(room, depth) {
			return nil
		}
		for _, hash := range named(text, r.ServerName) {
			f(hash, why)
		}
		return nil
	})
	return err
}
