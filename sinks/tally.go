package sinks

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"synupkeep/internal/item"
)

const (
	// maxNamed is how many failed items are named: promise enough to repair by hand, and a bound on memory.
	maxNamed = 1000
	// maxReasons is far above the number of reasons that there are. It keeps a mistake from filling the memory.
	maxReasons = 100
	// maxStateTypes is how many types of state events are told apart: strangers make them up.
	maxStateTypes = 50
	stateTypes    = "state:"

	noReason     item.Reason = "no reason given"
	otherReasons item.Reason = "other reasons"
)

// Tally adds up outcomes. Several goroutines may use it at once. Its memory does not grow with the number of items.
type Tally struct {
	// Redact is that of the summary. It is set before the first outcome.
	Redact Redact
	// Top is how many rooms, users, origins and types are named, 10 where it is 0. Plan says that nothing is done: then
	// nothing that is left is left undone. Both are set before the first outcome.
	Top  int
	Plan bool

	mu    sync.Mutex
	flows []*flowTally

	failures           []Failure
	failuresNotNamed   int64
	leftPurges         []LeftPurge
	leftPurgesNotNamed int64
}

type flowTally struct {
	sum   FlowSummary
	who   sharesTally
	begun time.Time
	err   error
}

// NewTally returns a Tally of the flows that are asked for, in the order in which they are reported.
func NewTally(flows []item.Flow) *Tally {
	t := &Tally{}
	for _, f := range flows {
		t.flow(f)
	}
	return t
}

// Begin notes that a flow begins.
func (t *Tally) Begin(f item.Flow, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	flow := t.flow(f)
	flow.sum.Ran, flow.begun = true, now
}

// SetCutOff notes up to when a flow deletes. It may come before Begin.
func (t *Tally) SetCutOff(f item.Flow, cutOff time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.flow(f).sum.CutOff = utc(cutOff)
}

// End notes that a flow has ended, and the error if it could not do its work. An item that failed is no such error.
// After a signal err is nil or an item.RunError with the cause of the stop: any other error counts as CauseFailed.
func (t *Tally) End(f item.Flow, now time.Time, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	flow := t.flow(f)
	if !flow.begun.IsZero() {
		flow.sum.DurationS = seconds(now.Sub(flow.begun))
	}
	if err != nil {
		flow.err = err
		flow.sum.Error = t.Redact.line(err.Error())
	}
}

// Add counts what became of one item.
func (t *Tally) Add(o item.Outcome) {
	t.mu.Lock()
	defer t.mu.Unlock()
	flow := t.flow(o.Flow)
	sum := &flow.sum
	flow.who.top = cmp.Or(t.Top, defaultTop)
	flow.who.add(o)
	sum.Examined++
	sum.found(o)
	sum.Rows += o.Rows
	sum.Pinned += o.Pinned
	if o.ShownByEvent {
		sum.Shown += o.Rows
		sum.ShownBytes += o.Bytes
	}
	if o.Finished && o.Files > 0 {
		sum.Finished++
	}
	sum.Files += o.Files
	sum.Missing += o.Missing
	sum.Bytes += o.Bytes
	sum.Retries += int64(max(0, o.Tries-1))
	if slices.Contains(item.Statuses(), o.Status) {
		sum.Sizes[o.Status] += size(o)
	} else {
		sum.Sizes[item.Failed] += size(o)
	}

	switch o.Status {
	case item.Done:
		sum.Done++
		if o.Reason != "" {
			count(sum.HeldBy, o.Reason)
		}
		return
	case item.Kept:
		sum.KeptTotal++
		count(sum.Kept, o.Reason)
		return
	case item.Skipped:
		sum.SkippedTotal++
		count(sum.Skipped, o.Reason)
		return
	case item.Left:
		sum.LeftTotal++
		count(sum.Left, o.Reason)
		t.left(o)
		return
	case item.Failed:
	}
	// A status that nobody knows ends here as well: it must not pass for a success.
	sum.Failed++
	t.failed(o)
}

// size is how much the database says that media has.
func size(o item.Outcome) int64 {
	if o.Length == 0 && o.Media != nil {
		return o.Media.Bytes
	}
	return o.Length
}

// Summary says how far the flows are. It shares no memory with the Tally and may be called at any time.
// Failures are sorted by flow and key.
func (t *Tally) Summary() Summary {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := Summary{
		Ending:             Ending{Redact: t.Redact},
		Failures:           slices.Clone(t.failures),
		FailuresNotNamed:   t.failuresNotNamed,
		LeftPurges:         slices.Clone(t.leftPurges),
		LeftPurgesNotNamed: t.leftPurgesNotNamed,
	}
	order := map[item.Flow]int{}
	for i, flow := range t.flows {
		order[flow.sum.Flow] = i
		flow.sum.Shares = flow.who.shares()
		s.Flows = append(s.Flows, flow.sum)
		if flow.sum.Failed > 0 {
			s.AddCause(item.CauseItems)
		}
		if flow.sum.LeftTotal > 0 && !t.Plan {
			s.AddCause(item.CauseLeft)
		}
		s.AddError(flow.err)
	}
	// Flows run side by side: the order in which items end differs from run to run.
	slices.SortStableFunc(s.Failures, func(a, b Failure) int {
		return cmp.Or(cmp.Compare(order[a.Flow], order[b.Flow]), cmp.Compare(a.Key, b.Key))
	})
	slices.SortStableFunc(s.LeftPurges, func(a, b LeftPurge) int { return cmp.Compare(a.RoomID, b.RoomID) })
	return s.normal()
}

// flow finds a flow. One that was not announced is added: its outcomes must not be lost.
func (t *Tally) flow(f item.Flow) *flowTally {
	for _, flow := range t.flows {
		if flow.sum.Flow == f {
			return flow
		}
	}
	flow := &flowTally{sum: FlowSummary{Flow: f}.normal()}
	t.flows = append(t.flows, flow)
	return flow
}

func (t *Tally) failed(o item.Outcome) {
	if len(t.failures) == maxNamed {
		t.failuresNotNamed++
		return
	}
	failure := Failure{Flow: o.Flow, Key: key(o.Key), PurgeID: key(o.PurgeID)}
	switch {
	case o.Status != item.Failed:
		failure.Cause = line("unknown status " + string(o.Status))
	case o.Err == nil:
		failure.Cause = "no cause given"
	default:
		failure.Cause = t.Redact.line(o.Err.Error())
	}
	if run, ok := runError(o.Err); ok {
		failure.Hint = t.Redact.line(run.Hint)
	}
	t.failures = append(t.failures, failure)
}

func (t *Tally) left(o item.Outcome) {
	switch {
	case o.PurgeID == "":
	case len(t.leftPurges) == maxNamed:
		t.leftPurgesNotNamed++
	default:
		t.leftPurges = append(t.leftPurges, LeftPurge{RoomID: key(o.Key), PurgeID: key(o.PurgeID)})
	}
}

// key keeps an id as the database has it as far as UTF-8 and its length allow.
func key(id string) string {
	return strings.Clone(cut(strings.ToValidUTF8(id, "\uFFFD")))
}

func count(reasons map[item.Reason]int64, r item.Reason) {
	if r == "" {
		r = noReason
	}
	if _, ok := reasons[r]; !ok {
		switch {
		case ofState(r) && states(reasons) >= maxStateTypes:
			r = item.StateEvent("")
		case len(reasons) >= maxReasons:
			r = otherReasons
		}
	}
	reasons[r]++
}

// ofState says that a reason names the type of a state event.
func ofState(r item.Reason) bool { return strings.HasPrefix(string(r), stateTypes) }

func states(reasons map[item.Reason]int64) (n int) {
	for r := range reasons {
		if ofState(r) {
			n++
		}
	}
	return n
}
