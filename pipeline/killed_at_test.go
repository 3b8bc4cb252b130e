package pipeline

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"synupkeep/internal/item"
	"synupkeep/internal/sandbox/stock"
)

// TestKilledRunsAreFinishedByTheNext kills runs at each point where something is done and the rest is not.
func TestKilledRunsAreFinishedByTheNext(t *testing.T) {
	k := newKilling(t)
	for name, test := range map[string]func(t *testing.T){
		"between DELETE and COMMIT, rolled back":                   k.rolledBack,
		"between DELETE and COMMIT, committed":                     k.committed,
		"between DELETE and COMMIT, committed during the next run": k.committedLater,
		"between COMMIT and unlink":                                k.beforeUnlink,
		"in the middle of the unlinks, twice":                      k.amidUnlinks,
	} {
		t.Run(name, func(t *testing.T) {
			for _, flow := range item.Flows()[1:] {
				t.Run(string(flow), func(t *testing.T) {
					k.of(t, flow)
					test(t)
				})
			}
		})
	}
}

func (k *killing) rolledBack(t *testing.T) {
	c := k.killAtCommit(t)
	execSQL(t, k.s, `SELECT pg_terminate_backend($1)`, c.pid)
	c.ended(t)
	k.wantGone(t, c.before, c.before)
	k.finishes(t, enough-c.before, 0)
}

func (k *killing) committed(t *testing.T) {
	c := k.killAtCommit(t)
	c.release(t)
	c.ended(t)
	k.wantGone(t, c.before+c.batch, c.before)
	k.finishes(t, enough-c.before, c.batch)
}

// committedLater has the next run come while the server is still at it. It must not take the rows that it sees for rows
// that stay.
func (k *killing) committedLater(t *testing.T) {
	c := k.killAtCommit(t)
	var released sync.WaitGroup
	released.Go(func() {
		c.rowsAwaited(t)
		c.release(t)
	})
	k.finishes(t, enough-c.before, c.batch)
	released.Wait()
}

// killAtCommit kills a run while PostgreSQL is at its commit. What becomes of that is for PostgreSQL to say, which does not
// notice at once that nobody listens any more.
func (k *killing) killAtCommit(t *testing.T) *commitHeld {
	t.Helper()
	c := k.holdCommit(t)
	v := k.start(t, k.s.PGPort())
	until(t, "PostgreSQL is at the commit", func() bool {
		waiting := k.locksWaitedFor(t, "advisory")
		if len(waiting) > 0 {
			c.pid = waiting[0]
		}
		return len(waiting) > 0
	})
	k.settled(t)
	v.kill(t)
	c.before = len(k.fileless())
	k.wantGone(t, c.before, c.before)
	if c.batch = len(besides(k.journaled(t), k.rowless(t))); c.batch < 10 {
		t.Errorf("%d media with their rows are in the journal", c.batch)
	}
	return c
}

// commitHeld lets no transaction commit that deletes media, once the first batches are gone.
type commitHeld struct {
	k    *killing
	conn *pgx.Conn
	pid  int32 // of the server process that waits
	// before is how many media were gone before, batch how many are to go with the commit.
	before, batch int
}

func (k *killing) holdCommit(t *testing.T) *commitHeld {
	t.Helper()
	const key = 7261
	rows := stock.All[int](t, k.s, `SELECT count(*)::int FROM `+k.table())[0]
	dropped(t, k.s, `FUNCTION IF EXISTS hold_commit CASCADE`)
	execSQL(t, k.s, fmt.Sprintf(`CREATE FUNCTION hold_commit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		IF (SELECT count(*) FROM %s) < %d THEN PERFORM pg_advisory_xact_lock(%d); END IF;
		RETURN NULL; END $$`, k.table(), rows-prelude, key))
	execSQL(t, k.s, `CREATE CONSTRAINT TRIGGER hold_commit AFTER DELETE ON `+k.table()+`
		DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION hold_commit()`)
	conn, err := k.s.DB(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	if _, err := conn.Exec(t.Context(), `SELECT pg_advisory_lock($1)`, key); err != nil {
		t.Fatal(err)
	}
	return &commitHeld{k: k, conn: conn}
}

// rowsAwaited waits until somebody waits for the end of the transaction. It is not called by the goroutine of the test.
func (c *commitHeld) rowsAwaited(t *testing.T) {
	for range 1000 {
		var waits bool
		err := c.conn.QueryRow(t.Context(), `SELECT count(*) > 0 FROM pg_sleep(0.01), pg_locks
			WHERE NOT granted AND locktype = 'transactionid'`).Scan(&waits)
		if err != nil {
			t.Error(err)
			return
		}
		if waits {
			return
		}
	}
	t.Error("the next run does not wait for the transaction that has its rows")
}

func (c *commitHeld) release(t *testing.T) {
	t.Helper()
	if _, err := c.conn.Exec(t.Context(), `SELECT pg_advisory_unlock_all()`); err != nil {
		t.Error(err)
	}
}

// ended waits until the server process that was at the commit is gone.
func (c *commitHeld) ended(t *testing.T) {
	t.Helper()
	until(t, "the server process has ended", func() bool {
		return stock.All[int](t, c.k.s, `SELECT count(*)::int FROM pg_stat_activity WHERE pid = $1`, c.pid)[0] == 0
	})
	c.release(t) // the next run needs it
}

// beforeUnlink kills a run instead of telling it that its commit went well.
func (k *killing) beforeUnlink(t *testing.T) {
	killer := &commitKiller{k: k, rows: prelude}
	v := k.start(t, killer.listen(t))
	killer.wait(t)
	k.settled(t) // no file of the batch is missing, thumbnails included
	v.kill(t)
	fileless := k.fileless()
	batch, journaled := besides(k.rowless(t), fileless), k.journaled(t)
	if missing := besides(batch, journaled); len(batch) < 10 || len(missing) > 0 {
		t.Errorf("%d media have no row and all their files; not in the journal: %v", len(batch), missing)
	}
	k.settled(t)
	k.finishes(t, enough-len(fileless), len(batch))
}

// amidUnlinks kills a run while it deletes files, and the next while it goes on with that.
func (k *killing) amidUnlinks(t *testing.T) {
	const tries = 5
	for range tries {
		if k.killTwice(t) {
			k.finishes(t, -1, -1)
			return
		}
		k.of(t, k.flow)
	}
	t.Errorf("in %d tries no two runs were killed while some files were gone and some were not", tries)
}

// besides is what of all is not among some.
func besides(all, some []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return slices.Contains(some, s) })
}

// killTwice says whether both were killed in the middle.
func (k *killing) killTwice(t *testing.T) bool {
	t.Helper()
	before, rows := prelude, 0
	for range 2 {
		k.unlocked(t)
		v := k.start(t, k.s.PGPort())
		gone := k.killAfterFile(t, v, before)
		now := len(k.rowless(t))
		t.Logf("killed when %d media had no row and %d no content file", now, gone)
		if gone <= before || gone >= now || rows > 0 && now != rows {
			return false
		}
		before, rows = gone, now
	}
	return true
}

// killAfterFile kills as soon as more than n content files are gone, and says how many are.
func (k *killing) killAfterFile(t *testing.T, v *victim, n int) int {
	t.Helper()
	names := k.contents()
	until(t, "files go", func() bool {
		for range 100 {
			gone := 0
			for _, name := range names {
				if _, err := os.Lstat(name); err != nil {
					gone++
				}
			}
			if gone > n {
				return true
			}
		}
		return false
	})
	v.kill(t)
	return len(k.fileless())
}
