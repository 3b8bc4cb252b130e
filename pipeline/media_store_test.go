package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"synupkeep/internal/item"
	"synupkeep/internal/sandbox"
	"synupkeep/internal/sandbox/stock"
)

// ofAllKinds plants n old media of each kind and returns their names.
func ofAllKinds(t testing.TB, s *sandbox.Server, n int) (mxcs []string) {
	t.Helper()
	long := time.Now().Add(-longAgo)
	plantMedia(t, s, func(ctx context.Context, p *sandbox.Plant) (err error) {
		m := sandbox.Media{Thumbnails: 2, Created: long, LastAccess: long}
		if mxcs, err = p.LocalMedia(ctx, n, m, time.Second); err != nil {
			return err
		}
		m.Origin = "elsewhere.example"
		for range n {
			mxc, err := p.RemoteMedia(ctx, m)
			if err != nil {
				return err
			}
			v, err := p.Preview(ctx, "https://example.org/"+idOf(mxc), m)
			if err != nil {
				return err
			}
			mxcs = append(mxcs, mxc, "mxc://"+s.ServerName()+"/"+v.PageID, "mxc://"+s.ServerName()+"/"+v.ImageID)
		}
		return nil
	})
	return mxcs
}

func copyStore(t testing.TB, s *sandbox.Server) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "media")
	if err := os.CopyFS(to, os.DirFS(s.MediaStore())); err != nil {
		t.Fatal(err)
	}
	return to
}

// withoutNewest takes from a copy of the store the files of the three newest rows of a flow.
func withoutNewest(t *testing.T, s *sandbox.Server, store string, f item.Flow) string {
	t.Helper()
	paths := map[item.Flow]string{
		item.LocalMedia: `SELECT 'local_content/' || left(media_id, 2) || '/' || substr(media_id, 3, 2) || '/' || substr(media_id, 5)
			FROM local_media_repository WHERE url_cache IS NULL ORDER BY created_ts DESC LIMIT 3`,
		item.RemoteMedia: `SELECT 'remote_content/' || media_origin || '/' || left(filesystem_id, 2) || '/' || substr(filesystem_id, 3, 2) || '/' ||
			substr(filesystem_id, 5) FROM remote_media_cache ORDER BY created_ts DESC LIMIT 3`,
		item.Previews: `SELECT 'url_cache/' || left(media_id, 10) || '/' || substr(media_id, 12)
			FROM local_media_repository m WHERE EXISTS (SELECT FROM local_media_repository_url_cache c WHERE c.media_id = m.media_id)
			ORDER BY created_ts DESC LIMIT 3`,
	}
	for i, name := range stock.All[string](t, s, paths[f]) {
		move(t, filepath.Join(store, name), filepath.Join(store, fmt.Sprint("gone", i)))
	}
	return store
}

// TestWhatMayBeMissingIsNotMissed: Synapse takes the file of a page when its answer expires, an hour later, and its row two days
// later (media/url_previewer.py:817-853, 1.163.2). An admin may have removed what is quarantined.
func TestWhatMayBeMissingIsNotMissed(t *testing.T) {
	s := emptied(t)
	plantMedia(t, s, func(ctx context.Context, p *sandbox.Plant) error {
		for i := range 12 {
			if _, err := p.Preview(ctx, fmt.Sprint("https://example.org/", i), sandbox.Media{Created: time.Now().Add(-2 * time.Hour)}); err != nil {
				return err
			}
		}
		for i := range 4 {
			for _, m := range []sandbox.Media{{Created: time.Now().Add(-time.Hour)}, {Created: time.Now(), NoFile: true, QuarantinedBy: "@admin:localhost"}} {
				if _, err := p.LocalMedia(ctx, 1, m, 0); err != nil {
					return err
				}
				m.Origin = fmt.Sprint("server", i)
				m.LastAccess = m.Created
				if _, err := p.RemoteMedia(ctx, m); err != nil {
					return err
				}
			}
		}
		return nil
	})
	expired := stock.All[string](t, s, `SELECT media_id FROM local_media_repository_url_cache`)
	for _, id := range expired {
		content, _ := s.PreviewPaths(id)
		if err := os.Remove(content); err != nil {
			t.Fatal(err)
		}
	}
	execSQL(t, s, `DELETE FROM local_media_repository_url_cache`)
	before := stock.OfMedia(t, s)
	wantCauses(t, do(t, settings(s, item.LocalMedia, item.RemoteMedia, item.Previews)))
	stock.Exactly(t, s, before)
}

// TestAStoreThatIsNotTheServersIsRefused: not one row goes, and no room is purged.
func TestAStoreThatIsNotTheServersIsRefused(t *testing.T) {
	s := emptied(t)
	ofAllKinds(t, s, 8)
	for _, table := range []string{"local_media_repository", "remote_media_cache"} { // no two of one time
		execSQL(t, s, `UPDATE `+table+` m SET created_ts = created_ts + n FROM
			(SELECT ctid, row_number() OVER (ORDER BY media_id) AS n FROM `+table+`) o WHERE o.ctid = m.ctid`)
	}
	before := stock.OfMedia(t, s)
	events := stock.All[int](t, s, `SELECT count(*)::int FROM events`)[0]
	for name, change := range map[string]func(t *testing.T, store string) string{
		"missing": func(_ *testing.T, store string) string { return filepath.Join(store, "not", "there") },
		"a file":  func(_ *testing.T, _ string) string { return "/etc/passwd" },
		"empty":   func(t *testing.T, _ string) string { return t.TempDir() },
		"empty trees": func(t *testing.T, _ string) string {
			dir := t.TempDir()
			for _, tree := range stock.Trees() {
				if err := os.Mkdir(filepath.Join(dir, tree), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			return dir
		},
		"another server's": func(t *testing.T, store string) string {
			for _, tree := range stock.Trees() {
				// The same files under other ids.
				for _, dir := range glob(t, filepath.Join(store, tree, "*")) {
					move(t, dir, filepath.Join(filepath.Dir(dir), "other"+filepath.Base(dir)))
				}
			}
			return store
		},
		"one tree not mounted": func(t *testing.T, store string) string {
			move(t, filepath.Join(store, "remote_content"), filepath.Join(store, "elsewhere"))
			return store
		},
		"a tree is a link to nowhere": func(t *testing.T, store string) string {
			at := filepath.Join(store, "url_cache")
			move(t, at, filepath.Join(store, "elsewhere"))
			link(t, "nowhere", at)
			return store
		},
		"most files are missing": func(t *testing.T, store string) string {
			for i, name := range glob(t, filepath.Join(store, "local_content", "*", "*", "*")) {
				if i > 0 {
					move(t, name, filepath.Join(store, filepath.Base(name)))
				}
			}
			return store
		},
		"last night's backup, without today's uploads":         func(t *testing.T, store string) string { return withoutNewest(t, s, store, item.LocalMedia) },
		"last night's backup, without today's remote media":    func(t *testing.T, store string) string { return withoutNewest(t, s, store, item.RemoteMedia) },
		"last night's backup, without today's pages' pictures": func(t *testing.T, store string) string { return withoutNewest(t, s, store, item.Previews) },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := settings(s, item.Flows()...)
			cfg.MediaStore = change(t, copyStore(t, s))
			files := filesOf(t, cfg.MediaStore)
			r := do(t, cfg)
			wantCauses(t, r, item.CauseRefused)
			stock.Exactly(t, s, before)
			if diff := cmp.Diff(files, filesOf(t, cfg.MediaStore)); diff != "" {
				t.Errorf("files:\n%s", diff)
			}
			if now := stock.All[int](t, s, `SELECT count(*)::int FROM events`)[0]; now != events {
				t.Errorf("%d events, there were %d", now, events)
			}
			for _, f := range r.summary.Flows {
				if f.Ran {
					t.Errorf("%s ran", f.Flow)
				}
			}
			if len(r.summary.Errors) != 1 || !strings.Contains(r.summary.Errors[0].Hint, "--media-store") {
				t.Errorf("%+v", r.summary.Errors)
			}
		})
	}
}

// filesOf lists what lies below a directory, which need not be there.
func filesOf(t testing.TB, dir string) map[string]int64 {
	t.Helper()
	files := map[string]int64{}
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		return files
	}
	err := filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !d.IsDir() {
			files[strings.TrimPrefix(name, dir)]++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func glob(t testing.TB, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil || len(names) == 0 {
		t.Fatalf("%s: %v, %v", pattern, names, err)
	}
	return names
}

func move(t testing.TB, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func link(t testing.TB, to, at string) {
	t.Helper()
	if err := os.Symlink(to, at); err != nil {
		t.Fatal(err)
	}
}

// TestATreeMayBeALink: admins put trees on other disks.
func TestATreeMayBeALink(t *testing.T) {
	s := emptied(t)
	gone := ofAllKinds(t, s, 5)
	for _, tree := range []string{"remote_content", "url_cache_thumbnails", "local_thumbnails"} {
		at, elsewhere := filepath.Join(s.MediaStore(), tree), filepath.Join(t.TempDir(), "disk")
		move(t, at, elsewhere)
		link(t, elsewhere, at)
		t.Cleanup(func() { _ = os.Remove(at) })
	}
	before := stock.OfMedia(t, s)
	r := do(t, settings(s, item.LocalMedia, item.RemoteMedia, item.Previews))
	wantCauses(t, r)
	stock.Exactly(t, s, before.Without(t, gone...))
}

// TestSomeMissingFilesStopNothing: the files of one user were lost long ago, and his come first.
func TestSomeMissingFilesStopNothing(t *testing.T) {
	s := emptied(t)
	long := time.Now().Add(-longAgo)
	plantMedia(t, s, func(ctx context.Context, p *sandbox.Plant) error {
		lost := sandbox.Media{User: "@aaron:" + s.ServerName(), NoFile: true, Created: long, Thumbnails: 1}
		if _, err := p.LocalMedia(ctx, 45, lost, time.Second); err != nil {
			return err
		}
		_, err := p.LocalMedia(ctx, 180, sandbox.Media{User: "@zoe:" + s.ServerName(), Created: long, Thumbnails: 1}, time.Second)
		return err
	})
	before := stock.OfMedia(t, s)
	r := do(t, settings(s, item.LocalMedia))
	wantCauses(t, r)
	wantCounts(t, r, item.LocalMedia, map[string]int64{"done": 225})
	accounts(t, s, r, item.LocalMedia, before)
	if missing := r.flow(t, item.LocalMedia).Missing; missing != 45 {
		t.Errorf("%d files are reported missing, want 45", missing)
	}
	if left := stock.OfMedia(t, s); len(left.Rows)+len(left.Files) != 0 {
		t.Errorf("left are %v %v", left.Rows, left.Files)
	}
}

// TestAStoreThatGoesAwayDuringTheRun is unmounted when the first row is about to go.
func TestAStoreThatGoesAwayDuringTheRun(t *testing.T) {
	s := emptied(t)
	ofAllKinds(t, s, 12)
	before := stock.OfMedia(t, s)
	away := filepath.Join(s.MediaStore(), "away")
	r := meanwhile(t, s, settings(s, item.RemoteMedia), "remote_media_cache", func(context.Context, pgx.Tx) error {
		at := filepath.Join(s.MediaStore(), "remote_content", "elsewhere.example")
		if err := os.Rename(at, away); err != nil {
			return err
		}
		return os.RemoveAll(filepath.Join(s.MediaStore(), "remote_thumbnail", "elsewhere.example"))
	})
	t.Cleanup(func() { _ = os.RemoveAll(away) })
	wantCauses(t, r, item.CauseRefused, item.CauseLeft)
	gone := len(before.Rows) - len(stock.OfMedia(t, s).Rows)
	if sum := r.flow(t, item.RemoteMedia); sum.Rows != 1 || gone != 3 { // the row, and those of its two thumbnails
		t.Errorf("%d rows are reported, %d are gone", sum.Rows, gone)
	}
}

// TestAsAnotherUser runs the program itself as a user who is not root, whom the modes of files do not bind. Without root
// it is our own user, from whose own files the modes are taken.
func TestAsAnotherUser(t *testing.T) {
	dir := t.TempDir()
	passable(t, dir)
	name := filepath.Join(dir, "synupkeep")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", name, "synupkeep").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	o := otherUser{program: name}
	t.Run("a store of somebody else's is refused", o.isRefused)
	t.Run("a store that becomes unwritable stops the flow", o.isStopped)
	t.Run("the own store", o.deletes)
}

type otherUser struct{ program string }

const otherUID = 65534

func (o otherUser) run(t testing.TB, s *sandbox.Server, store string) (code int, r result) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), o.program, "run", "-d", "30d", "--skip", "history", "--json", "--media-store", store, "-a", s.APIURL())
	cmd.Dir = "/"
	cmd.Env = []string{"SYNUPKEEP_POSTGRES=" + s.ConnString(), "SYNUPKEEP_SYNAPSE_AUTH_TOKEN=" + s.AdminToken(), "HOME=/nonexistent"}
	if isRoot() {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: otherUID, Gid: otherUID}}
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(err)
	}
	r = result{out: stdout.String(), log: stderr.String()}
	if err := json.Unmarshal(stdout.Bytes(), &r.summary); err != nil {
		t.Fatalf("%v\n%s\n%s", err, stdout.String(), stderr.String())
	}
	r.causes = r.summary.Causes
	return cmd.ProcessState.ExitCode(), r
}

// ownStore is a copy of the store that the other user may look at, and owns if he is to.
func ownStore(t testing.TB, s *sandbox.Server, uid int) string {
	t.Helper()
	store := copyStore(t, s)
	passable(t, filepath.Dir(store))
	chown(t, store, uid)
	return store
}

// passable lets everybody into a temporary directory, which is ours alone.
func passable(t testing.TB, dir string) {
	t.Helper()
	for ; dir != filepath.Clean(os.TempDir()) && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func isRoot() bool { return os.Geteuid() == 0 }

// chown gives a store to a user. Without root there is none but ours: the store of root is then one that we may not write.
func chown(t testing.TB, dir string, uid int) {
	t.Helper()
	modes := func(mode os.FileMode) error {
		return filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				err = os.Chmod(name, mode)
			}
			return err
		})
	}
	var err error
	switch {
	case isRoot():
		err = filepath.WalkDir(dir, func(name string, _ os.DirEntry, err error) error {
			return errors.Join(err, os.Lchown(name, uid, uid))
		})
	case uid == otherUID:
		err = modes(0o755)
	default:
		err = modes(0o555)
		t.Cleanup(func() { _ = modes(0o755) })
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (o otherUser) isRefused(t *testing.T) {
	s := emptied(t)
	ofAllKinds(t, s, 4)
	before := stock.OfMedia(t, s)
	unreadable := ownStore(t, s, 0)
	mode := os.FileMode(0o700) // root's
	if !isRoot() {
		mode = 0
	}
	if err := os.Chmod(unreadable, mode); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(unreadable, 0o755) })
	for name, store := range map[string]string{"readable": ownStore(t, s, 0), "not even readable": unreadable} {
		code, r := o.run(t, s, store)
		if code != 13 {
			t.Errorf("%s: exit code %d, want 13\n%s%s", name, code, r.out, r.log)
		}
		wantCauses(t, r, item.CauseRefused)
		stock.Exactly(t, s, before)
		text := r.summary.Errors[0].Error
		if isRoot() && (!strings.Contains(text, "uid 65534") || !strings.Contains(text, "uid 0 (root)")) {
			t.Errorf("%s: the error does not name the owner and us: %s", name, text)
		}
	}
}

// isStopped: the store belongs to somebody else from the moment when the first row is about to go.
func (o otherUser) isStopped(t *testing.T) {
	s := emptied(t)
	ofAllKinds(t, s, 8)
	exec := func(sql string) { execSQL(t, s, sql) }
	exec(`DELETE FROM remote_media_cache`)
	exec(`DELETE FROM local_media_repository WHERE url_cache IS NOT NULL`)
	store := ownStore(t, s, otherUID)
	before := stock.OfMedia(t, s)
	var code int
	r := meanwhileDo(t, s, func() result {
		var r result
		code, r = o.run(t, s, store)
		return r
	}, "local_media_repository", func(context.Context, pgx.Tx) error {
		chown(t, store, 0)
		return nil
	})
	if code != 13 {
		t.Errorf("exit code %d, want 13\n%s%s", code, r.out, r.log)
	}
	wantCauses(t, r, item.CauseRefused, item.CauseItems, item.CauseLeft)
	sum := r.flow(t, item.LocalMedia)
	if sum.Rows != 1 || sum.Files != 0 { // others have failed before their rows were touched
		t.Errorf("more than the first batch of one: %+v", sum)
	}
	if gone := len(before.Rows) - len(stock.OfMedia(t, s).Rows); gone != 3 {
		t.Errorf("%d rows are gone, want the first and those of its two thumbnails", gone)
	}
}

func (o otherUser) deletes(t *testing.T) {
	s := emptied(t)
	ofAllKinds(t, s, 3)
	store := ownStore(t, s, otherUID)
	code, r := o.run(t, s, store)
	if code != 0 {
		t.Errorf("exit code %d\n%s%s", code, r.out, r.log)
	}
	for name := range filesOf(t, store) {
		if !strings.HasPrefix(name, "/.synupkeep/journal-") && !strings.HasPrefix(name, "/.synupkeep/references-") { // the state
			t.Errorf("%s is left", name)
		}
	}
	if rows := stock.OfMedia(t, s).Rows; len(rows) != 0 {
		t.Errorf("left are %v", rows)
	}
}
