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
	db, err := postgres.Open(t.Context(), connString)
	if err == nil {
		db.Close()
	}
	if !errors.Is(err, postgres.ErrStandby) || !postgres.IsConnection(err) {
		t.Errorf("%v", err)
	}
}
