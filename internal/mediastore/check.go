package mediastore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Presence says what Check found.
type Presence struct {
	Path      string // the content file, relative to the store
	Exists    bool   // it is there, a regular file
	Deletable bool   // it and its thumbnails may be deleted
	Owner     uint32 // uid of its directory, if it exists
}

// Check looks whether the content file of the media is there and whether we may delete it and its thumbnails. It changes
// nothing. That the file is not there is no error; that it may not be deleted is a *NotDeletableError, beside a Presence
// that says the same. Other errors are those that Remove would end with.
func (s *Store) Check(kind Kind, origin, fileID string) (Presence, error) {
	loc, err := Locate(kind, origin, fileID)
	if err != nil {
		return Presence{}, err
	}
	found := Presence{Path: loc.Content()}
	if err := s.checkContent(loc, &found); err != nil {
		return found, err
	}
	// Without its content, too: the thumbnails go with the row.
	if err := s.checkThumbnails(loc); err != nil {
		return found, err
	}
	found.Deletable = found.Exists
	return found, nil
}

func (s *Store) checkContent(loc Location, found *Presence) error {
	chain, err := s.descend(loc.content, loc.parts[:len(loc.parts)-1])
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer ascend(chain)
	dir := chain[len(chain)-1]
	file, err := dir.root.Lstat(loc.parts[len(loc.parts)-1])
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return failed("look at", found.Path, dir, err)
	case !file.Mode().IsRegular():
		return fmt.Errorf("look at %s: %w", found.Path, ErrNotFile)
	}
	found.Exists = true
	found.Owner = dir.owner()
	return dir.mayDelete(file)
}

func (s *Store) checkThumbnails(loc Location) error {
	chain, err := s.descend(loc.thumbnails, loc.parts)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer ascend(chain)
	dir := chain[len(chain)-1]
	return dir.mayDelete(dir.info) // whoever made the directory made what is in it
}

// mayDelete asks the system whether this process may delete file in d. In a directory with the sticky bit only the owner
// of the file, of the directory, or root may.
func (d directory) mayDelete(file fs.FileInfo) error {
	us := uint32(os.Geteuid())
	err := d.writable()
	if err == nil && d.info.Mode()&fs.ModeSticky != 0 && us != 0 && us != d.owner() && us != owner(file) {
		err = fmt.Errorf("%w: the directory has the sticky bit and the file belongs to uid %s",
			unix.EPERM, named(owner(file)))
	}
	if err != nil {
		return failed("check", d.rel, d, err)
	}
	return nil
}

func (d directory) writable() error {
	handle, err := d.root.Open(".")
	if err != nil {
		return err
	}
	defer func() { _ = handle.Close() }()
	fd := int(handle.Fd())
	if err := unix.Faccessat(fd, ".", unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil {
		return err
	}
	// Where the kernel does not answer for effective ids, the call above looked at mode bits alone. What concerns every
	// uid, a read-only file system and the immutable flag, shows in the plain call.
	err = unix.Faccessat(fd, ".", unix.W_OK, 0)
	if errors.Is(err, unix.EROFS) || errors.Is(err, unix.EPERM) {
		return err
	}
	return nil
}
