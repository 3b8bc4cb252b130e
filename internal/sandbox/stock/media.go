// Package stock takes stock of a sandbox, for tests that compare what was there before with what a run left: files, rows of
// media, events, current state and extremities.
package stock

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"synupkeep/internal/sandbox"
)

// MediaTables are the tables that the media flows delete from.
func MediaTables() []string {
	return []string{
		"local_media_repository", "local_media_repository_thumbnails", "local_media_repository_url_cache",
		"remote_media_cache", "remote_media_cache_thumbnails",
	}
}

// Trees are the directories of a media store.
func Trees() []string {
	return []string{"local_content", "local_thumbnails", "remote_content", "remote_thumbnail", "url_cache", "url_cache_thumbnails"}
}

// Row is one row of a media table.
type Row struct {
	Table  string
	Values map[string]any
}

// Text is the value of a column that holds text, "" for any other.
func (r Row) Text(column string) string {
	s, _ := r.Values[column].(string)
	return s
}

// Media is all that a media flow could touch.
type Media struct {
	Files map[string]int64    // every file, link or special file by its path below the store, with its length
	Dirs  map[string]struct{} // every directory
	Rows  map[string]Row      // every row, by its table and text; when it was last accessed is left out
}

// OfMedia takes stock of the media store and of the media tables.
func OfMedia(t testing.TB, s *sandbox.Server) Media {
	t.Helper()
	stock := Media{Rows: map[string]Row{}}
	stock.Files, stock.Dirs = Listing(t, s.MediaStore())
	for _, table := range MediaTables() {
		for _, text := range All[string](t, s, `SELECT (to_jsonb(t) - 'last_access_ts')::text FROM `+table+` t`) {
			r := Row{Table: table}
			if err := json.Unmarshal([]byte(text), &r.Values); err != nil {
				t.Fatal(err)
			}
			stock.Rows[table+" "+text] = r
		}
	}
	return stock
}

// Listing follows the store itself and the trees, which may be links, and no other link.
func Listing(t testing.TB, dir string) (files map[string]int64, dirs map[string]struct{}) {
	t.Helper()
	files, dirs = map[string]int64{}, map[string]struct{}{}
	roots := []string{"."}
	for _, tree := range Trees() {
		if target, err := os.Readlink(filepath.Join(dir, tree)); err == nil && target != "" {
			roots = append(roots, tree)
		}
	}
	for _, root := range roots {
		top, err := filepath.EvalSymlinks(filepath.Join(dir, root))
		if err != nil {
			t.Fatal(err)
		}
		err = filepath.WalkDir(top, func(full string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) && full != top {
				return nil
			}
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(top, full)
			if err != nil {
				return err
			}
			rel = path.Join(root, rel)
			if d.IsDir() {
				dirs[rel] = struct{}{}
				return nil
			}
			info, err := d.Info()
			if err == nil {
				files[rel] = info.Size()
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return files, dirs
}

// Without is the stock as it must be when exactly these media are gone.
func (v Media) Without(t testing.TB, mxcs ...string) Media {
	t.Helper()
	after := Media{Files: maps.Clone(v.Files), Dirs: maps.Clone(v.Dirs), Rows: maps.Clone(v.Rows)}
	byID := map[string][]string{}
	for key, r := range v.Rows {
		byID[r.Text("media_id")] = append(byID[r.Text("media_id")], key)
	}
	children := map[string][]string{}
	for name := range v.Files {
		children[path.Dir(name)] = append(children[path.Dir(name)], name)
	}
	seconds := map[string]bool{}
	for _, mxc := range mxcs {
		origin, id, err := sandbox.SplitMXC(mxc)
		if err != nil {
			t.Fatal(err)
		}
		content, thumbnails := "", ""
		for _, key := range byID[id] {
			r := v.Rows[key]
			if of := r.Text("media_origin"); of != "" && of != origin {
				continue
			}
			delete(after.Rows, key)
			if r.Table == "local_media_repository" || r.Table == "remote_media_cache" {
				content, thumbnails = r.Places()
			}
		}
		if content == "" {
			t.Fatalf("%s is to go and was never there", mxc)
		}
		delete(after.Files, content)
		for _, name := range children[thumbnails] {
			delete(after.Files, name)
		}
		delete(after.Dirs, thumbnails)
		seconds[path.Dir(content)], seconds[path.Dir(thumbnails)] = true, true
	}
	left := map[string]bool{}
	for name := range after.Files {
		left[path.Dir(name)] = true
	}
	for name := range after.Dirs {
		left[path.Dir(name)] = true
	}
	for second := range seconds {
		if !left[second] {
			delete(after.Dirs, second)
		}
	}
	return after
}

// Places are the content file and the directory of the thumbnails.
func (r Row) Places() (content, thumbnails string) {
	shard := func(id string) string { return path.Join(id[:2], id[2:4], id[4:]) }
	id := r.Text("media_id")
	switch {
	case r.Table == "remote_media_cache":
		place := path.Join(r.Text("media_origin"), shard(r.Text("filesystem_id")))
		return path.Join("remote_content", place), path.Join("remote_thumbnail", place)
	case r.Text("url_cache") != "":
		return path.Join("url_cache", id[:10], id[11:]), path.Join("url_cache_thumbnails", id[:10], id[11:])
	}
	return path.Join("local_content", shard(id)), path.Join("local_thumbnails", shard(id))
}

// Exactly fails unless the store and the tables are as expected, to the file, the directory and the row.
func Exactly(t testing.TB, s *sandbox.Server, want Media) {
	t.Helper()
	got := OfMedia(t, s)
	keys := func(v Media) (all []string) {
		for name, size := range v.Files {
			all = append(all, fmt.Sprintf("file %s, %d bytes", name, size))
		}
		for name := range v.Dirs {
			all = append(all, "directory "+name)
		}
		all = append(all, slices.Collect(maps.Keys(v.Rows))...)
		slices.Sort(all)
		return all
	}
	if diff := cmp.Diff(keys(want), keys(got)); diff != "" {
		t.Errorf("files and rows (- is missing, + should not be there):\n%s", diff)
	}
}

// All returns the first column of every row.
func All[T any](t testing.TB, s *sandbox.Server, sql string, args ...any) (all []T) {
	t.Helper()
	err := s.WithDB(t.Context(), func(ctx context.Context, conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, sql, args...)
		if err != nil {
			return err
		}
		all, err = pgx.CollectRows(rows, pgx.RowTo[T])
		return err
	})
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return all
}
