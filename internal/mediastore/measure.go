package mediastore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
)

// Measure returns what Remove would: how many files it would delete, and of how many bytes. It changes nothing. It ends with
// the errors of Remove, but for those of directories that became empty and cannot be removed.
func (s *Store) Measure(ctx context.Context, kind Kind, origin, fileID string) (Removed, error) {
	var found Removed
	loc, err := Locate(kind, origin, fileID)
	if err != nil {
		return found, err
	}
	if ctx.Err() != nil {
		return found, fmt.Errorf("measure %s: %w", loc.Content(), context.Cause(ctx))
	}
	contentErr := s.measureContent(loc, &found)
	return found, errors.Join(contentErr, s.measureThumbnails(loc, &found))
}

func (s *Store) measureContent(loc Location, found *Removed) error {
	there := false
	err := s.within(loc.content, loc.parts[:len(loc.parts)-1], func(d directory) (err error) {
		there, err = d.measure(loc.parts[len(loc.parts)-1], found)
		return err
	})
	if err == nil && !there {
		found.Missing++
	}
	return err
}

func (s *Store) measureThumbnails(loc Location, found *Removed) error {
	return s.within(loc.thumbnails, loc.parts, func(d directory) error {
		var first error
		err := d.blocks(func(names []string) error {
			for _, name := range names {
				if _, err := d.measure(name, found); err != nil && first == nil {
					first = err
				}
			}
			return nil
		})
		return cmp.Or(err, first)
	})
}

// measure counts what unlink would delete. there is false when there is nothing.
func (d directory) measure(name string, found *Removed) (there bool, err error) {
	info, err := d.file("remove", name)
	if info == nil || err != nil {
		return info != nil, err
	}
	found.Files++
	if info.Mode().IsRegular() {
		found.Bytes += info.Size()
	}
	return true, nil
}
