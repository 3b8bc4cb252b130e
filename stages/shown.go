package stages

import (
	"hash/maphash"
	"slices"
)

// Shown is the set of local media that is still shown. It keeps 8 bytes of each, a hash: two media with the same hash can
// only keep one file too many.
type Shown struct {
	seed   maphash.Seed
	hashes []uint64
	sealed bool
}

// NewShown returns an empty set.
func NewShown() *Shown { return &Shown{seed: maphash.MakeSeed()} }

// Add puts a media id into the set, as often as it likes.
func (s *Shown) Add(mediaID string) {
	s.hashes = append(s.hashes, maphash.String(s.seed, mediaID))
	s.sealed = false
}

// Seal makes the set ready to be asked, by several goroutines if need be.
func (s *Shown) Seal() {
	slices.Sort(s.hashes)
	s.hashes = slices.Clip(slices.Compact(s.hashes))
	s.sealed = true
}

// Len is how many media the set holds.
func (s *Shown) Len() int { return len(s.hashes) }

// Has says whether a media id is in the set. A set that was not sealed has everything: what is not known stays.
func (s *Shown) Has(mediaID string) bool {
	if !s.sealed {
		return true
	}
	_, ok := slices.BinarySearch(s.hashes, maphash.String(s.seed, mediaID))
	return ok
}
