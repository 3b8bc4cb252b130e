package stages

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"

	"synupkeep/internal/item"
	"synupkeep/internal/journal"
)

// refusedBecause fails unless the flow was stopped with exit code 13 for this.
func refusedBecause(t *testing.T, f *memFlow, want error) {
	t.Helper()
	var stop *item.RunError
	if !errors.As(f.Cause(), &stop) || stop.Cause != item.CauseRefused {
		t.Fatalf("the flow was not refused: %v", f.Cause())
	}
	if want != nil && !errors.Is(stop, want) {
		t.Errorf("%v does not tell of %v", stop, want)
	}
}

func begin(t *testing.T, r *Ramp) *Batch {
	t.Helper()
	b, err := r.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// finish ends a batch of n items, each with that many files.
func finish(b *Batch, n int, files int64, err error) {
	b.Expect(n, func([]journal.Row) {})
	for range n {
		b.Gone(item.Media{}, files, err)
	}
}

func TestBatchesGrowWhileFilesGo(t *testing.T) {
	flow := &memFlow{}
	r := NewRamp(1000, flow)
	for _, want := range []int{1, 10, 100, 1000, 1000} {
		if r.Size() != want {
			t.Errorf("a batch of %d, want %d", r.Size(), want)
		}
		finish(begin(t, r), r.Size(), 2, nil)
	}
	if r = NewRamp(5, flow); r.Size() != 1 {
		t.Errorf("the first batch has %d", r.Size())
	}
	finish(begin(t, r), 1, 1, nil)
	if r.Size() != 5 {
		t.Errorf("%d rows, at most 5 are asked for", r.Size())
	}
	if flow.Stopping() {
		t.Error(flow.Cause())
	}
}

func TestBatchesDoNotGrowWithoutRows(t *testing.T) {
	flow := &memFlow{}
	r := NewRamp(1000, flow)
	for range 10 {
		begin(t, r).Expect(0, func([]journal.Row) {}) // all of them changed or in use
	}
	if r.Size() != 1 || flow.Stopping() {
		t.Errorf("size %d, stopped: %v", r.Size(), flow.Cause())
	}
}

func TestAFullBatchMayRunBesideAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRamp(10, &memFlow{})
		ahead := make(chan *Batch)
		wait := func() {
			go func() {
				if b, err := r.Begin(t.Context()); err == nil {
					ahead <- b
				}
			}()
			synctest.Wait()
		}
		first := begin(t, r)
		wait()
		select {
		case <-ahead:
			t.Fatal("while batches are small the next one waits for the files of the one before")
		default:
		}
		finish(first, 1, 1, nil)
		second, third := <-ahead, begin(t, r)
		wait()
		select {
		case <-ahead:
			t.Fatal("three at once")
		default:
		}
		finish(third, 10, 1, nil)
		finish(<-ahead, 10, 1, nil)
		finish(second, 10, 1, nil)
	})
}

func TestABatchOfWhichNoFileCanBeDeletedStopsTheFlow(t *testing.T) {
	denied := errors.New("denied")
	for _, n := range []int{1, 7, 1000} {
		flow := &memFlow{}
		r := NewRamp(1000, flow)
		r.Doubt = func() error { return nil } // that the files are there is just what is wrong
		finish(begin(t, r), n, 0, denied)
		refusedBecause(t, flow, denied)
	}
	flow := &memFlow{}
	r := NewRamp(1000, flow)
	b := begin(t, r)
	b.Expect(2, func([]journal.Row) {})
	b.Gone(item.Media{}, 0, denied)
	b.Gone(item.Media{}, 1, nil)
	if flow.Stopping() {
		t.Errorf("one file that stays does not stop the others: %v", flow.Cause())
	}
}

func TestMissingFilesCastDoubtOnTheStore(t *testing.T) {
	moved := &item.RunError{Cause: item.CauseRefused, Doing: "look again", Err: errors.New("moved")}
	flow := &memFlow{}
	r := NewRamp(1000, flow)
	asked := 0
	r.Doubt = func() error { asked++; return nil }
	finish(begin(t, r), 1, 0, nil)
	finish(begin(t, r), 1, 0, nil)
	if flow.Stopping() || asked != 2 || r.Size() != 1 {
		t.Errorf("the store is the right one: asked %d times, size %d, %v", asked, r.Size(), flow.Cause())
	}
	r.Doubt = func() error { return moved }
	finish(begin(t, r), 100, 0, nil)
	refusedBecause(t, flow, moved)

	flow = &memFlow{}
	finish(begin(t, NewRamp(1000, flow)), 1, 0, nil)
	refusedBecause(t, flow, nil)
}

// onStop is a flow that looks around at the moment when it is told to stop.
type onStop struct {
	memFlow
	look func()
}

func (f *onStop) StopFeeding(cause error) {
	f.look()
	f.memFlow.StopFeeding(cause)
}

// TestNoBatchBeginsAfterABadOne: whoever waited for the bad batch to end must see the stop.
func TestNoBatchBeginsAfterABadOne(t *testing.T) {
	flow := &onStop{}
	r := NewRamp(1000, flow)
	flow.look = func() {
		dead, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := r.Begin(dead); err == nil {
			t.Error("another batch may begin before the flow has been told to stop")
		}
	}
	finish(begin(t, r), 1, 0, errors.New("denied"))
	if !flow.Stopping() {
		t.Error("it was not told to stop")
	}
}

func TestWaitingForABatchEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	r := NewRamp(1000, &memFlow{})
	begin(t, r)
	why := errors.New("hard stop")
	cancel(why)
	if _, err := r.Begin(ctx); !errors.Is(err, why) {
		t.Errorf("%v, want %v", err, why)
	}
}

func TestBudgetIsNeverOverspent(t *testing.T) {
	b := NewBudget(10)
	var took sync.WaitGroup
	var mu sync.Mutex
	total := 0
	for range 20 {
		took.Go(func() {
			for range 50 {
				n := b.TakeUpTo(3)
				if n > 0 {
					b.GiveBack(1)
					n--
				}
				mu.Lock()
				total += n
				mu.Unlock()
			}
		})
	}
	took.Wait()
	total += b.TakeUpTo(100)
	if total != 10 || !b.Spent() || b.Take() {
		t.Errorf("%d of 10 were given", total)
	}
	if free := NewBudget(0); free.TakeUpTo(5) != 5 || free.Spent() {
		t.Error("no limit is a limit")
	}
}
