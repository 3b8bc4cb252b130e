package progress

import (
	"cmp"
	"slices"
	"time"
)

// InFlight is something that is under way: a room, a call, a batch.
type InFlight struct {
	flow  *Flow
	key   string
	named bool // it was looked up what people call it
	names Names
	doing string
	since time.Time
	waits bool
}

// Enter notes that something is under way until it leaves: a room by its id, or a batch, which has no key.
func (f *Flow) Enter(key, doing string) *InFlight {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := &InFlight{flow: f, key: key, doing: doing, since: time.Now()}
	f.inFlight = append(f.inFlight, i)
	return i
}

// Waits says that it waits for its turn, until it Goes.
func (i *InFlight) Waits() {
	i.flow.mu.Lock()
	defer i.flow.mu.Unlock()
	i.doing, i.waits = "waiting for its turn", true
}

// Goes says that what waits under this key waits no more.
func (f *Flow) Goes(key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, i := range f.inFlight {
		if i.key == key && i.waits {
			i.doing, i.waits, i.since = "", false, time.Now()
		}
	}
}

// Leave notes that it is not under way any more.
func (i *InFlight) Leave() {
	i.flow.mu.Lock()
	defer i.flow.mu.Unlock()
	i.flow.inFlight = slices.DeleteFunc(i.flow.inFlight, func(other *InFlight) bool { return other == i })
}

// Nameless lists the keys of what has been under way for that long and has no name yet.
func (f *Flow) Nameless(least time.Duration) (keys []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, i := range f.inFlight {
		if i.key != "" && !i.named && !i.waits && time.Since(i.since) >= least {
			keys = append(keys, i.key)
		}
	}
	return keys
}

// Name says what people call what is under way, by its key. What has no name is asked for no more, and goes by its key.
func (f *Flow) Name(names map[string]Names) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, i := range f.inFlight {
		if n, ok := names[i.key]; ok {
			i.named, i.names = true, n
		}
	}
}

type inFlightState struct {
	key   string
	names Names
	doing string
	waits bool
	since time.Duration
}

// inFlightStates has what waits behind what does not, and of both the longest first.
func (f *Flow) inFlightStates(now time.Time) (states []inFlightState) {
	for _, i := range f.inFlight {
		states = append(states, inFlightState{key: i.key, names: i.names, doing: i.doing, waits: i.waits, since: max(0, now.Sub(i.since))})
	}
	rank := func(s inFlightState) int {
		if s.waits {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(states, func(a, b inFlightState) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(b.since, a.since))
	})
	return states
}
