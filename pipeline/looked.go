package pipeline

import (
	"context"
	"slices"
	"sync"
	"time"

	"synupkeep/internal/item"
	"synupkeep/sinks"
	"synupkeep/sources"
)

// nameTime is how long the names of rooms are looked for at most, nameTimeStopped that of who has been told to stop.
const (
	nameTime        = 20 * time.Second
	nameTimeStopped = time.Second
)

// looked is what was looked up at the end, for people: it decides nothing.
type looked struct {
	mu       sync.Mutex
	rooms    map[string]sources.RoomFacts
	warnings []string
}

func (l *looked) warn(texts ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.warnings = append(l.warnings, texts...)
}

// tell completes a summary.
func (l *looked) tell(s *sinks.Summary) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s.Warnings = append(s.Warnings, l.warnings...)
	for i := range s.Flows {
		for j, room := range s.Flows[i].ByRoom {
			if facts, ok := l.rooms[room.RoomID]; ok {
				room.Name, room.Alias, room.Members = facts.Name, facts.Alias, facts.Members
				room.Encrypted, room.Events = facts.Encrypted, facts.Events
				s.Flows[i].ByRoom[j] = room
			}
		}
	}
}

// nameRooms looks up what people call the rooms with the most. Without it the report says less, and nothing else.
func (r *run) nameRooms(ctx context.Context) {
	var ids []string
	for _, f := range r.tally.Summary().Flows {
		for _, room := range f.ByRoom {
			ids = append(ids, room.RoomID)
		}
	}
	if len(ids) == 0 || ctx.Err() != nil {
		return
	}
	limit := nameTime
	if r.stopped() {
		limit = nameTimeStopped
	}
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	rooms, err := sources.LookUpRooms(bounded, r.db.Reader, ids)
	if err != nil {
		r.log.WithError(err).Debug("the names of the rooms with the most to purge could not all be looked up")
	}
	r.looked.mu.Lock()
	defer r.looked.mu.Unlock()
	r.looked.rooms = rooms
}

// has says whether a flow was asked for.
func (r *run) has(f item.Flow) bool { return slices.Contains(r.cfg.Flows, f) }
