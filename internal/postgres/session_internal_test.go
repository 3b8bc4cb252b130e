package postgres

import (
	"fmt"
	"strings"
	"testing"

	"synupkeep/internal/sandbox"
)

// TestSessionOfTheLockIsSetUp: a statement of the lock's session must not wait for ever either.
func TestSessionOfTheLockIsSetUp(t *testing.T) {
	s := sandbox.Shared(t)
	db, err := Open(t.Context(), s.ConnString()+" statement_timeout=0 lock_timeout=0 default_transaction_isolation='repeatable read' application_name=somebody")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	lock, err := db.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Release(t.Context())
	for setting, want := range map[string]string{
		"application_name": ApplicationName, "statement_timeout": "10min", "lock_timeout": "10s", "default_transaction_isolation": "read committed",
		"idle_in_transaction_session_timeout": "10min", "default_transaction_read_only": "off",
	} {
		var got string
		if err := lock.conn.QueryRow(t.Context(), `SELECT current_setting($1)`, setting).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %q, want %q (%v)", setting, got, want, err)
		}
	}
}

// TestWhoHoldsTheLockIsNamed: by name, process and time, and to another role, which may not see all of it, by the first two.
func TestWhoHoldsTheLockIsNamed(t *testing.T) {
	s := sandbox.Shared(t)
	db, err := Open(t.Context(), s.ConnString())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	lock, err := db.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Release(t.Context())
	var since string
	if err := db.Reader.QueryRow(t.Context(), `
		SELECT to_char(backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') FROM pg_stat_activity WHERE pid = $1`, lock.pid).Scan(&since); err != nil {
		t.Fatal(err)
	}
	held := fmt.Sprintf("another run holds the lock: %q, database process %d", ApplicationName, lock.pid)
	for role, test := range map[string]struct{ connString, want string }{
		"the same": {s.ConnString(), held + ", since " + since},
		"another":  {s.OutsiderConnString(), held},
	} {
		other, err := Open(t.Context(), test.connString)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(other.Close)
		if _, err := other.Acquire(t.Context()); err == nil || !strings.HasSuffix(err.Error(), test.want) {
			t.Errorf("%s role: %v, want %s", role, err, test.want)
		}
	}
}
