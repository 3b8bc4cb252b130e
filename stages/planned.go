package stages

import (
	"slices"
	"sync"

	"synupkeep/internal/item"
	"synupkeep/internal/planfile"
)

// PlannedRooms are the rooms of the plan that is carried out: no other is purged, and none further than planned. Without a
// plan it is nil.
type PlannedRooms struct {
	bounds map[string]planfile.Bound

	mu   sync.Mutex
	seen map[string]bool
}

// NewPlannedRooms takes the rooms of a plan.
func NewPlannedRooms(bounds map[string]planfile.Bound) *PlannedRooms {
	return &PlannedRooms{bounds: bounds, seen: map[string]bool{}}
}

// bound is the depth above which no cut may be, nil for none; planned says whether the room may be purged at all.
func (p *PlannedRooms) bound(roomID string) (depth *int64, planned bool) {
	if p == nil {
		return nil, true
	}
	b, ok := p.bounds[roomID]
	if !ok || b.UnderWay { // with a purge of somebody else nothing of ours was planned
		return nil, false
	}
	return &b.Depth, true
}

// awaits says whether a purge of this room that is under way is waited for.
func (p *PlannedRooms) awaits(roomID string) bool {
	if p == nil {
		return true
	}
	_, ok := p.bounds[roomID]
	return ok
}

// See notes that the room is still there.
func (p *PlannedRooms) See(roomID string) {
	if p == nil {
		return
	}
	if _, planned := p.bounds[roomID]; !planned {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen[roomID] = true
}

// Unseen is how many of the plan were not seen.
func (p *PlannedRooms) Unseen() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.bounds) - len(p.seen)
}

// PlannedMedia is the media of one flow of the plan that is carried out: no other is deleted. Without a plan it is nil.
type PlannedMedia struct {
	set *planfile.Set

	mu     sync.Mutex
	seen   []uint64 // a bit for each of the set
	unseen int
}

// NewPlannedMedia takes the media of a flow of a plan.
func NewPlannedMedia(set *planfile.Set) *PlannedMedia {
	return &PlannedMedia{set: set, seen: make([]uint64, (set.Len()+63)/64), unseen: set.Len()}
}

// see says whether media is in the plan, and notes that it is still past the cut-off.
func (p *PlannedMedia) see(m item.Media) (planned bool) { return p == nil || p.seeKey(m.Key()) }

// seeKey is see for what has such a key.
func (p *PlannedMedia) seeKey(key string) (planned bool) {
	if p == nil {
		return true
	}
	at, planned := p.set.Find(key)
	if !planned {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if bit := uint64(1) << (at % 64); p.seen[at/64]&bit == 0 {
		p.seen[at/64] |= bit
		p.unseen--
	}
	return true
}

// Unseen is how many of the plan were not seen.
func (p *PlannedMedia) Unseen() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.unseen
}

// part is what of a step comes before the first media that could go and is not in the plan: a purge of Synapse's cache cannot
// leave it out, nor what was last looked at together with it.
func (p *PlannedMedia) part(step []item.Media) []item.Media {
	i := slices.IndexFunc(step, func(m item.Media) bool { return m.Keep == "" && !p.see(m) })
	if i < 0 {
		return step
	}
	at := step[i].LastAccess
	return step[:slices.IndexFunc(step, func(m item.Media) bool { return m.LastAccess == at })]
}

// unplanned says that media which is not deleted was not to be: it is not left to the next run.
func (p *PlannedMedia) unplanned(m item.Media, out item.Outcome) item.Outcome {
	if planned := p.see(m); out.Status == item.Left && !planned {
		out.Status, out.Reason = item.Kept, item.NotPlanned
	}
	return out
}
