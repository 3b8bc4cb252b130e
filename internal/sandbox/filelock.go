package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// lockFile takes an exclusive lock on the file at path, which is created when missing, and waits for it until ctx
// ends. The lock goes when the returned file and every copy of it that a child process inherited are closed.
func lockFile(ctx context.Context, path string) (*os.File, error) {
	var f *os.File
	err := poll(ctx, 20*time.Millisecond, func() (bool, error) {
		var err error
		if f, err = tryLock(path); errors.Is(err, syscall.EWOULDBLOCK) {
			return false, nil
		}
		return err == nil, err
	})
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}

// tryLock is lockFile without waiting: the error is EWOULDBLOCK while another process has the lock.
func tryLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// poll calls done until it says true or fails, or ctx ends, with a pause in between.
func poll(ctx context.Context, pause time.Duration, done func() (bool, error)) error {
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-t.C:
		}
		if ok, err := done(); ok || err != nil {
			return err
		}
		t.Reset(pause)
	}
}
