package pipeline

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"synupkeep/config"
	"synupkeep/internal/item"
	"synupkeep/internal/sandbox"
	"synupkeep/internal/sandbox/stock"
)

func TestOldUploadsGoWithAllThatBelongsToThem(t *testing.T) {
	s := emptied(t)
	gone := []string{upload(t, s, "alice", longAgo), upload(t, s, "alice", 31*aDay), upload(t, s, "bob", longAgo)}
	kept := []string{upload(t, s, "alice", 29*aDay), upload(t, s, "bob", 0)}

	// Two that share a directory of the second level, of which one stays.
	plantMedia(t, s, func(ctx context.Context, p *sandbox.Plant) error {
		for id, age := range map[string]time.Duration{"neighbourGoes": longAgo, "neighbourStays": 0} {
			m := sandbox.Media{ID: id, Thumbnails: 3, Created: time.Now().Add(-age)}
			if _, err := p.LocalMedia(ctx, 1, m, 0); err != nil {
				return err
			}
			mxc := "mxc://" + s.ServerName() + "/" + id
			if age == 0 {
				kept = append(kept, mxc)
			} else {
				gone = append(gone, mxc)
			}
		}
		return nil
	})
	uploading, err := s.As("alice").CreateMedia(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	aged(t, s, longAgo, uploading)
	quarantined, protected := upload(t, s, "alice", longAgo), upload(t, s, "alice", longAgo)
	if err := s.Quarantine(t.Context(), quarantined); err != nil {
		t.Fatal(err)
	}
	if err := s.Protect(t.Context(), protected); err != nil {
		t.Fatal(err)
	}
	before := stock.OfMedia(t, s)
	if len(before.Files) < 15 {
		t.Fatalf("Synapse made no thumbnails: %v", before.Files)
	}

	r := do(t, settings(s, item.LocalMedia))
	wantCauses(t, r)
	wantCounts(t, r, item.LocalMedia, map[string]int64{"done": 4, "kept quarantined": 1, "kept protected": 1, "kept uploading": 1})
	stock.Exactly(t, s, before.Without(t, gone...))
	accounts(t, s, r, item.LocalMedia, before)
	for _, mxc := range gone {
		wantDownload(t, s, mxc, http.StatusNotFound)
	}
	for _, mxc := range append(kept, protected) {
		wantDownload(t, s, mxc, http.StatusOK)
	}

	again := do(t, settings(s, item.LocalMedia))
	wantCauses(t, again)
	wantCounts(t, again, item.LocalMedia, map[string]int64{"kept quarantined": 1, "kept protected": 1, "kept uploading": 1})
	stock.Exactly(t, s, before.Without(t, gone...))
}

func wantDownload(t testing.TB, s *sandbox.Server, mxc string, want int) {
	t.Helper()
	status, data, err := s.Admin().Download(t.Context(), mxc)
	if err != nil {
		t.Fatal(err)
	}
	if status != want {
		t.Errorf("%s: the server answers %d, want %d", mxc, status, want)
	}
	if status == http.StatusOK && len(data) == 0 {
		t.Errorf("%s is empty", mxc)
	}
}

// setAvatar gives a user an avatar and waits until the rooms have learnt of it.
func setAvatar(t testing.TB, s *sandbox.Server, user, mxc string, rooms ...string) {
	t.Helper()
	if err := s.As(user).SetAvatar(t.Context(), mxc); err != nil {
		t.Fatal(err)
	}
	for _, room := range rooms {
		until(t, "the room knows the new avatar", func() bool {
			content, err := s.As(user).State(t.Context(), room, "m.room.member", s.As(user).UserID())
			if err != nil {
				t.Fatal(err)
			}
			return content["avatar_url"] == mxc
		})
	}
}

func state(t testing.TB, c *sandbox.Client, room, kind, key string, content any) string {
	t.Helper()
	id, err := c.SetState(t.Context(), room, kind, key, content)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func newRoom(t testing.TB, s *sandbox.Server, user string, o sandbox.RoomOptions) string {
	t.Helper()
	return mustDo(t, func(ctx context.Context) (string, error) { return s.As(user).CreateRoom(ctx, o) })
}

func join(t testing.TB, s *sandbox.Server, user, room string) {
	t.Helper()
	if err := s.As(user).Join(t.Context(), room); err != nil {
		t.Fatal(err)
	}
}

// member sets what a user looks like in one room.
func member(t testing.TB, s *sandbox.Server, user, room, mxc string) string {
	t.Helper()
	return state(t, s.As(user), room, "m.room.member", s.As(user).UserID(), map[string]any{"membership": "join", "avatar_url": mxc})
}

// TestAvatarsThatAreShownStay replaces some avatars long ago and some since the cut-off. Long ago is before everything
// else that this server saw, because the order of arrival is the order of the stream.
func TestAvatarsThatAreShownStay(t *testing.T) {
	s := emptied(t)
	restored(t, s)
	pictures := map[string]string{}
	picture := func(name string) string {
		pictures[name] = upload(t, s, "carol", longAgo)
		return pictures[name]
	}
	goes := map[string]bool{}
	room := newRoom(t, s, "carol", sandbox.RoomOptions{})
	for range 20 { // something to purge: what a kept event shows stays, also when it is an avatar of long ago
		if _, err := s.As("carol").Send(t.Context(), room, "hello"); err != nil {
			t.Fatal(err)
		}
	}
	for _, user := range []string{"dave", "erin", "frank", "grace"} {
		join(t, s, user, room)
	}
	// Replaced before the cut-off.
	for _, name := range []string{"profile, replaced long ago", "member, replaced long ago", "room, replaced long ago"} {
		goes[name] = true
		goes[name+", thumbnail"] = strings.HasPrefix(name, "room")
	}
	setAvatar(t, s, "carol", picture("profile, replaced long ago"), room)
	member(t, s, "dave", room, picture("member, replaced long ago"))
	state(t, s.As("carol"), room, "m.room.avatar", "", roomAvatar(picture("room, replaced long ago"), picture("room, replaced long ago, thumbnail")))
	setAvatar(t, s, "carol", picture("profile, replaced lately"), room)
	member(t, s, "dave", room, picture("member, replaced lately"))
	member(t, s, "erin", room, picture("member, left lately"))
	member(t, s, "grace", room, picture("member, banned lately"))
	state(t, s.As("carol"), room, "m.room.avatar", "", roomAvatar(picture("room, replaced lately"), picture("room, replaced lately, thumbnail")))
	execSQL(t, s, `UPDATE events SET received_ts = received_ts - $1, origin_server_ts = origin_server_ts - $1`, longAgo.Milliseconds())

	setAvatar(t, s, "carol", picture("profile, current"), room)
	member(t, s, "dave", room, picture("member, current"))
	state(t, s.As("carol"), room, "m.room.avatar", "", roomAvatar(picture("room, current"), picture("room, current, thumbnail")))
	for user, do := range map[string]func(context.Context, string) error{"erin": s.As("erin").Leave} {
		if err := do(t.Context(), room); err != nil {
			t.Fatal(user, err)
		}
	}
	state(t, s.As("carol"), room, "m.room.member", s.As("grace").UserID(), map[string]any{"membership": "ban"})
	state(t, s.As("carol"), room, "m.room.member", s.As("heidi").UserID(), map[string]any{
		"membership": "invite", "avatar_url": picture("member, invited"),
	})
	setAvatar(t, s, "nobody-in-no-room", picture("profile, in no room"))
	goes["nothing"] = true
	picture("nothing")
	// Written by a client that knows JSON's ways: none of it hides the picture.
	odd := newRoom(t, s, "carol", sandbox.RoomOptions{})
	state(t, s.As("carol"), odd, "m.room.avatar", "", map[string]any{
		"url": picture("room, odd content"), "URL": "mxc://elsewhere/x", "info": []string{"no object"},
	})
	fragment := newRoom(t, s, "carol", sandbox.RoomOptions{})
	member(t, s, "carol", fragment, picture("member, with a fragment")+"#auto")

	before := stock.OfMedia(t, s)
	var gone []string
	for name, mxc := range pictures {
		if goes[name] {
			gone = append(gone, mxc)
		}
	}
	cfg := settings(s, item.History, item.LocalMedia)
	cfg.History.Rooms = []string{room}
	r := do(t, cfg)
	wantCauses(t, r)
	for name, mxc := range pictures {
		status, _, err := s.Admin().Download(t.Context(), mxc)
		if err != nil {
			t.Fatal(err)
		}
		if want := map[bool]int{true: http.StatusNotFound, false: http.StatusOK}[goes[name]]; status != want {
			t.Errorf("%s: %d, want %d", name, status, want)
		}
	}
	stock.Exactly(t, s, before.Without(t, gone...))
	wantCounts(t, r, item.LocalMedia, map[string]int64{"done": int64(len(gone)), "kept avatar": int64(len(pictures) - len(gone))})
}

// restored gives the tests that follow the server as it is now: this one makes everything on it older.
func restored(t testing.TB, s *sandbox.Server) {
	t.Helper()
	const name = "before_aging"
	if err := s.Snapshot(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Reset(context.Background(), name); err != nil {
			t.Fatal(err)
		}
	})
}

func roomAvatar(url, thumbnail string) map[string]any {
	return map[string]any{"url": url, "info": map[string]any{"thumbnail_url": thumbnail, "w": 200, "h": 150}}
}

// TestAvatarsSetDuringTheRunStay holds the flow between its look at what is shown and its first deletion.
func TestAvatarsSetDuringTheRunStay(t *testing.T) {
	s := emptied(t)
	room, other := newRoom(t, s, "ivan", sandbox.RoomOptions{}), newRoom(t, s, "ivan", sandbox.RoomOptions{})
	profile, inRoom, ofRoom, thumbnail, goes := upload(t, s, "ivan", longAgo), upload(t, s, "ivan", longAgo), upload(t, s, "ivan", longAgo),
		upload(t, s, "ivan", longAgo), upload(t, s, "ivan", longAgo)
	before := stock.OfMedia(t, s)

	r := meanwhile(t, s, settings(s, item.LocalMedia), "local_media_repository", func(ctx context.Context, _ pgx.Tx) error {
		if err := s.As("ivan").SetAvatar(ctx, profile); err != nil {
			return err
		}
		_, err := s.As("ivan").SetState(ctx, room, "m.room.member", s.As("ivan").UserID(), map[string]any{"membership": "join", "avatar_url": inRoom})
		if err != nil {
			return err
		}
		_, err = s.As("ivan").SetState(ctx, other, "m.room.avatar", "", roomAvatar(ofRoom, thumbnail))
		return err
	})
	wantCauses(t, r)
	stock.Exactly(t, s, before.Without(t, goes))
	wantCounts(t, r, item.LocalMedia, map[string]int64{"done": 1, "kept avatar": 4})
}

// meanwhile runs, and does something after the flow has read its candidates and before it deletes the first row. A
// table lock lets it read and not delete.
func meanwhile(t testing.TB, s *sandbox.Server, cfg *config.Config, table string, f func(context.Context, pgx.Tx) error) result {
	t.Helper()
	return meanwhileDo(t, s, func() result { return do(t, cfg) }, table, f)
}

func meanwhileDo(t testing.TB, s *sandbox.Server, run func() result, table string, f func(context.Context, pgx.Tx) error) result {
	t.Helper()
	tx := begun(t, s, "LOCK TABLE "+table+" IN EXCLUSIVE MODE")
	done := make(chan result, 1)
	go func() { done <- run() }()
	until(t, "the flow wants to delete", func() bool {
		return stock.All[int](t, s, `SELECT count(*)::int FROM pg_locks WHERE NOT granted AND relation = $1::regclass`, table)[0] > 0
	})
	if err := f(t.Context(), tx); err != nil {
		t.Error(err)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Error(err)
	}
	return <-done
}

// begun is a transaction of somebody else in which a statement was run. It is rolled back with the test at the latest.
func begun(t testing.TB, s *sandbox.Server, sql string, args ...any) pgx.Tx {
	t.Helper()
	conn, err := s.DB(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	tx, err := conn.Begin(t.Context())
	if err == nil {
		_, err = tx.Exec(t.Context(), sql, args...)
	}
	if err != nil {
		t.Fatal(err)
	}
	return tx
}

// until waits for something that another process does.
func until(t testing.TB, what string, f func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); <-tick.C {
		if f() {
			return
		}
	}
	t.Fatalf("20 s later it is still not so: %s", what)
}

func TestARowThatIsInUseIsNotWaitedFor(t *testing.T) {
	s := emptied(t)
	locked, free := upload(t, s, "alice", longAgo), upload(t, s, "alice", longAgo)
	before := stock.OfMedia(t, s)
	tx := begun(t, s, `UPDATE local_media_repository SET last_access_ts = 1 WHERE media_id = $1`, idOf(locked))
	began := time.Now()
	r := do(t, settings(s, item.LocalMedia))
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it waited: %v", took)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantCauses(t, r)
	wantCounts(t, r, item.LocalMedia, map[string]int64{"done": 1, "skipped in use": 1})
	stock.Exactly(t, s, before.Without(t, free))

	r = do(t, settings(s, item.LocalMedia))
	wantCounts(t, r, item.LocalMedia, map[string]int64{"done": 1})
	stock.Exactly(t, s, before.Without(t, locked, free))
}

func TestWhatTheAdminWantsToKeepStays(t *testing.T) {
	s := emptied(t)
	ofUser, byID, byKey, goes := upload(t, s, "judy", longAgo), upload(t, s, "alice", longAgo), upload(t, s, "alice", longAgo), upload(t, s, "alice", longAgo)
	text, err := s.As("alice").Upload(t.Context(), "text/x-keep; charset=utf-8", []byte("keep me"))
	if err != nil {
		t.Fatal(err)
	}
	aged(t, s, longAgo, text)
	before := stock.OfMedia(t, s)

	cfg := settings(s, item.LocalMedia)
	cfg.Media.KeepUsers = []string{"@jud?:*"}
	cfg.Media.KeepMedia = []string{idOf(byID)[:20] + "*", byKey}
	cfg.Media.KeepTypes = []string{"text/x-*"}
	r := do(t, cfg)
	wantCauses(t, r)
	stock.Exactly(t, s, before.Without(t, goes))
	wantCounts(t, r, item.LocalMedia, map[string]int64{"done": 1, "kept admin": 4})
	wantDownload(t, s, ofUser, http.StatusOK)
}

func TestTheLimitLeavesTheRestToTheNextRun(t *testing.T) {
	s := emptied(t)
	var mxcs []string
	plantMedia(t, s, func(ctx context.Context, p *sandbox.Plant) (err error) {
		mxcs, err = p.LocalMedia(ctx, 60, sandbox.Media{Data: []byte("x"), Created: time.Now().Add(-longAgo)}, time.Second)
		return err
	})
	cfg := settings(s, item.LocalMedia)
	cfg.Media.Limit = 25
	for _, step := range []struct{ done, left int64 }{{25, 35}, {25, 10}, {10, 0}} {
		r := do(t, cfg)
		want := map[string]int64{"done": step.done}
		if step.left > 0 {
			want["left limit"] = step.left
			wantCauses(t, r, item.CauseLeft)
		} else {
			wantCauses(t, r)
		}
		wantCounts(t, r, item.LocalMedia, want)
	}
	if left := stock.OfMedia(t, s); len(left.Files)+len(left.Rows) != 0 {
		t.Errorf("%d media were there, left are %v", len(mxcs), left)
	}
}

// TestALargeDeletionIsExact has batches of every size, three thumbnails each, and others in between that stay.
func TestALargeDeletionIsExact(t *testing.T) {
	s := emptied(t)
	var gone []string
	plantMedia(t, s, func(ctx context.Context, p *sandbox.Plant) (err error) {
		data := bytes.Repeat([]byte("x"), 1000)
		if gone, err = p.LocalMedia(ctx, 900, sandbox.Media{Data: data, Thumbnails: 3, Created: time.Now().Add(-longAgo)}, time.Second); err != nil {
			return err
		}
		_, err = p.LocalMedia(ctx, 200, sandbox.Media{Data: data, Thumbnails: 3, Created: time.Now().Add(-29 * aDay)}, time.Second)
		return err
	})
	before := stock.OfMedia(t, s)
	cfg := settings(s, item.LocalMedia)
	cfg.Media.BatchSize = 200
	r := do(t, cfg)
	wantCauses(t, r)
	wantCounts(t, r, item.LocalMedia, map[string]int64{"done": 900})
	stock.Exactly(t, s, before.Without(t, gone...))
	accounts(t, s, r, item.LocalMedia, before)
	if names := fmt.Sprint(r.summary.Failures); names != "[]" {
		t.Error(names)
	}
}
