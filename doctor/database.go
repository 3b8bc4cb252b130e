package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"synupkeep/connect"
	"synupkeep/internal/postgres"
	"synupkeep/internal/printable"
)

func checkDatabase(ctx context.Context, e *exam) finding {
	db, err := postgres.Examine(ctx, e.cfg.Postgres.Reveal(), e.limits.check-e.limits.check/10)
	if err != nil {
		return finding{
			result: Failure, found: err.Error(), means: "Nothing that is in the database can be checked, and no run can begin.",
			do: connect.DatabaseHint(err),
		}
	}
	f, now, err := lookAtConnection(ctx, db)
	if err != nil {
		db.Close()
		return unread(err)
	}
	f.learn = func(e *exam) { e.db, e.now = db, now }
	return f
}

func lookAtConnection(ctx context.Context, db *postgres.DB) (f finding, now time.Time, err error) {
	if now, err = db.Now(ctx); err != nil {
		return f, now, err
	}
	conn, err := db.Reader.Acquire(ctx)
	if err != nil {
		return f, now, err
	}
	defer conn.Release()
	way := conn.Conn().PgConn().Conn()
	_, encrypted := way.(*tls.Conn)
	return overTheWire(db.Target(), encrypted, way.RemoteAddr()), now, nil
}

// overTheWire warns of a connection without TLS that leaves this machine and every private network.
func overTheWire(target string, encrypted bool, to net.Addr) finding {
	if encrypted {
		return fine("%s, with TLS", target)
	}
	address, err := netip.ParseAddrPort(to.String())
	if err != nil { // a socket
		return fine("%s, on this machine", target)
	}
	ip := address.Addr().Unmap()
	if ip.IsLoopback() {
		return fine("%s, without TLS, on this machine", target)
	}
	if ip.IsPrivate() || ip.IsLinkLocalUnicast() || netip.MustParsePrefix("100.64.0.0/10").Contains(ip) {
		return fine("%s, without TLS, in a private network", target)
	}
	return finding{
		result: Warning, found: target + ", without TLS, at the public address " + ip.String(),
		means: "Whoever is on the way can read and change what is said, the names of users and rooms among it.",
		do:    "Add sslmode=verify-full to the connection string, and switch ssl on in postgresql.conf.",
	}
}

// facts of PostgreSQL.
type cluster struct {
	version, encoding, collation, provider string
	number                                 int
	noted, actual                          *string // versions of the collation
}

func checkPostgreSQL(ctx context.Context, e *exam) finding {
	var c cluster
	err := e.db.Reader.QueryRow(ctx, `
		SELECT current_setting('server_version'), current_setting('server_version_num')::int, pg_encoding_to_char(d.encoding),
			COALESCE(to_jsonb(d)->>'datlocale', to_jsonb(d)->>'daticulocale', d.datcollate), COALESCE(to_jsonb(d)->>'datlocprovider', 'c'),
			to_jsonb(d)->>'datcollversion'
		FROM pg_database d WHERE d.datname = current_database()`).
		Scan(&c.version, &c.number, &c.encoding, &c.collation, &c.provider, &c.noted)
	if err == nil && c.number >= 150000 {
		err = e.db.Reader.QueryRow(ctx, `SELECT pg_database_collation_actual_version(oid) FROM pg_database WHERE datname = current_database()`).
			Scan(&c.actual)
	}
	if err != nil {
		return unread(err)
	}
	return c.judge()
}

// oldestPostgreSQL is the oldest that reads a table in ranges of blocks.
const oldestPostgreSQL = 140000

func (c cluster) judge() finding {
	f := fine("PostgreSQL %s, encoding %s, sorted by %s", c.version, c.encoding, c.collation)
	switch {
	case c.encoding != "UTF8":
		f.result, f.means = Failure, "Synapse needs a database in UTF8: in another encoding some names of users, rooms and files cannot be told apart."
		f.do = "Move Synapse to a database in UTF8 (dump, createdb --encoding=UTF8 --locale=C --template=template0, restore)."
	case c.noted != nil && c.actual != nil && *c.noted != *c.actual:
		f.result = Warning
		f.found += fmt.Sprintf("; its indexes were built with version %s of that order, and the system has %s now", *c.noted, *c.actual)
		f.means = "Text is sorted in another way than when the indexes were built: rows may not be found though they are there."
		f.do = "REINDEX DATABASE CONCURRENTLY, then ALTER DATABASE ... REFRESH COLLATION VERSION."
	case c.provider == "i" || c.collation != "C" && c.collation != "POSIX":
		f.result, f.means = Warning, "Synapse asks for the order C (it starts with another only by allow_unsafe_locale): with this one an upgrade of the "+
			"operating system can make indexes wrong without a word."
		f.do = "When there is time: dump, createdb --locale=C --template=template0, restore. After each upgrade of the system: REINDEX DATABASE."
	case c.number < oldestPostgreSQL:
		f.result, f.means = Warning, "Before PostgreSQL 14 remote media cannot be read in the order of the table: that takes longer."
		f.do = "Upgrade PostgreSQL when there is time."
	}
	return f
}

func checkPrimary(ctx context.Context, e *exam) finding {
	var standby bool
	var replayed *time.Time
	err := e.db.Reader.QueryRow(ctx, `SELECT pg_is_in_recovery(), pg_last_xact_replay_timestamp()`).Scan(&standby, &replayed)
	if err != nil {
		return unread(err)
	}
	if !standby {
		return fine("this is the primary")
	}
	found := "this is a standby, and it has not replayed anything yet"
	if replayed != nil {
		found = fmt.Sprintf("this is a standby; the last that it replayed is %s old (%s)",
			printable.Duration(e.now.Sub(*replayed).Round(time.Second)), replayed.UTC().Format(time.RFC3339))
	}
	return finding{
		result: Failure, found: found, means: "Nothing can be deleted here: a run with this connection string is refused. What follows is as old as that.",
		do:    connect.DatabaseHint(postgres.ErrStandby),
		learn: func(e *exam) { e.standby = true },
	}
}

func checkPooler(ctx context.Context, e *exam) finding {
	err := e.db.TryLock(ctx)
	switch {
	case errors.Is(err, postgres.ErrPooled):
		return finding{
			result: Failure, found: "a lock does not stay with our connection: there is a pooler in transaction mode before PostgreSQL",
			means: "Two runs could overlap without knowing of each other, so a run is refused.",
			do:    "Connect to PostgreSQL directly, or through a pooler in session mode.",
		}
	case err != nil:
		return unread(err)
	}
	return fine("a lock stays with our connection")
}

func checkRun(ctx context.Context, e *exam) finding {
	who, held, err := e.db.Holder(ctx)
	switch {
	case err != nil:
		return unread(err)
	case !held:
		return fine("none is at work")
	}
	return finding{
		result: Warning, found: "one is at work now: " + who,
		means: "A second one ends with exit code 11 until it is done, and some of what follows changes while it is looked at.",
		do:    "Nothing, unless it has been at work for longer than it should: then look at its log.",
	}
}
