package stages

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"synupkeep/internal/item"
	"synupkeep/internal/journal"
	"synupkeep/internal/postgres"
	"synupkeep/internal/sandbox"
)

// lateNews tells the transaction nothing, and whoever asks after its commit what came to be shown.
type lateNews struct {
	shown map[string]item.Reason
	err   error
	away  int // how often it is err
	asked int // after the commit
}

func (n *lateNews) Shown(_ context.Context, q postgres.Querier, mediaIDs []string) (map[string]item.Reason, error) {
	if _, within := q.(pgx.Tx); within {
		return nil, nil
	}
	n.asked++
	if n.asked <= n.away {
		return nil, n.err
	}
	return shownNow(n.shown).Shown(nil, nil, mediaIDs) //nolint:staticcheck // it looks at neither
}

// rowsOf lists rows and thumbnails of uploads with all their columns.
func rowsOf(t *testing.T, db *pgxpool.Pool) []string {
	t.Helper()
	return column[string](t, db, `SELECT to_jsonb(m)::text FROM local_media_repository m
		UNION ALL SELECT to_jsonb(t)::text FROM local_media_repository_thumbnails t ORDER BY 1`)
}

// TestWhatComesToBeShownBeforeTheCommitIsPutBack: a row that is gone by then is there again as it was, and its files stay.
func TestWhatComesToBeShownBeforeTheCommitIsPutBack(t *testing.T) {
	db := copies(t)
	odd := `upload_name = 'é "x" \', last_access_ts = 9007199254740993`
	if !sandbox.Shared(t).Before("1.128.0") {
		odd += `, sha256 = 'abc', authenticated = true`
	}
	back := localRow(t, db, "back", odd)
	bare := localRow(t, db, "bare", "user_id = NULL, last_access_ts = NULL")
	sql(t, db, `DELETE FROM local_media_repository_thumbnails WHERE media_id = 'bare'`)
	want := rowsOf(t, db)
	goes := localRow(t, db, "goes", "")
	news := &lateNews{shown: map[string]item.Reason{"back": item.Avatar, "bare": item.Event}}
	d := deleteRows(db, &memFlow{})
	d.Budget = NewBudget(3)
	d.Budget.TakeUpTo(3)
	got := doRows(t, t.Context(), NewDeleteLocal(d, limit(), news), back, goes, bare)
	if diff := cmp.Diff(map[string]string{"goes": "goes"}, got.files); diff != "" {
		t.Errorf("files that go:\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{"back": "kept avatar", "bare": "kept event"}, got.rest); diff != "" {
		t.Errorf("outcomes:\n%s", diff)
	}
	if diff := cmp.Diff(want, rowsOf(t, db)); diff != "" {
		t.Errorf("rows:\n%s", diff)
	}
	if left := d.Budget.TakeUpTo(3); left != 2 {
		t.Errorf("%d of the limit are left, want 2", left)
	}
	if news.asked != 1 {
		t.Errorf("asked %d times", news.asked)
	}
}

// TestWhatCannotBePutBackIsSaidSo has PostgreSQL refuse it: the files stay, and nothing more is deleted.
func TestWhatCannotBePutBackIsSaidSo(t *testing.T) {
	db := copies(t)
	back, goes := localRow(t, db, "back", ""), localRow(t, db, "goes", "")
	sql(t, db, `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no more rows'; END $$`)
	sql(t, db, `CREATE TRIGGER refuse BEFORE INSERT ON local_media_repository FOR EACH ROW EXECUTE FUNCTION refuse()`)
	flow := &memFlow{}
	got := doRows(t, t.Context(), NewDeleteLocal(deleteRows(db, flow), limit(), &lateNews{shown: map[string]item.Reason{"back": item.Avatar}}), back, goes)
	if got.rest["back"] != "failed " || got.files["back"] != "" || got.files["goes"] != "goes" {
		t.Errorf("%+v", got)
	}
	if err := got.errs["back"]; err == nil || !strings.Contains(err.Error(), "its files stay") || !strings.Contains(err.Error(), "no more rows") {
		t.Errorf("%v", err)
	}
	if !flow.Stopping() {
		t.Error("the flow goes on")
	}
}

// TestTheLookAfterTheCommitIsTriedAgain: what the transaction saw has to do only where PostgreSQL stays away, and then no more
// is deleted.
func TestTheLookAfterTheCommitIsTriedAgain(t *testing.T) {
	for name, test := range map[string]struct {
		news  *lateNews
		stops bool
		files map[string]string
	}{
		"it comes back": {&lateNews{err: io.ErrUnexpectedEOF, away: 3, shown: map[string]item.Reason{"media": item.Avatar}}, false, map[string]string{}},
		"it stays away": {&lateNews{err: io.ErrUnexpectedEOF, away: 1 << 30}, true, map[string]string{"media": "media"}},
	} {
		t.Run(name, func(t *testing.T) {
			db, flow := copies(t), &memFlow{}
			d := deleteRows(db, flow)
			d.Retry.For = time.Second
			got := doRows(t, t.Context(), NewDeleteLocal(d, limit(), test.news), localRow(t, db, "media", ""))
			if diff := cmp.Diff(test.files, got.files); diff != "" || flow.Stopping() != test.stops {
				t.Errorf("stopped %v\n%s", flow.Stopping(), diff)
			}
		})
	}
}

// TestTheFilesOfWhatCannotBePutBackAreNotLeftToTheNextRun: it would take them, since there is no row.
func TestTheFilesOfWhatCannotBePutBackAreNotLeftToTheNextRun(t *testing.T) {
	db := copies(t)
	media := []item.Media{localRow(t, db, "back", ""), localRow(t, db, "goes", "")}
	sql(t, db, `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no more rows'; END $$`)
	sql(t, db, `CREATE TRIGGER refuse BEFORE INSERT ON local_media_repository FOR EACH ROW EXECUTE FUNCTION refuse()`)
	d := deleteRows(db, &memFlow{})
	j, _, err := journal.Open(t.TempDir(), "journal")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = j.Close() }()
	d.Journal = j
	rows := NewDeleteLocal(d, limit(), &lateNews{shown: map[string]item.Reason{"back": item.Avatar}})
	var open []journal.Row
	err = rows.Do(t.Context(), media, func(m Deletion) error {
		for _, b := range j.Batches() { // as a run that is killed now would leave it
			left, err := j.Rows(b.ID)
			if err != nil {
				return err
			}
			open = append(open, left...)
		}
		m.Batch.Gone(m.Media, 1, nil)
		return nil
	}, func(item.Outcome) error { return nil })
	if err != nil || len(open) != 1 || open[0].ID != "goes" {
		t.Errorf("%v, %v", open, err)
	}
}
