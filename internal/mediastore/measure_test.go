package mediastore_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"synupkeep/internal/mediastore"
)

// times adds to a snapshot when each thing was changed last.
func times(t testing.TB, path string) map[string]string {
	t.Helper()
	all := maps.Clone(snapshot(t, path))
	for name := range all {
		info, err := os.Lstat(filepath.Join(path, name))
		must(t, err)
		all[name] += fmt.Sprint(info.ModTime(), info.Size(), info.Mode())
	}
	return all
}

// TestMeasureSaysWhatRemoveDoesAndChangesNothing draws stores in which all kinds of things are where files should be.
func TestMeasureSaysWhatRemoveDoesAndChangesNothing(t *testing.T) {
	base, stores := t.TempDir(), 0
	rapid.Check(t, func(rt *rapid.T) {
		stores++
		path := filepath.Join(base, strconv.Itoa(stores))
		must(t, os.Mkdir(path, 0o755))
		m := drawMedia(rt)
		loc := m.locate(t)
		put := func(name, what string) {
			full := filepath.Join(path, name)
			must(t, os.MkdirAll(filepath.Dir(full), 0o755))
			switch what {
			case "file":
				must(t, os.WriteFile(full, make([]byte, rapid.IntRange(0, 50).Draw(rt, "bytes")), 0o644))
			case "link":
				must(t, os.Symlink(base, full))
			case "directory":
				must(t, os.Mkdir(full, 0o755))
			}
		}
		things := rapid.SampledFrom([]string{"file", "file", "file", "nothing", "link", "directory"})
		if rapid.IntRange(0, 4).Draw(rt, "tree lost") > 0 {
			put(loc.Content(), things.Draw(rt, "content"))
		}
		switch rapid.SampledFrom([]string{"files", "files", "file", "link", "nothing"}).Draw(rt, "thumbnails") {
		case "files":
			for i := range rapid.IntRange(0, 3).Draw(rt, "how many") {
				put(loc.Thumbnails()+"/"+thumbnailNames()[i], things.Draw(rt, "thumbnail"))
			}
		case "file":
			put(loc.Thumbnails(), "file")
		case "link":
			put(loc.Thumbnails(), "link")
		}
		store, err := mediastore.Open(path)
		must(t, err)
		defer func() { must(t, store.Close()) }()

		before := times(t, path)
		found, measured := store.Measure(t.Context(), m.kind, m.origin, m.id)
		if diff := cmp.Diff(before, times(t, path)); diff != "" {
			rt.Fatalf("it has changed something:\n%s", diff)
		}
		done, removed := store.Remove(t.Context(), m.kind, m.origin, m.id)
		if found != done || fmt.Sprint(measured) != fmt.Sprint(removed) {
			rt.Fatalf("measured %+v, %v\nremoved  %+v, %v", found, measured, done, removed)
		}
	})
}

func TestMeasureOfWhatIsNoMedia(t *testing.T) {
	store := open(t, t.TempDir())
	if _, err := store.Measure(t.Context(), mediastore.Local, "", "../../x"); !errors.Is(err, mediastore.ErrInvalidID) {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("stop")
	cancel(stop)
	if _, err := store.Measure(ctx, mediastore.Local, "", "abcdefgh"); !errors.Is(err, stop) {
		t.Errorf("after a stop: %v", err)
	}
}
