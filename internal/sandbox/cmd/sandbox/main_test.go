package main

import (
	"bytes"
	"context"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"synupkeep/internal/sandbox"
)

const asCommand = "SANDBOX_TEST_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// run runs the command and returns what it said.
func run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), asCommand+"=1")
	var said bytes.Buffer
	cmd.Stderr = &said
	err := cmd.Run()
	return said.String(), err
}

// variables reads sandbox.env as a shell does.
func variables(t *testing.T, dir string) map[string]string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "sh", "-c", `. "$1" && env`, "sh", filepath.Join(dir, "sandbox.env")).Output()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{}
	for line := range strings.Lines(string(out)) {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		values[name] = value
	}
	return values
}

func TestUpAndDown(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "it's here")
	if said, err := run(t, "up", "--dir", dir, "--detach", "--empty"); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	first, err := sandbox.Running(dir)
	if err != nil || first == 0 {
		t.Fatalf("not running: %d, %v", first, err)
	}
	works(t, dir)
	if said, err := run(t, "up", "--dir", dir, "--detach"); err == nil || !strings.Contains(said, "stop it first") {
		t.Errorf("a second one in the same directory: %v: %s", err, said)
	}
	if err := syscall.Kill(first, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if said, err := run(t, "up", "--dir", dir, "--detach", "--empty"); err != nil {
		t.Fatalf("after a kill: %v: %s", err, said)
	}
	works(t, dir)
	for range 2 { // stopping what does not run is no error
		if said, err := run(t, "down", "--dir", dir); err != nil {
			t.Fatalf("%v: %s", err, said)
		}
	}
	if pid, err := sandbox.Running(dir); err != nil || pid != 0 {
		t.Errorf("still running: %d, %v", pid, err)
	}
}

// works uses all that sandbox.env tells.
func works(t *testing.T, dir string) {
	t.Helper()
	v := variables(t, dir)
	conn, err := pgx.Connect(t.Context(), v["SYNUPKEEP_POSTGRES_CONNECTION_STRING"])
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	token, err := os.ReadFile(v["SYNUPKEEP_TOKEN_FILE"])
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"token", "sandbox.env"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, v["SYNUPKEEP_SYNAPSE_API_URL"]+"/_synapse/admin/v1/background_updates/status", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("admin API: %d, %v", resp.StatusCode, err)
	}
	if info, err := os.Stat(v["SYNUPKEEP_MEDIA_STORE_PATH"]); err != nil || info.Mode().Type() != fs.ModeDir {
		t.Errorf("media store: %v, %v", info, err)
	}
}
