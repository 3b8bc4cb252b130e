package mediastore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"slices"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

var (
	// ErrInvalidID is in every InvalidIDError.
	ErrInvalidID = errors.New("invalid media id")
	// ErrSymlink says that a directory on the way to a file is a symbolic link. Below a tree none is followed, wherever
	// it leads.
	ErrSymlink = errors.New("is a symbolic link, which is not followed here: put a directory in its place")
	// ErrNotDirectory says that something else is where a directory should be.
	ErrNotDirectory = errors.New("is not a directory")
	// ErrNotFile says that something else, a directory mostly, is where a file should be.
	ErrNotFile = errors.New("is not a regular file: look what it is and move it away")
)

// InvalidIDError is about an id that cannot belong to stored media. Nothing was touched for it.
type InvalidIDError struct {
	What  string // "media id", "origin" or "mxc URI"
	Value string
	Why   string
}

func (e *InvalidIDError) Error() string {
	return fmt.Sprintf("%s %s %s; nothing was touched", e.What, shorten(e.Value), e.Why)
}

// Unwrap makes errors.Is(err, ErrInvalidID) true.
func (e *InvalidIDError) Unwrap() error { return ErrInvalidID }

// shorten quotes a text that may hold anything, and of a long one the beginning.
func shorten(s string) string {
	const most = 80
	if len(s) <= most {
		return strconv.Quote(s)
	}
	return fmt.Sprintf("%q... (%d bytes)", s[:most], len(s))
}

// NotDeletableError says that the process may not delete in a directory of the store.
type NotDeletableError struct {
	Path  string // the directory, relative to the store
	Owner uint32 // uid of the directory
	UID   uint32 // effective uid of this process
	Err   error  // what the system says, or would say
}

func (e *NotDeletableError) Error() string {
	return fmt.Sprintf("may not delete in %s, which belongs to uid %s, as uid %s: %v; %s",
		e.Path, named(e.Owner), named(e.UID), e.Err, e.remedy())
}

func (e *NotDeletableError) Unwrap() error { return e.Err }

func (e *NotDeletableError) remedy() string {
	switch {
	case errors.Is(e.Err, unix.EROFS):
		return "mount the file system writable"
	case e.Owner == e.UID:
		return "give its owner write and search permission on it (chmod u+wx), and look for an immutable flag (lsattr -d)"
	}
	return "run as its owner"
}

// named gives a uid with the name of its user, where there is one.
func named(uid uint32) string {
	id := strconv.FormatUint(uint64(uid), 10)
	u, err := user.LookupId(id)
	if err != nil {
		return id
	}
	return id + " (" + u.Username + ")"
}

// failed is the error of doing something to a path of the store. in is the directory that would have been changed or
// searched.
func failed(doing, rel string, in directory, err error) error {
	var inner *fs.PathError
	if errors.As(err, &inner) {
		err = inner.Err // its path is relative to some directory, ours to the store
	}
	if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EROFS) {
		err = &NotDeletableError{Path: in.rel, Owner: in.owner(), UID: uint32(os.Geteuid()), Err: err}
	}
	return fmt.Errorf("%s %s: %w", doing, rel, err)
}

func owner(info fs.FileInfo) uint32 {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0
	}
	return stat.Uid
}

// IsTransient says whether the same call may succeed a little later without anybody doing anything. Of joined errors one
// is enough.
//
// Deleting twice is harmless, so what is doubtful counts as transient. What needs a person does not: permissions
// (EACCES, EPERM), a read-only file system (EROFS), something unexpected in the place of a file or directory (ENOTDIR,
// EISDIR, ELOOP, the errors of this package), an id that is none.
func IsTransient(err error) bool {
	return slices.ContainsFunc(transient(), func(errno syscall.Errno) bool { return errors.Is(err, errno) })
}

func transient() []syscall.Errno {
	return []syscall.Errno{
		unix.EINTR, unix.EAGAIN, // interrupted
		unix.EBUSY,                                          // somebody has it just now
		unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.ENOBUFS, // out of something that others give back
		unix.ENOSPC, unix.EDQUOT, // a full copy-on-write file system: deleting takes space before it gives any
		unix.ESTALE,                           // a network file system replaced the directory: the next try walks anew
		unix.EIO, unix.ETIMEDOUT, unix.ENOLCK, // the server of a network file system is away, or a disk hesitates
		unix.ENOTCONN, unix.ECONNRESET, unix.ECONNABORTED, unix.ECONNREFUSED, // the same
		unix.EHOSTDOWN, unix.EHOSTUNREACH, unix.ENETDOWN, unix.ENETUNREACH, // the same
	}
}
