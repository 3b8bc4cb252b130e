package faults_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"synupkeep/internal/sandbox/stock"
	"synupkeep/proof/program"
)

// held keeps a table from being written to until it is let go.
type held struct{ release func() }

func (w *world) hold(t *testing.T, table string) held {
	t.Helper()
	conn, err := w.s.DB(t.Context())
	must(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	tx, err := conn.Begin(t.Context())
	must(t, err)
	_, err = tx.Exec(t.Context(), `LOCK TABLE `+table+` IN SHARE MODE`)
	must(t, err)
	return held{release: func() {
		t.Helper()
		// PostgreSQL may have been ended meanwhile, and the lock with it.
		_ = tx.Rollback(t.Context())
	}}
}

// waited waits until that many sessions wait for the table, and returns whose they are.
func (w *world) waited(t *testing.T, table string, n int) (names []string) {
	t.Helper()
	until(t, "somebody waits for "+table, func() bool {
		names = stock.All[string](t, w.s, `SELECT a.application_name FROM pg_locks l JOIN pg_stat_activity a USING (pid)
			WHERE NOT l.granted AND l.relation = $1::regclass`, table)
		return len(names) >= n
	})
	return names
}

// until waits for something for at most a minute.
func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !f(); {
		if time.Now().After(end) {
			t.Fatalf("waited in vain until %s", what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// once fails if the server was asked twice to purge a room.
func (w *world) once(t *testing.T) {
	t.Helper()
	if twice := stock.All[string](t, w.s, `SELECT resource_id FROM scheduled_tasks WHERE action = 'purge_history'
		GROUP BY resource_id HAVING count(*) > 1`); len(twice) > 0 {
		t.Errorf("the server was asked twice to purge %v", twice)
	}
}

// TestSynapseIsRestartedInTheMiddleOfAPurge: it takes up again what it was at. A run that has the time waits for that,
// one that has not says so, and the next one finds the purge under way and waits for it.
func TestSynapseIsRestartedInTheMiddleOfAPurge(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		sig    syscall.Signal
		inTime bool
		long   bool
	}{
		{"killed, and back in time", syscall.SIGKILL, true, false},
		{"killed, and back later", syscall.SIGKILL, false, false},
		{"stopped, and back in time", syscall.SIGTERM, true, true},
		{"stopped, and back later", syscall.SIGTERM, false, true},
	} {
		if test.long && !long() {
			continue
		}
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			lend(t).synapseEnds(t, test.sig, test.inTime)
		})
	}
}

func (w *world) synapseEnds(t *testing.T, sig syscall.Signal, inTime bool) {
	w.back(t)
	retryFor := "1s"
	if inTime {
		retryFor = "30s"
	}
	held := w.hold(t, "event_edges")
	p := program.Start(t, w.where(), "--purge-concurrency", "2", "--batch-size", "5", "--retry-for", retryFor, "--purge-timeout", "60s")
	w.waited(t, "event_edges", 2)
	must(t, syscall.Kill(w.s.SynapsePID(), sig))
	if sig == syscall.SIGTERM {
		// It waits for what its database connections are at, and no request is answered any more.
		until(t, "Synapse hangs up", func() bool {
			conn, err := net.Dial("tcp", strings.TrimPrefix(w.s.APIURL(), "http://"))
			if err == nil {
				_ = conn.Close()
			}
			return err != nil
		})
		held.release()
	}
	until(t, "Synapse has ended", func() bool { return w.s.SynapsePID() == 0 })
	held.release()
	if !inTime {
		<-p.Ended()
	}
	must(t, w.s.StartSynapse(t.Context()))
	r := p.Wait(t)
	sum, _ := w.honest(t, r)
	w.once(t)
	history := sum.Flows[0]
	if inTime && (r.Code != 0 || history.Done != rooms) {
		t.Errorf("exit code %d, %+v\n%s", r.Code, history, r.Log)
	}
	if !inTime && (r.Code != 1 || history.Done != 0 || !namesPurges(sum.Failures, 2)) {
		t.Errorf("exit code %d, %+v, %+v\n%s", r.Code, history, sum.Failures, r.Log)
	}
	w.finishes(t)
	w.once(t)
}

// TestPostgreSQLIsRestarted costs the run its lock: another one could begin, so nothing new is deleted.
func TestPostgreSQLIsRestarted(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		sig   syscall.Signal
		table string // that the run is writing to then
		long  bool
	}{
		{"in history, like a crash", syscall.SIGQUIT, "event_edges", false},
		{"while media goes", syscall.SIGINT, "local_media_repository_thumbnails", false},
		{"in history", syscall.SIGINT, "event_edges", true},
		{"while media goes, like a crash", syscall.SIGQUIT, "local_media_repository_thumbnails", true},
	} {
		if test.long && !long() {
			continue
		}
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			lend(t).postgresEnds(t, test.sig, test.table)
		})
	}
}

func (w *world) postgresEnds(t *testing.T, sig syscall.Signal, table string) {
	w.back(t)
	held := w.hold(t, table)
	p := program.Start(t, w.where(), slowly()...)
	w.waited(t, table, 1)
	rows := stock.All[int](t, w.s, `SELECT count(*)::int FROM local_media_repository`)[0]
	w.endPostgres(t, sig)
	must(t, w.s.StartPostgres(t.Context()))
	held.release()
	// A purge that lost its database never ends, until Synapse is restarted and takes it up again.
	must(t, w.s.StopSynapse(t.Context()))
	must(t, w.s.StartSynapse(t.Context()))
	r := p.Wait(t)
	sum, _ := w.honest(t, r)
	if r.Code != 1 || len(sum.Errors) == 0 {
		t.Errorf("exit code %d, %+v\n%s", r.Code, sum.Errors, r.Log)
	}
	if left := stock.All[int](t, w.s, `SELECT count(*)::int FROM local_media_repository`)[0]; left != rows {
		t.Errorf("of %d uploads and previews %d are left, and the lock was lost before", rows, left)
	}
	w.finishes(t)
}

// endPostgres ends PostgreSQL in its own two ways: SIGINT ends sessions in good order, SIGQUIT like a crash.
func (w *world) endPostgres(t *testing.T, sig syscall.Signal) {
	t.Helper()
	dir := stock.All[string](t, w.s, `SHOW data_directory`)[0]
	text, err := os.ReadFile(filepath.Join(dir, "postmaster.pid"))
	must(t, err)
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(first))
	must(t, err)
	must(t, syscall.Kill(pid, sig))
	until(t, "PostgreSQL has ended", func() bool {
		err := w.s.WithDB(t.Context(), func(ctx context.Context, db *pgx.Conn) error { return db.Ping(ctx) })
		return err != nil
	})
	must(t, w.s.StopPostgres(t.Context())) // waits for the rest of it
}
