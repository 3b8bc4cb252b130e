package pipeline

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"synupkeep/config"
	"synupkeep/internal/item"
	"synupkeep/internal/sandbox"
)

// oldTalks makes groups of rooms with old messages to purge.
func oldTalks(t *testing.T, s *sandbox.Server, groups, n int) [][]*talk {
	t.Helper()
	all := make([][]*talk, groups)
	for i := range all {
		for j := range n {
			all[i] = append(all[i], newTalk(t, s, fmt.Sprintf("room %d of group %d", j, i), sandbox.RoomOptions{}, 0))
		}
	}
	plant(t, s, func(ctx context.Context, p *sandbox.Plant) error {
		for _, r := range slices.Concat(all...) {
			if err := r.plantOld(ctx, p, 20); err != nil {
				return err
			}
		}
		return nil
	})
	for _, r := range slices.Concat(all...) {
		r.before = rowsOf(t, s, r.id)
	}
	return all
}

// finish runs undisturbed and checks that everything old has gone, and nothing else.
func finish(t *testing.T, s *sandbox.Server, rooms []*talk) {
	t.Helper()
	cfg := only(s, nil, rooms)
	cfg.History.Timeout = 3 * time.Minute // the server takes up an interrupted purge within a minute
	r := do(t, cfg)
	endsWith(t, r)
	if h := r.flow(t, item.History); h.Failed != 0 || h.LeftTotal != 0 {
		t.Errorf("the next run: %+v", h)
	}
	for _, r := range rooms {
		r.deleted(t, s)
		alive(t, s, r.id)
	}
}

func TestHistoryMeetsTrouble(t *testing.T) {
	s := sandbox.Shared(t)
	groups := oldTalks(t, s, 5, 6)
	rooms := groups[0]

	t.Run("server down at the start", func(t *testing.T) {
		if err := s.StopSynapse(t.Context()); err != nil {
			t.Fatal(err)
		}
		r := do(t, only(s, nil, rooms))
		endsWith(t, r, item.CauseFailed)
		if r.summary.ExitCode != 1 || !strings.Contains(r.out, "speak to Synapse") || !strings.Contains(r.out, "Is Synapse running") {
			t.Errorf("exit code %d: %s", r.summary.ExitCode, r.out)
		}
		if err := s.StartSynapse(t.Context()); err != nil {
			t.Fatal(err)
		}
	})

	t.Run("server stopped in the middle", func(t *testing.T) {
		f := newFront(t, s)
		var stopped sync.WaitGroup
		f.onPurge = func(n int) int {
			if n == 4 {
				stopped.Go(func() {
					if err := s.StopSynapse(t.Context()); err != nil {
						t.Error(err)
					}
				})
			}
			return 0
		}
		cfg := only(s, f, rooms)
		cfg.RetryFor = 2 * time.Second
		r := do(t, cfg)
		stopped.Wait()
		h := r.flow(t, item.History)
		if r.summary.ExitCode != 1 || r.causes[0] != item.CauseFailed {
			t.Errorf("causes %v", r.causes)
		}
		if h.Done < 1 || h.Done == int64(len(rooms)) || h.Done+h.LeftTotal+h.Failed != int64(len(rooms)) || !strings.Contains(r.out, "The next run goes on") {
			t.Errorf("%+v\n%s", h, r.out)
		}
		// A purge that the stop interrupted holds the lock of its room for two minutes more; clients that scroll wait as long.
		err := s.WithDB(t.Context(), func(ctx context.Context, conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, `DELETE FROM worker_read_write_locks`)
			return err
		})
		if err := errors.Join(err, s.StartSynapse(t.Context())); err != nil {
			t.Fatal(err)
		}
		finish(t, s, rooms)
	})

	t.Run("502 for a while", func(t *testing.T) {
		rooms := groups[1]
		f := newFront(t, s)
		var mu sync.Mutex
		var until time.Time
		f.onPurge = func(n int) int {
			mu.Lock()
			defer mu.Unlock()
			if n == 3 {
				until = time.Now().Add(time.Second)
				return http.StatusBadGateway
			}
			return 0
		}
		f.away = func() int {
			mu.Lock()
			defer mu.Unlock()
			if time.Now().Before(until) {
				return http.StatusBadGateway
			}
			return 0
		}
		r := do(t, only(s, f, rooms))
		endsWith(t, r)
		h := r.flow(t, item.History)
		if h.Done != int64(len(rooms)) || h.Retries < 1 {
			t.Errorf("%+v", h)
		}
		finish(t, s, rooms)
	})

	t.Run("answers that get lost", func(t *testing.T) {
		rooms := groups[2]
		f := newFront(t, s)
		f.lose = func(n int) bool { return n%2 == 0 }
		r := do(t, only(s, f, rooms))
		endsWith(t, r)
		if h := r.flow(t, item.History); h.Done != int64(len(rooms)) || h.Retries < 1 {
			t.Errorf("%+v", h)
		}
		if len(f.asked()) != len(rooms) {
			t.Errorf("%d purges of %d rooms: one whose answer was lost was asked for again", len(f.asked()), len(rooms))
		}
		finish(t, s, rooms)
	})

	t.Run("a second run", func(t *testing.T) {
		rooms := groups[3]
		f := newFront(t, s)
		var second result
		f.onPurge = func(n int) int {
			if n == 2 {
				second = do(t, only(s, nil, rooms))
			}
			return 0
		}
		first := do(t, only(s, f, rooms))
		endsWith(t, first)
		endsWith(t, second, item.CauseLocked)
		if second.summary.ExitCode != 11 || second.flow(t, item.History).Examined != 0 || !strings.Contains(second.out, "synupkeep") {
			t.Errorf("exit code %d: %s", second.summary.ExitCode, second.out)
		}
		finish(t, s, rooms)
	})

	t.Run("database restarted in the middle", func(t *testing.T) {
		rooms := groups[4]
		f := newFront(t, s)
		f.onPurge = func(n int) int {
			if n == 3 {
				if err := errors.Join(s.StopPostgres(t.Context()), s.StartPostgres(t.Context())); err != nil {
					t.Error(err)
				}
			}
			return 0
		}
		r := do(t, only(s, f, rooms))
		h := r.flow(t, item.History)
		// None may be done: whatever the server was at when it lost its database, it never ends.
		if h.Examined != int64(len(rooms)) || h.Done+h.Failed+h.LeftTotal != h.Examined {
			t.Errorf("%+v\n%s", h, r.log)
		}
		if (h.Done < h.Examined) == (r.summary.ExitCode == 0) {
			t.Errorf("causes %v of %+v", r.causes, h)
		}
		// A task whose end could not be written down stays active, and keeps its slot, until Synapse is restarted; that
		// then takes it up within a minute, which is not waited for here.
		err := s.WhileDown(t.Context(), func(ctx context.Context, db *pgx.Conn) error {
			_, err := db.Exec(ctx, `DELETE FROM scheduled_tasks WHERE status IN ('active', 'scheduled')`)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		finish(t, s, rooms)
	})
}

func TestDatabaseIsNotThere(t *testing.T) {
	s := sandbox.Shared(t)
	for _, test := range []struct {
		name, conn, says, hint string
	}{
		{"unreachable", strings.Replace(s.ConnString(), fmt.Sprintf("port=%d", s.PGPort()), "port=1", 1), "refused", "Is PostgreSQL running"},
		{"wrong password", strings.Replace(s.ConnString(), s.PGPassword(), "wrong-secret", 1), "28P01", "Compare user and password"},
		{"no such database", strings.Replace(s.ConnString(), "dbname="+s.Database(), "dbname=nowhere", 1), "3D000", "Give the name of Synapse's database"},
		{"not Synapse's", strings.Replace(s.ConnString(), "dbname="+s.Database(), "dbname=postgres", 1), "not the database of a Synapse", "Synapse's own database"},
		{"without rights", s.OutsiderConnString(), "privilege", "GRANT"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.conn == s.ConnString() {
				t.Fatalf("the connection string has another form: the test changes nothing")
			}
			cfg := settings(s, item.History)
			cfg.Postgres = config.NewSecret(test.conn)
			r := do(t, cfg)
			endsWith(t, r, item.CauseFailed)
			if !strings.Contains(r.out, test.says) || !strings.Contains(r.out, test.hint) {
				t.Errorf("the summary names neither %q nor %q: %s", test.says, test.hint, r.out)
			}
			for _, secret := range []string{s.PGPassword(), "wrong-secret", s.AdminToken()} {
				if strings.Contains(r.out+r.log, secret) {
					t.Errorf("a secret was printed: %s%s", r.out, r.log)
				}
			}
		})
	}
}
