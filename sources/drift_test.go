package sources

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"pgregory.net/rapid"

	"synupkeep/internal/item"
	"synupkeep/internal/mediastore"
	"synupkeep/internal/sandbox"
)

// listed are rows in memory.
type listed struct{ rows []mediaRow }

func (l *listed) next() (mediaRow, error) {
	if len(l.rows) == 0 {
		return mediaRow{}, io.EOF
	}
	row := l.rows[0]
	l.rows = l.rows[1:]
	return row, nil
}

// drawn is media that may have files, rows, or both. Ids of few letters share their directories and follow closely on each
// other.
type drawn struct {
	pass                mediastore.Pass
	origin, id          string
	content, thumbnails bool
	row, unfinished     bool
}

func drawMedia(t *rapid.T) drawn {
	d := drawn{
		pass: rapid.SampledFrom(mediastore.Passes()).Draw(t, "pass"), id: rapid.StringMatching(`[aB][a-][aB_][B.][aB]{1,2}`).Draw(t, "id"),
		content: rapid.Bool().Draw(t, "content"), thumbnails: rapid.Bool().Draw(t, "thumbnails"), row: rapid.Bool().Draw(t, "row"),
	}
	switch d.pass {
	case mediastore.RemotePass:
		d.origin = rapid.SampledFrom([]string{"a.org", "a.org:8448", "a-org", "[::1]", "B"}).Draw(t, "origin")
	case mediastore.PreviewPass:
		d.id = rapid.SampledFrom([]string{"2024-01-31_", "2024-01-31-", "2024-02-01_"}).Draw(t, "date") + d.id
	case mediastore.LocalPass:
		d.unfinished = d.row && rapid.Bool().Draw(t, "unfinished")
	case mediastore.OldPreviewPass:
	}
	return d
}

func (d drawn) key() string {
	if d.pass == mediastore.PreviewPass {
		return d.id[:10] + d.id[11:]
	}
	return d.id
}

func (d drawn) place() string { return fmt.Sprint(d.pass, " ", d.origin, " ", d.key()) }

func (d drawn) write(t *testing.T, dir string) {
	t.Helper()
	loc, err := mediastore.Locate(d.pass.Kind(), d.origin, d.id)
	if err != nil {
		t.Fatal(err)
	}
	for path, is := range map[string]bool{loc.Content(): d.content, loc.Thumbnails() + "/32-32-image-png-crop": d.thumbnails} {
		if !is {
			continue
		}
		full := filepath.Join(dir, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(full), 0o755), os.WriteFile(full, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTheComparisonFindsWhatSetsFind: on real trees, for any files and rows, the same as putting both into sets.
func TestTheComparisonFindsWhatSetsFind(t *testing.T) {
	base, stores := t.TempDir(), 0
	rapid.Check(t, func(rt *rapid.T) {
		stores++
		dir := filepath.Join(base, strconv.Itoa(stores))
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		all := rapid.SliceOfNDistinct(rapid.Custom(drawMedia), 0, 30, func(d drawn) string { return fmt.Sprint(d.pass, d.origin, d.id) }).Draw(rt, "media")
		content, files, want, rows := map[string]bool{}, map[string]drawn{}, map[string]bool{}, map[mediastore.Pass][]mediaRow{}
		named := map[string]bool{}
		for _, d := range all {
			d.write(t, dir)
			if d.content || d.thumbnails {
				files[d.place()] = d
				content[d.place()] = content[d.place()] || d.content
			}
			if d.row {
				named[d.place()] = true
				rows[d.pass] = append(rows[d.pass], mediaRow{origin: d.origin, key: d.key(), id: d.id, unfinished: d.unfinished})
			}
		}
		for _, d := range all {
			if d.row && (d.unfinished || !content[d.place()]) {
				want["row "+d.place()+" "+d.id] = true
			}
		}
		for place := range files {
			if !named[place] {
				want["files "+place] = true
			}
		}
		if diff := gocmp.Diff(slices.Sorted(maps.Keys(want)), compared(t, dir, rows)); diff != "" {
			rt.Fatalf("(-sets +comparison)\n%s", diff)
		}
	})
}

// compared compares a store with rows, pass by pass.
func compared(t *testing.T, dir string, rows map[mediastore.Pass][]mediaRow) (found []string) {
	t.Helper()
	store, err := mediastore.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close() //nolint:errcheck // of a test
	for _, pass := range mediastore.Passes() {
		slices.SortFunc(rows[pass], func(a, b mediaRow) int {
			return cmp.Or(strings.Compare(a.origin, b.origin), strings.Compare(a.key, b.key))
		})
		j := &join{pass: pass, rows: &listed{rows[pass]}, seen: &Compared{}, emit: func(s item.Suspect) error {
			d := drawn{pass: pass, origin: s.Origin, id: s.FileID}
			if s.ID == "" {
				found = append(found, "files "+d.place())
			} else {
				found = append(found, "row "+d.place()+" "+s.ID)
			}
			return nil
		}}
		odd := func(path string, err error) error { return fmt.Errorf("%s: %w", path, err) }
		v := mediastore.Visitor{Media: j.media, Odd: odd, Unread: odd, Empty: func(path string, _ time.Time) error { return odd(path, errors.New("empty")) }}
		if err := errors.Join(j.advance(), store.Walk(t.Context(), pass, v), j.rest()); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// Rows that are not in order would make drift of whatever they pass over.
func TestRowsOutOfOrderAreRefused(t *testing.T) {
	j := &join{rows: &listed{[]mediaRow{{key: "b"}, {key: "a"}}}, seen: &Compared{}}
	if err := errors.Join(j.advance(), j.advance()); err == nil || !strings.Contains(err.Error(), "not in byte order") {
		t.Error(err)
	}
}

// TestRowsComeInByteOrder from the real database, whatever their ids hold and whatever its own order is.
func TestRowsComeInByteOrder(t *testing.T) {
	s := sandbox.Shared(t)
	db, err := pgxpool.New(t.Context(), s.ConnString())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	ids := []string{"b", "B", "a_", "a-", "aa", "A", "é", "z", "a\tb", "a\\", "line\nbreak", "", "2024-01-31_b", "2024-01-31-a", "2024-01-31_", "~", "../../x"}
	for _, query := range []string{
		`TRUNCATE local_media_repository, remote_media_cache`,
		`INSERT INTO local_media_repository (media_id, media_length) SELECT unnest($1::text[]), NULL`,
		`INSERT INTO local_media_repository (media_id, media_length, url_cache) SELECT 'p' || unnest($1::text[]), 1, 'x'`,
		`INSERT INTO local_media_repository (media_id, media_length, url_cache) SELECT '2024-02-0' || n || c || 'x', 1, 'x' FROM generate_series(1, 9) n, unnest('{_,-}'::text[]) c
			WHERE $1::text[] IS NOT NULL`,
		`INSERT INTO remote_media_cache (media_origin, media_id, filesystem_id) SELECT o, m, NULLIF(m, '') FROM unnest('{b.org,B.org,b-org}'::text[]) o, unnest($1::text[]) m`,
	} {
		args := []any{ids}
		if strings.HasPrefix(query, "TRUNCATE") {
			args = nil
		}
		if _, err := db.Exec(t.Context(), query, args...); err != nil {
			t.Fatal(query, err)
		}
	}
	t.Cleanup(func() {
		_ = s.WithDB(context.Background(), func(ctx context.Context, conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, `TRUNCATE local_media_repository, remote_media_cache`)
			return err
		})
	})
	file, err := newSpool([]string{"/does/not/exist", t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close() //nolint:errcheck // of a test
	want := map[mediastore.Pass]int{mediastore.LocalPass: len(ids), mediastore.RemotePass: 3 * len(ids), mediastore.PreviewPass: 18, mediastore.OldPreviewPass: len(ids)}
	for pass, n := range want {
		d := Drift{DB: db}
		if err := d.spool(t.Context(), pass, file); err != nil {
			t.Fatal(err)
		}
		rows, err := readSpool(file)
		if err != nil {
			t.Fatal(err)
		}
		var keys []string
		j := &join{rows: rows, seen: &Compared{}} // which refuses what is not in order
		for {
			if err := j.advance(); err != nil {
				t.Fatal(err)
			}
			if j.ended {
				break
			}
			keys = append(keys, j.row.origin+" "+j.row.key)
			if pass == mediastore.LocalPass != j.row.unfinished || pass == mediastore.PreviewPass && len(j.row.key) != len(j.row.id)-1 {
				t.Errorf("%v: %+v", pass, j.row)
			}
		}
		if len(keys) != n {
			t.Errorf("pass %v: %d rows, want %d: %q", pass, len(keys), n, keys)
		}
	}
}

// The file with the rows leaves nothing behind, and nothing of the directory changes.
func TestTheSpoolHasNoName(t *testing.T) {
	dir := t.TempDir()
	before, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	file, err := newSpool([]string{dir})
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close() //nolint:errcheck // of a test
	if !strings.HasPrefix(file.Name(), dir) {
		t.Errorf("it is in %s", file.Name())
	}
	info, err := file.Stat()
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	after, err := os.Stat(dir)
	if names, _ := os.ReadDir(dir); err != nil || len(names) > 0 || !after.ModTime().Equal(before.ModTime()) {
		t.Errorf("%v, %v", names, err)
	}
	t.Setenv("TMPDIR", dir)
	last, err := newSpool([]string{"/does/not/exist"})
	if err != nil {
		t.Fatal(err)
	}
	defer last.Close() //nolint:errcheck // of a test
	if names, _ := os.ReadDir(dir); len(names) > 0 {
		t.Errorf("left behind: %v", names)
	}
}

// What was cut short must not pass for all there is: the files of the rows that are missing would have none.
func FuzzSpooledRows(f *testing.F) {
	head := "PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	row := "\x00\x04\x00\x00\x00\x00\x00\x00\x00\x01a\x00\x00\x00\x00\x00\x00\x00\x01\x01"
	f.Add([]byte(head + row + "\xff\xff"))
	f.Add([]byte(head + row))
	f.Add([]byte(head + row[:9]))
	f.Add([]byte("PGCOPY"))
	f.Fuzz(func(t *testing.T, text []byte) {
		rows, err := readRows(bytes.NewReader(text))
		for err == nil {
			_, err = rows.next()
		}
		if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !bytes.Contains(text, []byte("\xff\xff")) {
			t.Errorf("it ends without an end: %q", text)
		}
	})
}
