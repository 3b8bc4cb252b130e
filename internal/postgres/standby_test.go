package postgres_test

import (
	"context"
	"errors"
	"testing"

	"synupkeep/internal/postgres"
	"synupkeep/internal/sandbox"
)

func TestStandbyIsRefused(t *testing.T) {
	connString, stop, err := sandbox.Shared(t).StartStandby(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	db := open(t, connString)
	if _, err := db.Now(t.Context()); err != nil {
		t.Fatalf("the standby does not answer: %v", err)
	}
	lock, err := db.Acquire(t.Context())
	if err == nil {
		lock.Release(t.Context())
	}
	if !errors.Is(err, postgres.ErrStandby) {
		t.Errorf("%v", err)
	}
}
