package postgres

import (
	"context"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"synupkeep/internal/sandbox"
)

// silence passes connections to PostgreSQL on until it is told to fall silent; then it keeps them, and says nothing.
// hangUp ends them.
func silence(t *testing.T, s *sandbox.Server) (port int, fall, hangUp func()) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	silent := false
	var conns []net.Conn
	var open sync.WaitGroup
	pass := func(from, to net.Conn) {
		defer to.Close() //nolint:errcheck // a copy that ended
		buffer := make([]byte, 1<<16)
		for {
			n, err := from.Read(buffer)
			mu.Lock()
			drop := silent
			mu.Unlock()
			if err != nil {
				return
			}
			if !drop {
				if _, err := to.Write(buffer[:n]); err != nil {
					return
				}
			}
		}
	}
	open.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", net.JoinHostPort(s.PGHost(), strconv.Itoa(s.PGPort())))
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			conns = append(conns, client, server)
			mu.Unlock()
			open.Go(func() { pass(client, server) })
			open.Go(func() { pass(server, client) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		open.Wait()
	})
	return listener.Addr().(*net.TCPAddr).Port, func() {
			mu.Lock()
			defer mu.Unlock()
			silent = true
		}, func() {
			_ = listener.Close()
			mu.Lock()
			defer mu.Unlock()
			for _, c := range conns {
				_ = c.Close()
			}
		}
}

// TestAStatementThatIsNeverAnsweredEnds, whatever keeps the connection open, and looks like a server that is away.
func TestAStatementThatIsNeverAnsweredEnds(t *testing.T) {
	s := sandbox.Shared(t)
	for name, ask := range map[string]func(ctx context.Context, p *pgxpool.Pool) error{
		"with arguments": func(ctx context.Context, p *pgxpool.Pool) error {
			var one int
			return p.QueryRow(ctx, `SELECT $1::int`, 1).Scan(&one)
		},
		"without": func(ctx context.Context, p *pgxpool.Pool) error { _, err := p.Exec(ctx, `SELECT 1`); return err },
		"a transaction": func(ctx context.Context, p *pgxpool.Pool) error {
			tx, err := p.Begin(ctx)
			if err != nil {
				return err
			}
			return tx.Rollback(ctx)
		},
	} {
		t.Run(name, func(t *testing.T) {
			port, fall, hangUp := silence(t, s)
			db, err := Open(t.Context(), strings.Replace(s.ConnString(), "port="+strconv.Itoa(s.PGPort()), "port="+strconv.Itoa(port), 1))
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			tracer, ok := db.Writer.Config().ConnConfig.Tracer.(bound)
			if !ok || tracer.limit != answerTimeout || db.lock.Tracer != db.Reader.Config().ConnConfig.Tracer {
				t.Fatal("a session of the run has no such bound")
			}
			if db.Reader.Config().PingTimeout != connectTimeout || db.Writer.Config().PingTimeout != connectTimeout {
				t.Fatal("whether an idle session still answers is asked without a bound")
			}
			cfg := db.Writer.Config()
			cfg.ConnConfig.Tracer = bound{limit: 300 * time.Millisecond}
			brief, err := pgxpool.NewWithConfig(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer brief.Close()
			defer hangUp() // pgx would wait for a server that says good-bye
			if err := ask(t.Context(), brief); err != nil {
				t.Fatalf("while it is there: %v", err)
			}
			fall()
			if err := ask(t.Context(), brief); !IsConnection(err) {
				t.Errorf("%v, want an error of a server that is away", err)
			}
		})
	}
}
