package dag

import (
	"context"
	"slices"
	"time"

	"synupkeep/internal/sandbox"
)

// Plant makes a made-up room real: all its events, hashed and signed, behind what the real room with this id has already.
// It returns the ids of those that are pinned. In the real room depths go on from those that are there; one that lies far
// above is only a little above.
func (r Room) Plant(ctx context.Context, p *sandbox.Plant, roomID string) (pinned []string, err error) {
	base, err := Read(ctx, p, roomID)
	if err != nil {
		return nil, err
	}
	pl := &planter{p: p, room: roomID, real: map[string]string{}, redactions: map[string]bool{}, early: map[string]bool{}}
	for _, e := range base.Events {
		pl.base, pl.old = max(pl.base, e.Depth), at(e.Received)
		if e.Tip {
			pl.tips = append(pl.tips, e.ID)
		}
	}
	for _, e := range r.Events {
		if err := pl.event(ctx, e); err != nil {
			return nil, err
		}
	}
	for _, e := range r.Events {
		if e.Pinned {
			pinned = append(pinned, pl.real[e.ID])
		}
	}
	// An event that becomes an outlier loses its state, without which nothing can be planted on it.
	if err := pl.pin(ctx, pinned, r); err != nil {
		return nil, err
	}
	for _, e := range r.Events {
		if err := pl.circumstances(ctx, e); err != nil {
			return nil, err
		}
	}
	return pinned, pl.extremities(ctx, r)
}

type planter struct {
	p    *sandbox.Plant
	room string
	base int64 // depth of what was there
	old  time.Time
	tips []string // ends of what was there
	real map[string]string
	// redactions are events that redact, early those that came before what they redact.
	redactions, early map[string]bool
}

func (pl *planter) event(ctx context.Context, e Event) error {
	const lie = 12 // as deep as an honest room may get
	n := sandbox.NewEvent{Room: pl.room, Depth: pl.base + min(e.Depth, lie), Sent: at(e.Sent), Received: at(e.Received)}
	for _, prev := range e.Prev {
		if pl.real[prev] == "" {
			pl.real[prev] = sandbox.MissingEventID()
		}
		n.Prev = append(n.Prev, pl.real[prev])
	}
	if len(n.Prev) == 0 {
		n.Prev = pl.tips
	}
	if e.State {
		n.Type, n.StateKey, n.Content = "org.example.dag", &e.ID, map[string]any{"planted": true}
	}
	if e.Redacts != "" {
		n.Type, n.Content = "m.room.redaction", map[string]any{"reason": e.ID}
		pl.redactions[e.ID] = true
		if n.Redacts = pl.real[e.Redacts]; n.Redacts == "" {
			n.Redacts = sandbox.MissingEventID() // that event comes later, and its id cannot be known
			pl.early[e.ID] = true
		}
	}
	switch {
	case e.Stream < 0:
		n.Place = sandbox.Backfilled
	case e.SoftFailed, e.Rejected:
		n.Place = sandbox.SoftFailed
	}
	id, err := pl.p.Event(ctx, n)
	if err != nil {
		return err
	}
	pl.real[e.ID] = id
	return pl.p.SetTimes(ctx, at(e.Sent), at(e.Received), id)
}

// circumstances writes what Synapse notes of an event beside it.
func (pl *planter) circumstances(ctx context.Context, e Event) error {
	id, target := pl.real[e.ID], pl.real[e.Redacts]
	if pl.early[e.ID] && pl.redactions[e.Redacts] {
		target = "" // an id is a hash: no redactions name each other in a circle, in which Synapse would go round for ever
	}
	for _, row := range []struct {
		when bool
		sql  string
		args []any
	}{
		{e.Rejected, `INSERT INTO rejections (event_id, reason, last_check) VALUES ($1, 'auth_error', '0')`, []any{id}},
		{e.Rejected, `UPDATE events SET rejection_reason = 'auth_error' WHERE event_id = $1`, []any{id}},
		{e.Outlier, `UPDATE events SET outlier = TRUE WHERE event_id = $1`, []any{id}},
		{e.Outlier, `DELETE FROM event_to_state_groups WHERE event_id = $1`, []any{id}},
		{e.Outlier || e.Rejected, `DELETE FROM current_state_events WHERE event_id = $1`, []any{id}},
		{target != "", `UPDATE redactions SET redacts = $2, have_censored = $3 WHERE event_id = $1`, []any{id, target, e.Censored}},
		{e.Redacts != "" && target == "", `UPDATE redactions SET have_censored = $2 WHERE event_id = $1`, []any{id, e.Censored}},
		// Synapse then overwrites the content of the target (main/censor_events.py:61-138, 1.163.2).
		{
			e.Censored && target != "", `UPDATE event_json SET json = jsonb_set(json::jsonb, '{content}', '{}')::text WHERE event_id = $1`,
			[]any{target},
		},
		{e.Reported != nil, `INSERT INTO event_reports (id, received_ts, room_id, event_id, user_id, reason, content)
			SELECT COALESCE(max(id), 0) + 1, $1, $2, $3, '@bob:localhost', 'rude', '{}' FROM event_reports`, []any{e.Reported, pl.room, id}},
	} {
		if !row.when {
			continue
		}
		if err := pl.p.Exec(ctx, row.sql, row.args...); err != nil {
			return err
		}
	}
	if e.Newest {
		return pl.p.SetNewest(ctx, pl.room, id)
	}
	return nil
}

// pin plants the list of pinned events low in the room, as old as the rest of its state.
func (pl *planter) pin(ctx context.Context, pinned []string, r Room) error {
	if len(pinned) == 0 {
		return nil
	}
	last, key := slices.MaxFunc(r.Events, func(a, b Event) int { return int(a.Depth - b.Depth) }), ""
	_, err := pl.p.Event(ctx, sandbox.NewEvent{
		Room: pl.room, Prev: []string{pl.real[last.ID]}, Depth: pl.base + 1, Type: "m.room.pinned_events", StateKey: &key,
		Content: map[string]any{"pinned": pinned}, Sent: pl.old, Received: pl.old,
	})
	if err != nil {
		return err
	}
	return err
}

// extremities are those that the room was drawn with; if it has none, those of the real room stay.
func (pl *planter) extremities(ctx context.Context, r Room) error {
	tips := pl.tips
	if r.Has(func(e Event) bool { return e.Tip }) {
		tips = nil
	}
	for _, e := range r.Events {
		if e.Tip {
			tips = append(tips, pl.real[e.ID])
		}
	}
	if err := pl.p.Exec(ctx, `DELETE FROM event_forward_extremities WHERE room_id = $1`, pl.room); err != nil {
		return err
	}
	return pl.p.Exec(ctx, `INSERT INTO event_forward_extremities (event_id, room_id) SELECT unnest($1::text[]), $2`, tips, pl.room)
}

// at is a time in ms, the zero time for none.
func at(ms *int64) time.Time {
	if ms == nil {
		return time.Time{}
	}
	return time.UnixMilli(*ms)
}
