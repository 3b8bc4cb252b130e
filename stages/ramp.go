package stages

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"synupkeep/internal/item"
	"synupkeep/internal/journal"
)

// Ramp sets the pace of deletions: batches start small and grow only while files really go, so that a media store that
// is not what it seemed costs few rows. The rows of the next batch are deleted only when the files of the one before
// have gone, or, once the batches have grown to their full size, of the one before that.
type Ramp struct {
	// Most is the full size of a batch.
	Most int
	Flow Stopper
	// Doubt looks at the media store anew, after a batch of which not one file was there any more; its error ends the
	// flow. Without it the flow ends with the first such batch.
	Doubt func() error

	mu      sync.Mutex
	size    int
	running int
	changed chan struct{} // closed when a batch ends
}

// growth is how much larger than a good batch the next may be.
const growth = 10

// NewRamp returns a ramp whose first batch holds one row.
func NewRamp(most int, flow Stopper) *Ramp {
	return &Ramp{Most: most, Flow: flow, size: 1, changed: make(chan struct{})}
}

// Size is how many rows the next batch may hold.
func (r *Ramp) Size() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.size
}

// Begin waits until another batch may begin.
func (r *Ramp) Begin(ctx context.Context) (*Batch, error) {
	for {
		r.mu.Lock()
		ahead := 0
		if r.size >= r.Most {
			ahead = 1
		}
		if r.running <= ahead {
			r.running++
			r.mu.Unlock()
			return &Batch{ramp: r}, nil
		}
		changed := r.changed
		r.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-changed:
		}
	}
}

// Batch is a batch on its way from rows to files.
type Batch struct {
	ramp *Ramp

	// settle is called when the batch ends; stuck are the rows whose files are not all gone.
	settle func(stuck []journal.Row)

	mu      sync.Mutex
	open    int // items whose files are still to go
	items   int
	removed int64
	failure error
	stuck   []journal.Row
}

// Expect says that the rows of n items are gone and their files are to follow. It is called once; settle is called when
// they have.
func (b *Batch) Expect(n int, settle func(stuck []journal.Row)) {
	b.mu.Lock()
	b.open, b.items, b.settle = n, n, settle
	b.mu.Unlock()
	if n == 0 {
		b.ramp.end(b)
	}
}

// Gone says what became of the files of one item.
func (b *Batch) Gone(m item.Media, files int64, err error) {
	b.mu.Lock()
	b.open--
	b.removed += files
	if err != nil {
		b.stuck = append(b.stuck, journal.Row{Origin: m.Origin, ID: m.ID, FileID: m.FileID})
	}
	if b.failure == nil {
		b.failure = err
	}
	last := b.open == 0
	b.mu.Unlock()
	if last {
		b.ramp.end(b)
	}
}

// end judges a batch before another one may begin.
func (r *Ramp) end(b *Batch) {
	b.settle(b.stuck)
	if err := r.judge(b); err != nil {
		r.Flow.StopFeeding(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running--
	close(r.changed)
	r.changed = make(chan struct{})
}

// judge gives the error that ends the flow, and lets the next batches grow when there is none.
func (r *Ramp) judge(b *Batch) error {
	if b.items == 0 || errors.Is(b.failure, errStopping) {
		return nil // a batch that was not let come to its end says nothing of the store
	}
	if b.removed == 0 {
		if b.failure != nil || r.Doubt == nil {
			return barren(b)
		}
		// Rows whose files were lost long ago lie together: of one user, of one month. So the rest of the store is asked.
		// They do not show that files can be deleted, so they let nothing grow.
		return r.Doubt()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.size = min(max(r.size, b.items*growth), r.Most)
	return nil
}

func barren(b *Batch) error {
	err := b.failure
	if err == nil {
		err = fmt.Errorf("the files of %d media whose rows were just deleted were not there", b.items)
	}
	return &item.RunError{
		Cause: item.CauseRefused, Doing: "delete files", Err: err,
		Hint: "Not one file of the batch could be deleted, so no more rows are. Is --media-store the media_store_path of this server, " +
			"mounted and writable for us? The report names what was begun.",
	}
}
