package mediastore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// Contents is what of one media item lies in a store.
type Contents struct {
	Content bool  // the content file
	Files   int64 // all files, thumbnails included
	Bytes   int64 // of regular files
	// Newest is when the newest of them was last written to.
	Newest time.Time
}

// Inspect looks at all files of one media item, and changes nothing. What is not there is no error; whatever keeps it from
// being seen is one, and so is anything that Remove would end with: ErrNotFile, ErrSymlink, ErrNotDirectory.
func (s *Store) Inspect(ctx context.Context, kind Kind, origin, fileID string) (Contents, error) {
	var found Contents
	loc, err := Locate(kind, origin, fileID)
	if err != nil {
		return found, err
	}
	if ctx.Err() != nil {
		return found, fmt.Errorf("look at %s: %w", loc.Content(), context.Cause(ctx))
	}
	dirs, name := loc.parts[:len(loc.parts)-1], loc.parts[len(loc.parts)-1]
	err = s.within(loc.content, dirs, func(d directory) error {
		there, err := d.inspect(name, &found)
		found.Content = there
		return err
	})
	if err != nil {
		return found, err
	}
	return found, s.within(loc.thumbnails, loc.parts, func(d directory) error {
		names, err := d.names()
		if err != nil {
			return err
		}
		for _, name := range names {
			if _, err := d.inspect(name, &found); err != nil {
				return err
			}
		}
		return nil
	})
}

// within does something in a directory, unless that is not there.
func (s *Store) within(tree string, names []string, f func(directory) error) error {
	chain, err := s.descend(tree, names)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer ascend(chain)
	return f(chain[len(chain)-1])
}

func (d directory) names() ([]string, error) {
	list, err := d.root.Open(".")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, failed("read", d.rel, d, err)
	}
	defer func() { _ = list.Close() }() // it was only read
	names, err := list.Readdirnames(-1)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, failed("read", d.rel, d, err)
	}
	return names, nil
}

// inspect looks at one file of d.
func (d directory) inspect(name string, found *Contents) (there bool, err error) {
	rel := d.rel + "/" + name
	info, err := d.root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, failed("look at", rel, d, err)
	case info.IsDir():
		return true, fmt.Errorf("look at %s: %w", rel, ErrNotFile)
	}
	if info.ModTime().After(found.Newest) {
		found.Newest = info.ModTime()
	}
	found.Files++
	if info.Mode().IsRegular() {
		found.Bytes += info.Size()
	}
	return true, nil
}
