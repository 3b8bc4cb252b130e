package pipeline

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"synupkeep/internal/item"
	"synupkeep/internal/sandbox"
	"synupkeep/internal/sandbox/stock"
)

// oddIDs are media ids that name no file of the store, or something outside it. A NUL is not among them: PostgreSQL
// cannot store one in a text. An id of 5,000 bytes does not fit into the index unless it can be compressed.
func oddIDs() []string {
	return []string{
		"", "a", "abcd", "../../../victim", "../../../../../../../../../../etc/passwd", "/etc/passwd", "..", "....//....//victim",
		"ab/../../victim", "abcd..", "abcd.", "ab..cdef", "..abcdef", "aa../x", "aabb/victim", "aabb\\victim", "aa bb cc", "aabb\ncc",
		"ämlich-nicht", "%2e%2e%2f%2e%2e%2fvictim", "aabb*", "aabb?", "aabb\"'`;$(x)", "~root/.ssh",
		strings.Repeat("a", 5000), strings.Repeat("../", 1600), "aabb" + strings.Repeat("c", 256),
	}
}

// victims puts files wherever an odd id or a link could lead to, and returns a function that fails if one has changed.
func victims(t testing.TB, s *sandbox.Server) (outside string, unharmed func()) {
	t.Helper()
	outside = t.TempDir()
	places := []string{
		filepath.Join(outside, "bb", "cc"), filepath.Join(outside, "cc"), filepath.Join(outside, "victim"), filepath.Join(outside, "32-32-image-png-crop"),
		filepath.Join(outside, "dir", "32-32-image-png-crop"), filepath.Join(s.Dir(), "victim"), filepath.Join(s.MediaStore(), "victim"),
		filepath.Join(s.MediaStore(), "local_content", "victim"), filepath.Join(s.MediaStore(), "aa", "bb", "victim"),
	}
	for _, name := range places {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte("untouched"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	passwd, err := os.Stat("/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, name := range []string{"victim", "aa"} {
			_ = os.RemoveAll(filepath.Join(s.MediaStore(), name))
		}
		_ = os.Remove(filepath.Join(s.Dir(), "victim"))
	})
	return outside, func() {
		t.Helper()
		for _, name := range places {
			if text, err := os.ReadFile(name); err != nil || string(text) != "untouched" {
				t.Errorf("%s: %q, %v", name, text, err)
			}
		}
		if now, err := os.Stat("/etc/passwd"); err != nil || !now.ModTime().Equal(passwd.ModTime()) {
			t.Errorf("/etc/passwd: %v", err)
		}
	}
}

func TestRowsWithOddIDsFailAndTouchNothing(t *testing.T) {
	s := emptied(t)
	long := time.Now().Add(-longAgo)
	var good []string
	plantMedia(t, s, func(ctx context.Context, p *sandbox.Plant) (err error) {
		if good, err = p.LocalMedia(ctx, 20, sandbox.Media{Thumbnails: 2, Created: long}, time.Second); err != nil {
			return err
		}
		for i, id := range oddIDs() {
			if err := p.RawLocalRow(ctx, id, sandbox.Media{Created: long.Add(time.Duration(i) * time.Second)}); err != nil {
				return fmt.Errorf("%q: %w", id, err)
			}
			err := p.Exec(ctx, `INSERT INTO remote_media_cache (media_origin, media_id, filesystem_id, created_ts, last_access_ts)
				VALUES ('odd.example', $1, $2, 1, 1)`, fmt.Sprint("id", i), id)
			if err != nil {
				return fmt.Errorf("%q: %w", id, err)
			}
		}
		for i, origin := range []string{"", "..", "../../..", "/etc", "a/b", strings.Repeat("o", 300)} {
			err := p.Exec(ctx, `INSERT INTO remote_media_cache (media_origin, media_id, filesystem_id, created_ts, last_access_ts)
				VALUES ($1, $2, 'aabbccddeeff', 1, 1)`, origin, fmt.Sprint("origin", i))
			if err != nil {
				return fmt.Errorf("%q: %w", origin, err)
			}
		}
		remote, err := p.RemoteMedia(ctx, sandbox.Media{Origin: "good.example", Created: long, LastAccess: long, Thumbnails: 2})
		good = append(good, remote)
		return err
	})
	_, unharmed := victims(t, s)
	before := stock.OfMedia(t, s)

	r := do(t, settings(s, item.LocalMedia, item.RemoteMedia))
	wantCauses(t, r, item.CauseItems)
	wantCounts(t, r, item.LocalMedia, map[string]int64{"done": 20, "failed": int64(len(oddIDs()))})
	wantCounts(t, r, item.RemoteMedia, map[string]int64{"done": 1, "failed": int64(len(oddIDs()) + 6)})
	stock.Exactly(t, s, before.Without(t, good...))
	unharmed()
	for _, f := range r.summary.Failures {
		if !strings.Contains(f.Cause, "nothing was touched") {
			t.Errorf("%q: %s", f.Key, f.Cause)
		}
	}
	if len(r.summary.Failures) != 2*len(oddIDs())+6 {
		t.Errorf("%d failures are named", len(r.summary.Failures))
	}
}

func TestPreviewsWithOddIDsFailAndTouchNothing(t *testing.T) {
	s := emptied(t)
	var v sandbox.Preview
	odd := append(oddIDs(), "2020-01-01", "2020-01-01_", "2020-01-01/../../victim", "2020-01-01_..", "2020-01-01_/etc/passwd")
	plantMedia(t, s, func(ctx context.Context, p *sandbox.Plant) (err error) {
		for _, id := range odd {
			if err := p.RawLocalRow(ctx, id, sandbox.Media{Created: time.Now().Add(-longAgo)}); err != nil {
				return err
			}
		}
		if err := p.Exec(ctx, `UPDATE local_media_repository SET url_cache = 'https://odd.example/'`); err != nil {
			return err
		}
		v, err = p.Preview(ctx, "https://good.example/", sandbox.Media{Thumbnails: 1, Created: time.Now().Add(-longAgo)})
		return err
	})
	_, unharmed := victims(t, s)
	before := stock.OfMedia(t, s)
	r := do(t, settings(s, item.Previews))
	wantCauses(t, r, item.CauseItems)
	wantCounts(t, r, item.Previews, map[string]int64{"done": 2, "failed": int64(len(odd))})
	stock.Exactly(t, s, before.Without(t, "mxc://"+s.ServerName()+"/"+v.PageID, "mxc://"+s.ServerName()+"/"+v.ImageID))
	unharmed()
}

// TestLinksInTheStoreAreNotFollowed replaces each thing on the way to a file by a link that leads out or stays inside.
func TestLinksInTheStoreAreNotFollowed(t *testing.T) {
	s := emptied(t)
	outside, unharmed := victims(t, s)
	store := s.MediaStore()
	id := func(first string) string { return first + "bbcc" }
	links := map[string]struct{ at, to string }{ // by the first two letters of the id
		"L1": {"local_content/L1", outside},
		"L2": {"local_content/L2/bb", outside},
		"L3": {"local_content/L3/bb/cc", filepath.Join(outside, "victim")},
		"T1": {"local_thumbnails/T1", outside},
		"T2": {"local_thumbnails/T2/bb", outside},
		"T3": {"local_thumbnails/T3/bb/cc", filepath.Join(outside, "dir")},
		"I1": {"local_content/I1", "ZZ"},
		"I2": {"local_content/I2/bb", "../ZZ/bb"},
		"I3": {"local_thumbnails/I3/bb/cc", "../../ZZ/bb/cc"},
		"R1": {"local_content/R1", "../../victim"},
	}
	plantMedia(t, s, func(ctx context.Context, p *sandbox.Plant) error {
		for first := range links {
			if _, err := p.LocalMedia(ctx, 1, sandbox.Media{ID: id(first), Thumbnails: 2, Created: time.Now().Add(-longAgo)}, 0); err != nil {
				return err
			}
		}
		_, err := p.LocalMedia(ctx, 1, sandbox.Media{ID: id("ZZ"), Thumbnails: 2, Created: time.Now()}, 0)
		if err == nil {
			_, err = p.LocalMedia(ctx, 1, sandbox.Media{ID: "goes-all-the-same", Thumbnails: 2, Created: time.Now().Add(-longAgo)}, 0)
		}
		return err
	})
	for _, link := range links {
		at := filepath.Join(store, link.at)
		if err := os.RemoveAll(at); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(link.to, at); err != nil {
			t.Fatal(err)
		}
	}
	// A thumbnail that is a link is deleted, what it leads to is not.
	thumbnail := filepath.Join(store, "local_thumbnails/go/es/-all-the-same/link")
	if err := os.Symlink(filepath.Join(outside, "victim"), thumbnail); err != nil {
		t.Fatal(err)
	}
	before := stock.OfMedia(t, s)

	r := do(t, settings(s, item.LocalMedia))
	wantCauses(t, r, item.CauseItems)
	wantCounts(t, r, item.LocalMedia, map[string]int64{"done": 1, "failed": int64(len(links))})
	stock.Exactly(t, s, before.Without(t, "mxc://"+s.ServerName()+"/goes-all-the-same"))
	unharmed()
	var named []string
	for _, f := range r.summary.Failures {
		named = append(named, idOf(f.Key)[:2])
	}
	if diff := cmp.Diff([]string{"I1", "I2", "I3", "L1", "L2", "L3", "R1", "T1", "T2", "T3"}, named); diff != "" {
		t.Error(diff)
	}
}
