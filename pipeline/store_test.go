package pipeline

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"synupkeep/internal/item"
	"synupkeep/internal/sandbox"
	"synupkeep/internal/sandbox/stock"
)

const (
	aDay    = 24 * time.Hour
	longAgo = 60 * aDay // past the cut-off of 30 days
)

// emptied is the package's server without any media. Rooms and users of other tests stay.
func emptied(t testing.TB) *sandbox.Server {
	t.Helper()
	s := sandbox.Shared(t)
	execSQL(t, s, "TRUNCATE "+strings.Join(stock.MediaTables(), ", "))
	execSQL(t, s, "UPDATE destinations SET failure_ts = NULL")
	for _, tree := range stock.Trees() {
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

// accounts compares what a flow says it did with what is gone.
func accounts(t testing.TB, s *sandbox.Server, r result, f item.Flow, before stock.Media) {
	t.Helper()
	after := stock.OfMedia(t, s)
	var rows, files, bytes int64
	for key, r := range before.Rows {
		media := r.Table == "local_media_repository" || r.Table == "remote_media_cache"
		if _, left := after.Rows[key]; !left && media {
			rows++
		}
	}
	for name, size := range before.Files {
		if _, left := after.Files[name]; !left {
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
