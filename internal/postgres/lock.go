package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// lockKey is the advisory lock of synupkeep, one a database: the letters "synupkee".
const lockKey int64 = 0x73796e75706b6565

// Errors of the lock.
var (
	// ErrLocked comes from Acquire when another session holds the lock; the error text says which.
	ErrLocked = errors.New("another run holds the lock")
	// ErrStandby comes from Open, Acquire and any session on a server that replays another: nothing can be deleted there, and
	// what it tells is late.
	ErrStandby = errors.New("the database server is a standby")
	// ErrPooled comes from Acquire when the lock does not stay with our session, as behind a transaction pooler.
	ErrPooled = errors.New("the lock does not stay with our connection")
	// ErrLockLost comes from Watch when the lock is not ours any more.
	ErrLockLost = errors.New("the lock was lost")
)

// Lock makes sure that no two runs overlap. It lives on a connection of its own.
type Lock struct {
	mu   sync.Mutex // of the connection
	conn *pgx.Conn
	key  int64
	pid  int32
	lost error // why it is not ours any more; it never is again
}

// Acquire takes the lock or fails at once.
func (db *DB) Acquire(ctx context.Context) (*Lock, error) {
	l, err := db.session(ctx)
	if err != nil {
		return nil, err
	}
	bounded, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	if err := l.take(bounded, db); err != nil {
		l.Release(context.WithoutCancel(ctx))
		return nil, err
	}
	return l, nil
}

// session opens the connection of a lock.
func (db *DB) session(ctx context.Context) (*Lock, error) {
	cfg := db.lock.Copy()
	// Behind a transaction pooler a prepared statement may be gone with the next one; what is to be said is ErrPooled.
	cfg.DefaultQueryExecMode = pgx.QueryExecModeExec
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("connect to %s for the lock: %w", db.Target(), plain(err))
	}
	return &Lock{conn: conn, key: lockKey}, nil
}

func (l *Lock) take(ctx context.Context, db *DB) error {
	if err := prepare(ctx, l.conn, false); err != nil {
		return fmt.Errorf("prepare the session of the lock: %w", err)
	}
	got, err := l.try(ctx, `SELECT pg_try_advisory_lock($1)`)
	if err != nil {
		return err
	}
	if !got {
		return fmt.Errorf("%w: %s", ErrLocked, holder(ctx, l.conn))
	}
	return l.stays(ctx, []*pgxpool.Pool{db.Reader, db.Writer, db.Reader, db.Writer})
}

func (l *Lock) try(ctx context.Context, sql string) (got bool, err error) {
	if err := l.conn.QueryRow(ctx, `SELECT pg_backend_pid()`).Scan(&l.pid); err != nil {
		return false, fmt.Errorf("take the lock: %w", err)
	}
	if err := l.conn.QueryRow(ctx, sql, l.key).Scan(&got); err != nil {
		return false, fmt.Errorf("take the lock: %w", err)
	}
	return got, nil
}

// stays checks that the lock is ours in further statements. A transaction pooler that has nobody else to serve would run
// those in the same session: transactions of our own keep its idle sessions busy meanwhile, one after the other.
func (l *Lock) stays(ctx context.Context, beside []*pgxpool.Pool) error {
	for _, pool := range beside {
		beside, err := pool.Begin(ctx)
		if err != nil {
			return fmt.Errorf("check the lock: %w", err)
		}
		defer beside.Rollback(ctx) //nolint:errcheck // it only reads
		if _, err := beside.Exec(ctx, `SELECT 1`); err != nil {
			return fmt.Errorf("check the lock: %w", err)
		}
		ours, err := l.ours(ctx)
		if err != nil {
			return fmt.Errorf("check the lock: %w", err)
		}
		if !ours {
			return ErrPooled
		}
	}
	return nil
}

// ours asks in a statement of its own: behind a transaction pooler that one may run in another session.
func (l *Lock) ours(ctx context.Context) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var ours bool
	err := l.conn.QueryRow(ctx, `
		SELECT EXISTS (
			SELECT 1 FROM pg_locks
			WHERE locktype = 'advisory' AND granted AND objsubid = 1
			  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
			  AND (classid::bigint << 32) | objid::bigint = $1 AND pid = pg_backend_pid())
		AND pg_backend_pid() = $2`, l.key, l.pid).Scan(&ours)
	return ours, err
}

// holders are the sessions that hold the lock $1.
const holders = `
	SELECT COALESCE(a.application_name, ''), l.pid, a.backend_start
	FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)
	WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
	  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
	  AND (l.classid::bigint << 32) | l.objid::bigint = $1
	LIMIT 1`

func holder(ctx context.Context, q Querier) string {
	var name string
	var pid int32
	var since *time.Time // hidden from other roles
	err := q.QueryRow(ctx, holders, lockKey).Scan(&name, &pid, &since)
	if err != nil {
		return "it has just ended"
	}
	holder := fmt.Sprintf("%q, database process %d", name, pid)
	if since != nil {
		holder += ", since " + since.UTC().Format(time.RFC3339)
	}
	return holder
}

// checkTimeout is how long the server may take to say whose the lock is.
const checkTimeout = 10 * time.Second

// Check returns ErrLockLost when the lock is not ours any more. The question is not interrupted when ctx ends: that would
// cost the connection, and the lock with it.
func (l *Lock) Check(ctx context.Context) error {
	ask, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkTimeout)
	defer cancel()
	ours, err := l.ours(ask)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.lost != nil: // as it was first said
	case err != nil:
		l.lost = fmt.Errorf("%w: %w", ErrLockLost, err)
	case !ours:
		l.lost = ErrLockLost
	}
	return l.lost
}

// Watch checks at each interval that the lock is still ours; nil when ctx ends.
func (l *Lock) Watch(ctx context.Context, interval time.Duration) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := l.Check(ctx); err != nil {
			return err
		}
	}
}

// Release gives the lock back and ends its session.
func (l *Lock) Release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	// The server drops the lock with the session in any case, but only some time after we have hung up: a run that begins
	// at once would find it held.
	_, _ = l.conn.Exec(ctx, `SELECT pg_advisory_unlock($1) FROM pg_locks
		WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND granted LIMIT 1`, l.key)
	_ = l.conn.Close(ctx)
}
