package mediastore

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Space returns how many bytes the file system of the store has, and how many of them are free for others than root. A tree
// that is a symbolic link may be on another one.
func (s *Store) Space() (free, all int64, err error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(s.path, &stat); err != nil {
		return 0, 0, fmt.Errorf("look at the file system of %s: %w", s.path, err)
	}
	return int64(stat.Bavail) * stat.Bsize, int64(stat.Blocks) * stat.Bsize, nil
}
