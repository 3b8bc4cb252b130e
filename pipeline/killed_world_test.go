package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"synupkeep/internal/item"
	"synupkeep/internal/journal"
	"synupkeep/internal/sandbox"
	"synupkeep/internal/sandbox/stock"
)

const (
	// enough media of a kind for the batch that counts, and something after it.
	enough = 70
	// prelude is how many may go before the batch that counts.
	prelude = 25
)

// killing is a media store that is put back again and again, and what of it is to go.
type killing struct {
	s      *sandbox.Server
	gone   map[item.Flow][]string
	before stock.Media
	copied string // the store

	flow     item.Flow
	stateDir string
}

func newKilling(t *testing.T) *killing {
	t.Helper()
	k := &killing{s: emptied(t), gone: map[item.Flow][]string{}}
	plantMedia(t, k.s, k.plant)
	for _, table := range stock.MediaTables() {
		execSQL(t, k.s, `CREATE TABLE saved_`+table+` AS TABLE `+table)
		dropped(t, k.s, `TABLE saved_`+table)
	}
	k.copied = copyStore(t, k.s)
	k.before = stock.OfMedia(t, k.s)
	return k
}

func (k *killing) plant(ctx context.Context, p *sandbox.Plant) (err error) {
	old := time.Now().Add(-longAgo)
	m := sandbox.Media{Data: bytes.Repeat([]byte("x"), 500), Thumbnails: 2, Created: old, LastAccess: old}
	if k.gone[item.LocalMedia], err = p.LocalMedia(ctx, enough, m, time.Second); err != nil {
		return err
	}
	for i := range enough {
		m.Origin = fmt.Sprint("server", i%3)
		mxc, err := p.RemoteMedia(ctx, m)
		if err != nil {
			return err
		}
		k.gone[item.RemoteMedia] = append(k.gone[item.RemoteMedia], mxc)
	}
	for i := range enough / 2 {
		v, err := p.Preview(ctx, fmt.Sprint("http://page/", i), m)
		if err != nil {
			return err
		}
		for _, id := range []string{v.PageID, v.ImageID} {
			k.gone[item.Previews] = append(k.gone[item.Previews], "mxc://"+k.s.ServerName()+"/"+id)
		}
	}
	_, err = p.LocalMedia(ctx, 5, sandbox.Media{Thumbnails: 2}, time.Second) // young
	return err
}

// dropped drops something at the end of the test.
func dropped(t *testing.T, s *sandbox.Server, what string) {
	t.Helper()
	t.Cleanup(func() {
		err := s.WithDB(context.Background(), func(ctx context.Context, conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, `DROP `+what)
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// of puts everything back and turns to one flow.
func (k *killing) of(t *testing.T, f item.Flow) {
	t.Helper()
	k.s = emptied(t)
	for _, table := range stock.MediaTables() {
		execSQL(t, k.s, `INSERT INTO `+table+` SELECT * FROM saved_`+table)
	}
	for _, tree := range stock.Trees() {
		if err := os.CopyFS(filepath.Join(k.s.MediaStore(), tree), os.DirFS(filepath.Join(k.copied, tree))); err != nil {
			t.Fatal(err)
		}
	}
	k.flow, k.stateDir = f, filepath.Join(t.TempDir(), "state")
	stock.Exactly(t, k.s, k.before)
}

// table is where the rows are.
func (k *killing) table() string {
	if k.flow == item.RemoteMedia {
		return "remote_media_cache"
	}
	return "local_media_repository"
}

// rowless is what of the media that is to go has no row any more.
func (k *killing) rowless(t testing.TB) []string {
	t.Helper()
	there := stock.All[string](t, k.s, `SELECT media_id FROM `+k.table())
	return slices.DeleteFunc(slices.Clone(k.gone[k.flow]), func(mxc string) bool { return slices.Contains(there, idOf(mxc)) })
}

// fileless is what of it has no content file any more.
func (k *killing) fileless() (mxcs []string) {
	for mxc, name := range k.contents() {
		if _, err := os.Lstat(name); err != nil {
			mxcs = append(mxcs, mxc)
		}
	}
	return mxcs
}

// contents are the names of the content files of what is to go.
func (k *killing) contents() map[string]string {
	places := map[string]string{}
	for _, r := range k.before.Rows {
		if r.Table == k.table() {
			content, _ := r.Places()
			places[r.Text("media_id")] = filepath.Join(k.s.MediaStore(), content)
		}
	}
	names := map[string]string{}
	for _, mxc := range k.gone[k.flow] {
		names[mxc] = places[idOf(mxc)]
	}
	return names
}

// settled waits until no media has lost a part of its files: those of an earlier batch go while the next one is committed.
func (k *killing) settled(t *testing.T) {
	t.Helper()
	until(t, "the files of the batches before are gone", func() bool {
		want := k.before.Without(t, k.fileless()...).Files
		files, _ := stock.Listing(t, k.s.MediaStore())
		return maps.Equal(want, files)
	})
}

// wantGone fails unless that many media have no row, and that many no content file.
func (k *killing) wantGone(t *testing.T, rows, files int) {
	t.Helper()
	if rowless, fileless := len(k.rowless(t)), len(k.fileless()); rowless != rows || fileless != files {
		t.Errorf("%d media without row, %d without file; want %d and %d", rowless, fileless, rows, files)
	}
}

// journaled is the media that is in the journal.
func (k *killing) journaled(t *testing.T) (mxcs []string) {
	t.Helper()
	j, damage, err := journal.Open(k.stateDir, "journal-"+k.s.ServerName()+".jsonl")
	if err != nil || damage != (journal.Damage{}) {
		t.Fatalf("%+v, %v", damage, err)
	}
	for _, b := range j.Batches() {
		rows, err := j.Rows(b.ID)
		if err != nil || b.Flow != k.flow {
			t.Errorf("%+v: %v", b, err)
		}
		for _, r := range rows {
			mxcs = append(mxcs, "mxc://"+r.Origin+"/"+r.ID)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	return mxcs
}

// locksWaitedFor returns the server processes that wait for a lock of this type.
func (k *killing) locksWaitedFor(t *testing.T, kind string) (pids []int32) {
	t.Helper()
	return stock.All[int32](t, k.s, `SELECT pid FROM pg_locks WHERE NOT granted AND locktype = $1`, kind)
}

// unlocked waits until PostgreSQL has noticed that the run that was killed is gone.
func (k *killing) unlocked(t *testing.T) {
	t.Helper()
	until(t, "the lock of the run that was killed is free", func() bool {
		return stock.All[int](t, k.s, `SELECT count(*)::int FROM pg_locks l JOIN pg_stat_activity a USING (pid)
			WHERE l.granted AND l.locktype = 'advisory' AND a.application_name LIKE 'synupkeep%'`)[0] == 0
	})
}

// finishes checks that the next run leaves what one undisturbed run leaves, and that it says so: of how many media it deletes
// something, and of how many of those the row was gone. Fewer than 0 is not known.
func (k *killing) finishes(t *testing.T, media, finished int) {
	t.Helper()
	k.unlocked(t)
	cfg := settings(k.s, k.flow)
	cfg.StateDir = k.stateDir
	r := do(t, cfg)
	wantCauses(t, r)
	stock.Exactly(t, k.s, k.before.Without(t, k.gone[k.flow]...))
	if media >= 0 {
		wantCounts(t, r, k.flow, map[string]int64{"done": int64(media)})
	}
	if sum := r.flow(t, k.flow); finished >= 0 && (sum.Finished != int64(finished) || sum.Rows != int64(media-finished)) {
		t.Errorf("%d media were finished, want %d, of %d that are done: %+v", sum.Finished, finished, media, sum)
	}
	if left := k.journaled(t); len(left) > 0 {
		t.Errorf("still in the journal: %v", left)
	}
}

// victim is a run in a process of its own.
type victim struct {
	cmd *exec.Cmd
	log bytes.Buffer
}

// start starts a run that reaches PostgreSQL at this port.
func (k *killing) start(t *testing.T, port int) *victim {
	t.Helper()
	return k.startWith(t, port, "")
}

// startWith starts one that carries out a plan.
func (k *killing) startWith(t *testing.T, port int, plan string) *victim {
	t.Helper()
	dsn := strings.Replace(k.s.ConnString(), "port="+strconv.Itoa(k.s.PGPort()), "port="+strconv.Itoa(port), 1)
	given, err := json.Marshal(childRun{
		Postgres: dsn, APIURL: k.s.APIURL(), Token: k.s.AdminToken(), MediaStore: k.s.MediaStore(), StateDir: k.stateDir, Flow: k.flow, Plan: plan,
	})
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	v := &victim{cmd: exec.CommandContext(t.Context(), self)}
	v.cmd.Env = append(os.Environ(), childEnv+"="+string(given))
	v.cmd.Stderr = &v.log
	if err := v.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return v
}

// kill kills with signal 9.
func (v *victim) kill(t *testing.T) {
	t.Helper()
	_ = v.cmd.Process.Kill() // the exit code tells
	_ = v.cmd.Wait()
	if code := v.cmd.ProcessState.ExitCode(); code != -1 {
		t.Fatalf("it was not killed, and ended with %d\n%s", code, v.log.String())
	}
}
