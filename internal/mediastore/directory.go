package mediastore

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
)

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

// blocks calls f with the names in d, some at a time. What is removed meanwhile holds none.
func (d directory) blocks(f func(names []string) error) error {
	list, err := d.root.Open(".")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return failed("read", d.rel, d, err)
	}
	defer func() { _ = list.Close() }() // it was only read
	for {
		names, err := list.Readdirnames(256)
		if errors.Is(err, io.EOF) || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return failed("read", d.rel, d, err)
		}
		if err := f(names); err != nil {
			return err
		}
	}
}

// file looks at one file of d, whatever it is, so long as it is no directory: then the error says what was about to be done
// with it. info is nil when it is not there, or cannot be looked at.
func (d directory) file(doing, name string) (info fs.FileInfo, err error) {
	rel := d.rel + "/" + name
	info, err = d.root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, failed("look at", rel, d, err)
	case info.IsDir():
		return info, fmt.Errorf("%s %s: %w", doing, rel, ErrNotFile)
	}
	return info, nil
}
