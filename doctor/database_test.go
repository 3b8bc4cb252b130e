package doctor

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"synupkeep/config"
	"synupkeep/internal/postgres"
	"synupkeep/internal/sandbox"
)

func throughPort(s *sandbox.Server, port int) config.Secret {
	return config.NewSecret(strings.Replace(s.ConnString(), fmt.Sprintf("port=%d", s.PGPort()), fmt.Sprintf("port=%d", port), 1))
}

func inDatabase(s *sandbox.Server, name string) config.Secret {
	return config.NewSecret(strings.Replace(s.ConnString(), "dbname="+s.Database(), "dbname="+name, 1))
}

// TestWithoutADatabaseTheRestIsCheckedAllTheSame.
func TestWithoutADatabaseTheRestIsCheckedAllTheSame(t *testing.T) {
	s := sandbox.Shared(t)
	cfg := settings(t, s)
	cfg.Postgres = throughPort(s, 1)
	x := examine(t, cfg, nil)
	x.wants(t, "database", Failure, "connection refused", "no run can begin", "Is PostgreSQL running")
	x.but(t, "database")
	for _, name := range []string{"schema", "broken-rooms", "vacuum", "same-server", "media-files"} {
		if c := x.of(t, name); c.Result != NotChecked || c.Found != "no database" {
			t.Errorf("%s: %s: %s", name, c.Result, c.Found)
		}
	}
	x.wants(t, "token", OK, "@admin:localhost")
	x.wants(t, "media-store", OK)
	if !strings.Contains(x.text, "\nnot checked  no database: postgresql, primary, pooler, run, schema, privileges, indexes,") {
		t.Error(x.text)
	}
}

// TestADatabaseThatIsSilentStopsNothing: what listens there says nothing at all.
func TestADatabaseThatIsSilentStopsNothing(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	s := sandbox.Shared(t)
	cfg := settings(t, s)
	cfg.Postgres = throughPort(s, l.Addr().(*net.TCPAddr).Port)
	x := examine(t, cfg, func(e *exam) { e.limits.check = 2 * time.Second })
	x.wants(t, "database", Failure, "no answer within 2s")
	x.wants(t, "api", OK)
}

func TestAConnectionInTheOpenIsAWarning(t *testing.T) {
	at := func(text string) net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(text)) }
	for _, test := range []struct {
		encrypted bool
		to        net.Addr
		want      Result
		says      string
	}{
		{true, at("203.0.113.7:5432"), OK, "with TLS"},
		{false, at("203.0.113.7:5432"), Warning, "public address 203.0.113.7"},
		{false, at("[2001:db8::1]:5432"), Warning, "public address"},
		{false, at("[::ffff:10.1.2.3]:5432"), OK, "private network"},
		{false, at("192.168.1.1:5432"), OK, "private network"},
		{false, at("100.64.3.1:5432"), OK, "private network"},
		{false, at("127.0.0.1:5432"), OK, "on this machine"},
		{false, at("[::1]:5432"), OK, "on this machine"},
		{false, &net.UnixAddr{Name: "/run/postgresql/.s.PGSQL.5432", Net: "unix"}, OK, "on this machine"},
	} {
		f := overTheWire("database synapse", test.encrypted, test.to)
		if f.result != test.want || !strings.Contains(f.found, test.says) || f.result == Warning && f.do == "" {
			t.Errorf("%v %v: %+v", test.encrypted, test.to, f)
		}
	}
}

func TestADatabaseThatSynapseShouldNotHave(t *testing.T) {
	s := sandbox.Shared(t)
	do(t, s, `CREATE DATABASE strange TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'`)
	t.Cleanup(func() { do(t, s, `DROP DATABASE strange WITH (FORCE)`) })
	cfg := settings(t, s)
	cfg.Postgres = inDatabase(s, "strange")
	x := examine(t, cfg, nil)
	x.wants(t, "postgresql", Failure, "encoding SQL_ASCII", "UTF8")
	x.wants(t, "schema", Failure, "not the database of a Synapse")
	x.wants(t, "broken-rooms", NotChecked, "no database of a Synapse")
	x.wants(t, "transactions", OK)
}

func TestWhatIsSaidOfPostgreSQL(t *testing.T) {
	one, two := "1", "2"
	for name, test := range map[string]struct {
		cluster
		want Result
		says string
	}{
		"as Synapse wants it":          {cluster{encoding: "UTF8", collation: "C", provider: "c", number: 180004}, OK, "sorted by C"},
		"another order":                {cluster{encoding: "UTF8", collation: "en_US.UTF-8", provider: "c", number: 150000}, Warning, "allow_unsafe_locale"},
		"an order of ICU that is C":    {cluster{encoding: "UTF8", collation: "C", provider: "i", number: 150000}, Warning, "allow_unsafe_locale"},
		"an order that has changed":    {cluster{encoding: "UTF8", collation: "de", provider: "i", number: 150000, noted: &one, actual: &two}, Warning, "REINDEX"},
		"an order that is as it was":   {cluster{encoding: "UTF8", collation: "POSIX", provider: "c", number: 150000, noted: &one, actual: &one}, OK, ""},
		"an old release":               {cluster{encoding: "UTF8", collation: "C", provider: "c", number: 130012}, Warning, "Before PostgreSQL 14"},
		"another encoding before that": {cluster{encoding: "LATIN1", collation: "de", provider: "i", number: 130000}, Failure, "UTF8"},
	} {
		f := test.judge()
		if f.result != test.want || !strings.Contains(f.found+f.means+f.do, test.says) || f.result != OK && f.do == "" {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

// TestAnOrderThatHasChangedIsFound has the real server say that its collation is of another version than the one noted.
func TestAnOrderThatHasChangedIsFound(t *testing.T) {
	s := sandbox.Shared(t)
	do(t, s, `CREATE DATABASE sorted TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8'`)
	t.Cleanup(func() { do(t, s, `DROP DATABASE sorted WITH (FORCE)`) })
	cfg := settings(t, s)
	cfg.Postgres = inDatabase(s, "sorted")
	examine(t, cfg, nil).wants(t, "postgresql", Warning, "sorted by C.UTF-8", "allow_unsafe_locale")
}

func TestAStandbyIsExaminedAndNoRunWouldWorkThere(t *testing.T) {
	s := sandbox.Shared(t)
	connString, stop, err := s.StartStandby(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	cfg := settings(t, s)
	cfg.Postgres = config.NewSecret(connString)
	x := examine(t, cfg, nil)
	x.wants(t, "primary", Failure, "a standby", "refused", "Connect to the primary")
	x.wants(t, "database", OK)
	x.wants(t, "run", NotChecked, "standby")
}

func TestAPoolerInTransactionModeIsFound(t *testing.T) {
	s := sandbox.Shared(t)
	_, port := sandbox.StartPooler(t, s.ConnString())
	cfg := settings(t, s)
	cfg.Postgres = throughPort(s, port)
	x := examine(t, cfg, nil)
	x.wants(t, "pooler", Failure, "transaction mode", "session mode")
	x.wants(t, "schema", OK)
}

func TestARunAtWorkIsTold(t *testing.T) {
	s := sandbox.Shared(t)
	db, err := postgres.Open(t.Context(), s.ConnString())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	lock, err := db.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Release(t.Context())
	x := examine(t, settings(t, s), nil)
	x.wants(t, "run", Warning, `one is at work now: "synupkeep", database process `, "exit code 11")
	x.wants(t, "pooler", OK)
	x.but(t, "run")
	if err := lock.Check(t.Context()); err != nil {
		t.Errorf("the lock of the run: %v", err)
	}
}
