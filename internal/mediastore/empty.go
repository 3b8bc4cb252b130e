package mediastore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"
)

// InspectEmpty looks at a directory that Walk found empty: when it was last changed, and whether it is there and still empty.
func (s *Store) InspectEmpty(path string) (modified time.Time, empty bool, err error) {
	p, err := parseEmpty(path)
	if err != nil {
		return modified, false, err
	}
	err = s.within(p.tree, p.names, func(d directory) error {
		holds := false
		err := d.blocks(func([]string) error { holds = true; return nil })
		modified, empty = d.info.ModTime(), err == nil && !holds
		return err
	})
	return modified, empty, err
}

// RemoveEmpty removes a directory that Walk found empty, if it still is and was last changed before a time. A directory of
// thumbnails takes the one above it with it when that becomes empty and was last changed before that time as well; the
// directories that Remove leaves stay.
//
// Synapse makes the directory of an upload and then the file in it, and does not try again (media_storage.py:232-236, 1.163.2):
// an upload fails if its directory goes between the two. For that to happen its random id must lead to just this
// directory, which nobody has used since that time, in just this moment.
func (s *Store) RemoveEmpty(ctx context.Context, path string, before time.Time) (removed bool, err error) {
	p, err := parseEmpty(path)
	if err != nil {
		return false, err
	}
	if err := stopped(ctx, path); err != nil {
		return false, err
	}
	chain, err := s.descend(p.tree, p.names)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer ascend(chain)
	most := 0
	for i := len(chain) - 1; i >= p.level && chain[i].info.ModTime().Before(before); i-- {
		most++
	}
	if most == 0 {
		return false, nil
	}
	if err := prune(chain, most); err != nil {
		return false, err
	}
	above := chain[len(chain)-2]
	_, err = above.root.Lstat(p.names[len(p.names)-1])
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, failed("look at", path, above, err)
	}
	return err != nil, nil
}

// emptyPath is where a directory lies that may be removed once it is empty.
type emptyPath struct {
	tree  string
	names []string // below it
	// level is the number of the highest of them that may be removed, counted from 1.
	level int
}

// parseEmpty takes the path of a directory apart. It must be one that Remove would have taken away.
func parseEmpty(path string) (p emptyPath, err error) {
	p.tree, path, _ = strings.Cut(path, "/")
	p.names = strings.Split(path, "/")
	for _, kind := range []Kind{Local, Remote, Preview} {
		content, thumbnails := kind.trees()
		if p.tree != content && p.tree != thumbnails {
			continue
		}
		p.level = 2
		pairs := p.names
		switch {
		case kind == Remote:
			p.level, pairs = 3, p.names[1:]
		case kind == Preview && len(p.names[0]) == len(dateForm) && beginsWithDate(p.names[0]):
			p.level, pairs = 1, nil
		}
		deepest := p.level
		if p.tree == thumbnails {
			deepest++
		}
		ok := len(p.names) >= p.level && len(p.names) <= deepest
		for i, name := range p.names {
			ok = ok && isComponent(name) && (i >= p.level || len(pairs) == 0 || i < len(p.names)-len(pairs) || len(name) == 2)
		}
		if ok {
			return p, nil
		}
	}
	return p, fmt.Errorf("remove the empty directory %s: %w", shorten(p.tree+"/"+path), errNotOurs)
}
