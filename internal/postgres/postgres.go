// Package postgres opens the database sessions of a run: a few that can only read, a few that delete rows, and one that
// holds the lock. It knows nothing of Synapse.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// ApplicationName is how our sessions show in pg_stat_activity.
const ApplicationName = "synupkeep"

const (
	// Together with the connection of the lock a run has at most six, and one more while somebody looks how far it is.
	readers = 2
	writers = 3

	connectTimeout   = 10 * time.Second
	statementTimeout = 10 * time.Minute
	lockTimeout      = 10 * time.Second
)

// Querier reads from the database; a pgx pool, connection or transaction is one.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// DB is the database of a homeserver.
type DB struct {
	// Reader cannot change anything: its sessions are read-only.
	Reader *pgxpool.Pool
	// Writer is for the transactions that delete rows. It is nil after Look.
	Writer *pgxpool.Pool

	lock *pgx.ConnConfig
}

// Open connects and looks at the answer once. The connection string is a URL or in keyword form; PG* variables and
// ~/.pgpass fill in what it leaves out. No error of this package holds the password. A standby is ErrStandby.
func Open(ctx context.Context, connString string) (*DB, error) {
	return open(ctx, connString, false)
}

func open(ctx context.Context, connString string, readOnly bool) (*DB, error) {
	base, err := parse(connString)
	if err != nil {
		return nil, err
	}
	db := &DB{lock: base.ConnConfig.Copy()}
	ready := func(ctx context.Context, c *pgx.Conn) error { return prepare(ctx, c, true) }
	if db.Reader, err = pool(ctx, base, readers, ready); err != nil {
		return nil, err
	}
	if !readOnly {
		ready := func(ctx context.Context, c *pgx.Conn) error { return prepare(ctx, c, false) }
		if db.Writer, err = pool(ctx, base, writers, ready); err != nil {
			db.Reader.Close()
			return nil, err
		}
	}
	if err := db.answers(ctx); err != nil {
		return nil, err
	}
	return db, nil
}

func parse(connString string) (*pgxpool.Config, error) {
	base, err := pgxpool.ParseConfig(connString)
	if err != nil {
		return nil, errors.New("connection string: not understood")
	}
	base.ConnConfig.ConnectTimeout = connectTimeout
	base.ConnConfig.DialFunc = dialer().DialContext
	base.ConnConfig.Tracer = bound{limit: answerTimeout}
	return base, nil
}

// answers looks at the answer of the server once. Without one, everything is closed again.
func (db *DB) answers(ctx context.Context) error {
	err := db.Reader.Ping(ctx)
	if err == nil {
		return nil
	}
	db.Close()
	if errors.Is(err, ErrStandby) {
		return fmt.Errorf("connect to %s: %w", db.Target(), ErrStandby)
	}
	return fmt.Errorf("connect to %s: %w", db.Target(), plain(err))
}

// Close ends every session of the pools.
func (db *DB) Close() {
	db.Reader.Close()
	if db.Writer != nil {
		db.Writer.Close()
	}
}

// Target says which database this is, without any secret.
func (db *DB) Target() string { return target(db.lock) }

// dialer notices within a minute that the other machine is gone: by default it would take the better part of an hour.
func dialer() *net.Dialer {
	return &net.Dialer{KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 3,
	}}
}

func pool(ctx context.Context, base *pgxpool.Config, size int32, ready func(context.Context, *pgx.Conn) error) (*pgxpool.Pool, error) {
	cfg := base.Copy()
	cfg.MaxConns = size
	cfg.MinConns = 0
	cfg.PingTimeout = connectTimeout // a session that was idle is tried before it is used, and may have fallen silent
	cfg.MaxConnLifetime = 0          // a night is short, and a session that is replaced tells us nothing
	cfg.AfterConnect = ready
	p, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", target(cfg.ConnConfig), plain(err))
	}
	return p, nil
}

// prepare sets what every session needs by SET: as start-up parameters a connection pooler would refuse some.
func prepare(ctx context.Context, c *pgx.Conn, readOnly bool) error {
	settings := fmt.Sprintf(`
		SET application_name = '%s';
		SET statement_timeout = %d;
		SET lock_timeout = %d;
		SET idle_in_transaction_session_timeout = %d;
		SET default_transaction_isolation = 'read committed'; -- each statement of a deletion sees what is there by then
		SET row_security = off; -- a policy that hides rows from our role is an error: they could be what shows media
		SET jit = off;`, // compiling our many small queries costs more than running them
		ApplicationName, statementTimeout.Milliseconds(), lockTimeout.Milliseconds(), statementTimeout.Milliseconds())
	if readOnly {
		settings += ` SET default_transaction_read_only = on;`
	} else {
		settings += ` SET default_transaction_read_only = off;` + // whatever the role's default is
			// Files go when their rows are gone for good: a commit that a crash of the server takes back would leave rows
			// of media that cannot be fetched again.
			` SELECT set_config('synchronous_commit', 'local', false) WHERE current_setting('synchronous_commit') = 'off';`
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	if _, err := c.Exec(ctx, settings); err != nil {
		return err
	}
	return primary(ctx, c)
}

// primary refuses a standby: it lags behind, and of several hosts in a connection string a session may come to one after a
// failover.
func primary(ctx context.Context, c *pgx.Conn) error {
	var standby bool
	err := c.QueryRow(ctx, `SELECT pg_is_in_recovery()`, pgx.QueryExecModeExec).Scan(&standby)
	if err == nil && standby {
		return ErrStandby
	}
	return err
}

func target(c *pgx.ConnConfig) string {
	return fmt.Sprintf("database %s of %s as %s", c.Database, net.JoinHostPort(c.Host, fmt.Sprint(c.Port)), c.User)
}

// plain leaves of a connection error what the server or the system said: pgx's own text repeats settings and every
// address it tried.
func plain(err error) error {
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		return fmt.Errorf("%s (SQLSTATE %s)", refused.Message, refused.Code)
	}
	var network *net.OpError
	if errors.As(err, &network) {
		return network
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("no answer within %v", connectTimeout)
	}
	if errors.Is(err, context.Canceled) {
		return context.Canceled
	}
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) {
		err = connect.Unwrap()
	}
	return errors.New(strings.Join(strings.Fields(err.Error()), " "))
}

// Now is the database's clock. A run takes every age from it, so that the clock and the time zone of our machine change
// nothing.
func (db *DB) Now(ctx context.Context) (time.Time, error) {
	var now time.Time
	if err := db.Reader.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&now); err != nil {
		return time.Time{}, fmt.Errorf("ask the database for the time: %w", err)
	}
	return now.UTC(), nil
}

// IsConnection says whether an error means that the server was not there, rather than that it refused the statement:
// such a read may be tried again.
func IsConnection(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) {
		return false
	}
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		// Class 08 connection exception, 57P0x shutdown, start-up and a session that was idle for too long,
		// 53300 too many connections.
		switch refused.Code {
		case "57P01", "57P02", "57P03", "57P05", "53300":
			return true
		}
		return strings.HasPrefix(refused.Code, "08")
	}
	var file *fs.PathError // the errno in it would pass for a net.Error
	if errors.As(err, &file) {
		return false
	}
	var connect *pgconn.ConnectError
	var network net.Error
	return errors.Is(err, ErrStandby) || // which will be the primary in a moment, or give way to it
		errors.As(err, &connect) || errors.As(err, &network) || pgconn.SafeToRetry(err) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrUnexpectedEOF)
}

// Again is for retry: what was asked of a database that is away can be asked again, and so can a transaction that only
// met another one: a deadlock (40P01), a conflict (40001), a lock that was held for too long (55P03).
func Again(err error) (again bool, wait time.Duration) {
	var refused *pgconn.PgError
	if errors.As(err, &refused) && (refused.Code == "40P01" || refused.Code == "40001" || refused.Code == "55P03") {
		return true, 0
	}
	return IsConnection(err), 0
}
