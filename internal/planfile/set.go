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

// newSet makes room for as many as there are said to be, within reason.
func newSet(seed maphash.Seed, media int64) *Set {
	const most = 1 << 24
	return &Set{seed: seed, hashes: make([]uint64, 0, max(0, min(media, most)))}
}

func (s *Set) add(key string) { s.hashes = append(s.hashes, maphash.String(s.seed, key)) }

func (s *Set) seal() {
	slices.Sort(s.hashes)
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
