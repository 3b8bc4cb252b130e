package usage

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"synupkeep/config"
	"synupkeep/internal/item"
	"synupkeep/internal/logging"
	"synupkeep/internal/sandbox"
	"synupkeep/sinks"
)

func TestMain(m *testing.M) { os.Exit(sandbox.TestMain(m)) }

// settings are those of the command on the sandbox.
func settings(s *sandbox.Server) *config.Config {
	return &config.Config{
		Command: config.CommandUsage, Postgres: config.NewSecret(s.ConnString()), RetryFor: 5 * time.Second, Top: 10, JSON: true,
	}
}

// result is what the command said.
type result struct {
	causes []item.Cause
	usage  sinks.Usage
	out    string
	log    string
}

// look runs the command. change, if it is not nil, changes the reader before it reads.
func look(t testing.TB, cfg *config.Config, change func(*reader)) result {
	t.Helper()
	return lookUntil(t.Context(), t, cfg, change)
}

func lookUntil(feed context.Context, t testing.TB, cfg *config.Config, change func(*reader)) result {
	t.Helper()
	var out, log bytes.Buffer
	r := newReader(cfg, logger(&log))
	if change != nil {
		change(r)
	}
	got := result{causes: r.run(t.Context(), feed, &out), out: out.String(), log: log.String()}
	if cfg.JSON {
		if err := json.Unmarshal(out.Bytes(), &got.usage); err != nil {
			t.Fatalf("not JSON: %v\n%s\n%s", err, got.out, got.log)
		}
	}
	return got
}

// whole runs the command and expects every part.
func whole(t testing.TB, cfg *config.Config) sinks.Usage {
	t.Helper()
	got := look(t, cfg, nil)
	if len(got.causes) != 0 || len(got.usage.Errors) != 0 {
		t.Fatalf("causes %v\n%s\n%s", got.causes, got.out, got.log)
	}
	return got.usage
}

// ask reads one row as superuser.
func ask(t testing.TB, s *sandbox.Server, query string, args []any, to ...any) {
	t.Helper()
	err := s.WithDB(t.Context(), func(ctx context.Context, c *pgx.Conn) error { return c.QueryRow(ctx, query, args...).Scan(to...) })
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func logger(w io.Writer) *logging.Logger { return logging.New(w, logging.LevelTrace, logging.Text) }
