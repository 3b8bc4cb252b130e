package postgres_test

import (
	"strings"
	"testing"

	"synupkeep/internal/postgres"
	"synupkeep/internal/sandbox"
)

func TestWhoOnlyLooksCanWriteNothingAndSeesWhoHoldsTheLock(t *testing.T) {
	s := sandbox.Shared(t)
	looker, err := postgres.Look(t.Context(), s.ConnString())
	if err != nil {
		t.Fatal(err)
	}
	defer looker.Close()
	if looker.Writer != nil {
		t.Error("it has sessions that can write")
	}
	if _, err := looker.Reader.Exec(t.Context(), `CREATE TABLE written (a int)`); sqlState(err) != "25006" {
		t.Errorf("it can write: %v", err)
	}
	if _, held, err := looker.Holder(t.Context()); held || err != nil {
		t.Errorf("held before anybody took it: %t, %v", held, err)
	}
	lock, err := open(t, s.ConnString()).Acquire(t.Context())
	if err != nil {
		t.Fatalf("a look has taken the lock: %v", err)
	}
	who, held, err := looker.Holder(t.Context())
	if err != nil || !held || !strings.Contains(who, `"synupkeep", database process `) {
		t.Errorf("%q, %t, %v", who, held, err)
	}
	lock.Release(t.Context())
	if _, held, err := looker.Holder(t.Context()); held || err != nil {
		t.Errorf("held after it was released: %t, %v", held, err)
	}
}
