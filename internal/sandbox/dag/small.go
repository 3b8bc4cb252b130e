package dag

import (
	"fmt"
	"iter"
	"slices"
)

// shape has of each event, in the order of arrival, which of the earlier ones it follows: a bit for each. Only the first
// follows none.
type shape []uint

// shapes yields every shape of n events.
func shapes(n int) iter.Seq[shape] {
	return func(yield func(shape) bool) {
		s := make(shape, n)
		var from func(i int) bool
		from = func(i int) bool {
			if i == n {
				return yield(slices.Clone(s))
			}
			for s[i] = 1; s[i] < 1<<i; s[i]++ {
				if !from(i + 1) {
					return false
				}
			}
			return true
		}
		from(min(n, 1))
	}
}

// room is the room of a shape, as honest servers make it. All of it is old.
func (s shape) room(id string, stream, old int64) Room {
	r := Room{ID: id}
	followed := uint(0)
	for i, prev := range s {
		e := Event{ID: fmt.Sprintf("$%d%s", i, id), Depth: 1, Stream: stream + int64(i), Sent: &old, Received: &old}
		for j := range i {
			if prev>>j&1 == 1 {
				e.Prev = append(e.Prev, r.Events[j].ID)
				e.Depth = max(e.Depth, r.Events[j].Depth+1)
			}
		}
		followed |= prev
		r.Events = append(r.Events, e)
	}
	for i := range r.Events {
		r.Events[i].Tip = followed>>i&1 == 0
	}
	return r
}

// level is all of a shape that the depth of a cut can depend on: a purge goes by depth, and asks for the ends.
type level struct {
	depth int64
	tip   bool
}

// profile has the level of each event, in order.
func (s shape) profile() []level {
	var p []level
	for _, e := range s.room("", 1, 0).Events {
		p = append(p, level{e.Depth, e.Tip})
	}
	slices.SortFunc(p, func(a, b level) int {
		switch {
		case a.depth != b.depth:
			return int(a.depth - b.depth)
		case a.tip == b.tip:
			return 0
		case a.tip:
			return 1
		}
		return -1
	})
	return p
}

// Small is a set of rooms of up to six events.
type Small struct {
	Rooms []Room
	// Shapes is how many graphs there are, Profiles how many of them differ in the depths of events and ends.
	Shapes, Profiles int

	stream, old, young int64
	rules              Rules
}

// EverySmall enumerates rooms of up to six events, whole:
//
//   - every graph of which one event is the first, in every order of arrival, with all events old;
//   - every graph of up to five events with each one of its events young;
//   - of graphs with the same depths and ends one, with every assignment of old message, young message and old state to its
//     events, but for those that only swap events of the same depth, either both ends or neither;
//   - the same graphs, old, with each one event that is rejected, soft-failed, the newest, reported, pinned, an outlier or
//     backfilled, or that redacts each event, before and after Synapse has censored it; and all young but for one that was
//     rejected and has no timestamp, in a room with much state.
func EverySmall(rules Rules) *Small {
	s := &Small{
		stream: 1_000_000, rules: rules,
		old: rules.CutOff.Add(-Day).UnixMilli(), young: rules.CutOff.UnixMilli(),
	}
	profiles := map[string]bool{}
	for n := 1; n <= 6; n++ {
		for graph := range shapes(n) {
			s.Shapes++
			s.add(graph, nil)
			for i := range n {
				if n <= 5 {
					s.add(graph, func(r *Room) { r.Events[i].Sent, r.Events[i].Received = &s.young, &s.young })
				}
			}
			profile := graph.profile()
			if key := fmt.Sprint(profile); !profiles[key] {
				profiles[key] = true
				s.assignments(graph)
				s.single(graph)
			}
		}
	}
	s.Profiles = len(profiles)
	return s
}

func (s *Small) add(graph shape, change func(*Room)) {
	r := graph.room(fmt.Sprintf("!%d:small", len(s.Rooms)), s.stream, s.old)
	s.stream += int64(len(graph))
	if change != nil {
		change(&r)
	}
	s.Rooms = append(s.Rooms, r)
}

// assignments adds a room for each way in which the events can be old messages, young messages and old state.
func (s *Small) assignments(graph shape) {
	events := graph.room("", 1, 0).Events
	kinds := make([]int, len(events))
	var from func(i int)
	from = func(i int) {
		if i == len(events) {
			s.add(graph, func(r *Room) {
				for i := range r.Events {
					switch e := &r.Events[i]; kinds[i] {
					case 1:
						e.Sent, e.Received = &s.young, &s.young
					case 2:
						e.State = true
					}
				}
			})
			return
		}
		least := 0
		for j := range i {
			if events[j].Depth == events[i].Depth && events[j].Tip == events[i].Tip {
				least = kinds[j]
			}
		}
		for kinds[i] = least; kinds[i] < 3; kinds[i]++ {
			from(i + 1)
		}
	}
	from(0)
}

// single adds rooms in which one event is out of the ordinary.
func (s *Small) single(graph shape) {
	now := s.rules.Now.UnixMilli()
	for i := range graph {
		for _, change := range []func(e *Event){
			func(e *Event) { e.Rejected, e.Tip, e.Received = true, false, &now },
			func(e *Event) { e.SoftFailed, e.Tip, e.Received = true, false, &now },
			func(e *Event) { e.Newest = true },
			func(e *Event) { e.Reported = &now },
			func(e *Event) { e.Reported, e.State = &now, true },
			func(e *Event) { e.Outlier, e.Tip = true, false },
			func(e *Event) { e.Outlier, e.Tip, e.State = true, false, true },
			func(e *Event) { e.Stream, e.Received = -e.Stream, &now },
		} {
			s.add(graph, func(r *Room) { change(&r.Events[i]) })
		}
		s.add(graph, func(r *Room) { r.Events[i].Pinned, r.State = true, 1 })
		s.add(graph, func(r *Room) {
			for j := range r.Events {
				r.Events[j].Received = &s.young
			}
			e := &r.Events[i]
			e.Sent, e.Received, e.Rejected, e.Tip, r.State = nil, nil, true, false, 100
		})
		for j := range graph {
			for _, change := range []func(by, target *Event){
				func(_, _ *Event) {},
				func(_, target *Event) { target.State = true },
				func(by, target *Event) { by.Censored, target.State = true, true },
			} {
				s.add(graph, func(r *Room) {
					r.Events[i].Redacts = r.Events[j].ID
					if i != j { // a redaction is no state
						change(&r.Events[i], &r.Events[j])
					}
				})
			}
		}
	}
}
