package mediastore_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"synupkeep/internal/mediastore"
)

const (
	storeVariable = "MEDIASTORE_TEST_OF_ANOTHER_USER"
	otherUID      = 65534
)

// asAnotherUser runs the calling test again where path is not ours to write: as another uid when we are root, whom modes
// do not bind, else in this process with the modes of all directories taken away.
func asAnotherUser(t *testing.T, path string, check func(t *testing.T, path string)) {
	t.Helper()
	if os.Geteuid() != 0 {
		setModes(t, path, 0o555)
		defer setModes(t, path, 0o755)
		check(t, path)
		return
	}
	must(t, os.Chmod(filepath.Dir(path), 0o755)) // the temporary directory is ours alone
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v", "-test.count=1")
	cmd.Env = append(os.Environ(), storeVariable+"="+path)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: otherUID, Gid: otherUID}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("as uid %d: %v\n%s", otherUID, err, out)
	}
	if !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("the test did not run as uid %d:\n%s", otherUID, out)
	}
}

func setModes(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	for name, what := range snapshot(t, path) {
		if strings.HasPrefix(what, "d") {
			must(t, os.Chmod(filepath.Join(path, name), mode))
		}
	}
}

// TestNotOurs: the store belongs to somebody else. Check says so, and Remove deletes nothing and says the same.
func TestNotOurs(t *testing.T) {
	if path := os.Getenv(storeVariable); path != "" {
		checkNotOurs(t, path)
		return
	}
	path := t.TempDir()
	for _, m := range oneOfEach() {
		m.plant(t, path)
	}
	before := snapshot(t, path)
	asAnotherUser(t, path, checkNotOurs)
	same(t, before, snapshot(t, path))
}

func checkNotOurs(t *testing.T, path string) {
	store := open(t, path)
	info, err := os.Stat(path)
	must(t, err)
	ownerUID := info.Sys().(*syscall.Stat_t).Uid
	us := uint32(os.Geteuid())
	for _, m := range oneOfEach() {
		loc := m.locate(t)
		found, err := store.Check(m.kind, m.origin, m.id)
		if want := (mediastore.Presence{Path: loc.Content(), Exists: true, Owner: ownerUID}); found != want {
			t.Errorf("Check %v: %+v, want %+v", m, found, want)
		}
		checkNotDeletable(t, err, filepath.Dir(loc.Content()), ownerUID, us)

		done, err := store.Remove(t.Context(), m.kind, m.origin, m.id)
		if done != (mediastore.Removed{}) {
			t.Errorf("Remove %v: %+v", m, done)
		}
		checkNotDeletable(t, err, filepath.Dir(loc.Content()), ownerUID, us)
		if !strings.Contains(fmt.Sprint(err), loc.Thumbnails()) {
			t.Errorf("Remove %v says nothing of the thumbnails: %v", m, err)
		}
	}
}

func checkNotDeletable(t *testing.T, err error, dir string, ownerUID, us uint32) {
	t.Helper()
	var refused *mediastore.NotDeletableError
	if !errors.As(err, &refused) || !errors.Is(err, unix.EACCES) || mediastore.IsTransient(err) {
		t.Errorf("%v, want a NotDeletableError for lack of permission", err)
		return
	}
	if refused.Path != dir || refused.Owner != ownerUID || refused.UID != us {
		t.Errorf("%+v, want %s of %d as %d", refused, dir, ownerUID, us)
	}
	for _, part := range []string{dir, fmt.Sprintf("belongs to uid %d", ownerUID), fmt.Sprintf("as uid %d", us)} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not in: %v", part, err)
		}
	}
}

// TestThumbnailsNotOurs: the content is ours, its thumbnails are not.
func TestThumbnailsNotOurs(t *testing.T) {
	m := oneOfEach()[0]
	check := func(t *testing.T, path string) {
		found, err := open(t, path).Check(m.kind, m.origin, m.id)
		if !found.Exists || found.Deletable {
			t.Errorf("Check: %+v", found)
		}
		var refused *mediastore.NotDeletableError
		if !errors.As(err, &refused) || refused.Path != m.locate(t).Thumbnails() {
			t.Errorf("Check: %v", err)
		}
	}
	if path := os.Getenv(storeVariable); path != "" {
		check(t, path)
		return
	}
	path := t.TempDir()
	m.plant(t, path)
	if os.Geteuid() == 0 {
		must(t, os.Chown(filepath.Join(path, filepath.Dir(m.locate(t).Content())), otherUID, otherUID))
		asAnotherUser(t, path, check)
		return
	}
	setModes(t, filepath.Join(path, "local_thumbnails"), 0o555)
	defer setModes(t, filepath.Join(path, "local_thumbnails"), 0o755)
	check(t, path)
}

// TestUnreadable: a store or tree that we may not look into is not an empty one.
func TestUnreadable(t *testing.T) {
	check := func(t *testing.T, path string) {
		for _, name := range []string{"closed store", "closed tree"} {
			_, err := mediastore.Open(filepath.Join(path, name))
			if !errors.Is(err, unix.EACCES) || !strings.Contains(err.Error(), "it belongs to uid") ||
				!strings.Contains(err.Error(), fmt.Sprintf("uid %d", os.Geteuid())) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if path := os.Getenv(storeVariable); path != "" {
		check(t, path)
		return
	}
	path := t.TempDir()
	closed := []string{filepath.Join(path, "closed store"), filepath.Join(path, "closed tree", "remote_content")}
	for _, dir := range closed {
		must(t, os.MkdirAll(filepath.Join(dir, "local_content"), 0o755))
		must(t, os.Chmod(dir, 0))
		defer func() { must(t, os.Chmod(dir, 0o755)) }() // so that it can be cleared away
	}
	if os.Geteuid() == 0 {
		asAnotherUser(t, path, check)
		return
	}
	check(t, path)
}

// TestSticky: in a directory like /tmp, everybody may write and only the owner may delete. Only root can make what
// belongs to two others, so an ordinary user tests the part that is theirs: that the owner may delete.
func TestSticky(t *testing.T) {
	m := oneOfEach()[0]
	if path := os.Getenv(storeVariable); path != "" {
		store := open(t, path)
		found, err := store.Check(m.kind, m.origin, m.id)
		if !found.Exists || found.Deletable || !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "sticky") {
			t.Errorf("Check: %+v, %v", found, err)
		}
		if done, err := store.Remove(t.Context(), m.kind, m.origin, m.id); done.Files != 0 || !errors.Is(err, unix.EPERM) {
			t.Errorf("Remove: %+v, %v; then Check must not refuse", done, err)
		}
		return
	}
	path := t.TempDir()
	m.plant(t, path)
	setModes(t, path, 0o777|os.ModeSticky)
	if os.Geteuid() == 0 {
		asAnotherUser(t, path, nil)
	}
	store := open(t, path)
	if found, err := store.Check(m.kind, m.origin, m.id); err != nil || !found.Deletable {
		t.Errorf("Check as the owner: %+v, %v", found, err)
	}
	if done, err := store.Remove(t.Context(), m.kind, m.origin, m.id); err != nil || done.Files != 4 {
		t.Errorf("Remove as the owner: %+v, %v", done, err)
	}
}
