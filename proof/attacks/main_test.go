// Package attacks_test looks at the program as somebody would who wants it to go wrong: the admin of another server, a user with
// an account, an operator who is mistaken. docs/attacks.md says what each could do.
package attacks_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"synupkeep/internal/sandbox"
	"synupkeep/internal/sandbox/stock"
	"synupkeep/proof/program"
)

func TestMain(m *testing.M) { os.Exit(program.TestMain(m)) }

const (
	day     = 24 * time.Hour
	longAgo = 60 * day // past the cut-off of 30 days
)

// must returns what a call returned that has to succeed.
func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func plant(t *testing.T, s *sandbox.Server, f func(context.Context, *sandbox.Plant) error) {
	t.Helper()
	if err := s.Plant(t.Context(), f); err != nil {
		t.Fatal(err)
	}
}

func execSQL(t *testing.T, s *sandbox.Server, sql string, args ...any) {
	t.Helper()
	err := s.WithDB(context.WithoutCancel(t.Context()), func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, sql, args...)
		return err
	})
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// where is the sandbox with a state directory of its own.
func where(t *testing.T, s *sandbox.Server) program.Where {
	t.Helper()
	return program.Where{Server: s, StateDir: filepath.Join(t.TempDir(), "state")}
}

// wantCode fails unless a run ended with that exit code.
func wantCode(t *testing.T, r program.Result, want int) {
	t.Helper()
	if r.Code != want {
		t.Fatalf("exit code %d, want %d\n%s\n%s", r.Code, want, r.Out, r.Log)
	}
}

// there says which of some events are in the database and no outliers.
func there(t *testing.T, s *sandbox.Server, ids []string) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	for _, id := range stock.All[string](t, s, `SELECT event_id FROM events JOIN event_json USING (event_id)
		WHERE event_id = ANY ($1) AND NOT outlier`, ids) {
		found[id] = true
	}
	return found
}

// allThere fails unless all of some events are there, and the client API gives them out.
func allThere(t *testing.T, s *sandbox.Server, user, room string, ids []string) {
	t.Helper()
	found := there(t, s, ids)
	for _, id := range ids {
		if !found[id] {
			t.Errorf("young %s has gone", id)
			continue
		}
		if _, err := s.As(user).Event(t.Context(), room, id); err != nil {
			t.Errorf("young %s: %v", id, err)
		}
	}
}

// alive fails unless a room takes a message.
func alive(t *testing.T, s *sandbox.Server, user, room string) {
	t.Helper()
	if _, err := s.As(user).Send(t.Context(), room, "still here"); err != nil {
		t.Errorf("%s takes no message: %v", room, err)
	}
}

// printable fails when a text holds what a terminal would act upon, or a line that was forged.
func printable(t *testing.T, what, text, forged string) {
	t.Helper()
	for i, r := range text {
		if r != '\n' && (r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u202e' || r == '\ufeff') {
			t.Errorf("%s holds %q: %q", what, r, text[max(0, i-40):min(len(text), i+40)])
			return
		}
	}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, forged) {
			t.Errorf("%s has a line that was forged: %s", what, line)
		}
	}
}
