package faults_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// bindStore makes the media store a mount of its own, where we may mount: it can be made read-only then.
func bindStore(t *testing.T, w *world) {
	t.Helper()
	store := w.s.MediaStore()
	if err := unix.Mount(store, store, "", unix.MS_BIND, ""); err != nil {
		return // readOnly takes rights away then
	}
	t.Cleanup(func() {
		if err := unix.Unmount(store, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// readOnly remounts the store read-only, as a kernel does that has seen too many errors of a disk. Where we may not
// mount, the rights go.
func readOnly(t *testing.T, w *world) func() {
	store := w.s.MediaStore()
	if err := unix.Mount("", store, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""); err != nil {
		t.Logf("the rights go instead: %v", err)
		return rightsGone(t, w)
	}
	return func() { must(t, unix.Mount("", store, "", unix.MS_REMOUNT|unix.MS_BIND, "")) }
}

// smallDisk is a state directory on a disk of 64 KiB, and what fills that up to the last byte. Where we may not mount, the
// journal may not grow any more.
func smallDisk(t *testing.T) (dir string, fill func(pid int) (heal func())) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "state")
	must(t, os.Mkdir(dir, 0o700))
	if err := unix.Mount("none", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Logf("no file may grow instead: %v", err)
		return dir, func(pid int) func() {
			must(t, unix.Prlimit(pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 64, Max: 64}, nil))
			return func() {}
		}
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	filler := filepath.Join(dir, "filler")
	return dir, func(int) func() {
		f, err := os.Create(filler)
		must(t, err)
		for err == nil {
			_, err = f.Write(bytes.Repeat([]byte("x"), 512))
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Error(err)
		}
		must(t, f.Close())
		return func() { must(t, os.Remove(filler)) }
	}
}
