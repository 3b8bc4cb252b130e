package kills_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"synupkeep/internal/item"
	"synupkeep/internal/journal"
	"synupkeep/internal/sandbox"
	"synupkeep/internal/sandbox/stock"
	"synupkeep/proof/program"
	"synupkeep/proof/wire"
	"synupkeep/sinks"
)

const (
	day     = 24 * time.Hour
	longAgo = 60 * day
	// snapshot is the name of the world before any run.
	snapshot = "kills"
)

// world is a server with everything at once, and what one undisturbed run leaves of it.
type world struct {
	s         *sandbox.Server
	before    string // the cut-off, the same for every run
	reference stock.Server
	full      stock.Media   // before any run
	took      time.Duration // by the undisturbed run

	stateDir string // of the run of runs that are killed
	plan     string // that they carry out; empty: none
	where    program.Where
	// watching is told what the run says to its servers.
	watching atomic.Pointer[watch]
	purges   atomic.Int64 // how many were asked for

	users, rooms []string
	shown        []string // old media that something shows, by mxc URI
	stays        []string // media that every run leaves
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newWorld plants the world, keeps it as a snapshot and lets one run come to its end.
func newWorld(t *testing.T) *world {
	t.Helper()
	s := sandbox.Own(t, sandbox.Options{Hasty: true})
	w := &world{s: s, before: time.Now().Add(-30 * day).UTC().Format(time.RFC3339)}
	w.furnish(t)
	must(t, s.Plant(t.Context(), w.plant))
	must(t, s.Snapshot(t.Context(), snapshot))
	port := wire.ToPostgres(t, s, func(word wire.Word) bool {
		now := w.watching.Load()
		return now == nil || now.word(word)
	}).Port
	api := wire.ToSynapse(t, s, func(call wire.Call) bool {
		if call.AsksForAPurge() && !call.Answer {
			w.purges.Add(1)
		}
		now := w.watching.Load()
		return now == nil || now.call(call)
	})
	w.where = program.Where{Server: s, Postgres: program.ThroughPort(s, port), APIURL: api}

	then := stock.OfServer(t, s)
	w.full = then.Media
	w.begin(t)
	w.took = time.Duration(w.ends(t).DurationS * float64(time.Second))
	w.reference = stock.OfServer(t, s)
	if purges := w.purges.Load(); purges < 12 {
		t.Errorf("only %d rooms were purged: the world shows little", purges)
	}
	w.whole(t, then)
	t.Logf("a world of %v; an undisturbed run of %v leaves %v", then, w.took.Round(time.Millisecond), w.reference)
	return w
}

// whole fails unless the undisturbed run, too, took files with their rows and nothing else: it found a journal of rows that are
// there.
func (w *world) whole(t *testing.T, then stock.Server) {
	t.Helper()
	var gone []string
	for key, r := range then.Media.Rows {
		if _, there := w.reference.Media.Rows[key]; there || r.Text("media_id") == "" {
			continue
		}
		switch r.Table {
		case "remote_media_cache":
			gone = append(gone, "mxc://"+r.Text("media_origin")+"/"+r.Text("media_id"))
		case "local_media_repository":
			gone = append(gone, "mxc://"+w.s.ServerName()+"/"+r.Text("media_id"))
		}
	}
	for _, mxc := range w.stays {
		if slices.Contains(gone, mxc) {
			t.Errorf("%s is gone", mxc)
		}
	}
	stock.Exactly(t, w.s, then.Media.Without(t, gone...))
}

// run starts a run with small batches, so that there is much between its begin and its end.
func (w *world) run(t *testing.T) *program.Process {
	t.Helper()
	args := []string{"--before", w.before, "--batch-size", "25", "--delete-concurrency", "2", "--purge-concurrency", "2", "-l", "INFO"}
	if w.plan != "" {
		args = append(args, "--plan", w.plan)
	}
	return program.Start(t, w.where, args...)
}

// approve has all runs from now on carry out a plan.
func (w *world) approve(t *testing.T) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "plan.json")
	if r := program.Run(t, w.where, "plan", "--before", w.before, "--out", path); r.Code != 0 {
		t.Fatalf("the plan: exit code %d\n%s", r.Code, r.Log)
	}
	w.plan = path
}

// furnish makes the rooms and what shows media, through the API. The media is planted afterwards, under the names given here.
func (w *world) furnish(t *testing.T) {
	t.Helper()
	for i := range 6 {
		w.users = append(w.users, fmt.Sprint("user", i))
	}
	for i := range 60 {
		w.shown = append(w.shown, fmt.Sprintf("mxc://%s/shownshownshownshown%04d", w.s.ServerName(), i))
	}
	for i, user := range w.users {
		must(t, w.s.As(user).SetAvatar(t.Context(), w.shown[i]))
	}
	w.rooms = make([]string, 24)
	var together sync.WaitGroup
	for some := range 3 {
		together.Go(func() {
			for i := some; i < len(w.rooms); i += 3 {
				if err := w.furnishRoom(t.Context(), i); err != nil {
					t.Errorf("room %d: %v", i, err)
				}
			}
		})
	}
	together.Wait()
	if t.Failed() {
		t.FailNow()
	}
	path := "/_matrix/client/v3/user/" + w.s.As(w.users[0]).UserID() + "/account_data/im.ponies.user_emotes"
	must(t, w.s.As(w.users[0]).Do(t.Context(), "PUT", path, nil, map[string]any{"images": map[string]any{"x": map[string]any{"url": w.shown[6]}}}, nil))
}

func (w *world) furnishRoom(ctx context.Context, i int) error {
	owner, guest := w.s.As(w.users[i%len(w.users)]), w.s.As(w.users[(i+1)%len(w.users)])
	id, err := owner.CreateRoom(ctx, sandbox.RoomOptions{
		Name: fmt.Sprint("Room ", i), Version: w.s.RoomVersions()[i%3],
		InitialState: []sandbox.StateEvent{{Type: "m.room.avatar", Content: map[string]any{"url": w.shown[7+i%3]}}},
	})
	if err != nil {
		return err
	}
	w.rooms[i] = id
	if err := guest.Join(ctx, id); err != nil {
		return err
	}
	// A picture that goes with its message, and one that is shown by current state.
	image := map[string]any{"msgtype": "m.image", "body": "picture", "url": w.shown[30+i]}
	if _, err := guest.SendContent(ctx, id, "m.room.message", image); err != nil {
		return err
	}
	victim, err := guest.Send(ctx, id, "to be redacted")
	if err != nil {
		return err
	}
	if _, err := owner.Redact(ctx, id, victim); err != nil {
		return err
	}
	_, err = owner.SetState(ctx, id, "m.room.pinned_events", "", map[string]any{"pinned": []string{victim}})
	return err
}

// plant makes all of it old and adds what is older, what is young, forks and gaps, and media of all kinds.
func (w *world) plant(ctx context.Context, p *sandbox.Plant) error {
	now := time.Now()
	// Redactions that Synapse has not carried out hold a cut: when it does is not for the test to wait for.
	if err := p.Exec(ctx, `UPDATE redactions SET have_censored = true`); err != nil {
		return err
	}
	for i, id := range w.rooms {
		if err := w.plantRoom(ctx, p, id, i, now); err != nil {
			return fmt.Errorf("room %d: %w", i, err)
		}
	}
	old := sandbox.Media{Data: bytes.Repeat([]byte("x"), 300), Thumbnails: 1, Created: now.Add(-longAgo), LastAccess: now.Add(-longAgo)}
	for _, mxc := range w.shown {
		m := old
		m.ID = mxc[strings.LastIndexByte(mxc, '/')+1:]
		if _, err := p.LocalMedia(ctx, 1, m, 0); err != nil {
			return err
		}
	}
	if _, err := p.LocalMedia(ctx, 450, old, time.Second); err != nil {
		return err
	}
	if err := w.plantKept(ctx, p, old, now); err != nil {
		return err
	}
	for i := range 160 {
		m := old
		m.Origin = fmt.Sprint("server", i%7)
		if i%10 == 0 {
			m.LastAccess = now
		}
		if _, err := p.RemoteMedia(ctx, m); err != nil {
			return err
		}
		if i%2 == 0 {
			continue
		}
		m.Origin = ""
		if i%10 == 1 {
			m.Created = now
		}
		if _, err := p.Preview(ctx, fmt.Sprint("http://page/", i), m); err != nil {
			return err
		}
	}
	return nil
}

// plantKept plants media that stays: young, quarantined, protected.
func (w *world) plantKept(ctx context.Context, p *sandbox.Plant, old sandbox.Media, now time.Time) error {
	quarantined, protected, young := old, old, old
	quarantined.QuarantinedBy, protected.Protected, young.Created = "@admin:"+w.s.ServerName(), true, now
	for _, m := range []sandbox.Media{quarantined, protected, young} {
		mxcs, err := p.LocalMedia(ctx, 20, m, time.Second)
		if err != nil {
			return err
		}
		w.stays = append(w.stays, mxcs...)
	}
	return nil
}

func (w *world) plantRoom(ctx context.Context, p *sandbox.Plant, id string, i int, now time.Time) error {
	if i%8 == 7 {
		return nil // all of it is young: nothing to purge
	}
	if err := p.AgeRoom(ctx, id, longAgo+day); err != nil {
		return err
	}
	old, err := p.BulkMessages(ctx, id, 30+i, now.Add(-longAgo), time.Second)
	if err != nil || i%8 == 6 {
		return err // nothing is young
	}
	switch i % 8 {
	case 0:
		_, err = p.Fork(ctx, id, old[10], 0, now.Add(-longAgo))
	case 1:
		_, err = p.StateExtremity(ctx, id, old[20], now.Add(-longAgo))
	case 2:
		_, err = p.Redaction(ctx, id, old[12], old[11], 0, now.Add(-longAgo))
	case 3:
		_, _, err = p.Gap(ctx, id, now.Add(-longAgo))
	case 4:
		_, err = p.SoftFailed(ctx, id, 2, now.Add(-longAgo))
	case 5:
		if err := p.NullTimestamp(ctx, old[25]); err != nil {
			return err
		}
		_, err = p.Backfilled(ctx, id, old[3], 0, now.Add(-longAgo), now.Add(-longAgo))
	}
	if err != nil {
		return err
	}
	young, err := p.BulkMessages(ctx, id, 3, now.Add(-time.Hour), time.Second)
	if err != nil {
		return err
	}
	if i%8 == 0 {
		_, err = p.Fork(ctx, id, young[0], 0, now.Add(-time.Minute))
		return err
	}
	image := map[string]any{"msgtype": "m.image", "body": "picture", "url": w.shown[10+i%20]}
	_, err = p.Event(ctx, sandbox.NewEvent{Room: id, Content: image})
	return err
}

// begin puts everything back and gives the runs a state directory with a journal that is to be written anew: it has grown far
// beyond what is open in it, which are media that have their rows, as after a backup was put back, and some that nobody knows.
func (w *world) begin(t *testing.T) {
	t.Helper()
	w.watching.Store(nil)
	w.plan = ""
	must(t, w.s.Reset(t.Context(), snapshot))
	w.stateDir = t.TempDir()
	w.where.StateDir = w.stateDir
	w.purges.Store(0)
	j, _, err := journal.Open(w.stateDir, w.journal())
	must(t, err)
	rows := make([]journal.Row, 1000)
	for i := range rows {
		rows[i] = journal.Row{Origin: w.s.ServerName(), ID: fmt.Sprintf("nobodyknowsthisone%06d", i), FileID: fmt.Sprintf("nobodyknowsthisone%06d", i)}
	}
	for i, mxc := range w.stays {
		_, id, err := sandbox.SplitMXC(mxc)
		must(t, err)
		rows[i].ID, rows[i].FileID = id, id
	}
	for range 12 {
		_, err := j.Begin(item.LocalMedia, rows)
		must(t, err)
	}
	must(t, j.Close())
	name := filepath.Join(w.stateDir, w.journal())
	content, err := os.ReadFile(name)
	must(t, err)
	must(t, os.WriteFile(name, bytes.Repeat(content, 6), 0o600))
}

func (w *world) journal() string { return "journal-" + w.s.ServerName() + ".jsonl" }

// unlocked waits until PostgreSQL has noticed that the run that was killed is gone.
func (w *world) unlocked(t *testing.T) {
	t.Helper()
	for {
		held := stock.All[int](t, w.s, `SELECT count(*)::int FROM pg_stat_activity WHERE application_name LIKE 'synupkeep%'`)[0]
		if held == 0 {
			return
		}
		select {
		case <-t.Context().Done():
			t.Fatal("the run that was killed still has a session")
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// ends lets the last run come to its end.
func (w *world) ends(t *testing.T) sinks.Summary {
	t.Helper()
	w.watching.Store(nil)
	r := w.run(t).Wait(t)
	if r.Code != 0 {
		t.Fatalf("the last run: exit code %d\n%s\n%s", r.Code, r.Out, r.Log)
	}
	info, err := os.Stat(filepath.Join(w.stateDir, w.journal()))
	if err != nil || info.Size() > 0 {
		t.Errorf("the journal is not empty: %v, %v", info, err)
	}
	left, err := os.ReadDir(w.stateDir)
	must(t, err)
	var names []string
	for _, e := range left {
		names = append(names, e.Name())
	}
	if want := []string{w.journal(), "references-" + w.s.ServerName() + ".bin"}; !slices.Equal(names, want) {
		t.Errorf("in the state directory are %v, want %v", names, want)
	}
	return r.Summary(t)
}

// same compares the server with what the undisturbed run left of it.
func (w *world) same(t *testing.T) {
	t.Helper()
	stock.SameRooms(t, w.reference.Rooms, stock.OfRooms(t, w.s))
	stock.Exactly(t, w.s, w.reference.Media)
}

// nothingLeft runs once more: no purge is asked for, nothing is deleted.
func (w *world) nothingLeft(t *testing.T) {
	t.Helper()
	w.purges.Store(0)
	w.plan = ""
	r := w.run(t).Wait(t)
	for _, f := range r.Summary(t).Flows {
		if f.Done != 0 || f.Rows != 0 || f.Files != 0 || f.Finished != 0 {
			t.Errorf("a run after the last one does something: %+v", f)
		}
	}
	if n := w.purges.Load(); r.Code != 0 || n != 0 {
		t.Errorf("a run after the last one: exit code %d, %d purges\n%s", r.Code, n, r.Log)
	}
	w.same(t)
}
