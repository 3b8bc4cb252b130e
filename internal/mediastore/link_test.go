package mediastore_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"synupkeep/internal/mediastore"
)

// linkAt replaces the directory or file at name by a symbolic link to where it was moved.
func linkAt(t *testing.T, name, moved string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(moved), 0o755))
	must(t, os.Rename(name, moved))
	must(t, os.Symlink(moved, name))
}

// TestNoLinkIsFollowed puts a link in the place of every directory below the trees, leading out of the store, to another
// place in the same tree (absolute and relative), and out of the tree into another one.
func TestNoLinkIsFollowed(t *testing.T) {
	m := media{mediastore.Remote, "example.org", "abcdefghijkl"}
	loc := m.locate(t)
	dirs := []string{
		"remote_content/example.org", "remote_content/example.org/ab", "remote_content/example.org/ab/cd",
		"remote_thumbnail/example.org", "remote_thumbnail/example.org/ab", "remote_thumbnail/example.org/ab/cd", loc.Thumbnails(),
	}
	for _, dir := range dirs {
		tree := strings.Split(dir, "/")[0]
		for _, where := range []string{"outside", "inside", "relative", "other tree"} {
			t.Run(dir+" "+where, func(t *testing.T) {
				path, outside := t.TempDir(), t.TempDir()
				m.plant(t, path)
				moved := map[string]string{
					"outside": filepath.Join(outside, "moved"), "inside": filepath.Join(path, tree, "moved"),
					"relative": filepath.Join(path, tree, "moved"), "other tree": filepath.Join(path, "local_content", "moved"),
				}[where]
				linkAt(t, filepath.Join(path, dir), moved)
				if where == "relative" {
					name := filepath.Join(path, dir)
					target, err := filepath.Rel(filepath.Dir(name), moved)
					must(t, err)
					must(t, os.Remove(name))
					must(t, os.Symlink(target, name))
				}
				before, link := snapshot(t, moved), snapshot(t, filepath.Join(path, dir))
				store := open(t, path)

				if _, err := store.Check(m.kind, m.origin, m.id); !errors.Is(err, mediastore.ErrSymlink) {
					t.Errorf("Check: %v, want ErrSymlink", err)
				}
				done, err := store.Remove(t.Context(), m.kind, m.origin, m.id)
				if !errors.Is(err, mediastore.ErrSymlink) || !strings.Contains(err.Error(), dir) || mediastore.IsTransient(err) {
					t.Errorf("Remove: %v, want ErrSymlink about %s", err, dir)
				}
				want := int64(1) // the other tree is still cleared
				if tree == "remote_content" {
					want = 3
				}
				if done.Files != want || done.Missing != 0 {
					t.Errorf("Remove: %+v, want %d files", done, want)
				}
				same(t, before, snapshot(t, moved))
				same(t, link, snapshot(t, filepath.Join(path, dir)))
			})
		}
	}
}

// TestLinkAsFile: a content file or thumbnail that is a link goes, what it points to stays.
func TestLinkAsFile(t *testing.T) {
	path, outside := t.TempDir(), t.TempDir()
	m := media{mediastore.Local, "", "abcdefghijkl"}
	m.plant(t, path)
	loc := m.locate(t)
	linkAt(t, filepath.Join(path, loc.Content()), filepath.Join(outside, "content"))
	linkAt(t, filepath.Join(path, loc.Thumbnails(), thumbnailNames()[0]), filepath.Join(outside, "thumbnail"))
	must(t, os.Symlink(outside, filepath.Join(path, loc.Thumbnails(), "link to a directory")))
	before := snapshot(t, outside)
	store := open(t, path)
	if found, err := store.Check(m.kind, m.origin, m.id); !errors.Is(err, mediastore.ErrNotFile) || found.Exists {
		t.Errorf("Check: %+v, %v", found, err)
	}
	done, err := store.Remove(t.Context(), m.kind, m.origin, m.id)
	if want := (mediastore.Removed{Files: 5, Bytes: 2 * thumbnailBytes}); err != nil || done != want {
		t.Errorf("%+v, %v; want %+v", done, err, want)
	}
	same(t, before, snapshot(t, outside))
	if _, err := os.Lstat(filepath.Join(path, loc.Thumbnails())); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the thumbnail directory stays: %v", err)
	}
}

// TestTreeIsLink: the admin moved a tree to another disk.
func TestTreeIsLink(t *testing.T) {
	path, disk := t.TempDir(), t.TempDir()
	m := media{mediastore.Remote, "example.org", "abcdefghijkl"}
	m.plant(t, path)
	linkAt(t, filepath.Join(path, "remote_content"), filepath.Join(disk, "content"))
	linkAt(t, filepath.Join(path, "remote_thumbnail"), filepath.Join(disk, "thumbnails"))
	store := open(t, path)
	if found, err := store.Check(m.kind, m.origin, m.id); err != nil || !found.Exists || !found.Deletable {
		t.Errorf("Check: %+v, %v", found, err)
	}
	if done, err := store.Remove(t.Context(), m.kind, m.origin, m.id); err != nil || done.Files != 4 {
		t.Errorf("Remove: %+v, %v", done, err)
	}
	if _, err := os.Stat(filepath.Join(disk, "content/example.org/ab")); err != nil {
		t.Errorf("first-level directory: %v", err)
	}
	if _, err := os.Stat(filepath.Join(disk, "content/example.org/ab/cd")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("second-level directory: %v", err)
	}
}
