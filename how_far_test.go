package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"synupkeep/config"
	"synupkeep/internal/item"
	"synupkeep/internal/logging"
	"synupkeep/sinks/progress"
)

// heard is a stderr that may be read while it is written.
type heard struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (h *heard) Write(text []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.Write(text)
}

func (h *heard) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.String()
}

// until waits for a text.
func (h *heard) until(t *testing.T, text string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !strings.Contains(h.String(), text); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("nothing is said of %q\n%s", text, h)
		}
	}
}

// asks runs the program with a run of the test's own, which may ask how far it is.
func asks(t *testing.T, stderr io.Writer, run func(b *progress.Board, ask chan<- os.Signal, log *logging.Logger), args ...string) {
	t.Helper()
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	if hangs, ok := stderr.(blocked); ok {
		defer close(hangs.until)
	}
	asked := make(chan os.Signal, 1)
	board := progress.New()
	env := map[string]string{"SYNUPKEEP_POSTGRES": "host=db password=dbpassword", "SYNUPKEEP_SYNAPSE_AUTH_TOKEN": "syt_secretsecret"}
	code := program{
		args: args, now: time.Now(), stdout: io.Discard, stderr: stderr, patience: time.Minute, asked: asked, board: board,
		lookupEnv: func(name string) (string, bool) { value, set := env[name]; return value, set },
		exit:      func(code int) { t.Errorf("ended with exit code %d", code) },
		commands: map[config.Command]command{config.CommandRun: func(_, _ context.Context, _ *config.Config, log *logging.Logger, _ io.Writer) []item.Cause {
			run(board, asked, log)
			return nil
		}},
	}.main()
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestWhoAsksIsToldHowFarTheRunIs(t *testing.T) {
	for _, args := range [][]string{{"run", "-d", "30d"}, {"run", "-d", "30d", "--quiet"}, {"run", "-d", "30d", "--log-format", "json", "-l", "critical"}} {
		stderr := &heard{}
		asks(t, stderr, func(b *progress.Board, ask chan<- os.Signal, log *logging.Logger) {
			ask <- syscall.SIGUSR1
			stderr.until(t, "no run is under way")
			w := b.Watch("run", []item.Flow{item.History}, log)
			defer w.End()
			b.Phase("taking the lock")
			ask <- syscall.SIGUSR1
			stderr.until(t, "taking the lock, for 0s")
			stderr.until(t, "history: not begun")
			b.Phase("")
			b.Flow(item.History).Begin("")
			b.Flow(item.History).Enter("!slow:syt_secretsecret", "")
			ask <- syscall.SIGUSR1
			stderr.until(t, "in flight for 0s: !slow")
		}, args...)
		if slices.Contains(args, "json") {
			for line := range strings.Lines(stderr.String()) {
				if !json.Valid([]byte(line)) {
					t.Errorf("no JSON: %s", line)
				}
			}
		}
		if strings.Contains(stderr.String(), "secretsecret") {
			t.Errorf("%q: a secret shows\n%s", args, stderr)
		}
	}
}

// TestNobodyReadingTheAnswerHoldsUpNothing: many ask, nobody reads, and the run comes to its end.
func TestNobodyReadingTheAnswerHoldsUpNothing(t *testing.T) {
	hangs := blocked{make(chan struct{})}
	asks(t, hangs, func(b *progress.Board, ask chan<- os.Signal, log *logging.Logger) {
		w := b.Watch("run", []item.Flow{item.History}, log)
		defer w.End()
		for range 1000 {
			select {
			case ask <- syscall.SIGUSR1:
			case <-time.After(time.Minute):
				t.Fatal("asking waits for whoever reads")
			}
		}
	}, "run", "-d", "30d")
}
