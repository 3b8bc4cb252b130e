package doctor

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"synupkeep/internal/item"
	"synupkeep/sources"
	"synupkeep/stages"
)

// heldRoom is a room that stays large.
type heldRoom struct {
	id       string
	by       item.Reason
	messages int64
}

// mostHeld is up to where held messages are counted.
const mostHeld = 100_000

func checkHeldRooms(ctx context.Context, e *exam) finding {
	until := time.Now().Add(e.limits.heldTime)
	candidates, err := e.candidates(ctx)
	if err != nil {
		return unread(err)
	}
	held, looked, err := e.held(ctx, candidates, until)
	if err != nil {
		return unread(err)
	}
	scope := plural(looked, "room with old history was looked at", "rooms with old history were looked at")
	if looked < len(candidates) {
		scope = fmt.Sprintf("the %d largest of %d rooms with old history were looked at", looked, len(candidates))
	}
	if len(held) == 0 {
		return fine("nothing but young events keeps history from being cut; %s", scope)
	}
	slices.SortFunc(held, func(a, b heldRoom) int { return cmp.Or(cmp.Compare(b.messages, a.messages), cmp.Compare(a.id, b.id)) })
	f := finding{
		result: Warning,
		found: fmt.Sprintf("in %s, %d messages or more stay although they are more than %d days past the cut-off; %s",
			plural(len(held), "room", "rooms"), e.limits.heldRoom, int(e.limits.held.Hours()/24), scope),
		means: "A purge goes by depth, and something that must stay lies low: it keeps all that came after it, however old, night after night.",
		do:    "What helps stands behind each; where the room is of no use any more: have everybody leave, and delete it.",
	}
	ids := []string{}
	for _, room := range held[:min(few, len(held))] {
		ids = append(ids, room.id)
	}
	names, _ := sources.NameRooms(ctx, e.db.Reader, ids) // without them the ids do
	for _, room := range held[:min(few, len(held))] {
		count := fmt.Sprintf("%d", room.messages)
		if room.messages == mostHeld {
			count += " or more"
		}
		f.details = append(f.details, fmt.Sprintf("%s: %s messages, held by %s: %s", named(room.id, names), count, room.by, holdsUntil(room.by)))
	}
	f.details = shorten(f.details, len(held))
	return f
}

// candidates are the rooms that may have history past the cut-off, those with the most first.
func (e *exam) candidates(ctx context.Context) (all []item.Room, err error) {
	rooms := sources.Rooms{DB: e.db.Reader, CutOff: e.cutOff(item.History), ByArrival: !e.features.JumpToDate, Page: 1000}
	for room, err := range rooms.Each(ctx) {
		if err != nil {
			return nil, err
		}
		if room.Verdict == "" {
			all = append(all, room)
		}
	}
	slices.SortStableFunc(all, func(a, b item.Room) int { return cmp.Compare(b.Old, a.Old) })
	return all, nil
}

// held looks at rooms until the time is up.
func (e *exam) held(ctx context.Context, rooms []item.Room, until time.Time) (held []heldRoom, looked int, err error) {
	h := e.cfg.History
	cutter := stages.Cutter{
		DB: e.db.Reader, CutOff: e.cutOff(item.History), Now: e.now, GapGrace: h.GapGrace, SlidingSync: e.features.SlidingSync, KeepPinned: h.KeepPinned,
		Holds: &stages.Holds{DB: e.db.Reader, ReportsSince: e.now.Add(-h.ReportHold)},
	}
	for _, room := range rooms[:min(len(rooms), e.limits.heldRooms)] {
		if time.Now().After(until) {
			return held, looked, nil
		}
		verdict, err := cutter.Take(ctx, room.ID)
		if err != nil {
			return held, looked, err
		}
		looked++
		if verdict.Cut.HeldBy == "" || verdict.Reason == item.PartialState {
			continue
		}
		messages, err := cutter.HeldBack(ctx, verdict.Cut, e.limits.held, mostHeld)
		if err != nil {
			return held, looked, err
		}
		if messages < e.limits.heldRoom {
			continue
		}
		lasting, err := e.lasts(ctx, verdict.Cut)
		if err != nil {
			return held, looked, err
		}
		if lasting {
			held = append(held, heldRoom{id: room.ID, by: verdict.Cut.HeldBy, messages: messages})
		}
	}
	return held, looked, nil
}

// lastingRedaction says whether a room has a redaction that Synapse has not censored though it came before $2 (ms).
const lastingRedaction = `SELECT EXISTS (
	SELECT 1 FROM redactions r JOIN events e ON e.event_id = r.event_id
	WHERE e.room_id = $1 AND NOT r.have_censored AND e.received_ts < $2)`

// lasts leaves out what lets go by itself within days: a young report, and a redaction that is still to be censored.
func (e *exam) lasts(ctx context.Context, cut item.Cut) (lasting bool, err error) {
	lasting = cut.HeldBy != item.Reported || e.cfg.History.ReportHold > e.limits.held
	if cut.HeldBy == item.Redaction {
		err = e.db.Reader.QueryRow(ctx, lastingRedaction, cut.RoomID, e.now.Add(-e.limits.held).UnixMilli()).Scan(&lasting)
	}
	return lasting, err
}

// holdsUntil says what would let the history of a room go.
func holdsUntil(by item.Reason) string {
	const anEnd = "an old end of the room; any message that a user of this server sends there joins the ends"
	return cmp.Or(map[item.Reason]string{
		item.StateExtremity: anEnd,
		item.Extremity:      anEnd,
		item.NewestEvent:    "a late event on an old branch; the next message in the room lets it go",
		item.Redaction:      "a redaction whose target Synapse has not censored: it does so after redaction_retention_period (7 days), and never with null",
		item.Reported:       "an abuse report; it lets go after --report-hold",
		item.Pinned:         "a pinned message; unpin it, or leave --keep-pinned out",
		item.YoungEvent:     "a young event on an old branch; it lets go when it is old, and never without a timestamp",
	}[by], "see docs/doctor.md")
}
