package pipeline

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"synupkeep/config"
	"synupkeep/internal/item"
	"synupkeep/internal/logging"
	"synupkeep/internal/sandbox"
	"synupkeep/proof/wire"
	"synupkeep/sinks/progress"
)

// lookedAt is a run that does not get farther than its first DELETE until it is let go.
type lookedAt struct {
	board  *progress.Board
	letGo  func() []item.Cause
	mu     sync.Mutex
	heard  []string
	silent chan struct{}
}

// lookAt begins a run of a flow on the sandbox.
func lookAt(t *testing.T, s *sandbox.Server, cfg *config.Config) *lookedAt {
	t.Helper()
	l := &lookedAt{board: progress.New(), silent: make(chan struct{})}
	speak := make(chan struct{})
	var first, last sync.Once
	proxy := wire.ToPostgres(t, s, func(w wire.Word) bool {
		if w.Answer {
			return true
		}
		l.mu.Lock()
		l.heard = append(l.heard, w.Text)
		l.mu.Unlock()
		if strings.Contains(w.Text, "DELETE FROM") {
			first.Do(func() { close(l.silent) })
			<-speak
		}
		return true
	})
	port := func(n int) string { return fmt.Sprint(" port=", n, " ") }
	cfg.Postgres = config.NewSecret(strings.Replace(s.ConnString(), port(s.PGPort()), port(proxy.Port), 1))
	ended := make(chan []item.Cause, 1)
	go func() {
		log := logging.New(io.Discard, logging.LevelTrace, logging.Text)
		ended <- Watched{Board: l.board}.Run(t.Context(), t.Context(), cfg, log, &bytes.Buffer{})
	}()
	l.letGo = func() []item.Cause {
		last.Do(func() { close(speak) })
		return <-ended
	}
	t.Cleanup(func() { last.Do(func() { close(speak) }) })
	<-l.silent
	return l
}

// says waits until who asks is told this.
func (l *lookedAt) says(t *testing.T, want string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !strings.Contains(strings.Join(l.board.Text(), "\n"), want); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("nothing is said of %q\n%s", want, strings.Join(l.board.Text(), "\n"))
		}
	}
}

// counts says whether somebody counted.
func (l *lookedAt) counts() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.heard, func(sql string) bool { return strings.Contains(sql, "SELECT count(*) FROM remote_media_cache WHERE") })
}

// TestALimitThatMayBeReachedLeavesTheTotalUnknown: of what is kept meanwhile nobody knows how much it is.
func TestALimitThatMayBeReachedLeavesTheTotalUnknown(t *testing.T) {
	s := sandbox.Shared(t)
	old := time.Now().Add(-90 * 24 * time.Hour)
	plantMedia(t, s, func(ctx context.Context, p *sandbox.Plant) error {
		for range 2 {
			if _, err := p.RemoteMedia(ctx, sandbox.Media{Origin: "limit.example", Created: old, LastAccess: old}); err != nil {
				return err
			}
		}
		return nil
	})
	db := mustDo(t, s.DB)
	rooms := make([]item.Room, 2)
	for limit, told := range map[int]bool{0: true, 1: false, 1_000_000: true} {
		cfg := settings(s, item.History, item.RemoteMedia)
		cfg.Media.Limit, cfg.History.Limit = limit, limit
		r := newRun(cfg, logging.New(io.Discard, logging.LevelTrace, logging.Text))
		r.cutOffs[item.RemoteMedia] = time.Now().Add(-30 * 24 * time.Hour)
		w := r.board.Watch("run", cfg.Flows, r.log)
		for _, f := range cfg.Flows {
			r.board.Flow(f).Begin("")
		}
		r.countAhead(t.Context(), db, item.RemoteMedia)
		r.listed(rooms)
		text := strings.Join(r.board.Text(), "\n")
		w.End()
		if strings.Contains(text, "remote-media: 0 of ") != told || strings.Contains(text, "history: 0 of 2 ") != told {
			t.Errorf("a limit of %d:\n%s", limit, text)
		}
	}
}

// TestWhatIsToComeIsCountedWhenSomebodyLooks: and not before.
func TestWhatIsToComeIsCountedWhenSomebodyLooks(t *testing.T) {
	s := sandbox.Shared(t)
	if r := do(t, settings(s, item.RemoteMedia)); len(r.causes) > 0 {
		t.Fatal(r.causes)
	}
	kept := int(do(t, settings(s, item.RemoteMedia)).flow(t, item.RemoteMedia).Examined) // by a rule, whatever is done
	const planted = 12
	old := time.Now().Add(-90 * 24 * time.Hour)
	plantMedia(t, s, func(ctx context.Context, p *sandbox.Plant) error {
		for range planted {
			if _, err := p.RemoteMedia(ctx, sandbox.Media{Origin: "counted.example", Created: old, LastAccess: old}); err != nil {
				return err
			}
		}
		return nil
	})

	limited := settings(s, item.RemoteMedia)
	limited.Media.Limit = 1
	l := lookAt(t, s, limited)
	if l.counts() {
		t.Error("it is counted ahead, and nobody looks")
	}
	l.says(t, " so far")
	for !l.counts() {
		time.Sleep(10 * time.Millisecond)
	}
	l.says(t, "in flight for ")
	l.says(t, "deleting the rows of 1 media")
	if causes := l.letGo(); !slices.Equal(causes, []item.Cause{item.CauseLeft}) {
		t.Errorf("causes %v", causes)
	}

	l = lookAt(t, s, settings(s, item.RemoteMedia))
	l.says(t, fmt.Sprintf(" of %d (", kept+planted-1))
	if causes := l.letGo(); len(causes) > 0 {
		t.Errorf("causes %v", causes)
	}
	if l.board.Text() != nil {
		t.Errorf("after the run: %q", l.board.Text())
	}
}
