package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"synupkeep/internal/postgres"
	"synupkeep/internal/retry"
	"synupkeep/internal/sandbox"
)

func TestMain(m *testing.M) { os.Exit(sandbox.TestMain(m)) }

func open(t *testing.T, connString string) *postgres.DB {
	t.Helper()
	db, err := postgres.Open(t.Context(), connString)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return db
}

func sqlState(err error) string {
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		return refused.Code
	}
	return fmt.Sprint(err)
}

func TestSessionsAreSetUp(t *testing.T) {
	db := open(t, sandbox.Shared(t).ConnString())
	for name, q := range map[string]interface {
		QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	}{"reader": db.Reader, "writer": db.Writer} {
		want := map[string]string{
			"application_name": "synupkeep", "statement_timeout": "10min", "lock_timeout": "10s", "default_transaction_isolation": "read committed",
			"idle_in_transaction_session_timeout": "10min", "jit": "off", "default_transaction_read_only": "off", "row_security": "off",
		}
		if name == "reader" {
			want["default_transaction_read_only"] = "on"
		}
		for setting, value := range want {
			var got string
			if err := q.QueryRow(t.Context(), `SELECT current_setting($1)`, setting).Scan(&got); err != nil || got != value {
				t.Errorf("%s: %s is %q, want %q (%v)", name, setting, got, value, err)
			}
		}
	}
	if got := db.Reader.Config().MaxConns + db.Writer.Config().MaxConns; got > 5 {
		t.Errorf("%d sessions beside the lock", got)
	}
}

// TestDefaultsOfARoleDoNotMislead gives a role settings of which each would have us see less than is there, or delete files
// before their rows are gone for good.
func TestDefaultsOfARoleDoNotMislead(t *testing.T) {
	s := sandbox.Shared(t)
	set := func(sql string) {
		err := s.WithDB(context.WithoutCancel(t.Context()), func(ctx context.Context, conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, sql)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, value := range map[string]string{"synchronous_commit": "off", "client_encoding": "'LATIN1'"} {
		set(`ALTER ROLE ` + s.PGUser() + ` SET ` + name + ` = ` + value)
		t.Cleanup(func() { set(`ALTER ROLE ` + s.PGUser() + ` RESET ` + name) })
	}
	db := open(t, s.ConnString())
	var commit, text string
	if err := db.Writer.QueryRow(t.Context(), `SELECT current_setting('synchronous_commit'), 'é€'`).Scan(&commit, &text); err != nil {
		t.Fatal(err)
	}
	if commit != "local" || text != "é€" {
		t.Errorf("a commit waits for the disk: %s; text comes as %q", commit, text)
	}

	// What the admin has chosen is kept where it waits for the disk.
	set(`ALTER ROLE ` + s.PGUser() + ` SET synchronous_commit = 'remote_write'`)
	again := open(t, s.ConnString())
	if err := again.Writer.QueryRow(t.Context(), `SELECT current_setting('synchronous_commit')`).Scan(&commit); err != nil || commit != "remote_write" {
		t.Errorf("%s, %v", commit, err)
	}
}

// TestRowsThatAPolicyHidesAreAnError has the database hide the avatars of some users from our role.
func TestRowsThatAPolicyHidesAreAnError(t *testing.T) {
	s := sandbox.Shared(t)
	do := func(sql string) {
		err := s.WithDB(context.WithoutCancel(t.Context()), func(ctx context.Context, conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, sql)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	do(`CREATE TABLE shy (a int); GRANT SELECT ON shy TO ` + s.PGUser() + `; ALTER TABLE shy ENABLE ROW LEVEL SECURITY;
		CREATE POLICY few ON shy USING (a < 10)`)
	t.Cleanup(func() { do(`DROP TABLE shy`) })
	var n int
	if err := open(t, s.ConnString()).Reader.QueryRow(t.Context(), `SELECT count(*) FROM shy`).Scan(&n); sqlState(err) != "42501" {
		t.Errorf("%d rows, %v", n, err)
	}
}

func TestReaderCannotWrite(t *testing.T) {
	db := open(t, sandbox.Shared(t).ConnString())
	for _, sql := range []string{
		`DELETE FROM local_media_repository`, `UPDATE users SET admin = 0`, `CREATE TABLE x ()`, `INSERT INTO users (name) VALUES ('@x:y')`,
	} {
		if _, err := db.Reader.Exec(t.Context(), sql); sqlState(err) != "25006" {
			t.Errorf("%s: %v", sql, err)
		}
	}
	if _, err := db.Writer.Exec(t.Context(), `UPDATE users SET admin = admin`); err != nil {
		t.Error(err)
	}
}

func TestNowIsTheDatabasesClock(t *testing.T) {
	db := open(t, sandbox.Shared(t).ConnString())
	now, err := db.Now(t.Context())
	if err != nil || now.Location() != time.UTC || time.Since(now).Abs() > 5*time.Second {
		t.Errorf("%v, %v", now, err)
	}
}

// listen serves raw connections until the test ends.
func listen(t *testing.T, serve func(net.Conn)) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close() //nolint:errcheck // the test is over
				serve(c)
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

func TestDatabaseThatCannotBeOpened(t *testing.T) {
	s := sandbox.Shared(t)
	host, port, user, name := s.PGHost(), s.PGPort(), s.PGUser(), s.Database()
	keywords := func(port int, user, password, db, more string) string {
		return fmt.Sprintf("host=%s port=%d user=%s password=%s dbname=%s %s", host, port, user, password, db, more)
	}
	silent := listen(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	rude := listen(t, func(net.Conn) {})
	other := listen(t, func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n") })
	tests := []struct{ name, conn, want string }{
		{"wrong password", keywords(port, user, "hunter2", name, ""), "28P01"},
		{"wrong password in a URL", fmt.Sprintf("postgres://%s:hunter2@%s:%d/%s", user, host, port, name), "28P01"},
		{"no such user", keywords(port, "nobody_at_all", "hunter2", name, ""), "28"},
		{"no such database", keywords(port, user, s.PGPassword(), "no_such_database", ""), "3D000"},
		{"nobody listens", keywords(1, user, "hunter2", name, ""), "connection refused"},
		{"no such host", "host=no-such-host.invalid user=x password=hunter2 dbname=x", "no-such-host.invalid"},
		{"hangs", keywords(silent, user, "hunter2", name, ""), "no answer within 10s"},
		{"closes", keywords(rude, user, "hunter2", name, ""), ""},
		{"another protocol", keywords(other, user, "hunter2", name, ""), ""},
		{"TLS that the server has not", keywords(port, user, "hunter2", name, "sslmode=require"), "TLS"},
		{"not understood", "postgres://user:hunter2@host:notaport/x", "not understood"},
		{"not understood either", "password=hunter2 host", "not understood"},
		{"a longer connect_timeout", keywords(silent, user, "hunter2", name, "connect_timeout=100"), "no answer within 10s"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			db, err := postgres.Open(t.Context(), test.conn)
			if err == nil {
				db.Close()
				t.Fatal("opened")
			}
			if took := time.Since(began); took > 25*time.Second {
				t.Errorf("after %v", took)
			}
			text := err.Error()
			if !strings.Contains(text, test.want) || strings.Contains(text, "\n") || len(text) > 400 {
				t.Errorf("text %q, want %q", text, test.want)
			}
			if strings.Contains(text, "hunter2") || strings.Contains(text, s.PGPassword()) {
				t.Errorf("the password shows: %q", text)
			}
		})
	}
}

func TestTargetHoldsNoPassword(t *testing.T) {
	s := sandbox.Shared(t)
	db := open(t, s.ConnString())
	want := fmt.Sprintf("database %s of %s:%d as %s", s.Database(), s.PGHost(), s.PGPort(), s.PGUser())
	if got := db.Target(); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// kill ends the sessions of a role other than the one that asks.
func kill(t *testing.T, s *sandbox.Server, where string, args ...any) {
	t.Helper()
	err := s.WithDB(t.Context(), func(ctx context.Context, c *pgx.Conn) error {
		var n int
		err := c.QueryRow(ctx, `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
			WHERE pid <> pg_backend_pid() AND application_name = 'synupkeep' AND `+where, args...).Scan(&n)
		if err == nil && n == 0 {
			return errors.New("no session to end")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestErrorsOfARefusedStatementAreNoConnectionErrors(t *testing.T) {
	s := sandbox.Shared(t)
	db := open(t, s.ConnString())
	for sql, code := range map[string]string{
		`SELECT 1/0`: "22012", `SELECT * FROM no_such_table`: "42P01", `SELEC`: "42601", `DELETE FROM users`: "25006",
		`SELECT pg_read_file('/etc/passwd')`: "42501",
	} {
		_, err := db.Reader.Exec(t.Context(), sql)
		if sqlState(err) != code || postgres.IsConnection(err) {
			t.Errorf("%s: %v", sql, err)
		}
	}
	conn, err := db.Reader.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	if _, err := conn.Exec(t.Context(), `SET statement_timeout = 20`); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), `SELECT pg_sleep(10)`); sqlState(err) != "57014" || postgres.IsConnection(err) {
		t.Errorf("statement timeout: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = db.Reader.Exec(ctx, `SELECT 1`)
	if err == nil || postgres.IsConnection(err) {
		t.Errorf("our own end: %v", err)
	}
	if _, err := postgres.Open(t.Context(), strings.Replace(s.ConnString(), s.PGPassword(), "wrong", 1)); postgres.IsConnection(err) {
		t.Errorf("wrong password: %v", err)
	}
}

func TestWhatIsAConnectionError(t *testing.T) {
	for _, test := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{errors.New("other"), false},
		{pgx.ErrNoRows, false},
		{context.Canceled, false},
		{fmt.Errorf("read: %w", io.ErrUnexpectedEOF), true},
		{fmt.Errorf("read: %w", net.ErrClosed), true},
		{&net.OpError{Op: "dial", Err: errors.New("refused")}, true},
		{&pgconn.PgError{Code: "57P01"}, true},
		{&pgconn.PgError{Code: "57P03"}, true},
		{&pgconn.PgError{Code: "57P05"}, true},
		{&pgconn.PgError{Code: "53300"}, true},
		{&pgconn.PgError{Code: "08P01"}, true},
		{&pgconn.PgError{Code: "08006"}, true},
		{&pgconn.PgError{Code: "57P04"}, false},
		{&pgconn.PgError{Code: "40001"}, false},
		{&pgconn.PgError{Code: "42501"}, false},
		{&pgconn.PgError{Code: ""}, false},
		{&pgconn.PgError{Code: "0"}, false},
	} {
		if got := postgres.IsConnection(test.err); got != test.want {
			t.Errorf("%v: %v, want %v", test.err, got, test.want)
		}
		var refused *pgconn.PgError
		wantAgain := test.want || errors.As(test.err, &refused) && refused.Code == "40001" // it only met another transaction
		if again, wait := postgres.Again(test.err); again != wantAgain || wait != 0 {
			t.Errorf("%v: again %v, wait %v", test.err, again, wait)
		}
	}
}

func TestSessionThatIsEndedIsAConnectionError(t *testing.T) {
	s := sandbox.Shared(t)
	db := open(t, s.ConnString())
	failed := make(chan error, 1)
	go func() {
		_, err := db.Reader.Exec(t.Context(), `SELECT pg_sleep(30)`)
		failed <- err
	}()
	deadline := time.Now().Add(10 * time.Second)
	for running := false; !running; {
		if time.Now().After(deadline) {
			t.Fatal("the query does not run")
		}
		if err := db.Writer.QueryRow(t.Context(), `SELECT EXISTS (SELECT 1 FROM pg_stat_activity
			WHERE state = 'active' AND query LIKE 'SELECT pg_sleep(30)%')`).Scan(&running); err != nil {
			t.Fatal(err)
		}
	}
	kill(t, s, `query LIKE 'SELECT pg_sleep(30)%'`)
	if err := <-failed; !postgres.IsConnection(err) {
		t.Errorf("%v", err)
	}
}

func TestPoolOutlivesARestartOfTheServer(t *testing.T) {
	s := sandbox.Shared(t)
	db := open(t, s.ConnString())
	if _, err := db.Now(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.StopSynapse(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.StopPostgres(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, first := db.Now(t.Context())  // a session that was cut off
	_, second := db.Now(t.Context()) // nobody listens
	back := make(chan error, 1)
	tried := make(chan struct{})
	var once sync.Once
	go func() {
		<-tried
		back <- s.StartPostgres(t.Context())
	}()
	tries, err := retry.Policy{For: 30 * time.Second, First: 50 * time.Millisecond}.Do(t.Context(), func() error {
		_, err := db.Now(t.Context())
		if err != nil {
			once.Do(func() { close(tried) })
		}
		return err
	}, postgres.Again)
	if err := <-back; err != nil {
		t.Fatal(err)
	}
	if err := s.StartSynapse(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{first, second} {
		if !postgres.IsConnection(err) {
			t.Errorf("%v", err)
		}
	}
	if err != nil || tries < 2 {
		t.Errorf("%d tries, %v", tries, err)
	}
	var readOnly string
	if err := db.Reader.QueryRow(t.Context(), `SHOW default_transaction_read_only`).Scan(&readOnly); err != nil || readOnly != "on" {
		t.Errorf("a new session of the reader: read only %q, %v", readOnly, err)
	}
}
