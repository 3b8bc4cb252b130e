package stages

import (
	"fmt"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

func TestShownHasWhatWasAdded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.SliceOf(rapid.StringN(0, 30, -1)).Draw(t, "added")
		others := rapid.SliceOf(rapid.StringN(0, 30, -1)).Draw(t, "asked")
		s := NewShown()
		known := map[string]bool{}
		for _, id := range in {
			s.Add(id)
			known[id] = true
		}
		s.Seal()
		for id := range known {
			if !s.Has(id) {
				t.Fatalf("%q is not shown any more", id)
			}
		}
		for _, id := range others {
			if s.Has(id) != known[id] {
				t.Fatalf("%q: %t", id, s.Has(id))
			}
		}
		if s.Len() != len(known) {
			t.Fatalf("%d of %d", s.Len(), len(known))
		}
	})
}

func TestASetThatIsNotWholeKeepsEverything(t *testing.T) {
	s := NewShown()
	if !s.Has("anything") {
		t.Error("nobody has read it yet")
	}
	s.Seal()
	if s.Has("anything") {
		t.Error("nothing is shown")
	}
	s.Add("a")
	if !s.Has("anything") || !s.Has("a") {
		t.Error("it is being read again")
	}
}

func TestShownIsAskedByManyAtOnce(t *testing.T) {
	s := NewShown()
	for i := range 1000 {
		s.Add(fmt.Sprint(i))
	}
	s.Seal()
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for i := range 2000 {
				if s.Has(fmt.Sprint(i)) != (i < 1000) {
					t.Errorf("%d", i)
				}
			}
		})
	}
	group.Wait()
}
