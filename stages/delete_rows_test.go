package stages

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"synupkeep/internal/item"
	"synupkeep/internal/postgres"
	"synupkeep/internal/retry"
	"synupkeep/internal/sandbox"
)

// copies are empty copies of Synapse's tables that hide the real ones.
func copies(t *testing.T) *pgxpool.Pool {
	t.Helper()
	cfg, err := pgxpool.ParseConfig(sandbox.Shared(t).ConnString())
	if err != nil {
		t.Fatal(err)
	}
	schema := fmt.Sprintf("copies_%d", rand.Uint32())
	cfg.ConnConfig.RuntimeParams["search_path"] = schema + ",public"
	cfg.MaxConns = 8
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
	sql(t, db, "CREATE SCHEMA "+schema)
	for _, table := range []string{
		"local_media_repository", "local_media_repository_thumbnails", "local_media_repository_url_cache", "remote_media_cache",
		"remote_media_cache_thumbnails", "profiles", "events", "event_json", "room_memberships",
	} {
		sql(t, db, fmt.Sprintf("CREATE TABLE %s.%s (LIKE public.%s INCLUDING ALL)", schema, table, table))
	}
	return db
}

func sql(t *testing.T, db interface {
	Exec(context.Context, string, ...any) (pgconn.CommandTag, error)
}, query string, args ...any,
) {
	t.Helper()
	if _, err := db.Exec(t.Context(), query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// limit is the cut-off of these tests.
func limit() time.Time { return time.UnixMilli(1_700_000_000_000) }

// localRow is an upload past the cut-off but for what change says; its id stands in front.
func localRow(t *testing.T, db *pgxpool.Pool, id, change string) item.Media {
	t.Helper()
	sql(t, db, `INSERT INTO local_media_repository (media_id, created_ts, media_length, media_type, user_id)
		VALUES ($1, $2, 5, 'image/png', '@a:hs')`, id, limit().UnixMilli()-1)
	sql(t, db, `INSERT INTO local_media_repository_thumbnails (media_id, thumbnail_width, thumbnail_height, thumbnail_type, thumbnail_method)
		VALUES ($1, 32, 32, 'image/png', 'crop'), ($1, 96, 96, 'image/png', 'crop')`, id)
	sql(t, db, `INSERT INTO local_media_repository_url_cache (url, media_id, download_ts) VALUES ('https://example.org/' || $1, $1, 1)`, id)
	if change != "" {
		sql(t, db, `UPDATE local_media_repository SET `+change+` WHERE media_id = $1`, id)
	}
	return item.Media{Flow: item.LocalMedia, Origin: "hs", ID: id, FileID: id}
}

func remoteRow(t *testing.T, db *pgxpool.Pool, origin, id, change string) item.Media {
	t.Helper()
	sql(t, db, `INSERT INTO remote_media_cache (media_origin, media_id, filesystem_id, last_access_ts)
		VALUES ($1, $2, 'file' || $2, $3)`, origin, id, limit().UnixMilli()-1)
	sql(t, db, `INSERT INTO remote_media_cache_thumbnails (media_origin, media_id, thumbnail_width, thumbnail_height, thumbnail_type,
		thumbnail_method, filesystem_id) VALUES ($1, $2, 32, 32, 'image/png', 'crop', 'file' || $2)`, origin, id)
	if change != "" {
		sql(t, db, `UPDATE remote_media_cache SET `+change+` WHERE media_origin = $1 AND media_id = $2`, origin, id)
	}
	return item.Media{Flow: item.RemoteMedia, Origin: origin, ID: id, FileID: "stale"}
}

// inTables lists what the tables hold, one line an id and table.
func inTables(t *testing.T, db *pgxpool.Pool) []string {
	t.Helper()
	return column[string](t, db, `
		SELECT 'row ' || media_id FROM local_media_repository
		UNION SELECT 'thumbnail ' || media_id FROM local_media_repository_thumbnails
		UNION SELECT 'answer ' || media_id FROM local_media_repository_url_cache
		UNION SELECT 'row ' || media_origin || '/' || media_id FROM remote_media_cache
		UNION SELECT 'thumbnail ' || media_origin || '/' || media_id FROM remote_media_cache_thumbnails ORDER BY 1`)
}

// deleted is what DeleteRows made of a batch.
type deleted struct {
	files map[string]string // of the rows that are gone
	rest  map[string]string // status and reason of the others
	errs  map[string]error
	times int
}

func doRows(t *testing.T, ctx context.Context, d *DeleteRows, media ...item.Media) deleted { //nolint:revive // the test's t first
	t.Helper()
	got := deleted{files: map[string]string{}, rest: map[string]string{}, errs: map[string]error{}}
	err := d.Do(ctx, media, func(m Deletion) error {
		got.files[m.ID] = m.FileID
		got.times++
		m.Batch.Gone(m.Media, 1, nil)
		return nil
	}, func(o item.Outcome) error {
		_, id, _ := sandbox.SplitMXC(o.Key)
		got.rest[id] = string(o.Status) + " " + string(o.Reason)
		got.errs[id] = o.Err
		got.times++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got.times != len(media) {
		t.Errorf("%d outcomes of %d media", got.times, len(media))
	}
	return got
}

func deleteRows(db Transactor, flow Stopper) DeleteRows {
	return DeleteRows{
		DB: db, Ramp: NewRamp(1000, flow), Budget: NewBudget(0), Flow: flow, Journal: &notes{}, Held: func(context.Context) error { return nil },
		Retry: retry.Policy{For: 3 * time.Second, First: 10 * time.Millisecond},
	}
}

// shownNow is news that does not change.
type shownNow map[string]item.Reason

func (s shownNow) Shown(_ context.Context, _ postgres.Querier, mediaIDs []string) (map[string]item.Reason, error) {
	shown := map[string]item.Reason{}
	for _, id := range mediaIDs {
		if why, ok := s[id]; ok {
			shown[id] = why
		}
	}
	return shown, nil
}

// A transaction that cannot learn what is shown deletes nothing.
func TestNothingIsDeletedWithoutTheNews(t *testing.T) {
	db := copies(t)
	media := []item.Media{localRow(t, db, "a", ""), localRow(t, db, "b", "")}
	got := doRows(t, t.Context(), NewDeleteLocal(deleteRows(db, &memFlow{}), limit(), noNews{}), media...)
	if len(got.files) != 0 || len(got.rest) != 2 {
		t.Errorf("%+v", got)
	}
	sameLines(t, []string{"answer a", "answer b", "row a", "row b", "thumbnail a", "thumbnail b"}, inTables(t, db))
}

type noNews struct{}

func (noNews) Shown(context.Context, postgres.Querier, []string) (map[string]item.Reason, error) {
	return nil, errors.New("no answer")
}

func TestOnlyUploadsThatAreStillEligibleGo(t *testing.T) {
	db := copies(t)
	media := []item.Media{{Flow: item.LocalMedia, Origin: "hs", ID: "vanished"}}
	want := deleted{files: map[string]string{}, rest: map[string]string{"vanished": "skipped changed"}}
	add := func(id, change string, goes bool) {
		media = append(media, localRow(t, db, id, change))
		if goes {
			want.files[id] = id
		} else {
			want.rest[id] = "skipped changed"
		}
	}
	add("goes", "", true)
	add("unread", "last_access_ts = NULL", true)
	add("ofNobody", "user_id = NULL", true)
	add("young", fmt.Sprint("created_ts = ", limit().UnixMilli()), false)
	add("undated", "created_ts = NULL", false)
	add("quarantined", "quarantined_by = '@admin:hs'", false)
	add("safe", "safe_from_quarantine = true", false)
	add("uploading", "media_length = NULL", false)
	add("preview", "url_cache = 'https://example.org'", false)
	add("shown", "", true) // ... without the news
	news := shownNow{"shown": item.AccountData, "young": item.Event, "elsewhere": item.Event}
	delete(want.files, "shown")
	want.rest["shown"] = "kept account data"

	got := doRows(t, t.Context(), NewDeleteLocal(deleteRows(db, &memFlow{}), limit(), news), media...)
	if diff := cmp.Diff([]map[string]string{want.files, want.rest}, []map[string]string{got.files, got.rest}); diff != "" {
		t.Errorf("outcomes:\n%s", diff)
	}
	var left []string
	for _, m := range media[1:] {
		if _, gone := want.files[m.ID]; !gone {
			left = append(left, "row "+m.ID, "thumbnail "+m.ID)
		}
		left = append(left, "answer "+m.ID) // only a preview has one; of an upload it says nothing
	}
	sameLines(t, left, inTables(t, db))
}

func sameLines(t *testing.T, want, got []string) {
	t.Helper()
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("in the tables:\n%s", diff)
	}
}

func TestOnlyPreviewsThatAreStillEligibleGo(t *testing.T) {
	db := copies(t)
	const isPreview = "url_cache = 'https://example.org'"
	var media []item.Media
	for id, change := range map[string]string{
		"goes": "", "undated": ", created_ts = NULL", "young": fmt.Sprint(", created_ts = ", limit().UnixMilli()),
		"quarantined": ", quarantined_by = '@admin:hs'", "safe": ", safe_from_quarantine = true", "upload": ", url_cache = NULL",
	} {
		m := localRow(t, db, id, isPreview)
		if change != "" {
			sql(t, db, "UPDATE local_media_repository SET media_length = 6"+change+" WHERE media_id = $1", id)
		}
		m.Flow = item.Previews
		media = append(media, m)
	}
	got := doRows(t, t.Context(), NewDeletePreviews(deleteRows(db, &memFlow{}), limit()), media...)
	if diff := cmp.Diff(map[string]string{"goes": "goes"}, got.files); diff != "" {
		t.Error(diff)
	}
	var left []string
	for _, m := range media {
		if m.ID != "goes" {
			left = append(left, "row "+m.ID, "thumbnail "+m.ID, "answer "+m.ID)
		}
	}
	sameLines(t, left, inTables(t, db))
}

func TestOnlyRemoteMediaThatIsStillEligibleGoes(t *testing.T) {
	db := copies(t)
	media := []item.Media{
		remoteRow(t, db, "a", "goes", ""), remoteRow(t, db, "a", "noFile", "filesystem_id = NULL"),
		remoteRow(t, db, "b", "accessed", fmt.Sprint("last_access_ts = ", limit().UnixMilli())),
		remoteRow(t, db, "b", "never", "last_access_ts = NULL"), remoteRow(t, db, "b", "quarantined", "quarantined_by = '@admin:hs'"),
	}
	remoteRow(t, db, "b", "goes", "") // the same id of another server
	got := doRows(t, t.Context(), NewDeleteRemote(deleteRows(db, &memFlow{}), limit()), media...)
	if diff := cmp.Diff(map[string]string{"goes": "filegoes", "noFile": ""}, got.files); diff != "" {
		t.Errorf("the file's name is the one that the row had last:\n%s", diff)
	}
	sameLines(t, []string{
		"row b/accessed", "row b/never", "row b/quarantined", "row b/goes",
		"thumbnail b/accessed", "thumbnail b/never", "thumbnail b/quarantined", "thumbnail b/goes",
	}, inTables(t, db))
}

func TestWhatASourceFindsTwiceIsDeletedOnce(t *testing.T) {
	db := copies(t)
	once := remoteRow(t, db, "a", "twice", "")
	d := NewDeleteRemote(deleteRows(db, &memFlow{}), limit())
	got := doRows(t, t.Context(), d, once, once)
	if len(got.files) != 1 || got.rest["twice"] != "skipped changed" {
		t.Errorf("%+v", got)
	}
	if _, err := d.Ramp.Begin(t.Context()); err != nil || d.Ramp.running != 1 {
		t.Errorf("the batch has not ended: %d, %v", d.Ramp.running, err)
	}
}

func TestALockedRowIsSkipped(t *testing.T) {
	db := copies(t)
	media := []item.Media{localRow(t, db, "free", ""), localRow(t, db, "locked", "")}
	remote := []item.Media{remoteRow(t, db, "a", "free", ""), remoteRow(t, db, "a", "locked", "")}
	tx, err := db.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	sql(t, tx, `UPDATE local_media_repository SET last_access_ts = 1 WHERE media_id = 'locked'`)
	sql(t, tx, `UPDATE remote_media_cache SET last_access_ts = 1 WHERE media_id = 'locked'`)
	for _, got := range []deleted{
		doRows(t, t.Context(), NewDeleteLocal(deleteRows(db, &memFlow{}), limit(), nil), media...),
		doRows(t, t.Context(), NewDeleteRemote(deleteRows(db, &memFlow{}), limit()), remote...),
	} {
		if got.rest["locked"] != "skipped in use" || len(got.files) != 1 {
			t.Errorf("%+v", got)
		}
	}
}

func TestWhatABatchDoesNotDeleteIsGivenBack(t *testing.T) {
	db := copies(t)
	var media []item.Media
	for i := range 5 {
		media = append(media, localRow(t, db, fmt.Sprint("id", i), ""))
	}
	sql(t, db, `UPDATE local_media_repository SET quarantined_by = 'x' WHERE media_id = 'id0'`)
	d := deleteRows(db, &memFlow{})
	d.Budget = NewBudget(5)
	d.Budget.TakeUpTo(5)
	got := doRows(t, t.Context(), NewDeleteLocal(d, limit(), nil), media...)
	if diff := cmp.Diff(map[string]string{"id0": "skipped changed"}, got.rest); diff != "" {
		t.Error(diff)
	}
	if d.Budget.TakeUpTo(5) != 1 {
		t.Error("what was not deleted must be given back")
	}
	d = deleteRows(db, &memFlow{cause: errors.New("stop")})
	d.Budget = NewBudget(5)
	d.Budget.TakeUpTo(4)
	doRows(t, t.Context(), NewDeleteLocal(d, limit(), nil), localRow(t, db, "stays", ""))
	if d.Budget.TakeUpTo(5) != 2 {
		t.Error("what was not even begun must be given back")
	}
}

func TestNothingIsDeletedOnceTheFlowStops(t *testing.T) {
	db := copies(t)
	flow := &memFlow{cause: errors.New("stop")}
	m := localRow(t, db, "stays", "")
	got := doRows(t, t.Context(), NewDeleteLocal(deleteRows(db, flow), limit(), nil), m)
	if got.rest["stays"] != "left stopped" || len(inTables(t, db)) != 3 {
		t.Errorf("%+v", got)
	}
}

// doubtful is a database whose connection ends with the commit. commit decides what the server does about it.
type doubtful struct {
	*pgxpool.Pool
	commits int
	commit  func(n int, tx pgx.Tx) error
}

type doubtfulTx struct {
	pgx.Tx
	db *doubtful
}

func (d *doubtful) Begin(ctx context.Context) (pgx.Tx, error) {
	tx, err := d.Pool.Begin(ctx)
	return doubtfulTx{tx, d}, err
}

func (tx doubtfulTx) Commit(context.Context) error {
	tx.db.commits++
	return tx.db.commit(tx.db.commits, tx.Tx)
}

// Rollback does nothing: a connection that is gone carries none.
func (tx doubtfulTx) Rollback(context.Context) error { return nil }

func TestACommitInDoubtIsLookedUp(t *testing.T) {
	background := context.Background()
	lost := func(tx pgx.Tx) error { _ = tx.Rollback(background); return io.ErrUnexpectedEOF }
	done := func(tx pgx.Tx) error { return errors.Join(tx.Commit(background), io.ErrUnexpectedEOF) }
	for name, test := range map[string]struct {
		commit func(n int, tx pgx.Tx) error
		want   int
	}{
		"committed all the same": {func(_ int, tx pgx.Tx) error { return done(tx) }, 1},
		"rolled back": {func(n int, tx pgx.Tx) error {
			if n == 1 {
				return lost(tx)
			}
			return tx.Commit(background)
		}, 2},
		"rolled back, then committed": {func(n int, tx pgx.Tx) error {
			if n < 3 {
				return lost(tx)
			}
			return done(tx)
		}, 3},
		"an error that nobody knows": {func(_ int, tx pgx.Tx) error { _ = done(tx); return errors.New("surprise") }, 1},
		// The server is still at it when we ask: a row that can be seen may yet go.
		"committed later": {func(_ int, tx pgx.Tx) error {
			time.AfterFunc(300*time.Millisecond, func() { _ = tx.Commit(background) })
			return io.ErrUnexpectedEOF
		}, 1},
		"refused": {func(n int, tx pgx.Tx) error {
			if n == 1 {
				_ = tx.Rollback(background)
				return &pgconn.PgError{Severity: "ERROR", Code: "57P01"}
			}
			return tx.Commit(background)
		}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			db := copies(t)
			flow := &memFlow{}
			shaky := &doubtful{Pool: db, commit: test.commit}
			d := deleteRows(shaky, flow)
			got := doRows(t, t.Context(), NewDeleteLocal(d, limit(), nil), localRow(t, db, "a", ""), localRow(t, db, "b", ""))
			if diff := cmp.Diff(map[string]string{"a": "a", "b": "b"}, got.files); diff != "" {
				t.Errorf("their files would stay for good:\n%s\n%v %v", diff, got.rest, got.errs)
			}
			if shaky.commits != test.want || flow.Stopping() {
				t.Errorf("%d commits, want %d; %v", shaky.commits, test.want, flow.Cause())
			}
			remote := []item.Media{remoteRow(t, db, "x", "a", ""), remoteRow(t, db, "y", "a", "")}
			shaky.commits = 0
			d = deleteRows(shaky, flow)
			if got := doRows(t, t.Context(), NewDeleteRemote(d, limit()), remote...); got.times != 2 || len(got.rest) != 0 {
				t.Errorf("remote: %+v", got)
			}
		})
	}
}

func TestRowsThatStayInDoubtAreSaidSo(t *testing.T) {
	db := copies(t)
	flow := &memFlow{}
	d := deleteRows(&doubtful{Pool: db, commit: func(_ int, tx pgx.Tx) error {
		// The server goes on without ever ending, and the row stays locked.
		t.Cleanup(func() { _ = tx.Rollback(context.Background()) })
		return io.ErrUnexpectedEOF
	}}, flow)
	d.Retry.For = 500 * time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	got := doRows(t, ctx, NewDeleteLocal(d, limit(), nil), localRow(t, db, "a", ""))
	if got.rest["a"] != "failed " || got.errs["a"] == nil {
		t.Errorf("%+v", got)
	}
}

func TestADatabaseThatIsGoneStopsTheFlowSoftly(t *testing.T) {
	db := copies(t)
	flow := &memFlow{}
	d := deleteRows(&doubtful{Pool: db, commit: func(_ int, tx pgx.Tx) error {
		_ = tx.Rollback(context.Background())
		return io.ErrUnexpectedEOF
	}}, flow)
	d.Retry.For = 200 * time.Millisecond
	got := doRows(t, t.Context(), NewDeleteLocal(d, limit(), nil), localRow(t, db, "a", ""))
	var stop *item.RunError
	if !errors.As(flow.Cause(), &stop) || stop.Cause != item.CauseFailed || got.rest["a"] != "failed " {
		t.Errorf("%+v, %v", got, flow.Cause())
	}
}

// What PostgreSQL refuses for one batch it refuses for all: a million batches of one would end with a million failures.
func TestAStatementThatIsRefusedStopsTheFlow(t *testing.T) {
	db := copies(t)
	flow := &memFlow{}
	m := localRow(t, db, "a", "")
	d := NewDeleteLocal(deleteRows(db, flow), limit(), nil)
	d.sql.remove = "SELECT broken"
	got := doRows(t, t.Context(), d, m)
	var stop *item.RunError
	if got.rest["a"] != "failed " || len(inTables(t, db)) != 3 || !errors.As(flow.Cause(), &stop) || stop.Cause != item.CauseFailed {
		t.Errorf("%+v, %v", got, flow.Cause())
	}
}

// TestNoTransactionBeginsOnceTheFlowStopsOrTheLockIsLost looks between the tries: a database that comes back may find
// another run at work.
func TestNoTransactionBeginsOnceTheFlowStopsOrTheLockIsLost(t *testing.T) {
	db := copies(t)
	m := localRow(t, db, "a", "")
	lost := &item.RunError{Cause: item.CauseFailed, Doing: "hold the lock", Err: errors.New("lost")}
	for name, change := range map[string]func(d *DeleteRows, flow *memFlow){
		"stopped while the database is away": func(d *DeleteRows, flow *memFlow) {
			d.DB = &doubtful{Pool: db, commit: func(_ int, tx pgx.Tx) error {
				_ = tx.Rollback(context.Background())
				flow.StopFeeding(errors.New("SIGTERM"))
				return io.ErrUnexpectedEOF
			}}
		},
		"lost": func(d *DeleteRows, _ *memFlow) { d.Held = func(context.Context) error { return lost } },
	} {
		flow := &memFlow{}
		d := NewDeleteLocal(deleteRows(db, flow), limit(), nil)
		change(d, flow)
		if got := doRows(t, t.Context(), d, m); got.rest["a"] != "left stopped" || len(inTables(t, db)) != 3 {
			t.Errorf("%s: %+v", name, got)
		}
		if name == "lost" && !errors.Is(flow.Cause(), lost) {
			t.Errorf("the flow's cause is %v", flow.Cause())
		}
	}
}

// TestAHardStopDoesNotTearATransactionApart: the statement waits for a lock when the stop comes.
func TestAHardStopDoesNotTearATransactionApart(t *testing.T) {
	db := copies(t)
	m := localRow(t, db, "a", "")
	tx, err := db.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sql(t, tx, "LOCK TABLE local_media_repository IN EXCLUSIVE MODE")
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	time.AfterFunc(300*time.Millisecond, func() { _ = tx.Rollback(context.Background()) })
	got := doRows(t, ctx, NewDeleteLocal(deleteRows(db, &memFlow{}), limit(), nil), m)
	if diff := cmp.Diff(map[string]string{"a": "a"}, maps.Clone(got.files)); diff != "" {
		t.Errorf("%s\n%v", diff, got.errs)
	}
	if got = doRows(t, t.Context(), NewDeleteLocal(deleteRows(db, &memFlow{}), limit(), nil)); got.times != 0 {
		t.Error(got)
	}
}

// What comes after a hard stop is left, also when it has to wait for the batch before it.
func TestNoTransactionBeginsAfterAHardStop(t *testing.T) {
	db := copies(t)
	m := localRow(t, db, "a", "")
	for name, test := range map[string]struct {
		change func(d *DeleteRows, stop func())
		want   string
	}{
		"at the begin": {func(_ *DeleteRows, stop func()) { stop() }, "left stopped"},
		"while a batch is under way": {func(d *DeleteRows, stop func()) {
			if _, err := d.Ramp.Begin(t.Context()); err != nil {
				t.Fatal(err)
			}
			stop()
		}, "left stopped"},
		"between two tries": {func(d *DeleteRows, stop func()) {
			d.DB = &doubtful{Pool: db, commit: func(_ int, tx pgx.Tx) error {
				_ = tx.Rollback(context.Background())
				stop()
				return io.ErrUnexpectedEOF
			}}
		}, "failed "}, // whether the first one was committed is not known
	} {
		ctx, cancel := context.WithCancel(t.Context())
		d := NewDeleteLocal(deleteRows(db, &memFlow{}), limit(), nil)
		test.change(d, cancel)
		if got := doRows(t, ctx, d, m); got.rest["a"] != test.want || len(inTables(t, db)) != 3 {
			t.Errorf("%s: %+v", name, got)
		}
		cancel()
	}
}

func TestOutlastEnds(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	longer, release := outlast(ctx, 20*time.Millisecond)
	defer release()
	why := errors.New("hard stop")
	cancel(why)
	if longer.Err() != nil {
		t.Error("it ends with its parent")
	}
	<-longer.Done()
	if !errors.Is(context.Cause(longer), why) {
		t.Error(context.Cause(longer))
	}
}
