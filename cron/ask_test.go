package cron

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"synupkeep/config"
	"synupkeep/internal/item"
	"synupkeep/internal/logging"
)

// askAt asks at an address and returns the exit code, what it printed and what it logged.
func askAt(t *testing.T, listen string) (code int, stdout, stderr string) {
	t.Helper()
	var out, log bytes.Buffer
	cfg := &config.Config{Cron: config.Cron{Listen: listen}}
	causes := Ask(t.Context(), t.Context(), cfg, logging.New(&log, logging.LevelInfo, logging.Text), &out)
	return item.ExitCode(causes), out.String(), log.String()
}

func TestADaemonIsAskedHowItIs(t *testing.T) {
	h := newHealth()
	listen, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listen.Addr().String()
	if err := listen.Close(); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := askAt(t, address); code != 1 || !strings.Contains(stderr, "is synupkeep cron there") {
		t.Errorf("nobody is there: exit code %d\n%s", code, stderr)
	}
	s, err := h.serve(t.Context(), address, "")
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if code, stdout, _ := askAt(t, address); code != 0 || !strings.Contains(stdout, `"healthy":true`) {
		t.Errorf("before the first run: exit code %d, %s", code, stdout)
	}
	h.end(time.Now(), 3)
	if code, stdout, stderr := askAt(t, address); code != 1 || !strings.Contains(stdout, `"exit_code":3`) || stderr != "" {
		t.Errorf("after a run that failed: exit code %d, %s\n%s", code, stdout, stderr)
	}
	h.end(time.Now(), 10)
	_, port, _ := net.SplitHostPort(address)
	if code, stdout, _ := askAt(t, "0.0.0.0:"+port); code != 0 {
		t.Errorf("where it listens at every address: exit code %d, %s", code, stdout)
	}
}

func TestWhoeverAsksCanBeStopped(t *testing.T) {
	silent, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0") // it takes the call and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	ctx, stop := context.WithCancelCause(t.Context())
	stop(&item.RunError{Cause: item.CauseTerminated, Doing: "stopped"})
	cfg := &config.Config{Cron: config.Cron{Listen: silent.Addr().String()}}
	if causes := Ask(ctx, ctx, cfg, quiet(), io.Discard); item.ExitCode(causes) != 143 {
		t.Errorf("%v", causes)
	}
}

func TestSomebodyElseAtTheAddressIsNotWell(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte("\x1b[2Jnothing"))
	}))
	defer other.Close()
	code, stdout, stderr := askAt(t, strings.TrimPrefix(other.URL, "http://"))
	if code != 1 || strings.ContainsRune(stdout, '\x1b') || !strings.Contains(stderr, "404") {
		t.Errorf("exit code %d, %q\n%s", code, stdout, stderr)
	}
}
