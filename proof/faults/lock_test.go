package faults_test

import (
	"bytes"
	"context"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"synupkeep/internal/sandbox/stock"
	"synupkeep/proof/program"
)

// ofTheLock selects from pg_locks what holds the advisory lock of a run.
const ofTheLock = `locktype = 'advisory' AND granted AND objsubid = 1
	AND (classid::bigint << 32) | objid::bigint = x'73796e75706b6565'::bigint`

// loseLock has the server end the session of the run's lock, and takes the lock for somebody else.
func (w *world) loseLock(t *testing.T) {
	t.Helper()
	other, err := w.s.DB(t.Context())
	must(t, err)
	t.Cleanup(func() { _ = other.Close(context.Background()) })
	var ended, taken bool
	must(t, other.QueryRow(t.Context(), `SELECT bool_and(pg_terminate_backend(pid, 10000)) FROM pg_locks WHERE `+ofTheLock).Scan(&ended))
	must(t, other.QueryRow(t.Context(), `SELECT pg_try_advisory_lock(x'73796e75706b6565'::bigint)`).Scan(&taken))
	if !ended || !taken {
		t.Fatalf("the session has ended: %v, the lock is free: %v", ended, taken)
	}
	t.Cleanup(func() { _ = other.Close(context.Background()) })
}

// unlock ends the sessions of runs that have ended, of which the server has not heard, and whoever else holds the lock.
func (w *world) unlock(t *testing.T) {
	t.Helper()
	stock.All[bool](t, w.s, `SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
		WHERE application_name = 'synupkeep' OR pid IN (SELECT pid FROM pg_locks WHERE `+ofTheLock+`)`)
}

// TestALockThatIsLostUnheard: the session of the lock has ended at the server, of which the run hears nothing, since its
// connection is half open. Another run could begin, so from then on nothing is begun any more, long before the lock is
// due to be looked at again.
func TestALockThatIsLostUnheard(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		args []string
		// table is written to by what is under way when the lock is lost.
		table string
		// begun counts what a run began.
		begun string
		most  int // what may be under way when the lock is lost
	}{
		"in history": {
			[]string{"--only", "history", "--purge-concurrency", "1"},
			"event_edges",
			`SELECT count(*)::int FROM scheduled_tasks`, 0,
		},
		"while media goes": {
			[]string{"--only", "local-media", "--batch-size", "1"},
			"local_media_repository_thumbnails",
			`SELECT -count(*)::int FROM local_media_repository`, 2,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := lend(t)
			w.back(t)
			var lock atomic.Pointer[tapped]
			port := newTap(t, w.s, func(c *tapped, sent []byte) {
				if bytes.Contains(sent, []byte("pg_try_advisory_lock")) {
					lock.Store(c)
				}
			})
			where := w.where()
			where.Postgres = program.ThroughPort(w.s, port)
			held := w.hold(t, test.table)
			p := program.Start(t, where, test.args...)
			w.waited(t, test.table, 1)
			lock.Load().silent.Store(true)
			w.loseLock(t)
			before := stock.All[int](t, w.s, test.begun)[0]
			held.release()
			r := p.Wait(t)
			sum, _ := w.honest(t, r)
			if r.Code != 1 || !says(sum, "the lock was lost") {
				t.Errorf("exit code %d, %+v\n%s", r.Code, sum.Errors, r.Log)
			}
			if n := stock.All[int](t, w.s, test.begun)[0] - before; n > test.most {
				t.Errorf("%d deletions were begun although the lock was another's", n)
			}
			if other := program.Run(t, w.where()); other.Code != 11 {
				t.Errorf("another run beside the holder of the lock: exit code %d", other.Code)
			}
			w.unlock(t)
			w.finishes(t)
		})
	}
}

// TestTwoRunsShareTheWork: one loses its lock, the other takes it and does the rest.
func TestTwoRunsShareTheWork(t *testing.T) {
	t.Parallel()
	w := lend(t)
	w.back(t)
	p := program.Start(t, w.where(), slowly()...)
	w.wait(t, inMedia, p)
	must(t, w.s.WithDB(t.Context(), func(ctx context.Context, db *pgx.Conn) error {
		_, err := db.Exec(ctx, `SELECT pg_terminate_backend(pid, 10000) FROM pg_locks WHERE `+ofTheLock)
		return err
	}))
	second := program.Run(t, w.where(), "--batch-size", "20")
	first := p.Wait(t)
	a, b := first.Summary(t), second.Summary(t)
	if first.Code != 1 || second.Code != 0 && second.Code != 11 {
		t.Errorf("exit codes %d, %d\n%s\n%s", first.Code, second.Code, first.Log, second.Log)
	}
	now := stock.OfServer(t, w.s)
	for i, f := range a.Flows[1:] {
		if gone := rowsGone(w.before, now, string(f.Flow)); f.Rows+b.Flows[1+i].Rows != gone {
			t.Errorf("of %s they say to have deleted %d and %d, together it is %d", f.Flow, f.Rows, b.Flows[1+i].Rows, gone)
		}
	}
	w.finishes(t)
}
