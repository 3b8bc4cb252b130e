package mediastore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
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
	chain, err := s.descend(loc.content, loc.parts[:len(loc.parts)-1])
	if errors.Is(err, fs.ErrNotExist) {
		found.Missing++
		return nil
	}
	if err != nil {
		return err
	}
	defer ascend(chain)
	there, err := chain[len(chain)-1].measure(loc.parts[len(loc.parts)-1], found)
	if err == nil && !there {
		found.Missing++
	}
	return err
}

func (s *Store) measureThumbnails(loc Location, found *Removed) error {
	chain, err := s.descend(loc.thumbnails, loc.parts)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer ascend(chain)
	dir := chain[len(chain)-1]
	list, err := dir.root.Open(".")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return failed("read", dir.rel, dir, err)
	}
	defer func() { _ = list.Close() }() // it was only read
	var first error
	for {
		names, err := list.Readdirnames(256)
		if errors.Is(err, io.EOF) || errors.Is(err, fs.ErrNotExist) {
			return first
		}
		if err != nil {
			return failed("read", dir.rel, dir, err)
		}
		for _, name := range names {
			if _, err := dir.measure(name, found); err != nil && first == nil {
				first = err
			}
		}
	}
}

// measure counts what unlink would delete. there is false when there is nothing.
func (d directory) measure(name string, found *Removed) (there bool, err error) {
	rel := d.rel + "/" + name
	info, err := d.root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, failed("look at", rel, d, err)
	case info.IsDir():
		return true, fmt.Errorf("remove %s: %w", rel, ErrNotFile)
	}
	found.Files++
	if info.Mode().IsRegular() {
		found.Bytes += info.Size()
	}
	return true, nil
}
