package stages

import (
	"fmt"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"synupkeep/internal/item"
	"synupkeep/internal/references"
)

func TestShownHasWhatWasAddedAndItsStrongestReason(t *testing.T) {
	// The first reason that was ever added comes first, kept events come last.
	reasons := []item.Reason{item.Avatar, item.StateEvent("m.image_pack"), item.AccountData, item.Event}
	rapid.Check(t, func(t *rapid.T) {
		type added struct {
			id  string
			why int
		}
		in := rapid.SliceOf(rapid.Custom(func(t *rapid.T) added {
			return added{rapid.StringN(0, 3, -1).Draw(t, "id"), rapid.IntRange(0, 3).Draw(t, "why")}
		})).Draw(t, "added")
		others := rapid.SliceOf(rapid.StringN(0, 3, -1)).Draw(t, "asked")
		s := NewShown()
		rank := map[int]int{3: 1000}
		known := map[string]int{}
		for _, a := range in {
			s.Add(references.Hash(a.id), reasons[a.why])
			if _, ok := rank[a.why]; !ok {
				rank[a.why] = len(rank)
			}
			if before, ok := known[a.id]; !ok || rank[a.why] < rank[before] {
				known[a.id] = a.why
			}
		}
		s.Seal()
		for id, why := range known {
			if got, ok := s.Why(id); !ok || got != reasons[why] {
				t.Fatalf("%q is shown by %q (%t), want %q", id, got, ok, reasons[why])
			}
		}
		for _, id := range others {
			_, want := known[id]
			if got, ok := s.Why(id); ok != want || !ok && got != "" {
				t.Fatalf("%q: %t %q", id, ok, got)
			}
		}
		if s.Len() != len(known) {
			t.Fatalf("%d of %d", s.Len(), len(known))
		}
	})
}

// A number is a byte. Event types come from anybody.
func TestShownOutlivesAnyNumberOfReasons(t *testing.T) {
	s := NewShown()
	for i := range 1000 {
		s.Add(uint64(i), item.StateEvent(fmt.Sprint("type", i)))
	}
	s.Add(references.Hash("a"), item.StateEvent("another"))
	s.Add(references.Hash("b"), item.Event)
	s.Add(references.Hash("c"), item.StateEvent("type7"))
	s.Seal()
	for id, want := range map[string]item.Reason{"a": "state", "b": item.Event, "c": "state:type7"} {
		if got, ok := s.Why(id); !ok || got != want {
			t.Errorf("%s: %q %t, want %q", id, got, ok, want)
		}
	}
}

func TestASetThatIsNotWholeKeepsEverything(t *testing.T) {
	s := NewShown()
	has := func(id string) bool {
		_, ok := s.Why(id)
		return ok
	}
	if !has("anything") {
		t.Error("nobody has read it yet")
	}
	s.Seal()
	if has("anything") {
		t.Error("nothing is shown")
	}
	s.Add(references.Hash("a"), item.Avatar)
	if !has("anything") || !has("a") {
		t.Error("it is being read again")
	}
}

func TestShownIsAskedByManyAtOnce(t *testing.T) {
	s := NewShown()
	for i := range 1000 {
		s.Add(references.Hash(fmt.Sprint(i)), item.Event)
	}
	s.Seal()
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for i := range 2000 {
				if _, ok := s.Why(fmt.Sprint(i)); ok != (i < 1000) {
					t.Errorf("%d", i)
				}
			}
		})
	}
	group.Wait()
}

func TestShownDoesNotGrowWithHowOftenMediaIsNamed(t *testing.T) {
	s := NewShown()
	for i := range 1 << 20 {
		s.Add(uint64(i%1000), item.Event)
		if i%1000 == 7 {
			s.Add(uint64(i), item.Pinned)
		}
	}
	if n := cap(s.hashes); n > 1<<18 {
		t.Errorf("room for %d", n)
	}
	s.Seal()
	if n := s.Len(); n != 1000+(1<<20)/1000 {
		t.Errorf("%d media", n)
	}
}
