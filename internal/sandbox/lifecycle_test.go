package sandbox_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"synupkeep/internal/sandbox"
)

// childDir makes the test binary a predecessor that starts a sandbox in that directory and waits to be killed.
const childDir = "SANDBOX_TEST_CHILD_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		os.Exit(child(dir))
	}
	os.Exit(sandbox.TestMain(m))
}

func child(dir string) int {
	ctx := context.Background()
	s, err := sandbox.Start(ctx, sandbox.Options{Dir: dir, Log: os.Stderr})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	room, err := s.As("alice").CreateRoom(ctx, sandbox.RoomOptions{})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("up", os.Geteuid(), room, s.SynapsePID())
	_, _ = io.Copy(io.Discard, os.Stdin) // until the parent closes it
	if err := s.Stop(); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

func TestSideBySide(t *testing.T) {
	var servers [2]*sandbox.Server
	var errs [2]error
	var group sync.WaitGroup
	for i, o := range []sandbox.Options{
		{ServerName: "one.example", Env: []string{"TZ=America/New_York"}},
		{ServerName: "two.example", FreshCluster: true, ExtraConfig: "url_preview_enabled: false\n"},
	} {
		group.Go(func() { servers[i], errs[i] = sandbox.Start(t.Context(), o) })
	}
	group.Wait()
	for i, s := range servers {
		if errs[i] != nil {
			t.Fatal(errs[i])
		}
		alice := s.As("alice")
		if want := "@alice:" + []string{"one", "two"}[i] + ".example"; alice.UserID() != want {
			t.Errorf("user %s, want %s", alice.UserID(), want)
		}
		if _, err := alice.CreateRoom(t.Context(), sandbox.RoomOptions{}); err != nil {
			t.Error(err)
		}
		if got := column[int64](t, s, "SELECT count(*) FROM rooms"); got[0] != 1 {
			t.Errorf("%d rooms, want 1", got[0])
		}
	}
	if _, err := servers[1].As("alice").PreviewURL(t.Context(), "http://127.0.0.1/"); err == nil {
		t.Error("the extra configuration was not read: previews are on")
	}
	env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", servers[0].SynapsePID()))
	if err != nil || !bytes.Contains(env, []byte("TZ=America/New_York")) {
		t.Errorf("TZ is not in %q, %v", env, err)
	}
	for _, s := range servers {
		if err := errors.Join(s.Stop(), s.Stop()); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(s.Dir()); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left: %v", s.Dir(), err)
		}
	}
}

func TestDatabaseRoles(t *testing.T) {
	s := sandbox.Shared(t)
	code := func(conn string, sql string) string {
		c, err := pgx.Connect(t.Context(), conn)
		if err == nil {
			defer func() { _ = c.Close(context.WithoutCancel(t.Context())) }()
			_, err = c.Exec(t.Context(), sql)
		}
		var pg *pgconn.PgError
		if errors.As(err, &pg) {
			return pg.Code
		}
		if err != nil {
			return err.Error()
		}
		return ""
	}
	const sql = "SELECT count(*) FROM events"
	for _, c := range []struct{ name, conn, want string }{
		{"synapse", s.ConnString(), ""},
		{"wrong password", strings.Replace(s.ConnString(), s.PGPassword(), "wrong", 1), "28P01"},
		{"outsider", s.OutsiderConnString(), "42501"},
		{"superuser through TCP", strings.Replace(s.ConnString(), "user=synapse", "user=postgres", 1), "28000"},
		{"unknown database", strings.Replace(s.ConnString(), "dbname=synapse", "dbname=nothing", 1), "3D000"},
	} {
		if got := code(c.conn, sql); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestSnapshotAndReset(t *testing.T) {
	s := sandbox.Own(t, sandbox.Options{})
	ctx, alice := t.Context(), s.As("alice")
	room, messages := newRoom(t, s, s.NewestRoomVersion())
	data := sandbox.Picture(900, 700)
	mxc, err := alice.Upload(ctx, "image/png", data)
	if err != nil {
		t.Fatal(err)
	}
	content, thumbs, err := s.LocalPaths(mxc)
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(content)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Snapshot(ctx, "base"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := errors.Join(os.RemoveAll(content), os.RemoveAll(thumbs)); err != nil {
			t.Fatal(err)
		}
		added, err := s.As("bob").CreateRoom(ctx, sandbox.RoomOptions{Name: "after the snapshot"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := alice.Redact(ctx, room, messages[0]); err != nil {
			t.Fatal(err)
		}
		if err := s.Reset(ctx, "base"); err != nil {
			t.Fatal(err)
		}
		if _, err := s.As("bob").Send(ctx, added, "x"); err == nil {
			t.Error("a room of after the snapshot is still there")
		}
		if e, err := alice.Event(ctx, room, messages[0]); err != nil || e.Body() != "one" {
			t.Errorf("message after the reset: %+v, %v", e, err)
		}
		if status, got, err := alice.Download(ctx, mxc); err != nil || status != 200 || !bytes.Equal(got, data) {
			t.Errorf("download after the reset: %d, %d bytes, %v", status, len(got), err)
		}
		if list, err := os.ReadDir(thumbs); err != nil || len(list) == 0 {
			t.Errorf("thumbnails after the reset: %v, %v", list, err)
		}
		if after, err := os.Stat(content); err != nil || !after.ModTime().Equal(before.ModTime()) || after.Mode() != before.Mode() {
			t.Errorf("file after the reset: %v, %v", after, err)
		}
		serves(t, s, room, messages, nil)
	}
	if err := s.Reset(ctx, "never_made"); err == nil {
		t.Error("a reset to a snapshot that was never made is no error")
	}
}

func TestRestartKeepsPorts(t *testing.T) {
	s := sandbox.Own(t, sandbox.Options{})
	ctx := t.Context()
	room, messages := newRoom(t, s, "11")
	url, port := s.APIURL(), s.PGPort()
	if err := errors.Join(s.StopSynapse(ctx), s.StopPostgres(ctx)); err != nil {
		t.Fatal(err)
	}
	if pid := s.SynapsePID(); pid != 0 {
		t.Errorf("Synapse runs as %d", pid)
	}
	if _, err := s.As("alice").Send(ctx, room, "x"); err == nil {
		t.Error("the API answers while Synapse is down")
	}
	if _, err := s.DB(ctx); err == nil {
		t.Error("PostgreSQL answers while it is down")
	}
	if err := errors.Join(s.StartPostgres(ctx), s.StartSynapse(ctx)); err != nil {
		t.Fatal(err)
	}
	if err := s.StopPostgres(ctx); err != nil {
		t.Fatal(err)
	}
	var api *sandbox.APIError
	_, err := s.As("alice").Send(ctx, room, "x")
	if !errors.As(err, &api) || api.Status != 500 {
		t.Errorf("without its database Synapse answers %v", err)
	}
	if err := s.StartPostgres(ctx); err != nil {
		t.Fatal(err)
	}
	if s.APIURL() != url || s.PGPort() != port {
		t.Errorf("ports changed: %s and %d, were %s and %d", s.APIURL(), s.PGPort(), url, port)
	}
	// A connection of Synapse's pool finds out that it was cut with its next request, which fails.
	for range 20 {
		if _, err = s.As("alice").Send(ctx, room, "again"); err == nil {
			break
		}
	}
	serves(t, s, room, messages, nil)
}

// startChild runs this test binary as a predecessor and returns its room once it is up.
func startChild(t *testing.T, cmd *exec.Cmd) (room string, end io.Closer) {
	t.Helper()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	fields := strings.Fields(line)
	if err != nil || len(fields) != 4 || fields[0] != "up" {
		rest, _ := io.ReadAll(stdout)
		_ = cmd.Process.Kill()
		t.Fatalf("the child did not start: %s%s, %v", line, rest, errors.Join(err, cmd.Wait()))
	}
	if got := fmt.Sprint(cmd.SysProcAttr.Credential); cmd.SysProcAttr.Credential != nil && fields[1] != fmt.Sprint(cmd.SysProcAttr.Credential.Uid) {
		t.Errorf("the child ran as %s, not as %s", fields[1], got)
	}
	return fields[2], stdin
}

func TestKilledPredecessor(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("long", 30), "sandbox") // longer than a socket's path may be
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	room, _ := startChild(t, cmd)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	s := sandbox.Own(t, sandbox.Options{Dir: dir})
	serves(t, s, room, nil, nil)
	_, err := sandbox.Start(t.Context(), sandbox.Options{Dir: dir})
	if err == nil || !strings.Contains(err.Error(), "stop it first") {
		t.Errorf("a second sandbox in the same directory: %v", err)
	}
	serves(t, s, room, nil, nil)
}
