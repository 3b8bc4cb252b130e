package stages

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"synupkeep/internal/item"
)

func TestHoldsAreReadOnceForManyRooms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &memDB{redactions: map[string]int64{"!a": 7}, reports: map[string]int64{"!a": 3, "!b": 4}}
		h := &Holds{DB: db}
		for range 50 {
			for room, want := range map[string][2]int64{"!a": {7, 3}, "!b": {0, 4}, "!c": {0, 0}} {
				held, err := h.Of(t.Context(), room)
				if err != nil {
					t.Fatal(err)
				}
				got := [2]int64{}
				if held.Redaction != nil {
					got[0] = *held.Redaction
				}
				if held.Report != nil {
					got[1] = *held.Report
				}
				if got != want {
					t.Errorf("%s: %v, want %v", room, got, want)
				}
			}
		}
		if db.reads != 1 {
			t.Errorf("read %d times", db.reads)
		}
	})
}

func TestHoldsAreReadAgainBeforeTheyAreOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &memDB{}
		h := &Holds{DB: db}
		for range 100 {
			held, err := h.Of(t.Context(), "!a")
			if err != nil || time.Since(held.At) > freshness/2 {
				t.Fatalf("%v old, %v", time.Since(held.At), err)
			}
			_ = sleep(t.Context(), 100*time.Millisecond)
		}
		if db.reads < 4 || db.reads > 5 {
			t.Errorf("read %d times in 10 s", db.reads)
		}
		db.mu.Lock()
		db.redactions = map[string]int64{"!a": 9}
		db.mu.Unlock()
		_ = sleep(t.Context(), freshness)
		if held, err := h.Of(t.Context(), "!a"); err != nil || held.Redaction == nil || *held.Redaction != 9 {
			t.Errorf("a redaction that came later is not seen: %+v, %v", held, err)
		}
	})
}

// Holds that were not read whole hold nothing: the room must fail, not be cut without them.
func TestHoldsThatCannotBeReadAreAnError(t *testing.T) {
	lost := errors.New("lost")
	db := &memDB{err: lost}
	h := &Holds{DB: db}
	for range 2 {
		if _, err := h.Of(t.Context(), "!a"); !errors.Is(err, lost) {
			t.Error(err)
		}
	}
	if _, err := (&Cutter{DB: &memDB{}, Holds: h}).Take(t.Context(), "!a"); !errors.Is(err, lost) {
		t.Error(err)
	}
	db.err = nil
	if _, err := h.Of(t.Context(), "!a"); err != nil {
		t.Error(err)
	}
}

// A cut is as old as the older of the two things that it is made of.
func TestCutIsAsOldAsItsHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		began := time.Now()
		if _, err := r.cutter.Take(t.Context(), "!a"); err != nil {
			t.Fatal(err)
		}
		_ = sleep(t.Context(), 2*time.Second)
		v, err := r.cutter.Take(t.Context(), "!b")
		if err != nil || !v.Cut.TakenAt.Equal(began) {
			t.Errorf("taken at %v after the begin, its redactions were read then (%v)", v.Cut.TakenAt.Sub(began), err)
		}
	})
}

func TestBudgetGrantsNoMoreThanItHas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 50).Draw(t, "limit")
		b, held := NewBudget(limit), 0
		for _, n := range rapid.SliceOf(rapid.IntRange(-20, 20)).Draw(t, "calls") {
			if n < 0 {
				back := min(-n, held)
				b.GiveBack(back)
				held -= back
				continue
			}
			got := b.TakeUpTo(n)
			if want := min(n, limit-held); got != want {
				t.Fatalf("asked for %d with %d of %d taken: got %d", n, held, limit, got)
			}
			held += got
			if b.Spent() != (held == limit) {
				t.Fatalf("%d of %d taken, spent: %v", held, limit, b.Spent())
			}
		}
	})
}

func TestBudgetOfManyAtOnce(t *testing.T) {
	b := NewBudget(100)
	var granted, all sync.WaitGroup
	counts := make(chan int, 8)
	for range 8 {
		granted.Go(func() {
			n := 0
			for range 1000 {
				if b.Take() {
					n++
				}
				if n > 0 && n%7 == 0 {
					b.GiveBack(1)
					n--
				}
			}
			counts <- n
		})
	}
	sum := 0
	all.Go(func() {
		for n := range counts {
			sum += n
		}
	})
	granted.Wait()
	close(counts)
	all.Wait()
	if int64(sum) != b.used.Load() || sum > 100 {
		t.Errorf("%d are held, %d are taken", sum, b.used.Load())
	}
}

func TestNoLimitIsNeverSpent(t *testing.T) {
	b := NewBudget(0)
	if b.TakeUpTo(1_000_000) != 1_000_000 || !b.Take() || b.Spent() {
		t.Error("a limit where none is")
	}
	b.GiveBack(5)
	if !b.Take() || b.Spent() {
		t.Error("a limit where none is")
	}
}

func TestDecideSendsARoomOneWay(t *testing.T) {
	tests := []struct {
		name    string
		prepare func(*rig, *Decide)
		status  item.Status // "" for a cut
		reason  item.Reason
		pending string
	}{
		{name: "a cut", prepare: func(*rig, *Decide) {}},
		{
			name: "a rule keeps it", status: item.Kept, reason: item.PartialState,
			prepare: func(r *rig, _ *Decide) { r.db.found = func(int, string) found { return found{partial: true} } },
		},
		{
			name: "the server purges it already", pending: "task1",
			prepare: func(r *rig, _ *Decide) { r.server.add("purge_history", "!r", 0) },
		},
		{
			name: "the server deletes it", status: item.Skipped, reason: item.BeingDeleted,
			prepare: func(r *rig, _ *Decide) { r.server.add("shutdown_and_purge_room", "!r", 0) },
		},
		{
			name: "the limit is used up", status: item.Left, reason: item.Limit,
			prepare: func(_ *rig, d *Decide) { d.Budget = NewBudget(1); d.Budget.Take() },
		},
		{
			name: "the flow stops", status: item.Left, reason: item.Stopped,
			prepare: func(r *rig, _ *Decide) { r.flow.StopFeeding(errors.New("terminated")) },
		},
		{
			name: "a query that is refused", status: item.Failed,
			prepare: func(r *rig, _ *Decide) { r.db.err = errors.New("statement timeout") },
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := newRig()
			d := &Decide{Cutter: r.cutter, Tasks: r.server, Budget: r.budget, Flow: r.flow}
			test.prepare(r, d)
			cut, out, ok := d.Do(t.Context(), item.Room{ID: "!r"})
			if ok != (test.status == "") {
				t.Fatalf("%+v, %+v, %v", cut, out, ok)
			}
			if ok {
				if cut.RoomID != "!r" || cut.Pending != test.pending || (cut.EventID == "") != (test.pending != "") {
					t.Errorf("%+v", cut)
				}
				return
			}
			checkOutcome(t, out, "!r")
			if out.Status != test.status || out.Reason != test.reason {
				t.Errorf("%+v", out)
			}
			if test.status == item.Failed && r.flow.Stopping() {
				t.Error("a failure of one room stopped the flow")
			}
		})
	}
}

func TestDatabaseThatIsAwayEndsDeciding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.db.err = errAway
		d := &Decide{Cutter: r.cutter, Tasks: r.server, Budget: r.budget, Flow: r.flow}
		_, out, ok := d.Do(t.Context(), item.Room{ID: "!r"})
		if ok || out.Status != item.Failed {
			t.Errorf("%+v", out)
		}
		r.flow.stopped(t, item.CauseFailed)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		flow := &memFlow{}
		d.Flow = flow
		if _, out, ok = d.Do(ctx, item.Room{ID: "!r"}); ok || out.Status != item.Left || out.Reason != item.Stopped || flow.Stopping() {
			t.Errorf("after a hard stop: %+v, %v", out, flow.Cause())
		}
	})
}
