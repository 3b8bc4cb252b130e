package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// trialKey is an advisory lock that nobody needs: the letters "synupdoc". Those who hold it share it.
const trialKey int64 = 0x73796e7570646f63

// Examine is Look for who wants to know what is wrong: a standby will do, and the server gives up on every statement after
// the limit.
func Examine(ctx context.Context, connString string, limit time.Duration) (*DB, error) {
	base, err := parse(connString)
	if err != nil {
		return nil, err
	}
	// Behind a transaction pooler, which is one of the things to be found, a prepared statement may be gone with the next one.
	base.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	db := &DB{lock: base.ConnConfig.Copy()}
	ready := func(ctx context.Context, c *pgx.Conn) error {
		if err := prepare(ctx, c, true); err != nil && !errors.Is(err, ErrStandby) {
			return err
		}
		_, err := c.Exec(ctx, fmt.Sprintf(`SET statement_timeout = %d`, limit.Milliseconds()))
		return err
	}
	if db.Reader, err = pool(ctx, base, readers, ready); err != nil {
		return nil, err
	}
	if err := db.answers(ctx); err != nil {
		return nil, err
	}
	return db, nil
}

// TryLock finds out whether a lock would stay with us, without that of a run: the error is ErrPooled where it does not.
func (db *DB) TryLock(ctx context.Context) error {
	l, err := db.session(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = l.conn.Close(context.WithoutCancel(ctx)) }() // the lock goes with its session
	l.key = trialKey
	bounded, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	got, err := l.try(bounded, `SELECT pg_try_advisory_lock_shared($1)`)
	switch {
	case err != nil:
		return err
	case !got:
		return errors.New("the lock for trials is held by another program")
	}
	defer func() { // of a session that a pooler keeps
		_, _ = l.conn.Exec(context.WithoutCancel(ctx), `SELECT pg_advisory_unlock_shared($1) FROM pg_locks
			WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND granted LIMIT 1`, l.key)
	}()
	return l.stays(bounded, []*pgxpool.Pool{db.Reader, db.Reader})
}
