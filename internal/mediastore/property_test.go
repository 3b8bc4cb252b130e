package mediastore_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"synupkeep/internal/mediastore"
)

// drawMedia makes ids of few letters, so that many share their directories.
func drawMedia(t *rapid.T) media {
	m := media{kind: rapid.SampledFrom([]mediastore.Kind{mediastore.Local, mediastore.Remote, mediastore.Preview}).Draw(t, "kind")}
	m.id = rapid.StringMatching(`[ab][ab][ab][ab][ab.]{0,2}[ab]`).Draw(t, "id")
	switch {
	case m.kind == mediastore.Remote:
		m.origin = rapid.SampledFrom([]string{"a.org", "b.org:8448", "[::1]"}).Draw(t, "origin")
	case m.kind == mediastore.Preview && rapid.Bool().Draw(t, "dated"):
		m.id = rapid.SampledFrom([]string{"2024-01-31_", "2024-02-01_"}).Draw(t, "date") + m.id
	}
	return m
}

// TestOnlyTheChosenGo: after any choice of media was removed, exactly the files of the others are left, and no empty
// directory that Remove is to take away.
func TestOnlyTheChosenGo(t *testing.T) {
	base, stores := t.TempDir(), 0
	rapid.Check(t, func(rt *rapid.T) {
		stores++
		path := filepath.Join(base, strconv.Itoa(stores))
		must(t, os.Mkdir(path, 0o755))
		all := rapid.SliceOfNDistinct(rapid.Custom(drawMedia), 0, 25, func(m media) string {
			return m.locate(t).Content()
		}).Draw(rt, "media")
		wanted := map[string]bool{}
		var chosen []media
		var want mediastore.Removed
		for _, m := range all {
			goes := rapid.Bool().Draw(rt, "goes")
			loc := m.locate(t)
			files := map[string]int{loc.Content(): rapid.IntRange(0, 50).Draw(rt, "bytes")}
			if rapid.IntRange(0, 4).Draw(rt, "content lost") == 0 {
				delete(files, loc.Content())
			}
			for i := range rapid.IntRange(0, 3).Draw(rt, "thumbnails") {
				files[loc.Thumbnails()+"/"+thumbnailNames()[i]] = i
			}
			for name, size := range files {
				write(t, filepath.Join(path, name), size)
				if goes {
					want.Files++
					want.Bytes += int64(size)
				} else {
					wanted[name] = true
				}
			}
			if !goes {
				continue
			}
			chosen = append(chosen, m)
			if _, ok := files[loc.Content()]; !ok {
				want.Missing++
			}
		}
		store, err := mediastore.Open(path)
		must(t, err)
		var got mediastore.Removed
		for _, m := range chosen {
			done, err := store.Remove(t.Context(), m.kind, m.origin, m.id)
			if err != nil {
				rt.Fatalf("%v: %v", m, err)
			}
			got.Files += done.Files
			got.Missing += done.Missing
			got.Bytes += done.Bytes
		}
		must(t, store.Close())
		if got != want {
			rt.Fatalf("removed %+v, want %+v", got, want)
		}
		checkLeft(rt, snapshot(t, path), wanted)
		must(t, os.RemoveAll(path))
	})
}

func checkLeft(t *rapid.T, left map[string]string, wanted map[string]bool) {
	full := map[string]bool{}
	for name := range left {
		full[filepath.Dir(name)] = true
	}
	for name, what := range left {
		if !strings.HasPrefix(what, "d") {
			if !wanted[name] {
				t.Fatalf("%s is left", name)
			}
			delete(wanted, name)
			continue
		}
		firstLevel := 2 // tree and first level stay when empty, and with remote media the origin
		if strings.HasPrefix(name, "remote_") {
			firstLevel = 3
		}
		parts := strings.Split(name, "/")
		dated := len(parts) == 2 && len(parts[1]) == len("2024-01-31") && strings.HasPrefix(name, "url_cache")
		if !full[name] && (len(parts) > firstLevel || dated) {
			t.Fatalf("the empty directory %s is left", name)
		}
	}
	if len(wanted) > 0 {
		t.Fatalf("gone are %v", wanted)
	}
}
