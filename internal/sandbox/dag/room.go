// Package dag makes up rooms: graphs of events with everything that decides where their history can be cut. Such a room can
// be drawn at random, enumerated, written into tables of Synapse's own schema, planted as signed events in a real room, and
// read back. What a purge leaves of it and what it breaks is worked out here in Go, apart from the program's SQL, so that
// the two can be held against each other and against what the real server does.
package dag

import (
	"cmp"
	"slices"
	"time"
)

// Event is an event as far as a purge is concerned.
type Event struct {
	ID string
	// Prev are the ids of its previous events. One that the room does not have is a gap.
	Prev          []string
	Depth, Stream int64 // Stream is negative for what was backfilled
	// Sent and Received are in ms; nil is NULL.
	Sent, Received *int64
	State          bool
	Outlier        bool
	Rejected       bool
	// SoftFailed matters only to Plant: the tables of a purge do not know it.
	SoftFailed bool
	// Tip says that it is a forward extremity.
	Tip bool
	// Newest says that sliding sync takes it for the newest event of the room, by a foreign key.
	Newest bool
	// Redacts is the id of another event, Censored that Synapse has overwritten the content of that one.
	Redacts  string
	Censored bool
	// Reported is when somebody reported it, in ms.
	Reported *int64
	Pinned   bool
}

// Room is a room with its events in the order in which they came.
type Room struct {
	ID     string
	Events []Event
	// Gaps are the backward extremities: ids of events of which Synapse knows that they are to be fetched.
	Gaps []string
	// State is how many events the current state has. Without any nothing is pinned for the database.
	State int64
}

// Event returns the event with this id, or nil.
func (r Room) Event(id string) *Event {
	if i := slices.IndexFunc(r.Events, func(e Event) bool { return e.ID == id }); i >= 0 {
		return &r.Events[i]
	}
	return nil
}

// Has says whether an event satisfies f.
func (r Room) Has(f func(Event) bool) bool { return slices.ContainsFunc(r.Events, f) }

// Depths are those at which there is an event, in order.
func (r Room) Depths() []int64 {
	depths := make([]int64, len(r.Events))
	for i, e := range r.Events {
		depths[i] = e.Depth
	}
	slices.Sort(depths)
	return slices.Compact(depths)
}

// Rules are the settings that a room is judged by.
type Rules struct {
	CutOff, Now  time.Time
	GapGrace     time.Duration
	ReportsSince time.Time
	KeepPinned   bool
}

// Defaults are the rules of a run with a cut-off of 30 days.
func Defaults(now time.Time) Rules {
	return Rules{CutOff: now.Add(-30 * Day), Now: now, GapGrace: 72 * time.Hour, ReportsSince: now.Add(-14 * Day)}
}

// Day has 24 hours.
const Day = 24 * time.Hour

// Came is when an event counts as having come, in ms; nil when nothing says so. (design.md, promise 1)
func (e Event) Came() *int64 {
	switch {
	case e.Stream < 0 && e.Sent != nil && e.Received != nil:
		earlier := min(*e.Sent, *e.Received)
		return &earlier
	case e.Received != nil:
		return e.Received
	}
	return e.Sent
}

// Young says whether a purge must not touch the event.
func (e Event) Young(rules Rules) bool {
	came := e.Came()
	return !e.Outlier && !e.Rejected && (came == nil || *came >= rules.CutOff.UnixMilli())
}

// Goes says whether a purge at a depth takes the event: deletes it, or makes an outlier of it if it is state.
func (e Event) Goes(depth int64) bool { return e.Depth < depth && (!e.Outlier || !e.State) }

// Sorted is the room with its events by id and its gaps in order, for a comparison.
func (r Room) Sorted() Room {
	r.Events, r.Gaps = slices.Clone(r.Events), slices.Clone(r.Gaps)
	for i := range r.Events {
		r.Events[i].Prev = slices.Sorted(slices.Values(r.Events[i].Prev))
	}
	slices.SortFunc(r.Events, func(a, b Event) int { return cmp.Compare(a.ID, b.ID) })
	slices.Sort(r.Gaps)
	return r
}
