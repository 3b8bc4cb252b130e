package sources

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"synupkeep/internal/postgres"
)

// deadlines notes of each statement whether it has to be answered within some time.
type deadlines struct {
	pgx.QueryTracer
	mu      sync.Mutex
	bounded map[string]bool
}

func (d *deadlines) TraceQueryStart(ctx context.Context, c *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	ctx = d.QueryTracer.TraceQueryStart(ctx, c, data)
	_, bounded := ctx.Deadline()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.bounded[strings.Join(strings.Fields(data.SQL), " ")] = bounded
	return ctx
}

// TestReadingAllEventsMayTakeAsLongAsItTakes: on a large server that is more than any other statement may.
func TestReadingAllEventsMayTakeAsLongAsItTakes(t *testing.T) {
	w := newWorld(t)
	db, err := postgres.Open(t.Context(), w.ConnString())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	cfg := db.Reader.Config()
	noted := &deadlines{QueryTracer: cfg.ConnConfig.Tracer, bounded: map[string]bool{}}
	cfg.ConnConfig.Tracer = noted
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	w.refs.DB, w.refs.Memory = pool, nil
	each(t, w.refs)
	const all = `SELECT event_id, json FROM event_json WHERE position($1 in json) > 0`
	if bounded, asked := noted.bounded[all]; !asked || bounded {
		t.Errorf("asked %v, bounded %v", asked, bounded)
	}
	for sql, bounded := range noted.bounded {
		if !bounded && sql != all {
			t.Errorf("may take for ever: %s", sql)
		}
	}
}
