package postgres_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"synupkeep/internal/postgres"
	"synupkeep/internal/sandbox"
)

func examine(t *testing.T, connString string) *postgres.DB {
	t.Helper()
	db, err := postgres.Examine(t.Context(), connString, 20*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return db
}

// TestAStandbyCanBeExamined, and nothing can be changed there.
func TestAStandbyCanBeExamined(t *testing.T) {
	connString, stop, err := sandbox.Shared(t).StartStandby(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	db := examine(t, connString)
	if _, err := db.Now(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestWhoExaminesCannotWriteAndDoesNotWaitForEver(t *testing.T) {
	db := examine(t, sandbox.Shared(t).ConnString())
	if db.Writer != nil {
		t.Error("there is a writer")
	}
	if _, err := db.Reader.Exec(t.Context(), `DELETE FROM local_media_repository`); sqlState(err) != "25006" {
		t.Errorf("%v", err)
	}
	var limit string
	if err := db.Reader.QueryRow(t.Context(), `SHOW statement_timeout`).Scan(&limit); err != nil || limit != "20s" {
		t.Errorf("%s, %v", limit, err)
	}
}

// TestATrialLockTellsAPooler, and is in nobody's way: a run holds its lock meanwhile, and another trial is under way.
func TestATrialLockTellsAPooler(t *testing.T) {
	s := sandbox.Shared(t)
	run, err := open(t, s.ConnString()).Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer run.Release(t.Context())
	tried := make(chan error, 2)
	for range cap(tried) {
		db := examine(t, s.ConnString())
		go func() { tried <- db.TryLock(t.Context()) }()
	}
	for range cap(tried) {
		if err := <-tried; err != nil {
			t.Error(err)
		}
	}
	_, port := sandbox.StartPooler(t, s.ConnString())
	if err := examine(t, throughPort(s, port)).TryLock(t.Context()); !errors.Is(err, postgres.ErrPooled) {
		t.Errorf("behind a pooler: %v", err)
	}
	if err := run.Check(t.Context()); err != nil {
		t.Errorf("the lock of the run: %v", err)
	}
}
