package planfile

import (
	"hash/maphash"
	"slices"
)

// Set holds the media of a flow as hashes of 64 bits, in order. The hash is another one in every process: nobody who makes
// up an id can make it meet one of the plan.
type Set struct {
	seed   maphash.Seed
	hashes []uint64
}

func newSet(seed maphash.Seed) *Set { return &Set{seed: seed} }

func (s *Set) add(key string) { s.hashes = append(s.hashes, maphash.String(s.seed, key)) }

func (s *Set) seal() {
	slices.Sort(s.hashes)
	s.hashes = slices.Clip(s.hashes)
}

// Len is how many media there are.
func (s *Set) Len() int {
	if s == nil {
		return 0
	}
	return len(s.hashes)
}

// Find returns the place of an mxc URI among them, from 0 to Len, and whether it is there. No set holds nothing.
func (s *Set) Find(key string) (at int, found bool) {
	if s == nil {
		return 0, false
	}
	return slices.BinarySearch(s.hashes, maphash.String(s.seed, key))
}
