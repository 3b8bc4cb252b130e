package mediastore

import (
	"cmp"
	"context"
	"errors"
	"io/fs"

	"golang.org/x/sys/unix"
)

// Removed counts what Remove did, also when it ended with an error.
type Removed struct {
	Files   int64 // deleted files, thumbnails included
	Missing int64 // 1 when the content file was not there any more
	Bytes   int64 // length of the deleted files
}

// Remove deletes the content file of the media, its thumbnails, and the directories that became empty by that: its
// thumbnail directory, and in both trees the second level (the date of previews). First-level and origin directories
// stay.
//
// Trouble in one tree does not spare the other: what can be deleted is deleted, and counted. A missing content file is
// counted and is no error. The errors name paths relative to the store; among them are *InvalidIDError (nothing was
// touched), *NotDeletableError, ErrSymlink, ErrNotDirectory, ErrNotFile, and the cause of ctx. Whether another try makes
// sense is for IsTransient to say; Remove may be called again for the same media at any time.
func (s *Store) Remove(ctx context.Context, kind Kind, origin, fileID string) (Removed, error) {
	var done Removed
	loc, err := Locate(kind, origin, fileID)
	if err != nil {
		return done, err
	}
	if err := stopped(ctx, loc.Content()); err != nil {
		return done, err
	}
	contentErr := s.removeContent(loc, &done)
	if err := stopped(ctx, loc.Thumbnails()); err != nil {
		return done, errors.Join(contentErr, err)
	}
	return done, errors.Join(contentErr, s.removeThumbnails(ctx, loc, &done))
}

func (s *Store) removeContent(loc Location, done *Removed) error {
	dirs, name := loc.parts[:len(loc.parts)-1], loc.parts[len(loc.parts)-1]
	chain, err := s.descend(loc.content, dirs)
	if errors.Is(err, fs.ErrNotExist) {
		done.Missing++
		return nil
	}
	if err != nil {
		return err
	}
	defer ascend(chain)
	found, err := chain[len(chain)-1].unlink(name, done)
	if err != nil {
		return err
	}
	if !found {
		done.Missing++
	}
	return prune(chain, 1)
}

// removeThumbnails empties the thumbnail directory, which belongs to this media alone. It is read flat: nothing that
// Synapse makes has a directory in it.
func (s *Store) removeThumbnails(ctx context.Context, loc Location, done *Removed) error {
	dirs, name := loc.parts[:len(loc.parts)-1], loc.parts[len(loc.parts)-1]
	chain, err := s.descend(loc.thumbnails, dirs)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	own, err := chain[len(chain)-1].open(name)
	switch {
	case err == nil:
		chain = append(chain, own)
		err = own.empty(ctx, done)
	case errors.Is(err, fs.ErrNotExist):
		err = nil
	}
	defer ascend(chain)
	if err != nil {
		return err
	}
	return prune(chain, len(chain)-len(dirs))
}

// empty unlinks every file in d. After the first error it goes on with the others, unless ctx is done.
func (d directory) empty(ctx context.Context, done *Removed) error {
	var first error
	err := d.blocks(func(names []string) error {
		if err := stopped(ctx, d.rel); err != nil {
			return err
		}
		for _, name := range names {
			if _, err := d.unlink(name, done); err != nil && first == nil {
				first = err
			}
		}
		return nil
	})
	return cmp.Or(err, first)
}

// unlink deletes one file of d, whatever it is, so long as it is no directory. found is false when it is not there.
func (d directory) unlink(name string, done *Removed) (found bool, err error) {
	info, err := d.file("remove", name)
	if info == nil || err != nil {
		return info != nil, err
	}
	err = d.root.Remove(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return true, failed("remove", d.rel+"/"+name, d, err)
	}
	done.Files++
	if info.Mode().IsRegular() {
		done.Bytes += info.Size()
	}
	return true, nil
}

// prune removes the last directories of the chain, deepest first, as far as they are empty. An upload into the same
// directory at this very moment may fail once; Synapse's own clean-up of previews has the same race. One that is not
// empty, or a mount point, ends it.
func prune(chain []directory, most int) error {
	for i := len(chain) - 1; i >= len(chain)-most; i-- {
		parent, name := chain[i-1], chain[i].rel[len(chain[i-1].rel)+1:]
		err := parent.root.Remove(name)
		switch {
		case err == nil, errors.Is(err, fs.ErrNotExist):
		case errors.Is(err, unix.ENOTEMPTY), errors.Is(err, unix.EEXIST), errors.Is(err, unix.EBUSY):
			return nil
		default:
			return failed("remove the empty directory", chain[i].rel, parent, err)
		}
	}
	return nil
}
