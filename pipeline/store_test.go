package pipeline

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
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"synupkeep/internal/item"
	"synupkeep/internal/sandbox"
)

const (
	aDay    = 24 * time.Hour
	longAgo = 60 * aDay // past the cut-off of 30 days
)

// mediaTables are the tables that the media flows delete from.
func mediaTables() []string {
	return []string{
		"local_media_repository", "local_media_repository_thumbnails", "local_media_repository_url_cache",
		"remote_media_cache", "remote_media_cache_thumbnails",
	}
}

func trees() []string {
	return []string{"local_content", "local_thumbnails", "remote_content", "remote_thumbnail", "url_cache", "url_cache_thumbnails"}
}

// emptied is the package's server without any media. Rooms and users of other tests stay.
func emptied(t testing.TB) *sandbox.Server {
	t.Helper()
	s := sandbox.Shared(t)
	execSQL(t, s, "TRUNCATE "+strings.Join(mediaTables(), ", "))
	execSQL(t, s, "UPDATE destinations SET failure_ts = NULL")
	for _, tree := range trees() {
		if err := os.RemoveAll(filepath.Join(s.MediaStore(), tree)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func execSQL(t testing.TB, s *sandbox.Server, sql string, args ...any) {
	t.Helper()
	err := s.WithDB(t.Context(), func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, sql, args...)
		return err
	})
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func selectAll[T any](t testing.TB, s *sandbox.Server, sql string, args ...any) (all []T) {
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

func plantMedia(t testing.TB, s *sandbox.Server, f func(context.Context, *sandbox.Plant) error) {
	t.Helper()
	if err := s.Plant(t.Context(), f); err != nil {
		t.Fatal(err)
	}
}

// upload uploads a picture, of which Synapse makes thumbnails, and makes it as old as that.
func upload(t testing.TB, s *sandbox.Server, user string, age time.Duration) string {
	t.Helper()
	mxc, err := s.As(user).Upload(t.Context(), "image/png", sandbox.Picture(200, 150))
	if err != nil {
		t.Fatal(err)
	}
	aged(t, s, age, mxc)
	return mxc
}

func aged(t testing.TB, s *sandbox.Server, age time.Duration, mxcs ...string) {
	t.Helper()
	for _, mxc := range mxcs {
		execSQL(t, s, `UPDATE local_media_repository SET created_ts = $2 WHERE media_id = $1`, idOf(mxc), time.Now().Add(-age).UnixMilli())
	}
}

func idOf(mxc string) string { return mxc[strings.LastIndexByte(mxc, '/')+1:] }

// mediaRow is one row of a media table.
type mediaRow struct {
	table  string
	values map[string]any
}

func (r mediaRow) text(column string) string {
	s, _ := r.values[column].(string)
	return s
}

// inventory is all that a media flow could touch.
type inventory struct {
	files map[string]int64    // every file, link or special file by its path below the store, with its length
	dirs  map[string]struct{} // every directory
	rows  map[string]mediaRow // every row, by its table and text; when it was last accessed is left out
}

func takeStock(t testing.TB, s *sandbox.Server) inventory {
	t.Helper()
	stock := inventory{rows: map[string]mediaRow{}}
	stock.files, stock.dirs = listing(t, s.MediaStore())
	for _, table := range mediaTables() {
		for _, text := range selectAll[string](t, s, `SELECT (to_jsonb(t) - 'last_access_ts')::text FROM `+table+` t`) {
			r := mediaRow{table: table}
			if err := json.Unmarshal([]byte(text), &r.values); err != nil {
				t.Fatal(err)
			}
			stock.rows[table+" "+text] = r
		}
	}
	return stock
}

// listing follows the store itself and the trees, which may be links, and no other link.
func listing(t testing.TB, dir string) (files map[string]int64, dirs map[string]struct{}) {
	t.Helper()
	files, dirs = map[string]int64{}, map[string]struct{}{}
	roots := []string{"."}
	for _, tree := range trees() {
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

// without is the inventory as it must be when exactly these media are gone.
func (v inventory) without(t testing.TB, mxcs ...string) inventory {
	t.Helper()
	after := inventory{files: maps.Clone(v.files), dirs: maps.Clone(v.dirs), rows: maps.Clone(v.rows)}
	byID := map[string][]string{}
	for key, r := range v.rows {
		byID[r.text("media_id")] = append(byID[r.text("media_id")], key)
	}
	children := map[string][]string{}
	for name := range v.files {
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
			r := v.rows[key]
			if of := r.text("media_origin"); of != "" && of != origin {
				continue
			}
			delete(after.rows, key)
			if r.table == "local_media_repository" || r.table == "remote_media_cache" {
				content, thumbnails = r.places()
			}
		}
		if content == "" {
			t.Fatalf("%s is to go and was never there", mxc)
		}
		delete(after.files, content)
		for _, name := range children[thumbnails] {
			delete(after.files, name)
		}
		delete(after.dirs, thumbnails)
		seconds[path.Dir(content)], seconds[path.Dir(thumbnails)] = true, true
	}
	left := map[string]bool{}
	for name := range after.files {
		left[path.Dir(name)] = true
	}
	for name := range after.dirs {
		left[path.Dir(name)] = true
	}
	for second := range seconds {
		if !left[second] {
			delete(after.dirs, second)
		}
	}
	return after
}

// places are the content file and the directory of the thumbnails.
func (r mediaRow) places() (content, thumbnails string) {
	shard := func(id string) string { return path.Join(id[:2], id[2:4], id[4:]) }
	id := r.text("media_id")
	switch {
	case r.table == "remote_media_cache":
		place := path.Join(r.text("media_origin"), shard(r.text("filesystem_id")))
		return path.Join("remote_content", place), path.Join("remote_thumbnail", place)
	case r.text("url_cache") != "":
		return path.Join("url_cache", id[:10], id[11:]), path.Join("url_cache_thumbnails", id[:10], id[11:])
	}
	return path.Join("local_content", shard(id)), path.Join("local_thumbnails", shard(id))
}

// exactly fails unless the store and the tables are as expected, to the file, the directory and the row.
func exactly(t testing.TB, s *sandbox.Server, want inventory) {
	t.Helper()
	got := takeStock(t, s)
	keys := func(v inventory) (all []string) {
		for name, size := range v.files {
			all = append(all, fmt.Sprintf("file %s, %d bytes", name, size))
		}
		for name := range v.dirs {
			all = append(all, "directory "+name)
		}
		all = append(all, slices.Collect(maps.Keys(v.rows))...)
		slices.Sort(all)
		return all
	}
	if diff := cmp.Diff(keys(want), keys(got)); diff != "" {
		t.Errorf("files and rows (- is missing, + should not be there):\n%s", diff)
	}
}

// accounts compares what a flow says it did with what is gone.
func accounts(t testing.TB, s *sandbox.Server, r result, f item.Flow, before inventory) {
	t.Helper()
	after := takeStock(t, s)
	var rows, files, bytes int64
	for key, r := range before.rows {
		media := r.table == "local_media_repository" || r.table == "remote_media_cache"
		if _, left := after.rows[key]; !left && media {
			rows++
		}
	}
	for name, size := range before.files {
		if _, left := after.files[name]; !left {
			files++
			bytes += size
		}
	}
	sum := r.flow(t, f)
	if sum.Rows != rows || sum.Files != files || sum.Bytes != bytes {
		t.Errorf("%s reports %d rows, %d files, %d bytes; gone are %d, %d, %d", f, sum.Rows, sum.Files, sum.Bytes, rows, files, bytes)
	}
	if total := sum.Done + sum.KeptTotal + sum.SkippedTotal + sum.LeftTotal + sum.Failed; total != sum.Examined {
		t.Errorf("%s: %d outcomes of %d items", f, total, sum.Examined)
	}
}

// wantCauses fails unless the run ended with these causes, in any order.
func wantCauses(t testing.TB, r result, want ...item.Cause) {
	t.Helper()
	if diff := cmp.Diff(item.SortCauses(want), item.SortCauses(r.causes)); diff != "" {
		t.Errorf("causes:\n%s\n%s\n%s", diff, r.out, r.log)
	}
}

// wantCounts compares the outcomes of a flow by status and reason, such as "kept avatar".
func wantCounts(t testing.TB, r result, f item.Flow, want map[string]int64) {
	t.Helper()
	sum := r.flow(t, f)
	got := map[string]int64{}
	note := func(name string, n int64) {
		if n != 0 {
			got[name] = n
		}
	}
	note("done", sum.Done)
	note("failed", sum.Failed)
	for status, reasons := range map[string]map[item.Reason]int64{"kept": sum.Kept, "skipped": sum.Skipped, "left": sum.Left} {
		for reason, n := range reasons {
			note(status+" "+string(reason), n)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("outcomes of %s:\n%s", f, diff)
	}
}
