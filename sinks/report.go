package sinks

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"synupkeep/internal/item"
)

// Report is a file that will hold the summary as JSON. One goroutine uses it. It ends with Write or Abandon; after
// either, Abandon does nothing, so that it may be deferred.
type Report struct {
	path string
	name string
	temp string
	dir  *os.Root
	file *os.File // nil when the report has ended
}

// CreateReport makes sure, before anything is deleted, that the report can be written: it creates a file of mode 0600
// beside path, which takes the place of path when it is complete. Until then a report of an earlier run stays as it is.
// A process that is killed leaves the file beside path behind.
//
// The error is an item.RunError, with CauseUsage if another path would help.
func CreateReport(path string) (*Report, error) {
	r := &Report{path: path, name: filepath.Base(path)}
	r.temp = ".synupkeep-report." + rand.Text() + ".tmp"
	if err := r.open(); err != nil {
		_ = r.close() // nothing was written
		return nil, notCreated(path, err)
	}
	return r, nil
}

func (r *Report) open() error {
	dir := filepath.Dir(r.path)
	// OpenRoot says so in words only.
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		return &fs.PathError{Op: "open", Path: dir, Err: syscall.ENOTDIR}
	}
	var err error
	if r.dir, err = os.OpenRoot(dir); err != nil {
		return err
	}
	// A rename would put a file in the place of a device such as /dev/stdout, or of a link.
	switch info, err := r.dir.Lstat(r.name); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return errNotAFile
	}
	r.file, err = r.dir.OpenFile(r.temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	return err
}

// Write completes the report: it is on disk, under its name, when Write returns nil. If it returns an error, a report of
// an earlier run is still there and the new one is not.
func (r *Report) Write(s Summary) error {
	if r.file == nil {
		return fmt.Errorf("write the report %s: it has ended already", r.path)
	}
	err := WriteJSON(r.file, s)
	if err == nil {
		err = r.file.Sync()
	}
	if err == nil {
		err = r.dir.Rename(r.temp, r.name)
	}
	if err != nil {
		return errors.Join(&item.RunError{
			Cause: item.CauseFailed, Doing: "write the report " + r.path, Err: err,
			Hint: "what the run did is done; look at its output, and see to the free space of the disk",
		}, r.Abandon())
	}
	if dir, err := r.dir.Open("."); err == nil {
		// Some network file systems cannot do this; the report is in its place all the same.
		_ = dir.Sync()
		_ = dir.Close()
	}
	return r.close()
}

// Abandon gives up the report and removes its temporary file. A report of an earlier run stays.
func (r *Report) Abandon() error {
	if r.file == nil {
		return nil
	}
	err := r.dir.Remove(r.temp)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err != nil {
		err = fmt.Errorf("remove the unfinished report %s: %w",
			filepath.Join(filepath.Dir(r.path), r.temp), err)
	}
	return errors.Join(err, r.close())
}

func (r *Report) close() error {
	var errs []error
	if r.file != nil {
		errs = append(errs, r.file.Close())
		r.file = nil
	}
	if r.dir != nil {
		errs = append(errs, r.dir.Close())
		r.dir = nil
	}
	return errors.Join(errs...)
}

// errNotAFile refuses a path that is there and is no regular file.
var errNotAFile = errors.New("it is not a regular file")

func notCreated(path string, err error) error {
	run := &item.RunError{Cause: item.CauseUsage, Doing: "create the report " + path, Err: err}
	dir := filepath.Dir(path)
	switch {
	case errors.Is(err, errNotAFile):
		run.Hint = "name a file with --report, not a directory, a device or a link; --json prints to the standard output"
	case errors.Is(err, fs.ErrNotExist):
		run.Hint = "create the directory " + dir + ", or name another file with --report"
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		run.Hint = fmt.Sprintf("let uid %d write in %s, or name another file with --report", os.Geteuid(), dir)
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.ENAMETOOLONG), errors.Is(err, syscall.EINVAL):
		run.Hint = "name another file with --report"
	default:
		run.Cause = item.CauseFailed
		run.Hint = "see to the disk, or name another file with --report"
	}
	return run
}
