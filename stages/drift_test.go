package stages

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"synupkeep/internal/item"
	"synupkeep/internal/mediastore"
	"synupkeep/internal/retry"
)

// hooked is a real store that tells before it looks at or removes something.
type hooked struct {
	*mediastore.Store
	looks  int
	before func(looks int) // how often it had looked before
}

func (h *hooked) Inspect(ctx context.Context, kind mediastore.Kind, origin, fileID string) (mediastore.Contents, error) {
	if h.before != nil {
		h.before(h.looks)
	}
	h.looks++
	return h.Store.Inspect(ctx, kind, origin, fileID)
}

type driftStop struct{ cause error }

func (s *driftStop) Stopping() bool          { return s.cause != nil }
func (s *driftStop) StopFeeding(cause error) { s.cause = errors.Join(s.cause, cause) }

// drifting is a Drift that deletes whatever may be deleted, on tables of its own and an empty store.
type drifting struct {
	*Drift
	db    *pgxpool.Pool
	dir   string
	store *hooked
	stop  *driftStop
}

func newDrifting(t *testing.T) *drifting {
	t.Helper()
	d := &drifting{db: copies(t), dir: t.TempDir(), stop: &driftStop{}}
	store, err := mediastore.Open(d.dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	d.store = &hooked{Store: store}
	all := map[item.Reason]bool{}
	for _, r := range slices.Concat(item.Deletable(), item.DeletableByName()) {
		all[r] = true
	}
	d.Drift = &Drift{
		DB: d.db, Writer: d.db, Store: d.store, ServerName: "hs", Delete: all, Before: limit(), Uploads: limit(), Previews: limit(),
		Budget: NewBudget(0), Flow: d.stop, Retry: retry.Policy{}, FileRetry: retry.Policy{},
		Held: func(context.Context) error { return nil },
	}
	return d
}

// file makes an old file.
func (d *drifting) file(t *testing.T, path string) {
	t.Helper()
	full := filepath.Join(d.dir, path)
	if err := errors.Join(os.MkdirAll(filepath.Dir(full), 0o755), os.WriteFile(full, []byte("12345"), 0o600)); err != nil {
		t.Fatal(err)
	}
	at := limit().Add(-time.Second)
	if err := errors.Join(os.Chtimes(full, at, at), os.Chtimes(filepath.Dir(full), at, at)); err != nil {
		t.Fatal(err)
	}
}

func (d *drifting) there(path string) bool {
	_, err := os.Lstat(filepath.Join(d.dir, path))
	return err == nil
}

// settle gives what became of suspects, a line each.
func (d *drifting) settle(t *testing.T, suspects ...item.Suspect) (lines []string) {
	t.Helper()
	err := d.Do(t.Context(), suspects, func(o item.Outcome) error {
		line := fmt.Sprintf("%s %s %s %s", o.Key, o.Finding, o.Status, o.Reason)
		if o.Err != nil {
			line += " " + o.Err.Error()
		}
		lines = append(lines, strings.TrimRight(line, " "))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

func (d *drifting) wants(t *testing.T, s item.Suspect, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, d.settle(t, s)); diff != "" {
		t.Error(diff)
	}
}

const orphan = "local_content/Or/ph/an"

func ofOrphan() item.Suspect { return item.Suspect{Flow: item.LocalMedia, FileID: "Orphan"} }

func ofRemote(file string) item.Suspect {
	return item.Suspect{Flow: item.RemoteMedia, Origin: "o", ID: "media", FileID: file}
}

// A row that comes between the walk and the deletion keeps its file, whatever kind of row it is.
func TestAFileThatHasARowByNowStays(t *testing.T) {
	for name, test := range map[string]struct {
		path, insert string
		suspect      item.Suspect
	}{
		"upload":          {orphan, `INSERT INTO local_media_repository (media_id) VALUES ('Orphan')`, ofOrphan()},
		"upload, preview": {orphan, `INSERT INTO local_media_repository (media_id, url_cache) VALUES ('Orphan', 'x')`, ofOrphan()},
		"thumbnails":      {"local_thumbnails/Or/ph/an/32-32-image-png-crop", `INSERT INTO local_media_repository (media_id) VALUES ('Orphan')`, ofOrphan()},
		"remote": {
			"remote_content/o/Or/ph/an", `INSERT INTO remote_media_cache (media_origin, media_id, filesystem_id) VALUES ('o', 'x', 'Orphan')`,
			item.Suspect{Flow: item.RemoteMedia, Origin: "o", FileID: "Orphan"},
		},
		"preview": {
			"url_cache/2020-01-31/an", `INSERT INTO local_media_repository (media_id, url_cache) VALUES ('2020-01-31-an', 'x')`,
			item.Suspect{Flow: item.Previews, FileID: "2020-01-31_an"},
		},
		"preview of another separator": {
			"url_cache/2020-01-31/an", `INSERT INTO local_media_repository (media_id, url_cache) VALUES ('2020-01-31Xan', 'x')`,
			item.Suspect{Flow: item.Previews, FileID: "2020-01-31_an"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDrifting(t)
			d.file(t, test.path)
			sql(t, d.db, test.insert)
			if lines := d.settle(t, test.suspect); len(lines) > 0 || !d.there(test.path) {
				t.Errorf("%q", lines)
			}
			sql(t, d.db, `TRUNCATE local_media_repository, remote_media_cache`)
			if lines := d.settle(t, test.suspect); len(lines) != 1 || d.there(test.path) {
				t.Errorf("without the row: %q", lines)
			}
		})
	}
}

// The look-up of rows is as good as new when a batch takes long.
func TestRowsAreLookedUpAgainInALongBatch(t *testing.T) {
	d := newDrifting(t)
	d.file(t, orphan)
	d.file(t, "local_content/Fi/rs/tOne")
	d.store.before = func(looks int) {
		if looks == 0 { // before the first file goes; its batch has been looked up
			sql(t, d.db, `INSERT INTO local_media_repository (media_id) VALUES ('Orphan')`)
			time.Sleep(knownFor + 50*time.Millisecond)
		}
	}
	lines := d.settle(t, item.Suspect{Flow: item.LocalMedia, FileID: "FirstOne"}, ofOrphan())
	if len(lines) != 1 || !d.there(orphan) {
		t.Errorf("%q", lines)
	}
}

func TestYoungFilesStay(t *testing.T) {
	d := newDrifting(t)
	d.file(t, orphan)
	d.file(t, "local_thumbnails/Or/ph/an/32-32-image-png-crop")
	for _, path := range []string{orphan, "local_thumbnails/Or/ph/an/32-32-image-png-crop"} {
		full := filepath.Join(d.dir, path)
		if err := os.Chtimes(full, limit(), limit()); err != nil { // not before, but at the limit
			t.Fatal(err)
		}
		d.wants(t, ofOrphan())
		at := limit().Add(-time.Second)
		if err := os.Chtimes(full, at, at); err != nil {
			t.Fatal(err)
		}
	}
	d.wants(t, ofOrphan(), orphan+" files-without-row done")
}

// A row goes only while it is the one that was found, and its file missing: also when that changes in the last moment.
func TestARowThatIsNoDriftAnyMoreStays(t *testing.T) {
	const content = "remote_content/o/fi/le/media"
	young := fmt.Sprintf(`UPDATE remote_media_cache SET created_ts = %d`, limit().UnixMilli())
	for name, test := range map[string]struct {
		change func(t *testing.T, d *drifting)
		want   []string
	}{
		"quarantined": {func(t *testing.T, d *drifting) {
			sql(t, d.db, `UPDATE remote_media_cache SET quarantined_by = '@a:hs'`)
		}, []string{
			"mxc://o/media quarantined-without-file kept quarantined-without-file",
		}},
		"fetched again": {func(t *testing.T, d *drifting) { sql(t, d.db, `UPDATE remote_media_cache SET filesystem_id = 'other'`) }, nil},
		"gone":          {func(t *testing.T, d *drifting) { sql(t, d.db, `DELETE FROM remote_media_cache`) }, nil},
		"made anew":     {func(t *testing.T, d *drifting) { sql(t, d.db, young) }, nil},
		"without a date": {func(t *testing.T, d *drifting) {
			sql(t, d.db, `UPDATE remote_media_cache SET created_ts = NULL`)
		}, nil},
		"its file is back": {func(t *testing.T, d *drifting) { d.file(t, content) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			for _, last := range []bool{false, true} {
				d := newDrifting(t)
				remoteRow(t, d.db, "o", "media", fmt.Sprintf("created_ts = %d", limit().UnixMilli()-1))
				if last { // when everything has been looked at, and before the row is locked
					d.Doubt = func() error { test.change(t, d); return nil }
				} else {
					test.change(t, d)
				}
				before := inTables(t, d.db)
				lines := d.settle(t, ofRemote("filemedia"))
				if !last {
					if diff := cmp.Diff(test.want, lines); diff != "" {
						t.Error(diff)
					}
				}
				for _, line := range lines {
					if strings.Contains(line, " done") {
						t.Error(line)
					}
				}
				if after := inTables(t, d.db); name != "gone" && !cmp.Equal(before, after) {
					t.Errorf("last moment %v: %s", last, cmp.Diff(before, after))
				}
			}
		})
	}
}

func TestARowThatIsLockedIsNotWaitedFor(t *testing.T) {
	d := newDrifting(t)
	remoteRow(t, d.db, "o", "media", "created_ts = 1")
	tx, err := d.db.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `UPDATE remote_media_cache SET last_access_ts = 5`); err != nil {
		t.Fatal(err)
	}
	d.wants(t, ofRemote("filemedia"), "mxc://o/media remote-without-file skipped in use")
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.wants(t, ofRemote("filemedia"), "mxc://o/media remote-without-file done")
	if left := inTables(t, d.db); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// Nothing is begun without the lock, in a store that is not the server's, or after a stop.
func TestNothingIsDeletedThatMayNotBegin(t *testing.T) {
	for name, change := range map[string]func(d *drifting){
		"the lock is lost": func(d *drifting) { d.Held = func(context.Context) error { return errors.New("lost") } },
		"it is stopped":    func(d *drifting) { d.stop.cause = errors.New("enough") },
		"the store is another": func(d *drifting) {
			d.Doubt = func() error { return errors.New("another") }
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDrifting(t)
			change(d)
			remoteRow(t, d.db, "o", "media", "created_ts = 1")
			before := inTables(t, d.db)
			d.file(t, orphan)
			suspects := []item.Suspect{ofRemote("filemedia")}
			if name != "the store is another" { // by which no file is judged
				suspects = append(suspects, ofOrphan())
			}
			if lines := d.settle(t, suspects...); len(lines) > 0 {
				t.Errorf("%q", lines)
			}
			if diff := cmp.Diff(before, inTables(t, d.db)); diff != "" || !d.there(orphan) {
				t.Error("something was deleted", diff)
			}
			if d.stop.cause == nil {
				t.Error("it goes on")
			}
		})
	}
}

// What is not to be deleted is told of, and in a plan nothing is.
func TestWhatIsOnlyToldOfStays(t *testing.T) {
	for name, test := range map[string]struct {
		change func(d *drifting)
		want   string
	}{
		"not chosen": {func(d *drifting) { d.Delete = nil }, orphan + " files-without-row kept files-without-row"},
		"a plan":     {func(d *drifting) { d.Writer = nil }, orphan + " files-without-row done"},
		"the limit": {func(d *drifting) {
			d.Budget = NewBudget(1)
			d.Budget.Take()
		}, orphan + " files-without-row left limit"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDrifting(t)
			test.change(d)
			d.file(t, orphan)
			d.wants(t, ofOrphan(), test.want)
			if !d.there(orphan) {
				t.Error("it was deleted")
			}
		})
	}
}

func TestADatabaseThatDoesNotAnswerDeletesNothing(t *testing.T) {
	d := newDrifting(t)
	d.file(t, orphan)
	sql(t, d.db, `ALTER TABLE remote_media_cache RENAME TO elsewhere`)
	sql(t, d.db, `CREATE VIEW remote_media_cache AS SELECT 1 / 0 AS media_origin, ''::text AS filesystem_id`)
	lines := d.settle(t, ofOrphan(), item.Suspect{Flow: item.RemoteMedia, Origin: "o", FileID: "Orphan"})
	if len(lines) != 2 || !strings.HasPrefix(lines[0], orphan+"  failed  look up whether a row names it: ERROR") || !d.there(orphan) {
		t.Errorf("%q", lines)
	}
}
