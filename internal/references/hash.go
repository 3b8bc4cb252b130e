// Package references remembers, between the runs, which local media the events of a server name. Events do not change:
// what was read once need not be read again.
package references

import "hash/fnv"

// Hash stands for a media id. It is the same in every run.
func Hash(mediaID string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(mediaID)) // it never fails
	return h.Sum64()
}
