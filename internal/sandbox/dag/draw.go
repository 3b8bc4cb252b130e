package dag

import (
	"fmt"
	"math"
	"slices"
	"time"

	"pgregory.net/rapid"
)

// Draw makes up a room of up to most events. Mostly it is one that servers could have made: depths grow along the edges, and
// what nothing follows is a forward extremity. In some rooms depths lie, and in some anything is an extremity. Ids are of
// no real event; Plant makes real ones.
func Draw(rt *rapid.T, id string, most int, rules Rules) Room {
	d := &drawer{rt: rt, rules: rules}
	r := Room{ID: id, State: 1 + int64(rapid.IntRange(0, 3).Draw(rt, "state"))*15}
	n := rapid.IntRange(1, most).Draw(rt, "events")
	lies, anyTip := d.odds(3, "depths lie"), d.odds(2, "anything is an extremity")
	for i := range n {
		e := Event{ID: fmt.Sprintf("$%d%s", i, id), Stream: int64(1_000_000_000 + i)}
		d.place(&e, &r)
		if lies && d.odds(4, "lying depth") {
			e.Depth = rapid.SampledFrom([]int64{1, 2, 3, 4, 5, 6, 7, 8, math.MaxInt64}).Draw(rt, "depth")
		}
		d.kind(&e)
		r.Events = append(r.Events, e)
	}
	followed := r.followed()
	for i := range r.Events {
		e := &r.Events[i]
		e.Pinned = d.odds(1, "pinned")
		if !e.usual() {
			continue
		}
		e.Tip = e.Stream > 0 && !followed[e.ID] && !e.SoftFailed
		if anyTip {
			e.Tip = d.odds(3, "extremity")
		}
		d.circumstances(e, r)
	}
	if i := rapid.IntRange(-1, n-1).Draw(rt, "newest"); i >= 0 && r.Events[i].Stream > 0 {
		r.Events[i].Newest = true
	}
	return r
}

type drawer struct {
	rt    *rapid.T
	rules Rules
}

// odds is true in about so many of ten cases.
func (d *drawer) odds(of10 int, name string) bool {
	return rapid.IntRange(0, 9).Draw(d.rt, name) >= 10-of10
}

// place puts an event behind others of the room, and perhaps behind one that is missing.
func (d *drawer) place(e *Event, r *Room) {
	e.Depth = 1
	if n := len(r.Events); n > 0 {
		// Mostly behind one of the last, so that there are chains as well as forks.
		for range rapid.IntRange(1, 3).Draw(d.rt, "previous events") {
			prev := r.Events[max(0, n-1-rapid.IntRange(0, 4).Draw(d.rt, "back"))]
			if !slices.Contains(e.Prev, prev.ID) {
				e.Prev = append(e.Prev, prev.ID)
			}
			if prev.Depth < math.MaxInt64 { // Synapse's MAX_DEPTH
				e.Depth = max(e.Depth, prev.Depth+1)
			}
		}
	}
	if d.odds(1, "gap") {
		missing := "$missing" + e.ID
		e.Prev, r.Gaps = append(e.Prev, missing), append(r.Gaps, missing)
	}
}

// kind draws what an event is and when it came.
func (d *drawer) kind(e *Event) {
	if d.odds(2, "backfilled") {
		e.Stream = -e.Stream
	}
	e.Sent, e.Received = d.ms("sent"), d.ms("received")
	e.State = d.odds(2, "state")
	e.Rejected = d.odds(1, "rejected")
	e.SoftFailed = d.odds(1, "soft-failed")
	// Outliers are state, or what is left of runs that kept local messages.
	e.Outlier = d.odds(1, "outlier")
}

// usual says that clients see the event.
func (e Event) usual() bool { return !e.Rejected && !e.Outlier }

func (r Room) followed() map[string]bool {
	followed := map[string]bool{}
	for _, e := range r.Events {
		if !e.usual() || e.SoftFailed {
			continue
		}
		for _, prev := range e.Prev {
			followed[prev] = true
		}
	}
	return followed
}

// circumstances draws what others did with an event.
func (d *drawer) circumstances(e *Event, r Room) {
	if !e.State && d.odds(2, "redaction") {
		// Also of what comes later or never, of state, of redactions and of itself.
		e.Redacts = "$nowhere" + r.ID
		if i := rapid.IntRange(-1, len(r.Events)-1).Draw(d.rt, "target"); i >= 0 {
			e.Redacts = r.Events[i].ID
		}
		e.Censored = d.odds(3, "censored")
	}
	if d.odds(1, "reported") {
		e.Reported = d.ms("report")
	}
}

// ms draws a time in ms: around everything that matters, in the future, or none. Most are old, or there would be nothing to
// purge.
func (d *drawer) ms(name string) *int64 {
	ages := []time.Duration{
		0, time.Hour, 3 * Day, 14 * Day, 30*Day - time.Millisecond, 30 * Day, 30*Day + time.Millisecond, 36 * Day, 38 * Day,
		3000 * Day, -300 * Day,
	}
	i := rapid.IntRange(0, len(ages)+9).Draw(d.rt, name)
	switch {
	case i == len(ages):
		return nil
	case i > len(ages):
		i = 7 + i%2
	}
	at := d.rules.Now.Add(-ages[i]).UnixMilli()
	return &at
}
