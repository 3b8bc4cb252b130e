package progress

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"synupkeep/internal/item"
)

// Board is what is known of a run while it runs. Several goroutines may use it at once; what it is told returns at once.
// The zero value is not usable: see New.
type Board struct {
	looked     chan struct{}
	lookedOnce sync.Once

	mu       sync.Mutex
	screen   *Screen
	command  string // of the run under way; "" when there is none
	began    time.Time
	phase    string
	phased   time.Time
	stopping string

	flows atomic.Pointer[[]*Flow] // a slice that never changes: it is asked for with each item
}

// New returns a Board of a program that does nothing yet.
func New() *Board {
	b := &Board{looked: make(chan struct{})}
	b.setFlows(nil)
	return b
}

// Draw has bars drawn on s during every run from now on. Whoever draws, looks.
func (b *Board) Draw(s *Screen) {
	b.mu.Lock()
	b.screen = s
	b.mu.Unlock()
	b.look()
}

// Looked is closed when somebody looks for the first time: then it is worth it to count ahead and to look up names.
func (b *Board) Looked() <-chan struct{} { return b.looked }

func (b *Board) look() { b.lookedOnce.Do(func() { close(b.looked) }) }

// begin notes that a run begins, of which nothing is known yet.
func (b *Board) begin(command string, flows []item.Flow) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.command, b.began, b.stopping = command, time.Now(), ""
	b.setFlows(flows)
	b.setPhase("beginning")
}

func (b *Board) setFlows(flows []item.Flow) {
	fresh := make([]*Flow, 0, len(flows))
	for _, f := range flows {
		fresh = append(fresh, newFlow(f))
	}
	b.flows.Store(&fresh)
}

func (b *Board) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.command = ""
}

// Phase says what the run is at, such as "taking the lock", until the next one. "" is for a run whose flows say it.
func (b *Board) Phase(doing string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.setPhase(doing)
}

func (b *Board) setPhase(doing string) { b.phase, b.phased = doing, time.Now() }

func (b *Board) setStopping(why string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stopping = why
}

// Forget makes all flows as they are before they begin: after a plan that precedes the run.
func (b *Board) Forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	var flows []item.Flow
	for _, f := range *b.flows.Load() {
		flows = append(flows, f.flow)
	}
	b.setFlows(flows)
}

// Flow is the account of a flow. One that was not announced is added.
func (b *Board) Flow(f item.Flow) *Flow {
	if known := find(*b.flows.Load(), f); known != nil {
		return known
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	flows := *b.flows.Load()
	if known := find(flows, f); known != nil {
		return known
	}
	added := newFlow(f)
	flows = append(slices.Clone(flows), added)
	b.flows.Store(&flows)
	return added
}

func find(flows []*Flow, f item.Flow) *Flow {
	for _, known := range flows {
		if known.flow == f {
			return known
		}
	}
	return nil
}

// state is all that a Board knows, at one time.
type state struct {
	command  string
	now      time.Time
	running  time.Duration
	phase    string
	phaseFor time.Duration
	stopping string
	flows    []flowState
}

// state looks. Whoever calls it often enough makes the rates.
func (b *Board) state() state {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	s := state{
		command: b.command, now: now, running: now.Sub(b.began), phase: b.phase, phaseFor: now.Sub(b.phased), stopping: b.stopping,
	}
	for _, f := range *b.flows.Load() {
		s.flows = append(s.flows, f.state(now))
	}
	return s
}
