package sinks

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"synupkeep/internal/item"
)

// File is a file that takes its name when it is complete; until then one of an earlier run stays as it is. One goroutine
// uses it. It ends with Write or Abandon; after either, Abandon does nothing, so that it may be deferred.
type File struct {
	kind FileKind
	path string
	name string
	temp string
	dir  *os.Root
	file *os.File // nil when it has ended
}

// FileKind says what a file is.
type FileKind struct {
	What string // such as "the report", in an error
	Flag string // that names it, without dashes
	Mode fs.FileMode
	// Missing says in the hint of a failed write what it means that there is no new file, and what else tells what would have
	// been in it.
	Missing string
}

// CreateFile makes sure, before anything is deleted, that path can be written: it creates a file beside it. A process that is
// killed leaves that behind; what was left so more than a day ago is removed.
//
// The error is an item.RunError, with CauseUsage if another path would help.
func CreateFile(path string, kind FileKind) (*File, error) {
	f := &File{kind: kind, path: path, name: filepath.Base(path), temp: tempName(kind.Flag)}
	if err := f.open(); err != nil {
		_ = f.close() // nothing was written
		return nil, notCreated(path, kind, err)
	}
	removeLeftovers(f.dir, kind.Flag)
	return f, nil
}

func (f *File) open() (err error) {
	if f.dir, err = openDirOf(f.path); err != nil {
		return err
	}
	if f.file, err = f.dir.OpenFile(f.temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
		return err
	}
	_ = lock(f.file) // where files cannot be locked, nobody takes it for a leftover either
	if f.kind.Mode == 0o600 {
		return nil
	}
	// OpenFile would leave it to the umask whether others may read.
	if err = f.file.Chmod(f.kind.Mode); err != nil {
		return errors.Join(err, f.dir.Remove(f.temp))
	}
	return nil
}

// openDirOf opens the directory of a file that is to be there. What is there already must be a regular file: a rename
// would put a file in the place of a device such as /dev/stdout, or of a link.
func openDirOf(path string) (*os.Root, error) {
	dir := filepath.Dir(path)
	// OpenRoot says so in words only.
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		return nil, &fs.PathError{Op: "open", Path: dir, Err: syscall.ENOTDIR}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	switch info, err := root.Lstat(filepath.Base(path)); {
	case errors.Is(err, fs.ErrNotExist):
		return root, nil
	case err != nil:
		return nil, errors.Join(err, root.Close())
	case !info.Mode().IsRegular():
		return nil, errors.Join(errNotAFile, root.Close())
	}
	return root, nil
}

// Write completes the file with what write writes: it is on disk, under its name, when Write returns nil. If it returns an
// error, one of an earlier run is still there and the new one is not.
func (f *File) Write(write func(io.Writer) error) error {
	if f.file == nil {
		return fmt.Errorf("write %s %s: it has ended already", f.kind.What, f.path)
	}
	err := write(f.file)
	if err == nil {
		err = f.file.Sync()
	}
	if err == nil {
		err = f.dir.Rename(f.temp, f.name)
	}
	if err != nil {
		return errors.Join(&item.RunError{
			Cause: item.CauseFailed, Doing: "write " + f.kind.What + " " + f.path, Err: err,
			Hint: f.kind.Missing + "; see to the free space of the disk",
		}, f.Abandon())
	}
	syncDir(f.dir)
	return f.close()
}

// syncDir makes a new name last. Some network file systems cannot do this; the file is in its place all the same.
func syncDir(root *os.Root) {
	if dir, err := root.Open("."); err == nil {
		_ = dir.Sync()
		_ = dir.Close()
	}
}

// Abandon gives up the file and removes what is beside it. One of an earlier run stays.
func (f *File) Abandon() error {
	if f.file == nil {
		return nil
	}
	err := f.dir.Remove(f.temp)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err != nil {
		err = fmt.Errorf("remove the unfinished file %s: %w", filepath.Join(filepath.Dir(f.path), f.temp), err)
	}
	return errors.Join(err, f.close())
}

func (f *File) close() error {
	var errs []error
	if f.file != nil {
		errs = append(errs, f.file.Close())
		f.file = nil
	}
	if f.dir != nil {
		errs = append(errs, f.dir.Close())
		f.dir = nil
	}
	return errors.Join(errs...)
}

// errNotAFile refuses a path that is there and is no regular file.
var errNotAFile = errors.New("it is not a regular file")

func notCreated(path string, kind FileKind, err error) error {
	run := &item.RunError{Cause: item.CauseUsage, Doing: "create " + kind.What + " " + path, Err: err}
	dir := filepath.Dir(path)
	another := "name another file with --" + kind.Flag
	switch {
	case errors.Is(err, errNotAFile):
		run.Hint = "name a file with --" + kind.Flag + ", not a directory, a device or a link; --json prints to the standard output"
	case errors.Is(err, fs.ErrNotExist):
		run.Hint = "create the directory " + dir + ", or " + another
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		run.Hint = fmt.Sprintf("let uid %d write in %s, or %s", os.Geteuid(), dir, another)
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ENAMETOOLONG), errors.Is(err, syscall.EINVAL):
		run.Hint = another
	default:
		run.Cause = item.CauseFailed
		run.Hint = "see to the disk, or " + another
	}
	return run
}
