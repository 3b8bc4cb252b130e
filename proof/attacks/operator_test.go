package attacks_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"synupkeep/internal/references"
	"synupkeep/internal/sandbox"
	"synupkeep/internal/sandbox/stock"
	"synupkeep/proof/program"
)

// gallery is an old picture that a message of today shows, and one that nothing shows.
func gallery(t *testing.T, s *sandbox.Server) (shown, unshown string) {
	t.Helper()
	ctx, user := t.Context(), s.As("painter")
	room := must[string](t)(user.CreateRoom(ctx, sandbox.RoomOptions{}))
	shown = must[string](t)(user.Upload(ctx, "image/png", sandbox.Picture(60, 60)))
	unshown = must[string](t)(user.Upload(ctx, "image/png", sandbox.Picture(60, 60)))
	must[string](t)(user.SendContent(ctx, room, "m.room.message", map[string]any{"msgtype": "m.image", "body": "b", "url": shown}))
	old := time.Now().Add(-longAgo)
	plant(t, s, func(ctx context.Context, p *sandbox.Plant) error { return p.AgeMedia(ctx, old, old, shown, unshown) })
	return shown, unshown
}

// TestAForgedMemoryIsNotBelieved gives the run a state directory that is open to every user of the machine, one of whom has
// put a memory there by which no event shows anything.
func TestAForgedMemoryIsNotBelieved(t *testing.T) {
	s := sandbox.Shared(t)
	shown, _ := gallery(t, s)
	w := where(t, s)
	wantCode(t, program.Run(t, w, "--only", "local-media"), 0)
	memory := references.In(w.StateDir, s.ServerName())
	honest, err := memory.Read()
	if err != nil {
		t.Fatal(err)
	}
	head := honest.Head()
	honest.Close()
	forged, err := memory.Write(head)
	if err != nil {
		t.Fatal(err)
	}
	if err := forged.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(w.StateDir, 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	_, another := gallery(t, s) // or nothing would be old enough to ask what is shown
	r := program.Run(t, w, "--only", "local-media")
	wantCode(t, r, 0)
	if !strings.Contains(r.Log, "everybody may write to it") {
		t.Errorf("the log does not say why everything is read:\n%s", r.Log)
	}
	for mxc, want := range map[string]int{shown: http.StatusOK, another: http.StatusNotFound} {
		if status, _, err := s.As("painter").Download(t.Context(), mxc); err != nil || status != want {
			t.Errorf("%s: %d, want %d (%v)", mxc, status, want, err)
		}
	}
}

// TestMistakesOfAnOperatorDeleteNothing makes each mistake once: the exit code tells what kind it is, the error says what to do, and
// everything is as it was.
func TestMistakesOfAnOperatorDeleteNothing(t *testing.T) {
	s := sandbox.Shared(t)
	gallery(t, s)
	before := stock.OfServer(t, s)
	for name, test := range map[string]struct {
		with func(t *testing.T, w *program.Where)
		args []string
		code int
		says string
	}{
		"seconds taken for days":      {args: []string{"--delta", "30"}, code: 2, says: "is too young"},
		"minutes or months":           {args: []string{"--delta", "6m"}, code: 2, says: "6m"},
		"a day that is still to come": {args: []string{"--before", "2199-01-01"}, code: 2, says: "lies in the future"},
		"token and connection string exchanged": {
			with: func(_ *testing.T, w *program.Where) {
				w.Env = map[string]string{"SYNUPKEEP_POSTGRES_CONNECTION_STRING": s.AdminToken(), "SYNUPKEEP_SYNAPSE_AUTH_TOKEN": s.ConnString()}
			}, code: 2, says: "SYNUPKEEP_POSTGRES_CONNECTION_STRING",
		},
		"a word that is nothing":           {args: []string{"plna"}, code: 2, says: "is not a connection string"},
		"a room misspelled":                {args: []string{"--not-room", "!keep:localhsot"}, code: 2, says: "!keep:localhsot"},
		"a limit of nothing":               {args: []string{"--max-media", "0%"}, code: 2, says: "--max-media"},
		"the directory above the store":    {with: func(_ *testing.T, w *program.Where) { w.MediaStore = filepath.Dir(s.MediaStore()) }, code: 13, says: "--media-store"},
		"one of the store's trees":         {with: func(_ *testing.T, w *program.Where) { w.MediaStore = filepath.Join(s.MediaStore(), "local_content") }, code: 13, says: "--media-store"},
		"the root of the machine":          {with: func(_ *testing.T, w *program.Where) { w.MediaStore = "/" }, code: 13, says: "--media-store"},
		"a role that sees a part only":     {with: hidden, code: 1, says: "row-level security"},
		"a state directory that is a file": {with: stateFile, code: 1, says: "--state-dir"},
		"the API of something else":        {with: func(_ *testing.T, w *program.Where) { w.APIURL = s.APIURL() + "/elsewhere" }, code: 1, says: "elsewhere"},
	} {
		t.Run(name, func(t *testing.T) {
			w := where(t, s)
			if test.with != nil {
				test.with(t, &w)
			}
			r := program.Run(t, w, test.args...)
			wantCode(t, r, test.code)
			if !strings.Contains(r.Out+r.Log, test.says) {
				t.Errorf("it does not say %q:\n%s\n%s", test.says, r.Out, r.Log)
			}
			for _, secret := range []string{s.AdminToken(), s.PGPassword()} {
				if strings.Contains(r.Out+r.Log, secret) {
					t.Error("a secret shows")
				}
			}
			stock.SameRooms(t, before.Rooms, stock.OfRooms(t, s))
			stock.Exactly(t, s, before.Media)
		})
	}
}

// hidden has the database hide rows of profiles from everybody, for which the sandbox's role as their owner must be forced.
func hidden(t *testing.T, w *program.Where) {
	t.Helper()
	execSQL(t, w.Server, `ALTER TABLE profiles ENABLE ROW LEVEL SECURITY; ALTER TABLE profiles FORCE ROW LEVEL SECURITY;
		CREATE POLICY few ON profiles USING (full_user_id LIKE '@a%')`)
	t.Cleanup(func() {
		err := w.Server.WithDB(context.Background(), func(ctx context.Context, conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, `DROP POLICY few ON profiles; ALTER TABLE profiles NO FORCE ROW LEVEL SECURITY; ALTER TABLE profiles DISABLE ROW LEVEL SECURITY`)
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
}

func stateFile(t *testing.T, w *program.Where) {
	t.Helper()
	w.StateDir = filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(w.StateDir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}
