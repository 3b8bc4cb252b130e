package faults_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"synupkeep/internal/sandbox"
	"synupkeep/internal/sandbox/stock"
	"synupkeep/proof/program"
)

const (
	day     = 24 * time.Hour
	longAgo = 60 * day
)

// world is a server with something old, something young and something protected of each kind. It is put back for each
// test of it, and every test ends as a run that nobody disturbs ends.
type world struct {
	s                 *sandbox.Server
	before, reference stock.Server
	stateDir          string
}

// pool has the worlds that nobody uses just now. There are never more than tests that run side by side.
var pool struct {
	sync.Mutex
	free, all []*world
}

// lend gives the test a world of its own until it ends. It is put back with [world.back].
func lend(t *testing.T) *world {
	t.Helper()
	pool.Lock()
	var w *world
	if n := len(pool.free) - 1; n >= 0 {
		w, pool.free = pool.free[n], pool.free[:n]
	}
	pool.Unlock()
	if w == nil {
		w = newWorld(t)
	}
	t.Cleanup(func() {
		if t.Failed() {
			return // who knows what is left of it
		}
		pool.Lock()
		defer pool.Unlock()
		pool.free = append(pool.free, w)
	})
	return w
}

// stopAll stops the servers of all worlds.
func stopAll() (err error) {
	for _, w := range pool.all {
		err = errors.Join(err, w.s.Stop())
	}
	return err
}

func newWorld(t *testing.T) *world {
	t.Helper()
	s, err := sandbox.Start(context.WithoutCancel(t.Context()), sandbox.Options{Hasty: true})
	must(t, err)
	w := &world{s: s, stateDir: t.TempDir()}
	pool.Lock()
	pool.all = append(pool.all, w)
	pool.Unlock()
	w.plant(t)
	w.before = stock.OfServer(t, s)
	must(t, s.Snapshot(t.Context(), "world"))
	w.undisturbed(t)
	w.reference = stock.OfServer(t, s)
	w.worthIt(t)
	return w
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const (
	rooms = 8 // with something old
	old   = 45
)

func (w *world) plant(t *testing.T) {
	t.Helper()
	alice := w.s.As("alice")
	var ids []string
	for i := range rooms + 1 {
		id, err := alice.CreateRoom(t.Context(), sandbox.RoomOptions{Name: fmt.Sprint("room ", i)})
		must(t, err)
		ids = append(ids, id)
	}
	var protected string
	must(t, w.s.Plant(t.Context(), func(ctx context.Context, p *sandbox.Plant) (err error) {
		for i, id := range ids[:rooms] {
			if err := plantRoom(ctx, p, id, i); err != nil {
				return err
			}
		}
		if _, err := p.BulkMessages(ctx, ids[rooms], old, time.Now().Add(-time.Hour), time.Second); err != nil {
			return err
		}
		protected, err = plantMedia(ctx, p)
		return err
	}))
	must(t, w.s.Protect(t.Context(), protected))
}

// plantRoom plants old messages, and in most rooms young ones and a fork.
func plantRoom(ctx context.Context, p *sandbox.Plant, id string, i int) error {
	if err := p.AgeRoom(ctx, id, longAgo); err != nil {
		return err
	}
	messages, err := p.BulkMessages(ctx, id, old+i, time.Now().Add(-longAgo), time.Second)
	if err != nil || i == 0 {
		return err
	}
	if _, err := p.BulkMessages(ctx, id, 3, time.Now().Add(-time.Hour), time.Second); err != nil || i%3 != 0 {
		return err
	}
	_, err = p.Fork(ctx, id, messages[len(messages)-5], 0, time.Now().Add(-time.Hour))
	return err
}

// plantMedia plants old and young media of each kind, and an upload that is to be protected.
func plantMedia(ctx context.Context, p *sandbox.Plant) (protected string, err error) {
	for young := range 2 {
		at := time.Now().Add(-longAgo)
		n := 60
		if young == 1 {
			at, n = time.Now().Add(-time.Hour), 5
		}
		m := sandbox.Media{Data: bytes.Repeat([]byte("x"), 300), Thumbnails: 2, Created: at, LastAccess: at}
		local, err := p.LocalMedia(ctx, n, m, time.Second)
		if err != nil {
			return "", err
		}
		if young == 0 {
			protected = local[n/2]
		}
		for i := range n / 2 {
			if _, err := p.Preview(ctx, fmt.Sprint("http://page/", young, "/", i), m); err != nil {
				return "", err
			}
		}
		for i := range n / 2 {
			m.Origin = fmt.Sprint("server", i%3)
			if _, err := p.RemoteMedia(ctx, m); err != nil {
				return "", err
			}
		}
	}
	return protected, nil
}

// worthIt checks that the undisturbed run did what the tests are to disturb, and no more.
func (w *world) worthIt(t *testing.T) {
	t.Helper()
	if purged := w.purged(w.reference); len(purged) != rooms {
		t.Fatalf("an undisturbed run purges %d rooms, want %d", len(purged), rooms)
	}
	for f, want := range map[string]int64{"local-media": 59, "remote-media": 30, "previews": 60} {
		if rows := rowsGone(w.before, w.reference, f); rows != want {
			t.Fatalf("an undisturbed run deletes %d rows of %s, want %d", rows, f, want)
		}
	}
}

// back puts the world back as it was planted.
func (w *world) back(t *testing.T) {
	t.Helper()
	must(t, w.s.Reset(t.Context(), "world"))
	w.stateDir = t.TempDir()
}

// where is the world as a run reaches it directly.
func (w *world) where() program.Where { return program.Where{Server: w.s, StateDir: w.stateDir} }

// undisturbed runs without a fault.
func (w *world) undisturbed(t *testing.T) {
	t.Helper()
	r := program.Run(t, w.where(), "--purge-timeout", "60s", "--batch-size", "20")
	if sum := r.Summary(t); r.Code != 0 || len(sum.Failures) != 0 {
		t.Fatalf("an undisturbed run ends with %d: %+v, %+v\n%s", r.Code, sum.Errors, sum.Failures, r.Log)
	}
}

// finishes lets a run go undisturbed and compares what it leaves with what one undisturbed run leaves.
func (w *world) finishes(t *testing.T) {
	t.Helper()
	w.undisturbed(t)
	w.same(t)
}

// same fails unless everything is as one undisturbed run leaves it.
func (w *world) same(t *testing.T) {
	t.Helper()
	stock.Exactly(t, w.s, w.reference.Media)
	stock.SameRooms(t, w.reference.Rooms, stock.OfRooms(t, w.s))
	if hurt := stock.Hurt(t, w.s); len(hurt) > 0 {
		t.Errorf("rooms in which nothing can be said any more: %v", hurt)
	}
}

// purged are the rooms that are as one undisturbed run leaves them and were not so before.
func (w *world) purged(now stock.Server) (ids []string) {
	for id, lines := range now.Rooms {
		if slices.Equal(lines, w.reference.Rooms[id]) && !slices.Equal(lines, w.before.Rooms[id]) {
			ids = append(ids, id)
		}
	}
	return ids
}

// halfWay fails if something is gone that stays in an undisturbed run, or if a room is neither as it was nor purged: a
// purge is one transaction of Synapse. It returns what is there now.
func (w *world) halfWay(t *testing.T) stock.Server {
	t.Helper()
	now := stock.OfServer(t, w.s)
	for id, lines := range w.reference.Rooms {
		if !slices.Equal(now.Rooms[id], lines) && !slices.Equal(now.Rooms[id], w.before.Rooms[id]) {
			t.Errorf("room %s is neither as it was nor purged", id)
			stock.SameRooms(t, map[string][]string{id: lines}, map[string][]string{id: now.Rooms[id]})
		}
	}
	for key := range w.reference.Media.Rows {
		if _, there := now.Media.Rows[key]; !there {
			t.Errorf("a row is gone that was to stay: %s", key)
		}
	}
	for name := range w.reference.Media.Files {
		if _, there := now.Media.Files[name]; !there {
			t.Errorf("a file is gone that was to stay: %s", name)
		}
	}
	for name := range now.Media.Files {
		if _, there := w.before.Media.Files[name]; !there {
			t.Errorf("a file has come: %s", name)
		}
	}
	w.rowsHaveFiles(t, now)
	if hurt := stock.Hurt(t, w.s); len(hurt) > 0 {
		t.Errorf("rooms in which nothing can be said any more: %v", hurt)
	}
	return now
}

// rowsHaveFiles fails if the content file of a row is gone: rows go first.
func (w *world) rowsHaveFiles(t *testing.T, now stock.Server) {
	t.Helper()
	for _, r := range now.Media.Rows {
		if r.Table != "local_media_repository" && r.Table != "remote_media_cache" {
			continue
		}
		content, _ := r.Places()
		if _, there := now.Media.Files[content]; !there {
			t.Errorf("%s has a row and no file", content)
		}
	}
}

// flowOf is the flow that a row of a media table belongs to, "" for the rows that go with another.
func flowOf(r stock.Row) string {
	switch {
	case r.Table == "remote_media_cache":
		return "remote-media"
	case r.Table == "local_media_repository" && r.Text("url_cache") != "":
		return "previews"
	case r.Table == "local_media_repository":
		return "local-media"
	}
	return ""
}

// rowsGone counts the media rows of a flow that are gone.
func rowsGone(before, now stock.Server, f string) (n int64) {
	for key, r := range before.Media.Rows {
		if _, there := now.Media.Rows[key]; !there && flowOf(r) == f {
			n++
		}
	}
	return n
}

// filesGone counts the files that are gone, and their bytes, by flow.
func filesGone(before, now stock.Server, f string) (n, length int64) {
	trees := map[string][]string{
		"local-media":  {"local_content/", "local_thumbnails/"},
		"remote-media": {"remote_content/", "remote_thumbnail/"},
		"previews":     {"url_cache/", "url_cache_thumbnails/"},
	}[f]
	for name, size := range before.Media.Files {
		if _, there := now.Media.Files[name]; there {
			continue
		}
		if slices.ContainsFunc(trees, func(tree string) bool { return strings.HasPrefix(name, tree) }) {
			n, length = n+1, length+size
		}
	}
	return n, length
}

// messagesGone counts the events that these rooms have lost and that were no state.
func messagesGone(before, now stock.Server, ids []string) (n int64) {
	for _, id := range ids {
		left := map[string]struct{}{}
		for _, line := range now.Rooms[id] {
			left[event(line)] = struct{}{}
		}
		for _, line := range before.Rooms[id] {
			if _, there := left[event(line)]; !there && event(line) != "" {
				n++
			}
		}
	}
	return n
}

// event is the id of the event that a line of the stock tells of, "" for other lines.
func event(line string) string {
	words := strings.Fields(line)
	if words[0] != "event" {
		return ""
	}
	return words[1]
}
