package progress

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"synupkeep/internal/item"
)

// Flow is the account of one flow. Several goroutines may use it at once.
type Flow struct {
	flow item.Flow

	// What every item is told by is counted without a lock.
	ended   [len(statuses)]atomic.Int64
	resting atomic.Int64
	bytes   atomic.Int64
	files   atomic.Int64
	last    atomic.Int64 // when the last item ended, in ns since created
	created time.Time

	mu       sync.Mutex
	begun    time.Time
	over     time.Time
	failed   bool
	doing    string // before there are items
	doingAt  time.Time
	total    int64 // below 0 while it is not known
	sizes    sizes
	meter    meter
	inFlight []*InFlight
}

// statuses are those of item.Statuses, in its order; what is none of them counts as failed.
var statuses = [...]item.Status{item.Done, item.Kept, item.Skipped, item.Failed, item.Left} //nolint:gochecknoglobals // a constant

func newFlow(f item.Flow) *Flow { return &Flow{flow: f, created: time.Now(), total: -1} }

// Begin notes that the flow begins, at what comes before its items; "" when they come at once.
func (f *Flow) Begin(doing string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.begun = time.Now()
	f.at(doing)
}

// At says what the flow does before there are items; "" says that they come from now on.
func (f *Flow) At(doing string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at(doing)
}

func (f *Flow) at(doing string) {
	f.doing, f.doingAt = doing, time.Now()
	f.meter = meter{}
	f.last.Store(int64(time.Since(f.created)))
	if doing == "" {
		f.meter.add(f.doingAt, f.done())
	}
}

// End notes that the flow has ended; failed, that it could not do its work.
func (f *Flow) End(failed bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.over, f.failed = time.Now(), failed
}

// Resting counts a room that is looked at and has nothing to do in it. Its outcome is counted by Ended as well, and it is
// not part of the total.
func (f *Flow) Resting() { f.resting.Add(1) }

// SetTotal says how many items there are altogether, beside those that rest.
func (f *Flow) SetTotal(items int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.total = items
}

// Done counts the items that were deleted so far: their rows are no longer there to be counted.
func (f *Flow) Done() int64 { return f.ended[0].Load() }

// SetSizes is SetTotal for items that come in the order of their sizes, the small ones first: what the rest takes is told
// by their sizes. A size of most stands for all that are larger.
func (f *Flow) SetSizes(items []int64, most int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.total = int64(len(items))
	f.sizes = newSizes(items, most)
}

// Ended counts an item that has its outcome.
func (f *Flow) Ended(o item.Outcome) {
	at := slices.Index(statuses[:], o.Status)
	if at < 0 {
		at = slices.Index(statuses[:], item.Failed)
	}
	f.ended[at].Add(1)
	f.bytes.Add(o.Bytes)
	f.last.Store(int64(time.Since(f.created)))
}

// Files says that the files of n more media are being deleted; of fewer when n is negative.
func (f *Flow) Files(n int64) { f.files.Add(n) }

// all counts what has its outcome.
func (f *Flow) all() (n int64) {
	for i := range f.ended {
		n += f.ended[i].Load()
	}
	return n
}

// done counts what has its outcome and is part of the total. A room rests before its outcome is told.
func (f *Flow) done() int64 { return max(0, f.all()-f.resting.Load()) }

// flowState is all that is known of a flow, at one time.
type flowState struct {
	flow        item.Flow
	begun, over bool
	failed      bool
	took        time.Duration
	doing       string
	doingFor    time.Duration
	done        int64
	total       int64 // below 0 while it is not known
	looked      int64 // all that has its outcome, with what rests
	ended       [len(statuses)]int64
	bytes       int64
	rate        float64       // items a second; 0 while it is not known
	left        time.Duration // below 0 while it is not known
	atLeast     bool          // left may be more
	idle        time.Duration // since the last item ended
	files       int64
	inFlight    []inFlightState // the longest first
}

func (f *Flow) state(now time.Time) flowState {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := flowState{
		flow: f.flow, begun: !f.begun.IsZero(), over: !f.over.IsZero(), failed: f.failed, doing: f.doing, doingFor: now.Sub(f.doingAt),
		done: f.done(), total: f.total, looked: f.all(), bytes: f.bytes.Load(), left: -1,
		idle: max(0, now.Sub(f.created)-time.Duration(f.last.Load())), files: max(0, f.files.Load()), inFlight: f.inFlightStates(now),
	}
	for i := range f.ended {
		s.ended[i] = f.ended[i].Load()
	}
	switch {
	case !s.begun:
		return s
	case s.over:
		s.took = f.over.Sub(f.begun)
		return s
	}
	s.took = now.Sub(f.begun)
	if s.total >= 0 && s.done > s.total {
		s.total = -1 // more has come than was counted: then it is not known how much comes
	}
	if s.doing != "" {
		return s
	}
	f.meter.add(now, s.done)
	s.rate = f.meter.rate(now, s.done)
	if s.total >= 0 && s.rate > 0 && s.idle <= patienceWith(s.rate) {
		s.left, s.atLeast = f.sizes.left(f.meter, now, s.done, s.total)
	}
	return s
}

// patienceWith is how long nothing may end before a rate says nothing any more.
func patienceWith(rate float64) time.Duration {
	return max(30*time.Second, time.Duration(5/rate*float64(time.Second)))
}
