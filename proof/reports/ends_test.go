package reports_test

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sys/unix"

	"synupkeep/internal/item"
	"synupkeep/internal/sandbox/stock"
	"synupkeep/proof/program"
	"synupkeep/sinks"
)

// underWay is more than all media can be whose files are gone and whose lines are not written yet: four in the hands of those
// who delete files, and one in each stage behind them, of each of three flows.
const underWay = 3 * (4 + 4)

// TestAKilledRunHasWrittenWhatIsGone kills runs with signal 9, again and again with the same file. What is written of an
// item is true; of a plain file, nothing is missing but what was in hand at the moment of a kill.
func TestAKilledRunHasWrittenWhatIsGone(t *testing.T) {
	for _, name := range []string{"outcomes.jsonl", "outcomes.jsonl.gz"} {
		t.Run(name, func(t *testing.T) {
			p := plant(t, 400, 60, 2)
			path := filepath.Join(t.TempDir(), name)
			p.killedWhileItWaits(t, path)
			if remote := doneKeys(lines(t, path), item.RemoteMedia); len(remote) != 60 {
				t.Errorf("%d of 60 remote media are written, a second after they went", len(remote))
			}
			p.onlyTheTruth(t, lines(t, path))
			kills := 1
			for range 11 {
				if r := p.killedAfter(t, path, time.Duration(rand.IntN(60))*time.Millisecond); !r.Killed() {
					break
				}
				kills++
				p.onlyTheTruth(t, lines(t, path))
			}
			if r := program.Run(t, p.where, "--outcomes", path, "--batch-size", "20"); r.Code != 0 {
				t.Fatalf("exit code %d\n%s", r.Code, r.Log)
			}
			all := lines(t, path)
			p.onlyTheTruth(t, all)
			written, gone := doneKeys(all, mediaFlows()...), p.gone(t)
			if len(gone.rowless) != 399+60+120 || !slices.Equal(gone.rowless, gone.fileless) {
				t.Fatalf("%d rows and %d files are gone", len(gone.rowless), len(gone.fileless))
			}
			if twice := len(written) - len(slices.Compact(slices.Clone(written))); twice > kills*underWay {
				t.Errorf("%d are written twice", twice)
			}
			missing := slices.DeleteFunc(slices.Clone(gone.rowless), func(mxc string) bool { _, found := slices.BinarySearch(written, mxc); return found })
			t.Logf("%d kills, %d lines, %d missing", kills, len(all), len(missing))
			if !strings.HasSuffix(path, ".gz") && len(missing) > kills*underWay {
				t.Errorf("after %d kills %d outcomes are missing: %v", kills, len(missing), missing)
			}
		})
	}
}

// killedWhileItWaits kills a run that has done the remote media and written it down, and cannot delete the local.
func (p *planted) killedWhileItWaits(t *testing.T, path string) {
	t.Helper()
	conn, err := p.s.DB(t.Context())
	must(t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	tx, err := conn.Begin(t.Context())
	must(t, err)
	_, err = tx.Exec(t.Context(), `LOCK TABLE local_media_repository_thumbnails IN SHARE MODE`)
	must(t, err)
	run := program.Start(t, p.where, "--outcomes", path, "--batch-size", "20")
	until(t, run, func() bool {
		const remote = `SELECT count(*)::int FROM remote_media_cache`
		return stock.All[int](t, p.s, remote)[0] == 0 && len(doneKeys(lines(t, path), item.RemoteMedia)) == 60
	})
	run.Signal(syscall.SIGKILL)
	if r := run.Wait(t); !r.Killed() {
		t.Errorf("it ended before: %s", r.Log)
	}
	must(t, tx.Rollback(t.Context()))
}

// killedAfter starts a run and kills it some time after local media has begun to go.
func (p *planted) killedAfter(t *testing.T, path string, after time.Duration) program.Result {
	t.Helper()
	count := func() int { return stock.All[int](t, p.s, `SELECT count(*)::int FROM local_media_repository`)[0] }
	before := count()
	run := program.Start(t, p.where, "--outcomes", path, "--batch-size", "20")
	until(t, run, func() bool { return count() < before })
	timer := time.NewTimer(after)
	defer timer.Stop()
	select {
	case <-run.Ended():
	case <-timer.C:
		run.Signal(syscall.SIGKILL)
	}
	return run.Wait(t)
}

// until waits for something, or for the end of a run.
func until(t *testing.T, run *program.Process, so func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-run.Ended():
			return
		case <-tick.C:
		}
	}
}

// onlyTheTruth fails unless what is said to be gone is gone.
func (p *planted) onlyTheTruth(t *testing.T, all []sinks.OutcomeLine) {
	t.Helper()
	gone := p.gone(t)
	for _, mxc := range doneKeys(all, mediaFlows()...) {
		if !slices.Contains(gone.rowless, mxc) || !slices.Contains(gone.fileless, mxc) {
			t.Errorf("%s is said to be gone, and is there", mxc)
		}
	}
}

// TestAFullDiskEndsTheRun: when no line can be written any more, nothing new is deleted, what was under way is finished and
// told in the log, and the exit code says that the record has an end. With space again the next run goes on.
func TestAFullDiskEndsTheRun(t *testing.T) {
	for _, name := range []string{"outcomes.jsonl", "outcomes.jsonl.gz"} {
		t.Run(name, func(t *testing.T) {
			p := plant(t, 600, 0, 0)
			swift := p.slowly(t) // or all is gone before the first lines are compressed
			dir, heal := smallDisk(t)
			path := filepath.Join(dir, name)
			m := filepath.Join(t.TempDir(), "m")
			r := program.Run(t, p.where, "--outcomes", path, "--metrics", m, "--batch-size", "20", "--only", "local-media")
			sum := r.Summary(t)
			if r.Code != 1 || len(sum.Errors) == 0 || !strings.Contains(sum.Errors[0].Doing, "write the outcomes "+path) || sum.Errors[0].Hint == "" {
				t.Fatalf("exit code %d: %+v\n%s", r.Code, sum.Errors, r.Log)
			}
			gone := p.gone(t)
			if len(gone.rowless) == 0 || len(gone.rowless) > 500 || !slices.Equal(gone.rowless, gone.fileless) {
				t.Errorf("%d rows and %d files are gone", len(gone.rowless), len(gone.fileless))
			}
			t.Logf("%d are gone", len(gone.rowless))
			told := append(doneKeys(lines(t, path), item.LocalMedia), lost(t, r.Log)...)
			slices.Sort(told)
			if diff := cmp.Diff(gone.rowless, told); diff != "" {
				t.Errorf("(-gone +told):\n%s", diff)
			}
			if got := metrics(t, m); got["exit_code"] != 1 || got["cause failed"] != 1 {
				t.Errorf("%v", got)
			}
			heal()
			swift()
			if r := program.Run(t, p.where, "--outcomes", path, "--only", "local-media"); r.Code != 0 {
				t.Fatalf("exit code %d\n%s", r.Code, r.Log)
			}
			p.onlyTheTruth(t, lines(t, path))
			if gone := p.gone(t); len(gone.rowless) != 599 {
				t.Errorf("%d of 599 are gone in the end", len(gone.rowless))
			}
		})
	}
}

// slowly lets each deletion of a batch of rows take a fifth of a second, until swift is called.
func (p *planted) slowly(t *testing.T) (swift func()) {
	t.Helper()
	execute := func(sql string) {
		must(t, p.s.WithDB(t.Context(), func(ctx context.Context, c *pgx.Conn) error {
			_, err := c.Exec(ctx, sql)
			return err
		}))
	}
	execute(`CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.2); RETURN NULL; END $$;
		CREATE TRIGGER slowly AFTER DELETE ON local_media_repository FOR EACH STATEMENT EXECUTE FUNCTION slowly()`)
	return func() { execute(`DROP FUNCTION slowly() CASCADE`) }
}

// lost are the keys of outcomes that the log tells instead of the file.
func lost(t *testing.T, log string) (keys []string) {
	t.Helper()
	for text := range strings.Lines(log) {
		_, quoted, found := strings.Cut(text, "outcome=")
		if !found {
			continue
		}
		var line string
		must(t, json.NewDecoder(strings.NewReader(quoted)).Decode(&line))
		var l sinks.OutcomeLine
		must(t, json.Unmarshal([]byte(line), &l))
		if l.Status == item.Done {
			keys = append(keys, l.Key)
		}
	}
	return keys
}

// smallDisk is a directory on a disk that is soon full, and what gives it space.
func smallDisk(t *testing.T) (dir string, heal func()) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "disk")
	must(t, os.Mkdir(dir, 0o700))
	must(t, unix.Mount("none", dir, "tmpfs", 0, "size=4k"))
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir, func() { must(t, unix.Mount("none", dir, "tmpfs", unix.MS_REMOUNT, "size=8m")) }
}
