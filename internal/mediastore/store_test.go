package mediastore_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"synupkeep/internal/mediastore"
)

// media is one planted item.
type media struct {
	kind       mediastore.Kind
	origin, id string
}

func (m media) locate(t testing.TB) mediastore.Location {
	t.Helper()
	loc, err := mediastore.Locate(m.kind, m.origin, m.id)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

func thumbnailNames() []string {
	return []string{"32-32-image-jpeg-crop", "96-96-image-png-crop", "320-240-image-jpeg"} // the last one is a legacy name
}

const (
	contentBytes   = 100
	thumbnailBytes = 10
)

// plant makes the files of m in the store at path: the content and three thumbnails.
func (m media) plant(t testing.TB, path string) {
	t.Helper()
	loc := m.locate(t)
	write(t, filepath.Join(path, loc.Content()), contentBytes)
	for _, name := range thumbnailNames() {
		write(t, filepath.Join(path, loc.Thumbnails(), name), thumbnailBytes)
	}
}

func write(t testing.TB, name string, size int) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, make([]byte, size), 0o644); err != nil {
		t.Fatal(err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB, path string) *mediastore.Store {
	t.Helper()
	store, err := mediastore.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { must(t, store.Close()) })
	return store
}

// snapshot lists everything below path, with what it is.
func snapshot(t testing.TB, path string) map[string]string {
	t.Helper()
	all := map[string]string{}
	must(t, filepath.WalkDir(path, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		what := entry.Type().String()
		if target, err := os.Readlink(name); err == nil {
			what += target
		}
		rel, err := filepath.Rel(path, name)
		all[rel] = what
		return err
	}))
	return all
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "file"), 1)
	write(t, filepath.Join(dir, "odd tree", "url_cache"), 1)
	must(t, os.Mkdir(filepath.Join(dir, "unmounted"), 0o755))
	must(t, os.Symlink("/nowhere/media", filepath.Join(dir, "unmounted", "remote_thumbnail")))
	for name, want := range map[string]string{
		"missing":   "does not exist: give the media_store_path",
		"file":      "is not a directory: give the media_store_path",
		"odd tree":  "open url_cache in media store " + filepath.Join(dir, "odd tree") + ": it is not a directory",
		"unmounted": "a symbolic link to /nowhere/media, which does not exist: look whether its file system is mounted",
	} {
		store, err := mediastore.Open(filepath.Join(dir, name))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q in it", name, err, want)
		}
		if store != nil {
			t.Errorf("%s: a store beside the error", name)
		}
	}
}

func TestEmptyStore(t *testing.T) {
	path := t.TempDir()
	store := open(t, path)
	for _, m := range oneOfEach() {
		found, err := store.Check(m.kind, m.origin, m.id)
		if want := (mediastore.Presence{Path: m.locate(t).Content()}); err != nil || found != want {
			t.Errorf("%v: %+v, %v; want %+v", m, found, err, want)
		}
		done, err := store.Remove(t.Context(), m.kind, m.origin, m.id)
		if want := (mediastore.Removed{Missing: 1}); err != nil || done != want {
			t.Errorf("%v: %+v, %v; want %+v", m, done, err, want)
		}
	}
	if left := snapshot(t, path); len(left) != 1 {
		t.Errorf("something was made in an empty store: %v", left)
	}
}

func oneOfEach() []media {
	return []media{
		{mediastore.Local, "", "abcdefghijkl"},
		{mediastore.Remote, "example.org:8448", "abcdefghijkl"},
		{mediastore.Preview, "", "2024-01-31_abcdef"},
		{mediastore.Preview, "", "abcdefghijkl"},
	}
}

// TestTreeAppears: Synapse makes a tree when it first needs it.
func TestTreeAppears(t *testing.T) {
	path := t.TempDir()
	store := open(t, path)
	for _, m := range oneOfEach() {
		m.plant(t, path)
		found, err := store.Check(m.kind, m.origin, m.id)
		if err != nil || !found.Exists || !found.Deletable {
			t.Errorf("%v: %+v, %v", m, found, err)
		}
		if done, err := store.Remove(t.Context(), m.kind, m.origin, m.id); err != nil || done.Files != 4 {
			t.Errorf("%v: %+v, %v", m, done, err)
		}
	}
}

func TestClosedStore(t *testing.T) {
	path := t.TempDir()
	m := oneOfEach()[0]
	m.plant(t, path)
	store, err := mediastore.Open(path)
	must(t, err)
	must(t, store.Close())
	before := snapshot(t, path)
	if done, err := store.Remove(t.Context(), m.kind, m.origin, m.id); !errors.Is(err, fs.ErrClosed) || done.Files != 0 {
		t.Errorf("Remove: %+v, %v", done, err)
	}
	if _, err := store.Check(m.kind, m.origin, m.id); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Check: %v", err)
	}
	same(t, before, snapshot(t, path))
}

func same(t testing.TB, before, after map[string]string) {
	t.Helper()
	for name, what := range before {
		if after[name] != what {
			t.Errorf("%s was %q and is %q", name, what, after[name])
		}
	}
	for name, what := range after {
		if _, ok := before[name]; !ok {
			t.Errorf("%s is new: %q", name, what)
		}
	}
}

func TestCheckTellsWhatIsOdd(t *testing.T) {
	path := t.TempDir()
	m := media{mediastore.Local, "", "abcdefghijkl"}
	must(t, os.MkdirAll(filepath.Join(path, m.locate(t).Content()), 0o755))
	store := open(t, path)
	if found, err := store.Check(m.kind, m.origin, m.id); !errors.Is(err, mediastore.ErrNotFile) || found.Exists {
		t.Errorf("a directory: %+v, %v", found, err)
	}
	if _, err := store.Check(mediastore.Local, "", "../../../x"); !errors.Is(err, mediastore.ErrInvalidID) {
		t.Errorf("an invalid id: %v", err)
	}
}

func TestIsTransient(t *testing.T) {
	wrapped := func(errno syscall.Errno) error {
		return errors.Join(errors.New("other"), &fs.PathError{Op: "unlinkat", Path: "x", Err: errno})
	}
	for _, errno := range []syscall.Errno{unix.EINTR, unix.EBUSY, unix.ESTALE, unix.EIO, unix.EMFILE, unix.ETIMEDOUT, unix.ENOSPC} {
		if !mediastore.IsTransient(wrapped(errno)) {
			t.Errorf("%v is not transient", errno)
		}
	}
	permanent := []error{
		nil, errors.New("x"), fs.ErrClosed, mediastore.ErrSymlink, mediastore.ErrNotFile, mediastore.ErrNotDirectory,
		&mediastore.NotDeletableError{Err: unix.EACCES},
	}
	for _, errno := range []syscall.Errno{unix.EACCES, unix.EPERM, unix.EROFS, unix.ENOTDIR, unix.EISDIR, unix.ELOOP, unix.ENAMETOOLONG} {
		permanent = append(permanent, wrapped(errno))
	}
	for _, err := range permanent {
		if mediastore.IsTransient(err) {
			t.Errorf("%v is transient", err)
		}
	}
	if !mediastore.IsTransient(errors.Join(wrapped(unix.EACCES), wrapped(unix.EIO))) {
		t.Error("one transient error of two is not enough")
	}
}
