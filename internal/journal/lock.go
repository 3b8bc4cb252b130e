package journal

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// ErrInUse says that another process has the journal open. The lock in the database keeps two runs on one database apart;
// this one keeps apart those on two databases, a server and a copy of it, that share a state directory by mistake.
var ErrInUse = errors.New("another run has this journal open")

// openLocked opens a file, made if missing, that nobody else has open in this way.
func openLocked(dir *os.Root, name string) (*os.File, error) {
	for {
		file, err := dir.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		if err := lock(file); err != nil {
			return nil, errors.Join(err, file.Close())
		}
		same, err := stillNamed(dir, name, file)
		if err == nil && same {
			return file, nil
		}
		// Its owner has put a new one in its place, and then let go of this one.
		if err := errors.Join(err, file.Close()); err != nil {
			return nil, err
		}
	}
}

func stillNamed(dir *os.Root, name string, file *os.File) (bool, error) {
	ours, err := file.Stat()
	if err != nil {
		return false, err
	}
	named, err := dir.Stat(name)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(ours, named), err
}

// lock locks a file until it is closed or its process ends. Where files cannot be locked, on some network file systems,
// the lock in the database has to do.
func lock(file *os.File) error {
	conn, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var refused error
	err = conn.Control(func(fd uintptr) { refused = syscall.Flock(int(fd), syscall.LOCK_EX|syscall.LOCK_NB) })
	switch {
	case err != nil:
		return err
	case errors.Is(refused, syscall.EWOULDBLOCK):
		return ErrInUse
	case errors.Is(refused, syscall.ENOTSUP), errors.Is(refused, syscall.ENOSYS), errors.Is(refused, syscall.ENOLCK), errors.Is(refused, syscall.EINVAL):
		return nil
	case refused != nil:
		return fmt.Errorf("lock it: %w", refused)
	}
	return nil
}
