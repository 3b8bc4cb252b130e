package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"synupkeep/internal/postgres"
	"synupkeep/internal/sandbox"
)

func TestTwoRunsNeverOverlap(t *testing.T) {
	s := sandbox.Shared(t)
	db := open(t, s.ConnString())
	lock, err := db.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	other := open(t, s.ConnString())
	began := time.Now()
	_, err = other.Acquire(t.Context())
	if !errors.Is(err, postgres.ErrLocked) || time.Since(began) > 3*time.Second {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
	for _, want := range []string{`"synupkeep"`, "database process ", time.Now().UTC().Format("2006-01-02T15:")} {
		if !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%v: it does not say %s", err, want)
		}
	}
	lock.Release(t.Context())
	lock, err = other.Acquire(t.Context())
	if err != nil {
		t.Fatalf("released, yet: %v", err)
	}
	lock.Release(t.Context())
}

// The lock is one a database: two homeservers on one PostgreSQL do not wait for each other.
func TestLockOfAnotherDatabase(t *testing.T) {
	s := sandbox.Shared(t)
	lock, err := open(t, s.ConnString()).Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Release(t.Context())
	other, err := open(t, strings.Replace(s.ConnString(), "dbname="+s.Database(), "dbname=postgres", 1)).Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	other.Release(t.Context())
}

func TestLostLockIsNoticed(t *testing.T) {
	s := sandbox.Shared(t)
	db := open(t, s.ConnString())
	lock, err := db.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	watched := make(chan error, 1)
	go func() { watched <- lock.Watch(t.Context(), 50*time.Millisecond) }()
	kill(t, s, `pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory')`)
	select {
	case err := <-watched:
		if !errors.Is(err, postgres.ErrLockLost) {
			t.Errorf("%v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("not noticed")
	}
	again, err := db.Acquire(t.Context())
	if err != nil {
		t.Fatalf("the session of the lock is dead, yet: %v", err)
	}
	again.Release(t.Context())
	lock.Release(t.Context()) // of a dead session, harmless
}

func TestTransactionPoolerIsRefused(t *testing.T) {
	s := sandbox.Shared(t)
	p, port := sandbox.StartPooler(t, s.ConnString())
	db := open(t, throughPort(s, port))
	if _, err := db.Now(t.Context()); err != nil {
		t.Fatalf("the pooler does not work: %v", err)
	}
	if lock, err := db.Acquire(t.Context()); !errors.Is(err, postgres.ErrPooled) {
		if err == nil {
			lock.Release(t.Context())
		}
		t.Errorf("%v", err)
	}
	if lent := p.Lent(); lent < 2 || lent > 3 {
		t.Errorf("the pooler opened %d sessions, this test is about one that has nobody else to serve", lent)
	}
}

// throughPort connects to another port than the server's own.
func throughPort(s *sandbox.Server, port int) string {
	return strings.Replace(s.ConnString(), fmt.Sprintf("port=%d", s.PGPort()), fmt.Sprintf("port=%d", port), 1)
}

func TestWatchEndsWithItsContext(t *testing.T) {
	lock, err := open(t, sandbox.Shared(t).ConnString()).Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Release(t.Context())
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := lock.Watch(ctx, 10*time.Millisecond); err != nil {
		t.Error(err)
	}
}

func TestAcquireEndsWithItsContext(t *testing.T) {
	db := open(t, sandbox.Shared(t).ConnString())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := db.Acquire(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// TestARunThatFollowsAtOnceGetsTheLock fails within a few hundred turns when the lock is left to the end of its session.
func TestARunThatFollowsAtOnceGetsTheLock(t *testing.T) {
	db := open(t, sandbox.Shared(t).ConnString())
	for range 300 {
		lock, err := db.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		lock.Release(t.Context())
	}
}
