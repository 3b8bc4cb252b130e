package dag

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Why Synapse purges nothing.
var (
	ErrAboveTips = errors.New("topological_ordering is greater than forward extremities")
	ErrNewest    = errors.New("sliding_sync_joined_rooms")
)

// Purge is what _purge_history_txn of Synapse leaves of the room when it deletes local events, too (storage/databases/main/
// purge_events.py:141-478, 1.163.2). An error is why the server refuses it; its text is part of what the server says.
func (r Room) Purge(depth int64) (Room, error) {
	tips, top := false, int64(0)
	for _, e := range r.Events {
		if e.Tip {
			tips, top = true, max(top, e.Depth)
		}
	}
	if tips && top < depth {
		return Room{}, ErrAboveTips
	}
	if !r.Has(func(e Event) bool { return e.Goes(depth) }) {
		return r, nil
	}
	if r.Has(func(e Event) bool { return e.Newest && !e.State && e.Goes(depth) }) {
		return Room{}, ErrNewest
	}
	after := r
	after.Events, after.Gaps = nil, nil
	for _, e := range r.Events {
		if !e.Goes(depth) {
			for _, prev := range e.Prev {
				if p := r.Event(prev); p != nil && p.Goes(depth) && !slices.Contains(after.Gaps, prev) {
					after.Gaps = append(after.Gaps, prev)
				}
			}
		}
		if e.Goes(depth) && !e.State {
			continue
		}
		e.Outlier = e.Outlier || e.Goes(depth)
		after.Events = append(after.Events, e)
	}
	return after, nil
}

// Harm names the promises that a purge at a depth would break; none means that it can be made.
func (r Room) Harm(rules Rules, depth int64) (harm []string) {
	after, err := r.Purge(depth)
	if err != nil {
		return []string{err.Error()}
	}
	there := map[string]Event{}
	for _, e := range after.Events {
		there[e.ID] = e
	}
	for _, e := range r.Events {
		now, left := there[e.ID]
		if e.Young(rules) && (!left || now.Outlier) {
			harm = append(harm, "young "+e.ID+" has gone")
		}
		if e.Tip && left && now.Outlier {
			harm = append(harm, "extremity "+e.ID+" has lost its state")
		}
		if _, readable := there[e.Redacts]; readable && e.Redacts != "" && !e.Censored && !left {
			harm = append(harm, e.Redacts+" is readable again")
		}
		if e.Reported != nil && *e.Reported >= rules.ReportsSince.UnixMilli() && !left {
			harm = append(harm, "the report on "+e.ID+" cannot be read")
		}
		if rules.KeepPinned && e.shownPinned() && !left {
			harm = append(harm, "pinned "+e.ID+" has gone")
		}
	}
	if r.Has(func(e Event) bool { return e.Tip }) && !after.Has(func(e Event) bool { return e.Tip }) {
		harm = append(harm, "no extremity is left")
	}
	return harm
}

// shownPinned says that clients show it among the pinned messages, and that a purge could take it away.
func (e Event) shownPinned() bool { return e.Pinned && !e.State && !e.Outlier && !e.Rejected }

// Named says that the server accepts the event as the one up to which to purge: it answers 404 for a rejected one, and for a
// redaction as long as it does not have the target.
func (e Event) Named() bool { return !e.Rejected && e.Redacts == "" }

// Highest is the highest depth at which the room has an event that can be named and can be purged, and at every lower one
// as well; to purge at the next depth breaks a promise, or cannot be asked for. Where none can be named it is the highest
// of all these depths, and without any 0.
func (r Room) Highest(rules Rules) (depth int64) {
	var named int64
	for _, d := range r.Depths() {
		if len(r.Harm(rules, d)) > 0 {
			break
		}
		depth = d
		if r.Has(func(e Event) bool { return e.Depth == d && e.Named() }) {
			named = d
		}
	}
	return cmp.Or(named, depth)
}

// Want is what is to become of a room.
type Want struct {
	// Depth is where its history can end, Messages how many events lie below that, Pinned how many of them are pinned.
	Depth, Messages, Pinned int64
	// Purge says that it is to be purged there, Why it is not otherwise.
	Purge bool
	Why   string
}

// Why a room is not purged.
const (
	WhyNoTip   = "no extremity"
	WhyNothing = "nothing to purge, whatever holds the cut"
	WhyNoEvent = "no event at cut"
	WhyGap     = "gap"
	WhySmall   = "not yet worth it"
)

// Judge says what is to become of the room, from what purges at each depth would do.
func (r Room) Judge(rules Rules) Want {
	want := Want{Depth: r.Highest(rules)}
	oldest := rules.Now.UnixMilli()
	for _, e := range r.Events {
		if e.State || e.Outlier || e.Depth >= want.Depth {
			continue
		}
		want.Messages++
		if e.shownPinned() {
			want.Pinned++
		}
		if came := e.Came(); came != nil {
			since := *came
			if e.Received != nil { // what was fetched again can go since then, however old it is
				since = max(since, *e.Received-(rules.Now.UnixMilli()-rules.CutOff.UnixMilli()))
			}
			oldest = min(oldest, since)
		}
	}
	overdue := oldest < rules.CutOff.Add(-7*Day).UnixMilli()
	switch {
	case !r.Has(func(e Event) bool { return e.Tip }):
		want.Why = WhyNoTip
	case want.Messages == 0:
		want.Why = WhyNothing
	case !r.Has(func(e Event) bool { return e.Depth == want.Depth && e.Named() }):
		want.Why = WhyNoEvent
	case !overdue && r.forgets(want.Depth, rules.Now.Add(-rules.GapGrace), rules.Now):
		want.Why = WhyGap
	case !overdue && want.Messages*10 < r.State:
		want.Why = WhySmall
	default:
		want.Purge = true
	}
	return want
}

// forgets says that a purge forgets a gap whose kept child arrived after that time: what is missing there may still be
// fetched. Who knows when it arrived, unless it is written, takes it for now.
func (r Room) forgets(depth int64, since, now time.Time) bool {
	after, err := r.Purge(depth)
	if err != nil {
		panic(fmt.Sprintf("a purge at %d: %v", depth, err))
	}
	return after.Has(func(child Event) bool {
		arrived := now.UnixMilli()
		if child.Received != nil {
			arrived = *child.Received
		}
		return !child.Outlier && arrived > since.UnixMilli() && slices.ContainsFunc(child.Prev, func(prev string) bool {
			return slices.Contains(r.Gaps, prev) && !slices.Contains(after.Gaps, prev)
		})
	})
}
