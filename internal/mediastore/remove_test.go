package mediastore_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"synupkeep/internal/mediastore"
)

func TestRemove(t *testing.T) {
	kept := map[string][]string{ // what stays of the directories
		"local_content/ab/cd/efghijkl":                   {"local_content", "local_content/ab", "local_thumbnails", "local_thumbnails/ab"},
		"remote_content/example.org:8448/ab/cd/efghijkl": {"remote_content", "remote_content/example.org:8448", "remote_content/example.org:8448/ab", "remote_thumbnail", "remote_thumbnail/example.org:8448", "remote_thumbnail/example.org:8448/ab"},
		"url_cache/2024-01-31/abcdef":                    {"url_cache", "url_cache_thumbnails"},
		"url_cache/ab/cd/efghijkl":                       {"url_cache", "url_cache/ab", "url_cache_thumbnails", "url_cache_thumbnails/ab"},
	}
	for _, m := range oneOfEach() {
		path := t.TempDir()
		m.plant(t, path)
		done, err := open(t, path).Remove(t.Context(), m.kind, m.origin, m.id)
		want := mediastore.Removed{Files: 4, Bytes: contentBytes + 3*thumbnailBytes}
		if err != nil || done != want {
			t.Errorf("%v: %+v, %v; want %+v", m, done, err, want)
		}
		expected := map[string]string{".": "d---------"}
		for _, dir := range kept[m.locate(t).Content()] {
			expected[dir] = "d---------"
		}
		same(t, expected, snapshot(t, path))
	}
}

// TestNeighboursStay: directories that hold something else stay, and so does what they hold.
func TestNeighboursStay(t *testing.T) {
	for _, pair := range [][2]media{
		{{mediastore.Local, "", "abcdefgh"}, {mediastore.Local, "", "abcdefghi"}},
		{{mediastore.Remote, "a.org", "abcdefgh"}, {mediastore.Remote, "a.org", "abcdxyz"}},
		{{mediastore.Preview, "", "2024-01-31_abc"}, {mediastore.Preview, "", "2024-01-31_abcd"}},
	} {
		path := t.TempDir()
		pair[1].plant(t, path)
		want := snapshot(t, path)
		pair[0].plant(t, path)
		done, err := open(t, path).Remove(t.Context(), pair[0].kind, pair[0].origin, pair[0].id)
		if err != nil || done.Files != 4 {
			t.Errorf("%v: %+v, %v", pair[0], done, err)
		}
		same(t, want, snapshot(t, path))
	}
}

func TestVanishedContent(t *testing.T) {
	path := t.TempDir()
	m := media{mediastore.Local, "", "abcdefghijkl"}
	m.plant(t, path)
	store := open(t, path)
	must(t, os.Remove(filepath.Join(path, m.locate(t).Content())))
	done, err := store.Remove(t.Context(), m.kind, m.origin, m.id)
	if want := (mediastore.Removed{Files: 3, Missing: 1, Bytes: 3 * thumbnailBytes}); err != nil || done != want {
		t.Errorf("%+v, %v; want %+v", done, err, want)
	}
	if _, err := os.Lstat(filepath.Join(path, "local_content/ab/cd")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the empty directory stays: %v", err)
	}
	done, err = store.Remove(t.Context(), m.kind, m.origin, m.id)
	if want := (mediastore.Removed{Missing: 1}); err != nil || done != want {
		t.Errorf("again: %+v, %v; want %+v", done, err, want)
	}
}

// TestInterrupted: the first try ended before the last directories were removed; the next one takes them.
func TestInterrupted(t *testing.T) {
	for _, left := range []string{"local_thumbnails/ab/cd/efghijkl", "local_thumbnails/ab/cd", "local_content/ab/cd"} {
		path := t.TempDir()
		must(t, os.MkdirAll(filepath.Join(path, left), 0o755))
		done, err := open(t, path).Remove(t.Context(), mediastore.Local, "", "abcdefghijkl")
		if want := (mediastore.Removed{Missing: 1}); err != nil || done != want {
			t.Errorf("%s: %+v, %v; want %+v", left, done, err, want)
		}
		const dir = "d---------"
		tree := strings.Split(left, "/")[0]
		same(t, map[string]string{".": dir, tree: dir, tree + "/ab": dir}, snapshot(t, path))
	}
}

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

func TestOddThingsInPlace(t *testing.T) {
	m := media{mediastore.Local, "", "abcdefghijkl"}
	loc := m.locate(t)
	cases := map[string]struct {
		wreck func(path string)
		want  error
		about string
		files int64
	}{
		"directory as content": {func(path string) {
			must(t, os.Remove(filepath.Join(path, loc.Content())))
			must(t, os.Mkdir(filepath.Join(path, loc.Content()), 0o755))
		}, mediastore.ErrNotFile, loc.Content(), 3},
		"directory among thumbnails": {func(path string) {
			write(t, filepath.Join(path, loc.Thumbnails(), "0-sub", "file"), 1)
		}, mediastore.ErrNotFile, loc.Thumbnails() + "/0-sub", 4},
		"file as directory": {func(path string) {
			must(t, os.RemoveAll(filepath.Join(path, "local_content/ab")))
			write(t, filepath.Join(path, "local_content/ab"), 1)
		}, mediastore.ErrNotDirectory, "local_content/ab", 3},
		"file as thumbnail directory": {func(path string) {
			must(t, os.RemoveAll(filepath.Join(path, loc.Thumbnails())))
			write(t, filepath.Join(path, loc.Thumbnails()), 1)
		}, mediastore.ErrNotDirectory, loc.Thumbnails(), 1},
		"pipe as directory": {func(path string) { // opening it would wait for ever
			must(t, os.RemoveAll(filepath.Join(path, "local_content/ab")))
			must(t, unix.Mkfifo(filepath.Join(path, "local_content/ab"), 0o644))
		}, mediastore.ErrNotDirectory, "local_content/ab", 3},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			path := t.TempDir()
			m.plant(t, path)
			c.wreck(path)
			done, err := open(t, path).Remove(t.Context(), m.kind, m.origin, m.id)
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.about) || mediastore.IsTransient(err) {
				t.Errorf("%v, want %v about %s", err, c.want, c.about)
			}
			if done.Files != c.files {
				t.Errorf("%+v, want %d files", done, c.files)
			}
			if _, err := os.Lstat(filepath.Join(path, c.about)); err != nil {
				t.Errorf("what stood in the way is gone: %v", err)
			}
		})
	}
}

func TestInvalidIDTouchesNothing(t *testing.T) {
	parent := t.TempDir()
	path := filepath.Join(parent, "store")
	write(t, filepath.Join(parent, "x"), 1)
	for _, m := range oneOfEach() {
		m.plant(t, path)
	}
	before := snapshot(t, parent)
	store := open(t, path)
	for _, kind := range []mediastore.Kind{mediastore.Local, mediastore.Remote, mediastore.Preview} {
		for _, id := range hostileIDs() {
			done, err := store.Remove(t.Context(), kind, "example.org:8448", id)
			if !errors.Is(err, mediastore.ErrInvalidID) || done != (mediastore.Removed{}) {
				t.Errorf("%v %q: %+v, %v", kind, id, done, err)
			}
		}
	}
	same(t, before, snapshot(t, parent))
}

func TestCancelledTouchesNothing(t *testing.T) {
	path := t.TempDir()
	m := media{mediastore.Local, "", "abcdefghijkl"}
	m.plant(t, path)
	before := snapshot(t, path)
	cause := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	done, err := open(t, path).Remove(ctx, m.kind, m.origin, m.id)
	if !errors.Is(err, cause) || done != (mediastore.Removed{}) || mediastore.IsTransient(err) {
		t.Errorf("%+v, %v", done, err)
	}
	same(t, before, snapshot(t, path))
}

// TestSideBySide removes neighbours in one directory from several goroutines, each of them twice.
func TestSideBySide(t *testing.T) {
	path := t.TempDir()
	var all []media
	for _, rest := range strings.Split("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", "") {
		all = append(all, media{mediastore.Local, "", "abcd" + rest}, media{mediastore.Preview, "", "2024-01-31_" + rest})
	}
	for _, m := range all {
		m.plant(t, path)
	}
	store := open(t, path)
	var mu sync.Mutex
	var total mediastore.Removed
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i := range all {
				if i%2 != worker%2 {
					continue
				}
				done, err := store.Remove(t.Context(), all[i].kind, all[i].origin, all[i].id)
				if err != nil {
					t.Errorf("%v: %v", all[i], err)
				}
				mu.Lock()
				total.Files += done.Files
				total.Missing += done.Missing
				total.Bytes += done.Bytes
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	n := int64(len(all))
	if want := (mediastore.Removed{Files: 4 * n, Missing: n, Bytes: n * (contentBytes + 3*thumbnailBytes)}); total != want {
		t.Errorf("%+v, want %+v", total, want)
	}
	const dir = "d---------"
	same(t, map[string]string{
		".": dir, "local_content": dir, "local_content/ab": dir, "local_thumbnails": dir, "local_thumbnails/ab": dir,
		"url_cache": dir, "url_cache_thumbnails": dir,
	}, snapshot(t, path))
}
