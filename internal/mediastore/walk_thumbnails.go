package mediastore

import (
	"strings"

	"golang.org/x/sys/unix"
)

// thumbnails reads the directory of the thumbnails of one media item.
func (w *walk) thumbnails(name string, kind entryType, dir int, found *Stored) error {
	path := w.path(1, name)
	if kind != dirEntry {
		found.Odd, found.Thumbnails = true, true
		return w.visit.Odd(path, notDirectory(kind))
	}
	fd, err := w.open(1, dir, name)
	if err != nil || fd == none {
		found.Odd = true
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	names, err := w.names(fd)
	switch {
	case err != nil:
		found.Odd, found.Thumbnails = true, true
		return w.unread(path, err)
	case len(names) == 0:
		return w.empty(fd, path)
	}
	found.Thumbnails = true
	for _, e := range names {
		why := notFile(e.kind)
		if e.kind == fileEntry && !isThumbnail(e.name) {
			why = errNotOurs
		}
		if why == nil {
			continue
		}
		found.Odd = true
		if err := w.visit.Odd(path+"/"+e.name, why); err != nil {
			return err
		}
	}
	return nil
}

// isThumbnail says whether Synapse gives a thumbnail such a name: W-H-type-subtype-method, of remote media long ago without
// the method (filepath.py:188-260, 1.163.2).
func isThumbnail(name string) bool {
	for range 2 {
		digits := 0
		for digits < len(name) && name[digits] >= '0' && name[digits] <= '9' {
			digits++
		}
		if digits == 0 || digits == len(name) || name[digits] != '-' {
			return false
		}
		name = name[digits+1:]
	}
	kind, subtype, ok := strings.Cut(name, "-")
	return ok && kind != "" && subtype != ""
}
