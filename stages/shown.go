package stages

import (
	"slices"
	"sort"

	"synupkeep/internal/item"
	"synupkeep/internal/references"
)

// Shown is the set of local media that is still shown, and why. It keeps 9 bytes of each: a hash of its id and a number for
// the reason. Two media with the same hash can only keep one file too many.
type Shown struct {
	hashes  []uint64
	why     []uint8
	reasons []item.Reason
	sealed  bool
	// full is the length at which what is there several times is thrown out.
	full int
}

const (
	// byEvent is the number of item.Event. It is the highest: whoever gives up the protection by kept events must find
	// every other reason first.
	byEvent = 255
	// byState stands for all types of state events beyond those that a byte can tell apart.
	byState = 254
)

// NewShown returns an empty set.
func NewShown() *Shown { return &Shown{} }

// Add puts media into the set, by the hash of its id, as often and for as many reasons as it likes.
func (s *Shown) Add(hash uint64, why item.Reason) {
	s.hashes = append(s.hashes, hash)
	s.why = append(s.why, s.number(why))
	s.sealed = false
	if len(s.hashes) >= max(s.full, 1<<16) { // an avatar is named in each room of its user
		s.compact()
		s.full = 2 * len(s.hashes)
	}
}

func (s *Shown) number(why item.Reason) uint8 {
	if why == item.Event {
		return byEvent
	}
	n := slices.Index(s.reasons, why)
	if n < 0 {
		if len(s.reasons) == byState {
			return byState
		}
		n = len(s.reasons)
		s.reasons = append(s.reasons, why)
	}
	return uint8(n)
}

// Seal makes the set ready to be asked, by several goroutines if need be.
func (s *Shown) Seal() {
	s.compact()
	s.hashes, s.why = slices.Clip(s.hashes), slices.Clip(s.why)
	s.sealed = true
}

func (s *Shown) compact() {
	sort.Sort((*byHash)(s))
	n := 0
	for i := range s.hashes {
		if i > 0 && s.hashes[i] == s.hashes[n-1] {
			continue // the first one has the lowest number
		}
		s.hashes[n], s.why[n] = s.hashes[i], s.why[i]
		n++
	}
	s.hashes, s.why = s.hashes[:n], s.why[:n]
}

type byHash Shown

func (b *byHash) Len() int { return len(b.hashes) }

func (b *byHash) Swap(i, j int) {
	b.hashes[i], b.hashes[j] = b.hashes[j], b.hashes[i]
	b.why[i], b.why[j] = b.why[j], b.why[i]
}

func (b *byHash) Less(i, j int) bool {
	return b.hashes[i] < b.hashes[j] || b.hashes[i] == b.hashes[j] && b.why[i] < b.why[j]
}

// Len is how many media the set holds.
func (s *Shown) Len() int { return len(s.hashes) }

// Why says whether media is in the set, and for what reason. A set that was not sealed has everything: what is not known
// stays.
func (s *Shown) Why(mediaID string) (why item.Reason, shown bool) {
	if !s.sealed {
		return item.StateEvent(""), true
	}
	i, shown := slices.BinarySearch(s.hashes, references.Hash(mediaID))
	if !shown {
		return "", false
	}
	switch n := s.why[i]; n {
	case byEvent:
		return item.Event, true
	case byState:
		return item.StateEvent(""), true
	default:
		return s.reasons[n], true
	}
}
