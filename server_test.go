package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"synupkeep/internal/sandbox"
	"synupkeep/sinks/progress"
)

// onServer runs the program as it is on the sandbox. Nothing comes from the environment but what is given.
type onServer struct {
	s   *sandbox.Server
	env map[string]string
}

func (o onServer) run(args ...string) (code int, stdout, stderr string) {
	var out, log bytes.Buffer
	board := progress.New()
	code = program{
		args: args, now: time.Now(), stdout: &out, stderr: &log, board: board, commands: commands(board),
		lookupEnv: func(name string) (string, bool) { value, set := o.env[name]; return value, set },
	}.main()
	return code, out.String(), log.String()
}

// seeded is a sandbox with an old room, old media and an avatar.
func seeded(t *testing.T) onServer {
	t.Helper()
	s := sandbox.Shared(t)
	plantOld(t, s)
	return onServer{s: s, env: map[string]string{
		"SYNUPKEEP_SYNAPSE_API_URL": s.APIURL() + "/", "SYNUPKEEP_MEDIA_STORE_PATH": s.MediaStore(),
		"SYNUPKEEP_STATE_DIR": filepath.Join(t.TempDir(), "state"),
	}}
}

// plantOld plants an old room, and an old picture that nothing shows.
func plantOld(t *testing.T, s *sandbox.Server) {
	t.Helper()
	ctx, alice := t.Context(), s.As("alice")
	room, err := alice.CreateRoom(ctx, sandbox.RoomOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, body := range []string{"one", "two", "three"} {
		if _, err := alice.Send(ctx, room, body); err != nil {
			t.Fatal(err)
		}
	}
	mxc, err := alice.Upload(ctx, "image/png", sandbox.Picture(100, 100))
	if err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-90 * 24 * time.Hour)
	err = s.Plant(ctx, func(ctx context.Context, p *sandbox.Plant) error {
		if err := p.AgeRoom(ctx, room, 90*24*time.Hour); err != nil {
			return err
		}
		return p.AgeMedia(ctx, old, old, mxc)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestTheFormOfOneZeroZero gives connection string and token as arguments, in both forms, with flags on either side.
func TestTheFormOfOneZeroZero(t *testing.T) {
	o := seeded(t)
	asURL := (&url.URL{
		Scheme: "postgres", User: url.UserPassword(o.s.PGUser(), o.s.PGPassword()),
		Host: o.s.PGHost() + ":" + strconv.Itoa(o.s.PGPort()), Path: o.s.Database(), RawQuery: "sslmode=disable",
	}).String()
	for i, args := range [][]string{
		{o.s.ConnString(), o.s.AdminToken(), "-d", "2592000"},
		{"-d", "2592000", asURL, o.s.AdminToken()},
		{"--logging-level=INFO", o.s.ConnString(), "-m", o.s.MediaStore(), o.s.AdminToken(), "-a", o.s.APIURL()}, // 86400 s
	} {
		code, stdout, stderr := o.run(args...)
		if code != 0 || !strings.Contains(stdout, "(exit code 0)") {
			t.Fatalf("%d: exit code %d\n%s\n%s", i, code, stdout, stderr)
		}
		if first := i == 0; strings.Contains(stdout, "1 room purged") != first || strings.Contains(stdout, "1 local media item deleted") != first {
			t.Errorf("%d: %s", i, stdout)
		}
		if !strings.Contains(stderr, "WARNING") || !strings.Contains(stderr, "--token-file") {
			t.Errorf("%d: nothing is said of what ps shows\n%s", i, stderr)
		}
	}
}

// TestNoSecretIsEverPrinted runs at TRACE, well and badly, and greps all that was written.
func TestNoSecretIsEverPrinted(t *testing.T) {
	o := seeded(t)
	const wrong = "wr0ng-s3cret"
	conn, token := o.s.ConnString(), o.s.AdminToken()
	badPassword := strings.Replace(conn, o.s.PGPassword(), wrong, 1)
	report := filepath.Join(t.TempDir(), "report.json")
	for _, run := range []struct {
		name string
		code int
		args []string
	}{
		{"well", 0, []string{conn, token, "-d", "30d"}},
		{"json", 0, []string{conn, token, "-d", "30d", "--json", "--log-format", "json"}},
		{"wrong password", 1, []string{badPassword, token, "-d", "30d"}},
		{"wrong port", 1, []string{conn + " port=1", token, "-d", "30d"}},
		{"unknown database", 1, []string{conn + " dbname=nothing", token, "-d", "30d"}},
		{"not a Synapse", 1, []string{o.s.OutsiderConnString(), token, "-d", "30d"}},
		{"wrong token", 12, []string{conn, wrong, "-d", "30d"}},
		{"no server", 1, []string{conn, token, "-d", "30d", "-a", "http://127.0.0.1:1"}},
		{"wrong store", 13, []string{conn, token, "-d", "30d", "-m", t.TempDir() + "/none"}},
		{"wrong usage", 2, []string{conn, token, "-d", "5m"}},
		{"one argument too many", 2, []string{conn, token, wrong}},
		{"the other way round", 2, []string{token, conn, "-d", "30d"}},
	} {
		code, stdout, stderr := o.run(append(run.args, "-l", "TRACE", "--report", report)...)
		if code != run.code {
			t.Errorf("%s: exit code %d, want %d\n%s\n%s", run.name, code, run.code, stdout, stderr)
		}
		written := stdout + stderr
		if run.code != 2 {
			content, err := os.ReadFile(report)
			if err != nil {
				t.Fatal(err)
			}
			var summary struct {
				ExitCode int `json:"exit_code"`
			}
			if err := json.Unmarshal(content, &summary); err != nil || summary.ExitCode != code {
				t.Errorf("%s: the report says %d (%v)", run.name, summary.ExitCode, err)
			}
			written += string(content)
		}
		for _, secret := range []string{token, o.s.PGPassword(), wrong} {
			if strings.Contains(written, secret) {
				t.Errorf("%s: %q was written\n%s", run.name, secret, written)
			}
		}
	}
}
