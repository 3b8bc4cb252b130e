package stages

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"synupkeep/internal/item"
	"synupkeep/internal/postgres"
	"synupkeep/internal/retry"
)

// freshness is how old a cut may be when its purge is asked for. What arrives on a fork below the cut in between cannot
// be excluded: Synapse purges by depth alone.
const freshness = 5 * time.Second

// Cutter decides where the history of a room can end (phase B).
type Cutter struct {
	DB     postgres.Querier
	CutOff time.Time
	// Now is the database's clock at the begin of the run.
	Now time.Time
	// GapGrace is how long a room waits for messages that are still to be fetched from other servers.
	GapGrace time.Duration
	Holds    *Holds
	// KeepPinned has pinned messages hold the cut.
	KeepPinned bool
	// Planned are the rooms of the plan that is carried out; nil without one. No cut is above that of the plan.
	Planned *PlannedRooms
	// SlidingSync says that the table sliding_sync_joined_rooms is there.
	SlidingSync bool
	// Retry is for a database that is away for a while.
	Retry retry.Policy

	// without leaves terms out, for the tests that show what each of them prevents.
	without []item.Reason
}

// Verdict is what became of a room: a cut to purge at, or the reason to keep or skip it.
type Verdict struct {
	Cut    item.Cut
	Status item.Status // Done: purge at Cut; else Kept or Skipped
	Reason item.Reason
}

// A purge that is this much overdue is worth its price, and no gap holds it up any longer.
const overdue = 7 * 24 * time.Hour

// age is when an event counts as having come. Receipt decides, so that a wrong clock elsewhere cannot make what arrived
// a minute ago old; what was backfilled goes by its sender's clock, but is never younger than our receipt. Without any
// timestamp an event counts as young: COALESCE(age, cut-off).
const age = `CASE WHEN e.stream_ordering < 0 THEN LEAST(e.origin_server_ts, e.received_ts)
	ELSE COALESCE(e.received_ts, e.origin_server_ts) END`

// waiting is age for the question how long a purge has been put off. What was fetched again from another server can go since
// then, however old it is: or a client who scrolls up would have its room purged at once, gaps and all.
const waiting = `GREATEST(` + age + `, e.received_ts - ($5::bigint - $2::bigint))`

// term is one limit of the cut: a query for a depth, NULL when it does not bind.
type term struct {
	reason item.Reason
	sql    string
}

// terms are the limits of the cut, the lowest depth wins. $1 is the room, $2 the cut-off in ms, $3 the depth of an
// uncensored redaction, $4 that of a reported event, $5 the time of the begin in ms, $6 the ids of pinned events, $7 the depth
// of the cut in the plan.
func (c *Cutter) terms() []term {
	all := []term{
		// What is younger than the cut-off stays, whatever depth it has. No client ever saw a rejected event.
		{item.YoungEvent, `SELECT e.topological_ordering FROM events e LEFT JOIN rejections j ON j.event_id = e.event_id
			WHERE e.room_id = $1 AND NOT e.outlier AND j.event_id IS NULL AND COALESCE(` + age + `, $2) >= $2
			ORDER BY e.topological_ordering, e.stream_ordering LIMIT 1`},
		// Synapse refuses a purge above all extremities (purge_events.py:187-209).
		{item.Extremity, `SELECT max(t) FROM ext`},
		// A state event is never deleted: as an extremity below the cut it would be left without its state, and nothing
		// could be sent into the room any more (state.py:721-723).
		{item.StateExtremity, `SELECT min(t) FROM ext WHERE is_state`},
		{item.Redaction, `SELECT $3::bigint`},
		{item.Reported, `SELECT $4::bigint`},
	}
	if c.SlidingSync {
		// A foreign key names this event: deleting it fails the whole purge, every night (87/01_sliding_sync_memberships.sql:47).
		all = append(all, term{item.NewestEvent, `SELECT e.topological_ordering FROM sliding_sync_joined_rooms ss
			JOIN events e ON e.stream_ordering = ss.event_stream_ordering
			LEFT JOIN state_events s ON s.event_id = e.event_id
			WHERE ss.room_id = $1 AND s.event_id IS NULL`})
	}
	if c.KeepPinned {
		all = append(all, term{item.Pinned, `SELECT min(t) FROM pinned`})
	}
	// The last one: what holds the cut at the same depth says more. A cut below that of the plan is as safe as any: every term
	// is a limit from above.
	return append(all, term{item.Planned, `SELECT $7::bigint`})
}

// nameable is the event that the server is given: it purges below the depth of that. It answers 404 for a rejected one, and for
// any redaction whose target it does not have any more, or whose sender it cannot yet trust (events_worker.py:708-785,
// 1.163.2). Where a depth has nothing else, the next one below is as safe, and costs a message or two.
const nameable = `
		SELECT e.event_id, e.topological_ordering AS t
		FROM events e LEFT JOIN rejections j ON j.event_id = e.event_id
		WHERE e.room_id = $1 AND e.topological_ordering <= (SELECT t FROM cut) AND j.event_id IS NULL AND e.type <> 'm.room.redaction'
		ORDER BY e.topological_ordering DESC, e.outlier, e.stream_ordering DESC LIMIT 1`

func (c *Cutter) query() string {
	var limits []string
	for i, t := range c.terms() {
		depth := "(" + t.sql + ")"
		if slices.Contains(c.without, t.reason) {
			depth = "CASE WHEN FALSE THEN " + depth + " END" // its parameters keep their types
		}
		limits = append(limits, fmt.Sprintf("SELECT %d AS rank, '%s' AS reason, %s AS t", i, t.reason, depth))
	}
	return `
	WITH ext AS MATERIALIZED (
		SELECT e.topological_ordering AS t, s.event_id IS NOT NULL AS is_state
		FROM event_forward_extremities f
		JOIN events e ON e.event_id = f.event_id
		LEFT JOIN state_events s ON s.event_id = f.event_id
		WHERE f.room_id = $1
	), pinned AS MATERIALIZED (
		SELECT e.topological_ordering AS t
		FROM unnest($6::text[]) p (id)
		JOIN events e ON e.event_id = p.id
		LEFT JOIN state_events s ON s.event_id = e.event_id
		LEFT JOIN rejections j ON j.event_id = e.event_id
		WHERE e.room_id = $1 AND NOT e.outlier AND s.event_id IS NULL AND j.event_id IS NULL
	), cut AS MATERIALIZED (
		SELECT reason, t FROM (` + strings.Join(limits, "\nUNION ALL ") + `) terms
		WHERE t IS NOT NULL ORDER BY t, rank LIMIT 1
	), named AS MATERIALIZED (` + nameable + `
	), edge AS MATERIALIZED (
		SELECT cut.reason, COALESCE(named.t, cut.t) AS t, named.event_id FROM cut LEFT JOIN named ON TRUE
	), goes AS MATERIALIZED (
		SELECT count(*) AS messages, min(` + waiting + `) AS oldest
		FROM events e LEFT JOIN state_events s ON s.event_id = e.event_id
		WHERE e.room_id = $1 AND NOT e.outlier AND s.event_id IS NULL
		  AND e.topological_ordering < (SELECT t FROM edge)
	)
	SELECT COALESCE(edge.reason, ''), COALESCE(edge.t, 0), EXISTS (SELECT 1 FROM ext), COALESCE(edge.event_id, ''),
		goes.messages, COALESCE(goes.oldest, $2),
		CASE WHEN goes.messages > 0 THEN (
			SELECT count(*) FROM current_state_events c WHERE c.room_id = $1) ELSE 0 END,
		CASE WHEN goes.messages > 0 THEN (
			SELECT max(COALESCE(e.received_ts, $5)) FROM event_backward_extremities b
			JOIN event_edges ed ON ed.prev_event_id = b.event_id
			JOIN events e ON e.event_id = ed.event_id
			WHERE b.room_id = $1 AND NOT e.outlier AND e.topological_ordering >= edge.t) END,
		EXISTS (SELECT 1 FROM partial_state_rooms p WHERE p.room_id = $1),
		(SELECT count(*) FROM pinned WHERE pinned.t < edge.t)
	FROM goes LEFT JOIN edge ON TRUE`
}

// found is a row of the query.
type found struct {
	reason         item.Reason
	depth          int64
	hasExtremities bool
	eventID        string
	messages       int64
	oldest         int64 // ms
	state          int64
	newestGap      *int64 // ms, when the youngest event after a gap above the cut arrived
	partial        bool
	pinned         int64 // messages below the cut
}

// Take looks at one room now. The caller purges within freshness or takes the cut anew.
func (c *Cutter) Take(ctx context.Context, roomID string) (Verdict, error) {
	var at time.Time // of the older one of the two things that a cut is made of
	var f found
	most, planned := c.Planned.bound(roomID)
	_, err := c.Retry.Do(ctx, func() error {
		held, err := c.Holds.Of(ctx, roomID)
		if err != nil {
			return err
		}
		at = held.At
		pinned, err := c.pinned(ctx, roomID)
		if err != nil {
			return fmt.Errorf("read what is pinned: %w", err)
		}
		return c.DB.QueryRow(ctx, c.query(), roomID, c.CutOff.UnixMilli(), held.Redaction, held.Report, c.Now.UnixMilli(), pinned, most).
			Scan(&f.reason, &f.depth, &f.hasExtremities, &f.eventID, &f.messages, &f.oldest, &f.state, &f.newestGap, &f.partial, &f.pinned)
	}, postgres.Again)
	if err != nil {
		return Verdict{}, fmt.Errorf("decide where to cut %s: %w", roomID, err)
	}
	cut := item.Cut{
		RoomID: roomID, Depth: f.depth, EventID: f.eventID, HeldBy: f.reason, Messages: f.messages, Pinned: f.pinned, TakenAt: at,
	}
	reason := c.keeps(f)
	if reason == "" && !planned {
		reason = item.NotPlanned
	}
	if reason != "" {
		return Verdict{Cut: cut, Status: item.Kept, Reason: reason}, nil
	}
	return Verdict{Cut: cut, Status: item.Done, Reason: f.reason}, nil
}

// keeps returns the reason not to purge a room now, or "".
func (c *Cutter) keeps(f found) item.Reason {
	switch {
	case f.partial:
		return item.PartialState
	case !f.hasExtremities:
		return item.NoExtremity
	case f.messages == 0 && (f.reason == item.YoungEvent || f.reason == item.Extremity || f.reason == item.Planned):
		return item.NothingToPurge
	case f.messages == 0:
		return f.reason
	case f.eventID == "":
		return item.NoEventAtTheCut
	}
	if time.UnixMilli(f.oldest).Before(c.CutOff.Add(-overdue)) {
		return ""
	}
	if f.newestGap != nil && time.UnixMilli(*f.newestGap).After(c.Now.Add(-c.GapGrace)) {
		return item.Gap
	}
	// A purge writes the state of the room out anew and drops caches of the whole server: it costs by the state and
	// gives by the messages.
	if f.messages*10 < f.state {
		return item.NotYetWorthIt
	}
	return ""
}
