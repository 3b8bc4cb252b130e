package postgres

import (
	"context"
	"fmt"
)

// Look is Open for who only looks: there is no Writer, and no session that could change anything. A standby is ErrStandby all
// the same.
func Look(ctx context.Context, connString string) (*DB, error) {
	return open(ctx, connString, true)
}

// Holder says who holds the lock of a run, without taking it; held is false when nobody does.
func (db *DB) Holder(ctx context.Context) (who string, held bool, err error) {
	err = db.Reader.QueryRow(ctx, `SELECT EXISTS (`+holders+`)`, lockKey).Scan(&held)
	if err != nil {
		return "", false, fmt.Errorf("ask who holds the lock: %w", err)
	}
	if held {
		who = holder(ctx, db.Reader)
	}
	return who, held, nil
}
