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
