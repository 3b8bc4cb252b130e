package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"synupkeep/config"
	"synupkeep/internal/item"
	"synupkeep/internal/logging"
	"synupkeep/internal/sandbox"
	"synupkeep/sinks"
	"synupkeep/stages"
)

// stops are the two contexts of a run and what ends them, as signals do.
type stops struct {
	ctx, feed     context.Context //nolint:containedctx // those of one run
	first, second func()
}

func newStops(t *testing.T) stops {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	feed, soft := context.WithCancelCause(ctx)
	t.Cleanup(func() { cancel(nil) })
	return stops{
		ctx: ctx, feed: feed,
		first:  func() { soft(&item.RunError{Cause: item.CauseTerminated, Doing: "stopped by a signal (terminated)"}) },
		second: func() { cancel(&item.RunError{Cause: item.CauseTerminated, Doing: "stopped at once (terminated)"}) },
	}
}

// hearer is a log that a test listens to.
type hearer struct {
	mu   sync.Mutex
	text bytes.Buffer
	hear func(line string)
}

func (h *hearer) Write(line []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.hear != nil {
		h.hear(string(line))
	}
	return h.text.Write(line)
}

// doStopped runs with short patience until it is stopped, and checks that its report adds up.
func doStopped(t *testing.T, cfg *config.Config, s stops, grace time.Duration, hear func(line string)) result {
	t.Helper()
	var out bytes.Buffer
	log := &hearer{hear: hear}
	r := newRun(cfg, logging.New(log, logging.LevelTrace, logging.Text))
	r.grace = grace
	got := result{causes: r.all(s.ctx, s.feed, &out)}
	got.log, got.out = log.text.String(), out.String()
	if err := json.Unmarshal(out.Bytes(), &got.summary); err != nil {
		t.Fatalf("the summary is not JSON: %v\n%s\n%s", err, got.out, got.log)
	}
	addsUp(t, got)
	return got
}

func addsUp(t *testing.T, r result) {
	t.Helper()
	for _, f := range r.summary.Flows {
		if f.Examined != f.Done+f.KeptTotal+f.SkippedTotal+f.LeftTotal+f.Failed {
			t.Errorf("%s: the parts are not the whole: %+v", f.Flow, f)
		}
	}
	if r.summary.ExitCode != item.ExitCode(r.causes) {
		t.Errorf("exit code %d of %v", r.summary.ExitCode, r.causes)
	}
}

// holding keeps purges of these rooms from coming to their end until the test lets go.
func holding(t *testing.T, s *sandbox.Server, rooms []*talk) (letGo func()) {
	t.Helper()
	held, free, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	var ids []string
	for _, r := range rooms {
		ids = append(ids, r.id)
	}
	go func() {
		defer close(done)
		err := s.WithDB(context.WithoutCancel(t.Context()), func(ctx context.Context, db *pgx.Conn) error {
			tx, err := db.Begin(ctx)
			if err != nil {
				return err
			}
			_, err = tx.Exec(ctx, `SELECT 1 FROM events WHERE room_id = ANY($1) ORDER BY event_id FOR UPDATE`, ids)
			close(held)
			<-free
			_ = tx.Rollback(ctx)
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}()
	<-held
	letGo = sync.OnceFunc(func() { close(free); <-done })
	t.Cleanup(letGo)
	return letGo
}

// TestAStopDuringPurges holds purges up until the run has gone without them. It names them, and the next run waits for
// them: no room is purged twice.
func TestAStopDuringPurges(t *testing.T) {
	s := sandbox.Shared(t)
	const inFlight = 3
	const soon, never = 300 * time.Millisecond, time.Hour
	tests := []struct {
		name  string
		grace time.Duration
		stop  func(s stops)
		limit bool // the stop is that of --max-duration
		want  []item.Cause
	}{
		{"SIGTERM", soon, func(s stops) { s.first() }, false, []item.Cause{item.CauseTerminated, item.CauseLeft}},
		{"SIGTERM twice", never, func(s stops) { s.first(); s.second() }, false, []item.Cause{item.CauseTerminated, item.CauseLeft}},
		{"time budget", soon, nil, true, []item.Cause{item.CauseLeft}},
	}
	groups := oldTalks(t, s, len(tests), inFlight+2)
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			rooms := groups[i]
			letGo := holding(t, s, rooms)
			f := newFront(t, s)
			cfg := only(s, f, rooms)
			cfg.History.InFlight = inFlight
			stops := newStops(t)
			if test.limit {
				cfg.MaxDuration = 3 * time.Second
			} else {
				f.onPurge = func(n int) int {
					if n == inFlight {
						time.AfterFunc(500*time.Millisecond, func() { test.stop(stops) }) // its answer comes meanwhile
					}
					return 0
				}
			}
			r := doStopped(t, cfg, stops, test.grace, nil)
			endsWith(t, r, test.want...)
			asked := f.asked()
			h := r.flow(t, item.History)
			if h.Examined != int64(len(rooms)) || h.LeftTotal != h.Examined || h.Left[item.Stopped] != h.LeftTotal || len(asked) == 0 {
				t.Errorf("%d asked for, %+v", len(asked), h)
			}
			leftToTheServer(t, r, asked)
			if h.Error != "" {
				t.Errorf("what stopped the run is no error of the flow: %s", h.Error)
			}

			first := adopts(t, s, rooms, r.summary.LeftPurges, letGo)
			for _, room := range rooms {
				if n := count(append(asked, first...), room.id); n != 1 {
					t.Errorf("%s was asked for %d times", room.name, n)
				}
				room.deleted(t, s)
				alive(t, s, room.id)
			}
		})
	}
}

func count(all []string, one string) (n int) {
	for _, v := range all {
		if v == one {
			n++
		}
	}
	return n
}

// leftToTheServer checks that exactly the purges that were asked for are named.
func leftToTheServer(t *testing.T, r result, asked []string) {
	t.Helper()
	var named []string
	for _, p := range r.summary.LeftPurges {
		named = append(named, p.RoomID)
		if p.PurgeID == "" {
			t.Errorf("the purge of %s has no name", p.RoomID)
		}
	}
	slices.Sort(named)
	asked = slices.Sorted(slices.Values(asked))
	if !slices.Equal(named, asked) {
		t.Errorf("named are %v, asked for were %v", named, asked)
	}
}

// adopts runs again, lets the purges go once the run waits for one of them, and returns what that run asked for.
func adopts(t *testing.T, s *sandbox.Server, rooms []*talk, left []sinks.LeftPurge, letGo func()) (asked []string) {
	t.Helper()
	f := newFront(t, s)
	waits := make(chan struct{})
	once := sync.OnceFunc(func() { close(waits) })
	f.onStatus = func(purge string) {
		if slices.ContainsFunc(left, func(p sinks.LeftPurge) bool { return p.PurgeID == purge }) {
			once()
		}
	}
	done := make(chan result, 1)
	go func() { done <- do(t, only(s, f, rooms)) }()
	var r result
	select {
	case <-waits:
		letGo()
		r = <-done
	case r = <-done:
		t.Error("the next run did not wait for a purge that was left")
	}
	endsWith(t, r)
	// Of the others that were left one may have come to its end before its room was looked at.
	if h := r.flow(t, item.History); h.Done+h.Kept[item.NothingToPurge] != int64(len(rooms)) || h.Done == 0 {
		t.Errorf("the next run: %+v", h)
	}
	return f.asked()
}

// What hangs on the database when the grace is over is left, and does not fail.
func TestNothingOutlastsTheGrace(t *testing.T) {
	s := sandbox.Shared(t)
	rooms := oldTalks(t, s, 1, 3)[0]
	stops := newStops(t)
	f := newFront(t, s)
	begun, locked := make(chan struct{}), make(chan struct{})
	begin := sync.OnceFunc(func() { close(begun) })
	f.onPurge = func(int) int {
		begin()
		<-locked // the server hangs as well
		return 0
	}
	cfg := only(s, f, rooms)
	cfg.RetryFor = time.Hour
	ended := make(chan error, 1)
	go func() {
		ended <- s.WithDB(t.Context(), func(ctx context.Context, db *pgx.Conn) error {
			<-begun
			tx, err := db.Begin(ctx)
			if err != nil {
				return err
			}
			_, err = tx.Exec(ctx, `LOCK TABLE events IN ACCESS EXCLUSIVE MODE`)
			close(locked)
			stops.first()
			<-stops.ctx.Done()
			return errors.Join(err, tx.Rollback(context.WithoutCancel(ctx)))
		})
	}()
	r := doStopped(t, cfg, stops, 100*time.Millisecond, nil)
	stops.second()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	endsWith(t, r, item.CauseTerminated, item.CauseLeft)
	h := r.flow(t, item.History)
	if h.Failed != 0 || h.Done != 0 || h.LeftTotal != 3 || len(r.summary.Errors) != 1 {
		t.Errorf("%+v, %+v", h, r.summary.Errors)
	}
	finish(t, s, rooms)
}

// After a hard stop not even the disk is asked.
func TestNothingIsLookedAtAfterAHardStop(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	passed := 0
	choose := stages.Choose{
		Budget: stages.NewBudget(0), Check: func(item.Media) (out item.Outcome, ok bool) { t.Error("it looks"); return out, true },
	}
	err := choose.Deletable(ctx, item.Media{},
		func(item.Media) error { passed++; return nil }, func(item.Outcome) error { t.Error("it has an outcome"); return nil })
	if err != nil || passed != 1 {
		t.Errorf("passed on %d times, %v", passed, err)
	}
}

// A run whose budget is not used up knows nothing of it.
func TestABudgetThatSuffices(t *testing.T) {
	s := sandbox.Shared(t)
	rooms := oldTalks(t, s, 1, 2)[0]
	cfg := only(s, nil, rooms)
	cfg.MaxDuration = time.Hour
	r := do(t, cfg)
	endsWith(t, r)
	if h := r.flow(t, item.History); h.Done != 2 {
		t.Errorf("%+v", h)
	}
}

// A budget that is used up before anything has begun leaves everything.
func TestABudgetThatIsTooSmallForAnything(t *testing.T) {
	s := sandbox.Shared(t)
	cfg := settings(s, item.Flows()...)
	cfg.MaxDuration = time.Nanosecond
	r := do(t, cfg)
	endsWith(t, r, item.CauseLeft)
	if len(r.summary.Errors) != 1 || r.summary.Errors[0].Doing != "time budget of 1ns used up" || !strings.Contains(r.summary.Errors[0].Hint, "next run goes on") {
		t.Errorf("%+v", r.summary.Errors)
	}
	for _, f := range r.summary.Flows {
		if f.Ran {
			t.Errorf("%s has begun", f.Flow)
		}
	}
}

// Of several causes the order of the exit codes decides; all are told.
func TestSeveralCauses(t *testing.T) {
	s := sandbox.Shared(t)
	const budget = 4 * time.Second // is not used up before the second purge
	tests := []struct {
		name string
		stop func(t *testing.T, s *sandbox.Server, stops stops)
		// fails is which of the purges the server refuses.
		fails int
		limit time.Duration
		want  []item.Cause
	}{
		{
			"signal and a failed item", func(_ *testing.T, _ *sandbox.Server, stops stops) { stops.first() }, 1, 0,
			[]item.Cause{item.CauseTerminated, item.CauseItems, item.CauseLeft},
		},
		{"budget and a failed item", func(*testing.T, *sandbox.Server, stops) {}, 1, budget, []item.Cause{item.CauseItems, item.CauseLeft}},
		{
			"lock lost and a signal", func(t *testing.T, s *sandbox.Server, stops stops) { loseLock(t, s); stops.first() }, 0, 0,
			[]item.Cause{item.CauseFailed, item.CauseTerminated, item.CauseLeft},
		},
		{
			"signal, then a lost lock", func(t *testing.T, s *sandbox.Server, stops stops) { stops.first(); loseLock(t, s) }, 0, 0,
			[]item.Cause{item.CauseFailed, item.CauseTerminated, item.CauseLeft},
		},
		{
			"budget and a signal", func(_ *testing.T, _ *sandbox.Server, stops stops) { stops.first() }, 0, budget,
			[]item.Cause{item.CauseTerminated, item.CauseLeft},
		},
	}
	groups := oldTalks(t, s, len(tests), 4)
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFront(t, s)
			cfg := only(s, f, groups[i])
			cfg.History.InFlight, cfg.MaxDuration = 1, test.limit
			stops := newStops(t)
			usedUp := make(chan struct{})
			f.onPurge = func(n int) int {
				if n == 2 && test.limit > 0 {
					<-usedUp
				}
				if n == 2 {
					test.stop(t, s, stops)
				}
				if n == test.fails {
					return http.StatusBadRequest
				}
				return 0
			}
			r := doStopped(t, cfg, stops, time.Minute, func(line string) {
				if strings.Contains(line, "the time budget of") {
					close(usedUp)
				}
			})
			endsWith(t, r, test.want...)
			h := r.flow(t, item.History)
			if len(f.asked()) != 2 || h.Failed != int64(test.fails) || h.Done != 2-h.Failed || h.LeftTotal != 2 {
				t.Errorf("%d asked for, %+v", len(f.asked()), h)
			}
		})
	}
}
