// Package stages holds what decides about one item or acts on it. A stage gives its items' failures as outcomes; an
// error of its own ends the flow.
package stages

import (
	"context"
	"sync/atomic"
)

// Stopper is how a stage learns that no new work is to be begun, and how it says so to the stages of its flow.
type Stopper interface {
	Stopping() bool
	// StopFeeding ends the flow gently: what runs is finished, the rest is left. The first cause is the flow's.
	StopFeeding(cause error)
}

// mayBegin says whether something that deletes may begin: not when the flow has been told to stop meanwhile, nor when
// another run could have begun, which stops the flow.
func mayBegin(ctx context.Context, flow Stopper, held func(context.Context) error) error {
	if flow.Stopping() {
		return errStopping
	}
	if err := held(ctx); err != nil {
		flow.StopFeeding(err)
		return errStopping
	}
	return nil
}

// Budget is how many items a flow may act on.
type Budget struct {
	max  int64
	used atomic.Int64
}

// NewBudget returns a budget of at most limit items; 0 means no limit.
func NewBudget(limit int) *Budget { return &Budget{max: int64(limit)} }

// Take uses one up, or says that none is left.
func (b *Budget) Take() bool { return b.TakeUpTo(1) == 1 }

// TakeUpTo uses up as many of n as are left and says how many that were.
func (b *Budget) TakeUpTo(n int) int {
	if b.max == 0 {
		return n
	}
	for {
		used := b.used.Load()
		granted := min(int64(n), b.max-used)
		if granted <= 0 {
			return 0
		}
		if b.used.CompareAndSwap(used, used+granted) {
			return int(granted)
		}
	}
}

// GiveBack returns what was taken and not used.
func (b *Budget) GiveBack(n int) {
	if b.max > 0 {
		b.used.Add(-int64(n))
	}
}

// Spent says whether nothing is left.
func (b *Budget) Spent() bool { return b.max > 0 && b.used.Load() >= b.max }
