package sources

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"synupkeep/internal/item"
	"synupkeep/internal/references"
	"synupkeep/internal/retry"
)

// lossy loses its connection at one statement.
type lossy struct {
	*pgxpool.Pool
	at, n int
}

func (l *lossy) lost() bool {
	l.n++
	return l.n == l.at
}

func (l *lossy) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	if l.lost() {
		return nil, net.ErrClosed
	}
	return l.Pool.Query(ctx, sql, args...)
}

type lostRow struct{}

func (lostRow) Scan(...any) error { return net.ErrClosed }

func (l *lossy) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	if l.lost() {
		return lostRow{}
	}
	return l.Pool.QueryRow(ctx, sql, args...)
}

func (l *lossy) BeginTx(ctx context.Context, options pgx.TxOptions) (pgx.Tx, error) {
	if l.lost() {
		return nil, net.ErrClosed
	}
	return l.Pool.BeginTx(ctx, options)
}

// TestALostConnectionChangesNothing, at whatever statement it is lost; and without another try the set is not whole.
func TestALostConnectionChangesNothing(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	kept, redacted, avatar := w.id("kept"), w.id("redacted"), w.id("avatar")
	w.picture(kept)
	w.must(w.user.Redact(t.Context(), w.room, w.picture(redacted)))
	w.newAvatar(avatar)
	w.settle()
	want := map[string][]item.Reason{kept: {item.Event}, redacted: {item.Event}, avatar: {item.Avatar}}
	pool := w.refs.DB.(*pgxpool.Pool)
	statements := 0
	for _, way := range []string{"cold", "remembered"} {
		w.refs.Memory = references.In(dir, "hs")
		for at := 1; ; at++ {
			if way == "cold" {
				w.refs.Memory = references.In(t.TempDir(), "hs")
			}
			db := &lossy{Pool: pool, at: at}
			w.refs.DB, w.refs.Retry = db, retry.Policy{}
			if err := w.refs.Each(t.Context(), func(uint64, item.Reason) {}); err == nil && db.n >= at && way == "cold" {
				t.Errorf("%s: statement %d was lost and the set is whole", way, at)
			}
			db.n = 0
			w.refs.Retry = retry.Policy{For: 10 * time.Second, First: time.Millisecond}
			wantShown(t, each(t, w.refs), want)
			if db.n < at {
				statements += at
				break
			}
		}
	}
	if statements < 30 {
		t.Errorf("only %d statements", statements)
	}
}
