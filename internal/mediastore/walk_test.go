package mediastore_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"synupkeep/internal/mediastore"
)

// walked lists what a walk comes upon, a line each, in its order.
func walked(t *testing.T, dir string, pass mediastore.Pass) (lines []string) {
	t.Helper()
	s, err := mediastore.Open(dir)
	must(t, err)
	defer s.Close() //nolint:errcheck // of a test
	say := func(what, path string) error {
		lines = append(lines, what+" "+path)
		return nil
	}
	must(t, s.Walk(t.Context(), pass, mediastore.Visitor{
		Media: func(m mediastore.Stored) error {
			return say("media", fmt.Sprintf("%s %s content %v thumbnails %v odd %v", m.Origin, m.Key, m.Content, m.Thumbnails, m.Odd))
		},
		Empty:  func(path string, _ time.Time) error { return say("empty", path) },
		Odd:    func(path string, why error) error { return say("odd", path+": "+why.Error()) },
		Unread: func(path string, err error) error { return say("unread", path) },
	}))
	return lines
}

func TestAWalkComesInByteOrderUponContentAndThumbnailsTogether(t *testing.T) {
	dir := t.TempDir()
	for _, file := range []string{
		"local_content/aa/bb/c", "local_content/aa/bb/C", "local_content/aa/b-/c", "local_content/AA/bb/c", "local_content/a_/bb/cc",
		"local_thumbnails/aa/bb/c/32-32-image-png-crop", "local_thumbnails/aa/bb/d/32-32-image-png-crop", "local_thumbnails/a-/bb/x/1-1-image-svg+xml-scale",
		"remote_content/b.org/aa/bb/c", "remote_content/b.org:1/aa/bb/c", "remote_thumbnail/B.org/aa/bb/c/32-32-image-png",
		"url_cache/2024-01-31/x", "url_cache/ab/cd/e", "url_cache_thumbnails/2024-01-31/y/32-32-image-png-crop",
	} {
		write(t, filepath.Join(dir, file), 1)
	}
	must(t, os.MkdirAll(filepath.Join(dir, "local_content/aa/cc"), 0o755))
	for pass, want := range map[mediastore.Pass][]string{
		mediastore.LocalPass: {
			"media  AAbbc content true thumbnails false odd false", "media  a-bbx content false thumbnails true odd false",
			"media  a_bbcc content true thumbnails false odd false", "media  aab-c content true thumbnails false odd false",
			"media  aabbC content true thumbnails false odd false", "media  aabbc content true thumbnails true odd false",
			"media  aabbd content false thumbnails true odd false", "empty local_content/aa/cc",
		},
		mediastore.RemotePass: {
			"media B.org aabbc content false thumbnails true odd false", "media b.org aabbc content true thumbnails false odd false",
			"media b.org:1 aabbc content true thumbnails false odd false",
		},
		mediastore.PreviewPass: {
			"media  2024-01-31x content true thumbnails false odd false", "media  2024-01-31y content false thumbnails true odd false",
		},
		mediastore.OldPreviewPass: {"media  abcde content true thumbnails false odd false"},
	} {
		if diff := cmp.Diff(want, walked(t, dir, pass)); diff != "" {
			t.Errorf("pass %d:\n%s", pass, diff)
		}
	}
	if lines := walked(t, t.TempDir(), mediastore.LocalPass); len(lines) > 0 {
		t.Errorf("an empty store: %q", lines)
	}
}

// No link is followed, and nothing that is not Synapse's is taken for media that could be deleted.
func TestAWalkLeavesAloneWhatIsNotSynapses(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	write(t, filepath.Join(outside, "bb/secret"), 1)
	for _, file := range []string{
		"local_content/aa/bb/fine", "local_content/aa/bb/ü", "local_content/aa/bbb/c", "local_content/aa/file", "local_content/..a/bb/c",
		"local_thumbnails/aa/bb/fine/32-32-image-png-crop", "local_thumbnails/aa/bb/fine/notes.txt", "local_thumbnails/aa/bb/flat",
		"url_cache/20/24/-01-31x", "url_cache/2024-01-3/x",
	} {
		write(t, filepath.Join(dir, file), 1)
	}
	must(t, errors.Join(
		os.Symlink(outside, filepath.Join(dir, "local_content/Li")), os.Symlink(filepath.Join(outside, "bb"), filepath.Join(dir, "local_content/aa/Li")),
		os.Symlink(filepath.Join(outside, "bb/secret"), filepath.Join(dir, "local_content/aa/bb/link")),
		os.Symlink(filepath.Join(outside, "bb"), filepath.Join(dir, "local_thumbnails/aa/bb/link")),
	))
	const name, link = "no path of Synapse has such a name in this place", "is a symbolic link, which is not followed here: put a directory in its place"
	for pass, want := range map[mediastore.Pass][]string{
		mediastore.LocalPass: {
			"odd local_content/..a: " + name, "odd local_content/Li: " + link, "odd local_content/aa/Li: " + link,
			"odd local_thumbnails/aa/bb/fine/notes.txt: " + name, "media  aabbfine content true thumbnails true odd true",
			"odd local_thumbnails/aa/bb/flat: is not a directory", "media  aabbflat content false thumbnails true odd true",
			"odd local_content/aa/bb/link: is a symbolic link: Synapse makes none", "odd local_thumbnails/aa/bb/link: " + link,
			"media  aabblink content true thumbnails true odd true", "odd local_content/aa/bb/ü: " + name,
			"odd local_content/aa/bbb: " + name, "odd local_content/aa/file: " + name,
		},
		mediastore.PreviewPass:    {"odd url_cache/2024-01-3: " + name},
		mediastore.OldPreviewPass: {"odd url_cache/20/24/-01-31x: " + name},
	} {
		if diff := cmp.Diff(want, walked(t, dir, pass)); diff != "" {
			t.Errorf("pass %d:\n%s", pass, diff)
		}
	}
}

func TestEmptyDirectoriesGoWhenTheyAreOld(t *testing.T) {
	now := time.Now()
	age := func(t *testing.T, dir string, by time.Duration) {
		t.Helper()
		must(t, os.Chtimes(dir, now.Add(-by), now.Add(-by)))
	}
	for name, test := range map[string]struct {
		path         string
		young, above bool // the directory, the one above it
		file         bool
		removed      bool
		gone         []string
	}{
		"second level":              {path: "local_content/aa/bb", removed: true, gone: []string{"local_content/aa/bb"}},
		"of a server":               {path: "remote_thumbnail/o/aa/bb", removed: true, gone: []string{"remote_thumbnail/o/aa/bb"}},
		"a date":                    {path: "url_cache/2024-01-31", removed: true, gone: []string{"url_cache/2024-01-31"}},
		"thumbnails":                {path: "local_thumbnails/aa/bb/c", removed: true, gone: []string{"local_thumbnails/aa/bb/c", "local_thumbnails/aa/bb"}},
		"thumbnails of a preview":   {path: "url_cache_thumbnails/2024-01-31/c", removed: true, gone: []string{"url_cache_thumbnails/2024-01-31/c", "url_cache_thumbnails/2024-01-31"}},
		"thumbnails, young above":   {path: "local_thumbnails/aa/bb/c", above: true, removed: true, gone: []string{"local_thumbnails/aa/bb/c"}},
		"young":                     {path: "local_content/aa/bb", young: true},
		"with a file":               {path: "local_content/aa/bb", file: true},
		"young with a file in it":   {path: "local_thumbnails/aa/bb/c", young: true, file: true},
		"thumbnails of an old name": {path: "url_cache_thumbnails/ab/cd/e", removed: true, gone: []string{"url_cache_thumbnails/ab/cd/e", "url_cache_thumbnails/ab/cd"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			full := filepath.Join(dir, test.path)
			must(t, os.MkdirAll(full, 0o755))
			if test.file {
				write(t, filepath.Join(full, "file"), 1)
			}
			age(t, full, time.Hour)
			age(t, filepath.Dir(full), time.Hour)
			if test.young {
				age(t, full, time.Second)
			}
			if test.above {
				age(t, filepath.Dir(full), time.Second)
			}
			s, err := mediastore.Open(dir)
			must(t, err)
			defer s.Close() //nolint:errcheck // of a test
			if _, empty, err := s.InspectEmpty(test.path); err != nil || empty == test.file {
				t.Errorf("empty %v, %v", empty, err)
			}
			removed, err := s.RemoveEmpty(t.Context(), test.path, now.Add(-time.Minute))
			if err != nil || removed != test.removed {
				t.Errorf("removed %v, %v", removed, err)
			}
			for _, path := range []string{test.path, filepath.Dir(test.path), filepath.Dir(filepath.Dir(test.path))} {
				_, err := os.Lstat(filepath.Join(dir, path))
				want := true
				for _, gone := range test.gone {
					want = want && path != gone
				}
				if (err == nil) != want {
					t.Errorf("%s is there: %v", path, err == nil)
				}
			}
		})
	}
}

// Paths come from a walk; whatever else they say, nothing is removed but what may be empty there.
func TestNoOtherDirectoryIsRemoved(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	old := time.Now().Add(-time.Hour)
	for _, path := range []string{"local_content/aa/bb", "remote_content/o/aa/bb", "other/aa/bb", "local_content/aaa/bb", "url_cache/2024/01"} {
		must(t, os.MkdirAll(filepath.Join(dir, path), 0o755))
	}
	must(t, os.Mkdir(filepath.Join(outside, "bb"), 0o755))
	must(t, os.Symlink(outside, filepath.Join(dir, "local_content/Li")))
	must(t, os.Chtimes(filepath.Join(outside, "bb"), old, old))
	s, err := mediastore.Open(dir)
	must(t, err)
	defer s.Close() //nolint:errcheck // of a test
	for _, path := range []string{
		"", "local_content", "local_content/", "local_content/aa", "remote_content/o", "remote_content/o/aa", "other/aa/bb", "local_content/../other/aa",
		"local_content/aaa/bb", "local_content/aa/..", "local_content/aa/bb/cc", "local_content//bb", "/local_content/aa/bb", "url_cache/2024/01",
		"local_content/Li/bb", "../x", "local_content/aa/b\x00",
	} {
		if removed, err := s.RemoveEmpty(t.Context(), path, time.Now().Add(time.Hour)); removed || err == nil {
			t.Errorf("%q: removed %v, %v", path, removed, err)
		}
	}
	if _, err := os.Lstat(filepath.Join(outside, "bb")); err != nil {
		t.Error("a link was followed")
	}
}

func TestWhatAPreviewMayBeCalled(t *testing.T) {
	ids := mediastore.PreviewIDs("2024-01-31_abc")
	if len(ids) != 68 {
		t.Errorf("%d ids: %v", len(ids), ids)
	}
	want, err := mediastore.Locate(mediastore.Preview, "", "2024-01-31_abc")
	must(t, err)
	for _, id := range ids {
		if loc, err := mediastore.Locate(mediastore.Preview, "", id); err != nil || loc.Content() != want.Content() {
			t.Errorf("%q lies elsewhere: %v", id, err)
		}
	}
	if diff := cmp.Diff([]string{"abcdef"}, mediastore.PreviewIDs("abcdef")); diff != "" {
		t.Error(diff)
	}
}
