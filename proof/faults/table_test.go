package faults_test

import (
	"context"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"synupkeep/proof/program"
)

// moment is when a fault comes: when that many rooms are purged, or that many media rows are gone. The zero value is
// before the run begins.
type moment struct{ rooms, media int }

// wait waits for the moment, or for the end of the run.
func (w *world) wait(t *testing.T, m moment, p *program.Process) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		select {
		case <-p.Ended():
			cancel()
		case <-ctx.Done():
		}
	}()
	err := w.s.WithDB(ctx, func(ctx context.Context, db *pgx.Conn) error {
		const count = `SELECT (SELECT count(DISTINCT resource_id)::int FROM scheduled_tasks WHERE status = 'complete'),
			(SELECT count(*) FROM local_media_repository)::int + (SELECT count(*) FROM remote_media_cache)::int`
		var rooms, media, first int
		if err := db.QueryRow(ctx, count).Scan(&rooms, &first); err != nil {
			return err
		}
		media = first
		for rooms < m.rooms || first-media < m.media {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(3 * time.Millisecond):
			}
			if err := db.QueryRow(ctx, count).Scan(&rooms, &media); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil && ctx.Err() == nil {
		t.Fatal(err)
	}
}

// fault is something that happens between the run and its servers.
type fault struct {
	name string
	at   moment
	// inflict begins it and returns what ends it, which is called after the given time, or never when that is 0.
	inflict func(t *testing.T, x *through) (heal func())
	lasts   time.Duration
	// codes are the exit codes that are right.
	codes []int
	// long leaves it to the long runs: another one is much like it.
	long bool
}

var (
	inHistory = moment{rooms: 2}
	inMedia   = moment{rooms: rooms, media: 20}
)

// slowly makes a run long enough for something to happen in the middle, and short of patience.
func slowly() []string {
	return []string{"--purge-concurrency", "2", "--batch-size", "5", "--retry-for", "4s", "--purge-timeout", "30s"}
}

// suffers runs through a fault and checks that the run said what it did, and that the next one ends as it should.
func (w *world) suffers(t *testing.T, f fault) {
	t.Helper()
	w.back(t)
	x := w.through(t)
	var heal func()
	if f.at == (moment{}) {
		heal = f.inflict(t, x)
	}
	p := program.Start(t, x.where(t), slowly()...)
	if heal == nil {
		w.wait(t, f.at, p)
		heal = f.inflict(t, x)
	}
	if f.lasts > 0 {
		select {
		case <-p.Ended():
		case <-time.After(f.lasts):
		}
		heal()
	}
	r := p.Wait(t)
	sum, _ := w.honest(t, r)
	w.once(t)
	if !slices.Contains(f.codes, r.Code) {
		t.Errorf("exit code %d, want one of %v: %+v %+v\n%s", r.Code, f.codes, sum.Errors, sum.Failures, r.Log)
	}
	t.Logf("exit code %d after %.1f s, causes %v", r.Code, sum.DurationS, sum.Causes)
	w.finishes(t)
}

// tested runs the faults side by side, each on a world of its own. Those that are only for long runs are left out else.
func tested(t *testing.T, faults []fault) {
	t.Helper()
	for _, f := range faults {
		if f.long && !long() {
			continue
		}
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			lend(t).suffers(t, f)
		})
	}
}

// long says whether there is time for everything.
func long() bool { return os.Getenv("SYNUPKEEP_TEST_FOR") != "" }
