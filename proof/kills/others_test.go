package kills_test

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"synupkeep/internal/sandbox/stock"
	"synupkeep/proof/wire"
)

// adopted: the server works on while the run that asked for it is dead. The next one waits for that purge and does not ask
// for another.
func adopted(t *testing.T, w *world) {
	w.begin(t)
	room := w.rooms[0]
	asked, looked := make(chan struct{}, 100), make(chan struct{}, 100)
	w.watching.Store(&watch{moment: moment{call: func(c wire.Call) bool {
		switch {
		case c.AsksForAPurge() && c.Answer && strings.Contains(c.Path, room):
			asked <- struct{}{}
		case c.AsksHowFar() && c.Answer && strings.HasSuffix(c.Path, w.purgeOf(t, room)):
			select {
			case looked <- struct{}{}:
			default:
			}
		}
		return false
	}}, deleted: map[int64]bool{}})
	must(t, w.s.WithDB(t.Context(), func(ctx context.Context, db *pgx.Conn) error {
		tx, err := db.Begin(ctx)
		must(t, err)
		defer func() { _ = tx.Rollback(ctx) }()
		_, err = tx.Exec(ctx, `SELECT 1 FROM event_json WHERE room_id = $1 FOR UPDATE`, room)
		must(t, err)
		first := w.run(t)
		select {
		case <-asked:
		case <-first.Ended():
			t.Fatalf("it has ended without asking for a purge\n%s", first.Wait(t).Log)
		}
		first.Signal(syscall.SIGKILL)
		if r := first.Wait(t); !r.Killed() {
			t.Fatalf("it was not killed: %d", r.Code)
		}
		w.unlocked(t)
		for len(looked) > 0 {
			<-looked
		}
		next := w.run(t)
		select {
		case <-looked: // it waits for that one
		case <-next.Ended():
		}
		must(t, tx.Rollback(ctx))
		if r := next.Wait(t); r.Code != 0 {
			t.Errorf("exit code %d\n%s\n%s", r.Code, r.Out, r.Log)
		}
		return nil
	}))
	if len(asked) > 0 {
		t.Error("the room was purged twice")
	}
	w.ends(t)
	w.same(t)
	w.nothingLeft(t)
}

// purgeOf is the id of the latest purge of a room, of none a text that is no id.
func (w *world) purgeOf(t *testing.T, room string) string {
	t.Helper()
	ids := stock.All[string](t, w.s, `SELECT id FROM scheduled_tasks WHERE action = 'purge_history' AND resource_id = $1
		ORDER BY timestamp DESC LIMIT 1`, room)
	if len(ids) == 0 {
		return "/none"
	}
	return url.PathEscape(ids[0])
}

// allSides kills Synapse or PostgreSQL and, while it is down, the run.
func allSides(t *testing.T, w *world) {
	random := seeded(t)
	for round := 0; round == 0 || !enough(t, 1); round++ {
		w.begin(t)
		all := moments()
		for kill := range 4 {
			m := all[2+random.IntN(len(all)-2)]
			if kill < 2 {
				m = all[2+random.IntN(3)] // amid a purge
			}
			k := newWatch(m, w.took, random)
			k.other = []func(*testing.T, *world){killSynapse, killPostgres}[kill%2]
			t.Logf("round %d, kill %d: %s", round, kill, m.name)
			w.killed(t, k)
			restart(t, w)
		}
		w.ends(t)
		w.same(t)
		w.nothingLeft(t)
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
}

func killSynapse(t *testing.T, w *world) {
	if pid := w.s.SynapsePID(); pid > 0 {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Error(err)
		}
	}
}

// killPostgres stops it as at once as it can be while its shared memory is given back.
func killPostgres(t *testing.T, w *world) {
	content, err := os.ReadFile(filepath.Join(w.s.Dir(), "pgdata", "postmaster.pid"))
	if err != nil {
		t.Error(err)
		return
	}
	line, _, _ := strings.Cut(string(content), "\n")
	pid, err := strconv.Atoi(line)
	if err == nil && pid > 1 {
		err = syscall.Kill(pid, syscall.SIGQUIT)
	}
	if err != nil {
		t.Error(err)
	}
}

// restart starts what is down, and Synapse anew: it answers 500 once for each connection that PostgreSQL has ended.
func restart(t *testing.T, w *world) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_ = w.s.StopSynapse(ctx) // it may have been killed, and say so
	_ = w.s.StopPostgres(ctx)
	must(t, w.s.StartPostgres(ctx))
	must(t, w.s.StartSynapse(ctx))
	w.unlocked(t)
}
