package sources

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"synupkeep/internal/item"
	"synupkeep/internal/sandbox"
)

// emptyTables gives empty copies of tables of Synapse's, with their indexes, in a schema that hides the real ones.
func emptyTables(t testing.TB, tables ...string) *pgxpool.Pool {
	t.Helper()
	cfg, err := pgxpool.ParseConfig(sandbox.Shared(t).ConnString())
	if err != nil {
		t.Fatal(err)
	}
	schema := fmt.Sprintf("copies_%d", rand.Uint32())
	cfg.ConnConfig.RuntimeParams["search_path"] = schema + ",public"
	db, err := pgxpool.NewWithConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, err := db.Exec(context.Background(), "DROP SCHEMA "+schema+" CASCADE")
		db.Close()
		if err != nil {
			t.Error(err)
		}
	})
	run(t, db, "CREATE SCHEMA "+schema)
	for _, table := range tables {
		run(t, db, fmt.Sprintf("CREATE TABLE %s.%s (LIKE public.%s INCLUDING ALL)", schema, table, table))
	}
	return db
}

func run(t testing.TB, db *pgxpool.Pool, sql string, args ...any) {
	t.Helper()
	if _, err := db.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func copyIn(t testing.TB, db *pgxpool.Pool, table string, columns []string, rows [][]any) {
	t.Helper()
	if _, err := db.CopyFrom(t.Context(), pgx.Identifier{table}, columns, pgx.CopyFromRows(rows)); err != nil {
		t.Fatal(err)
	}
}

// all reads a source to its end. What comes twice is an error.
func all(t testing.TB, each iter.Seq2[item.Media, error]) []item.Media {
	t.Helper()
	var found []item.Media
	seen := map[string]bool{}
	for m, err := range each {
		if err != nil {
			t.Fatal(err)
		}
		if seen[m.Key()] {
			t.Errorf("%s comes twice", m.Key())
		}
		seen[m.Key()] = true
		found = append(found, m)
	}
	slices.SortFunc(found, func(a, b item.Media) int { return strings.Compare(a.Key(), b.Key()) })
	return found
}

func same(t testing.TB, what string, want, got []item.Media) {
	t.Helper()
	slices.SortFunc(want, func(a, b item.Media) int { return strings.Compare(a.Key(), b.Key()) })
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (- is missing, + should not be there):\n%s", what, diff)
	}
}

func oneOf[T any](r *rand.Rand, all ...T) T { return all[r.IntN(len(all))] }

// cutOff of these tests is a time that a row may have to the millisecond.
func cutOff() time.Time { return time.UnixMilli(1_700_000_000_000) }

// uploads fills local_media_repository with rows of every kind, NULL wherever the schema allows it, and returns what is
// past the cut-off as a reader of the documentation would say it.
func uploads(t testing.TB, db *pgxpool.Pool, n int) (local, previews []item.Media) {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	limit := cutOff().UnixMilli()
	columns := []string{
		"media_id", "user_id", "created_ts", "url_cache", "media_type", "media_length", "quarantined_by",
		"safe_from_quarantine",
	}
	rows := [][]any{{nil, "@a:hs", limit - 5, nil, "image/png", 5, nil, false}} // a row without an id is nobody's
	for i := range n {
		id := fmt.Sprintf("%s%05d", oneOf(r, "A", "a", "Z", "../", "é"), i)
		user := oneOf[any](r, nil, "", "@a:hs", "@b:hs", "@B:hs", "@é:hs")
		created := oneOf[any](r, nil, limit-1, limit, limit+1, limit-int64(r.IntN(5)), int64(0), int64(-1))
		url := oneOf[any](r, nil, nil, nil, "https://example.org/", "")
		length := oneOf[any](r, nil, 0, 17)
		quarantined, safe := oneOf[any](r, nil, nil, nil, "@admin:hs"), oneOf(r, false, false, false, true)
		mime := oneOf[any](r, nil, "image/png")
		rows = append(rows, []any{id, user, created, url, mime, length, quarantined, safe})

		at, dated := created.(int64)
		if !dated || at >= limit {
			continue
		}
		m := item.Media{Flow: item.LocalMedia, Origin: "hs", ID: id, FileID: id, Created: at}
		m.Type, _ = mime.(string)
		bytes, _ := length.(int)
		m.Bytes = int64(bytes)
		switch {
		case quarantined != nil:
			m.Keep = item.Quarantined
		case safe:
			m.Keep = item.Protected
		case length == nil && url == nil:
			m.Keep = item.Uploading
		}
		if url != nil {
			m.Flow = item.Previews
			previews = append(previews, m)
			continue
		}
		m.UserID, _ = user.(string)
		local = append(local, m)
	}
	r.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	copyIn(t, db, "local_media_repository", columns, rows)
	return local, previews
}

func TestLocalMediaAndPreviewsComeOnceWhateverThePage(t *testing.T) {
	db := emptyTables(t, "local_media_repository")
	local, previews := uploads(t, db, 700)
	if len(local) < 100 || len(previews) < 50 {
		t.Fatalf("too few to tell: %d, %d", len(local), len(previews))
	}
	for _, page := range []int{1, 3, 7, 1000} {
		got := all(t, LocalMedia{DB: db, CutOff: cutOff(), ServerName: "hs", Page: page}.Each(t.Context()))
		same(t, fmt.Sprint("local media in pages of ", page), local, got)
		got = all(t, Previews{DB: db, CutOff: cutOff(), ServerName: "hs", Page: page}.Each(t.Context()))
		same(t, fmt.Sprint("previews in pages of ", page), previews, got)
	}
}

func TestRowsThatGoWhileTheyAreReadHideNoOther(t *testing.T) {
	db := emptyTables(t, "local_media_repository")
	local, _ := uploads(t, db, 700)
	var got []item.Media
	for m, err := range (LocalMedia{DB: db, CutOff: cutOff(), ServerName: "hs", Page: 3}).Each(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, m)
		run(t, db, `DELETE FROM local_media_repository WHERE media_id = $1`, m.ID)
	}
	slices.SortFunc(got, func(a, b item.Media) int { return strings.Compare(a.Key(), b.Key()) })
	same(t, "local media", local, got)
}

// TestAPageReadsAPage: reading a table page by page must not read it anew for each page.
func TestAPageReadsAPage(t *testing.T) {
	db := emptyTables(t, "local_media_repository")
	run(t, db, `INSERT INTO local_media_repository (media_id, user_id, created_ts, url_cache, upload_name)
		SELECT 'id' || i, CASE i % 3 WHEN 0 THEN NULL ELSE '@u' || i % 50 || ':hs' END, $1::bigint + (i - 20000) * 1000,
			CASE i % 5 WHEN 0 THEN 'https://example.org' END, repeat('x', 200) FROM generate_series(1, 40000) i`, cutOff().UnixMilli())
	run(t, db, "ANALYZE local_media_repository")
	for name, query := range map[string]string{"of users": local, "of nobody": localOfNobody, "previews": previews} {
		args := []any{"@u25:hs", int64(0), "", cutOff().UnixMilli(), 100}
		switch name {
		case "of nobody":
			args[0], args[1] = "", cutOff().Add(-3*time.Hour).UnixMilli()
		case "previews":
			args = []any{cutOff().Add(-3 * time.Hour).UnixMilli(), "", cutOff().UnixMilli(), 100}
		}
		lines, err := db.Query(t.Context(), "EXPLAIN (ANALYZE, BUFFERS OFF, COSTS OFF, TIMING OFF) "+query, args...)
		if err != nil {
			t.Fatal(err)
		}
		text, err := pgx.CollectRows(lines, pgx.RowTo[string])
		if err != nil {
			t.Fatal(err)
		}
		if plan := strings.Join(text, "\n"); strings.Contains(plan, "Seq Scan") || !strings.Contains(plan, "Index Scan") {
			t.Errorf("%s: the table is read, not its index:\n%s", name, plan)
		}
	}
}

func TestASourceEndsWithItsContext(t *testing.T) {
	db := emptyTables(t, "local_media_repository", "remote_media_cache", "destinations")
	uploads(t, db, 700)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 0
	for _, err := range (LocalMedia{DB: db, CutOff: cutOff(), ServerName: "hs", Page: 3}).Each(ctx) {
		if err != nil {
			if n != 3 {
				t.Errorf("%d came before the end of the context, want 3: %v", n, err)
			}
			return
		}
		n++
		cancel()
	}
	t.Error("it came to its end all the same")
}
