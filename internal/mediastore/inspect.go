package mediastore

import (
	"context"
	"fmt"
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
		return d.blocks(func(names []string) error {
			for _, name := range names {
				if _, err := d.inspect(name, &found); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// inspect looks at one file of d.
func (d directory) inspect(name string, found *Contents) (there bool, err error) {
	info, err := d.file("look at", name)
	if info == nil || err != nil {
		return info != nil, err
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
