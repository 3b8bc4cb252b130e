package sources

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"synupkeep/internal/item"
	"synupkeep/internal/postgres"
)

// fate is what has become of an event. That it may be current state or an invitation is asked of state events alone, of
// which there are few among very many events; that it was redacted since, of those that are remembered.
const fate = `
	SELECT e.event_id, e.stream_ordering, e.room_id, e.type, COALESCE(e.topological_ordering, e.depth), e.outlier,
		COALESCE(c.is, false), COALESCE(m.membership IN ('invite', 'knock'), false), %s
	FROM events e
	LEFT JOIN state_events s ON s.event_id = e.event_id
	LEFT JOIN LATERAL (
		SELECT true AS is FROM current_state_events c WHERE s.event_id IS NOT NULL AND c.event_id = s.event_id OFFSET 0
	) c ON true
	LEFT JOIN LATERAL (
		SELECT m.membership FROM local_current_membership m WHERE s.event_id IS NOT NULL
			AND m.user_id = s.state_key AND m.room_id = e.room_id AND m.event_id = s.event_id OFFSET 0
	) m ON true
	WHERE %s = ANY ($1)`

// event is one that names local media, as it is now.
type event struct {
	ID                                 string
	Stream                             *int64
	Room, Type                         string
	Depth                              int64
	Outlier, Current, Invite, Redacted bool
}

// why says what the event protects its media by, if it does. An outlier is shown to nobody, except as current state, or
// to who was invited by it.
func (e event) why(going func(string, int64) bool) (why item.Reason, shown bool) {
	switch {
	case e.Current:
		return state(e.Type), true
	case e.Invite:
		return item.Invite, true
	case e.Outlier, going != nil && going(e.Room, e.Depth):
		return "", false
	}
	return item.Event, true
}

// state is the reason by which current state of a type protects media.
func state(eventType string) item.Reason {
	if isAvatar(eventType) {
		return item.Avatar
	}
	return item.StateEvent(eventType)
}

func isAvatar(eventType string) bool {
	return eventType == "m.room.member" || eventType == "m.room.avatar"
}

// lookUp protects what these events name, unless it is not shown any more, and takes a note for the next run.
func (u *usage) lookUp(ctx context.Context, found []naming) error {
	if len(found) == 0 {
		return nil
	}
	events, err := u.fates(ctx, found)
	if err != nil {
		return err
	}
	if err := u.readRedacted(ctx, events); err != nil {
		return err
	}
	for _, e := range events {
		if e.Type == "m.room.encrypted" || len(e.hashes) == 0 {
			continue
		}
		u.events.Add(1)
		why, shown := e.why(u.Going)
		switch {
		case shown:
			u.protect(e.hashes, why)
		case isAvatar(e.Type) && len(e.hashes) > mostNames:
			u.protect(e.hashes, item.Avatar)
		case isAvatar(e.Type):
			u.replaced = append(u.replaced, e)
		}
		if e.Stream != nil && *e.Stream >= u.reach.Low && *e.Stream <= u.reach.High {
			u.notes.add(*e.Stream, e.hashes)
		}
	}
	if len(u.replaced) < mostReplaced {
		return nil
	}
	return u.ofTheirTime(ctx)
}

func (u *usage) protect(hashes []uint64, why item.Reason) {
	for _, hash := range hashes {
		u.f(hash, why)
	}
}

const (
	// mostReplaced is how many replaced avatars are kept in memory, to be looked for together: that reads a whole table.
	mostReplaced = 20_000
	// mostNames is what such an event can name by hashes. An avatar is one media; what somebody has filled with names stays, or
	// he could have that table read time and again.
	mostNames = 32
)

// ofTheirTime protects avatars that are outliers by now, if what replaced them is not: then the room's cut lies between
// the two, and messages that are kept are drawn with the old one.
func (u *usage) ofTheirTime(ctx context.Context) error {
	if len(u.replaced) == 0 {
		return nil
	}
	ids, hashes := []string{}, map[string][]uint64{}
	for _, e := range u.replaced {
		ids = append(ids, e.ID)
		hashes[e.ID] = append(hashes[e.ID], e.hashes...)
	}
	u.replaced = u.replaced[:0]
	_, err := u.Retry.Do(ctx, func() error {
		rows, err := u.DB.Query(ctx, `
			SELECT old.id, e.room_id, COALESCE(e.topological_ordering, e.depth) FROM unnest($1::text[]) old (id)
			JOIN current_state_delta_stream d ON d.prev_event_id = old.id JOIN events e ON e.event_id = d.event_id
			WHERE NOT e.outlier`, ids)
		if err != nil {
			return err
		}
		var id, room string
		var depth int64
		_, err = pgx.ForEachRow(rows, []any{&id, &room, &depth}, func() error {
			if u.Going == nil || !u.Going(room, depth) {
				u.protect(hashes[id], item.Avatar)
			}
			return nil
		})
		return err
	}, postgres.Again)
	return err
}

// known is an event with what it names.
type known struct {
	event
	hashes []uint64
	old    bool // its hashes were remembered
}

func (u *usage) fates(ctx context.Context, found []naming) (events []known, err error) {
	byID, byStream := map[string]naming{}, map[int64][]uint64{}
	for _, n := range found {
		if n.remembered {
			byStream[n.stream] = append(byStream[n.stream], n.hashes...)
			slices.Sort(byStream[n.stream])
			byStream[n.stream] = slices.Compact(byStream[n.stream])
		} else {
			byID[n.id] = n
		}
	}
	var streams []int64
	for stream := range byStream {
		streams = append(streams, stream)
	}
	var ids []string
	for id := range byID {
		ids = append(ids, id)
	}
	slices.Sort(streams)
	_, err = u.Retry.Do(ctx, func() error {
		events = events[:0]
		for _, q := range []struct {
			sql string
			arg any
			any bool
		}{
			{fmt.Sprintf(fate, `EXISTS (SELECT FROM redactions r WHERE r.redacts = e.event_id)`, `e.stream_ordering`), streams, len(streams) > 0},
			{fmt.Sprintf(fate, `false`, `e.event_id`), ids, len(ids) > 0},
		} {
			if !q.any {
				continue
			}
			rows, err := u.DB.Query(ctx, q.sql, q.arg)
			if err != nil {
				return err
			}
			page, err := pgx.CollectRows(rows, pgx.RowToStructByPos[event])
			if err != nil {
				return err
			}
			for _, e := range page {
				if n, isNew := byID[e.ID]; isNew {
					events = append(events, known{event: e, hashes: n.hashes})
				} else {
					events = append(events, known{event: e, hashes: byStream[*e.Stream], old: true})
				}
			}
		}
		return nil
	}, postgres.Again)
	return events, err
}

// readRedacted reads again what was redacted: when the server has taken its content away, it names nothing any more. That
// the server says that it has dealt with a redaction does not mean that it obeyed it (censor_events.py 1.163.2).
func (u *usage) readRedacted(ctx context.Context, events []known) error {
	var ids []string
	for i, e := range events {
		if e.old && e.Redacted {
			ids = append(ids, e.ID)
			events[i].hashes = nil
		}
	}
	if len(ids) == 0 {
		return nil
	}
	now := map[string][]uint64{}
	_, err := u.Retry.Do(ctx, func() error {
		rows, err := u.DB.Query(ctx, `SELECT event_id, json FROM event_json WHERE event_id = ANY ($1)`, ids)
		if err != nil {
			return err
		}
		var id, json string
		_, err = pgx.ForEachRow(rows, []any{&id, &json}, func() error {
			now[id] = named(json, u.ServerName)
			return nil
		})
		return err
	}, postgres.Again)
	for i, e := range events {
		if e.old && e.Redacted {
			events[i].hashes = now[e.ID]
		}
	}
	return err
}
