package doctor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"synupkeep/config"
	"synupkeep/internal/item"
	"synupkeep/internal/logging"
	"synupkeep/internal/sandbox"
	"synupkeep/internal/sandbox/stock"
)

// TestAHealthyServerIsWell, with what is on every server: rooms, old and young, media, previews.
func TestAHealthyServerIsWell(t *testing.T) {
	s := sandbox.Shared(t)
	id, _ := room(t, s, sandbox.RoomOptions{Name: "Well"})
	uploaded(t, s, 3)
	err := s.Plant(t.Context(), func(ctx context.Context, p *sandbox.Plant) error {
		_, err := p.RemoteMedia(ctx, sandbox.Media{Origin: "remote.example", Thumbnails: 1})
		if err == nil {
			_, err = p.Preview(ctx, "http://page.example/", sandbox.Media{})
		}
		if err == nil {
			err = p.AgeRoom(ctx, id, 40*24*time.Hour)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{nil, {"--media-via", "api"}, {"--only", "history"}, {"--skip", "history"}} {
		x := examine(t, settings(t, s, args...), nil)
		x.but(t)
		if x.costsMore() {
			continue // beside that, all is well
		}
		if len(x.causes) > 0 || x.Result != OK || x.Counts.OK < 25 {
			t.Errorf("%v: %v, %s, %+v", args, x.causes, x.Result, x.Counts)
		}
		if !strings.HasSuffix(x.text, "Verdict: all is well (0 failures, 0 warnings, "+fmt.Sprintf("%d ok, %d not checked).\n", x.Counts.OK, x.Counts.NotChecked)) {
			t.Error(x.text)
		}
	}
}

// TestNothingIsChanged: no table, no file, nothing in the state directory, and no task.
func TestNothingIsChanged(t *testing.T) {
	s := sandbox.Shared(t)
	room(t, s, sandbox.RoomOptions{})
	uploaded(t, s, 2)
	cfg := settings(t, s)
	examine(t, cfg, nil) // the token is used for the first time
	before, files := stock.OfTables(t, s), stock.OfServer(t, s)
	x := examine(t, cfg, nil)
	x.but(t)
	after := stock.OfTables(t, s)
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("tables (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(files, stock.OfServer(t, s)); diff != "" {
		t.Errorf("-before +after:\n%s", diff)
	}
	if left, err := os.ReadDir(cfg.StateDir); err != nil || len(left) > 0 {
		t.Errorf("in the state directory: %v, %v", left, err)
	}
}

// TestACheckThatHangsOrBreaksOffStopsNoOther.
func TestACheckThatHangsOrBreaksOffStopsNoOther(t *testing.T) {
	s := sandbox.Shared(t)
	released := make(chan struct{})
	defer close(released)
	before := time.Now()
	x := examineIn(t.Context(), t, settings(t, s), func(e *exam) { e.limits.check = 5 * time.Second }, []check{
		{name: "deaf", limit: time.Millisecond, do: func(context.Context, *exam) finding { <-released; return fine("late") }},
		{name: "slow", limit: time.Millisecond, do: func(ctx context.Context, _ *exam) finding { <-ctx.Done(); return unread(ctx.Err()) }},
		{name: "torn", do: func(context.Context, *exam) finding { panic("torn") }},
		{name: "database", do: checkDatabase},
		{name: "asleep", needs: []need{database}, limit: 50 * time.Millisecond, do: func(ctx context.Context, e *exam) finding {
			_, err := e.db.Reader.Exec(ctx, `SELECT pg_sleep(60)`)
			return unread(err)
		}},
		{name: "primary", needs: []need{database}, do: checkPrimary},
	})
	x.wants(t, "deaf", Failure, "no answer within 1ms")
	x.wants(t, "slow", Failure, "no answer within 1ms")
	x.wants(t, "torn", Failure, "the check itself broke off: torn", "report it")
	x.wants(t, "asleep", Failure, "no answer within 50ms")
	x.wants(t, "primary", OK)
	if took := time.Since(before); took > time.Minute {
		t.Errorf("it took %v", took)
	}
}

func TestASignalEndsTheChecks(t *testing.T) {
	s := sandbox.Shared(t)
	ctx, stop := context.WithCancelCause(t.Context())
	stopping := check{name: "stopped", do: func(ctx context.Context, _ *exam) finding {
		stop(&item.RunError{Cause: item.CauseTerminated, Doing: "stopped by a signal"})
		<-ctx.Done()
		return unread(ctx.Err())
	}}
	x := examineIn(ctx, t, settings(t, s), nil, append([]check{stopping}, checks()...))
	if diff := cmp.Diff([]item.Cause{item.CauseTerminated}, x.causes); diff != "" || x.ExitCode != 143 {
		t.Errorf("%d, %s", x.ExitCode, diff)
	}
	for _, c := range x.Checks {
		if c.Result != NotChecked || !strings.Contains(c.Found, "doctor was stopped") {
			t.Errorf("%s: %s: %s", c.Name, c.Result, c.Found)
		}
	}
}

// TestWhatIsPrinted: with --quiet only what asks for somebody, and nothing that a terminal might act upon.
func TestWhatIsPrinted(t *testing.T) {
	r := report{Result: Warning, ServerName: "example.org", ServerVersion: "1.163.2", Counts: counts{OK: 1, Warning: 1, NotChecked: 1}, Checks: []result{
		{Name: "odd", Result: Warning, Found: "a room\x1b[2J\nis called\u202e so " + strings.Repeat("very ", 30), Means: "It means this.", Do: "Do that.", Details: []string{"one", "two"}},
		{Name: "fine", Result: OK, Found: "well"},
		{Name: "else", Result: NotChecked, Found: "no database"},
	}}
	const warning = `WARNING      odd: a room\x1b[2J is called\u202e so very very very very very very very very very very very very
             very very very very very very very very very very very very very very very very very very
             - one
             - two
             It means this.
             What to do: Do that.

`
	const verdict = "Verdict: a run would work; somebody should look at the warnings (0 failures, 1 warning, 1 ok, 1 not checked).\n"
	for quiet, want := range map[bool]string{
		true:  warning + verdict,
		false: "synupkeep doctor: example.org, Synapse 1.163.2\n\nok           fine  well\n\nnot checked  no database: else\n\n" + warning + verdict,
	} {
		var out bytes.Buffer
		if err := r.writeText(&out, quiet); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, out.String()); diff != "" {
			t.Errorf("quiet %v (-want +got):\n%s", quiet, diff)
		}
	}
	var out bytes.Buffer
	if err := (&report{Result: OK, Checks: r.Checks[1:]}).writeText(&out, true); err != nil || out.Len() > 0 {
		t.Errorf("where all is well: %q, %v", out.String(), err)
	}
	out.Reset()
	if err := r.write(&out, &config.Config{JSON: true}); err != nil || strings.ContainsAny(out.String(), "\x1b\u202e") {
		t.Errorf("%q, %v", out.String(), err)
	}
}

// TestTheCommand runs it as main does.
func TestTheCommand(t *testing.T) {
	s := sandbox.Shared(t)
	cfg := settings(t, s, "--json")
	cfg.Postgres = config.NewSecret(cfg.Postgres.Reveal() + "0") // the last keyword's value is wrong now
	var out, log bytes.Buffer
	causes := Run(t.Context(), t.Context(), cfg, logging.New(&log, logging.LevelInfo, logging.Text), &out)
	var found map[string]any
	if err := json.Unmarshal(out.Bytes(), &found); err != nil {
		t.Fatal(err)
	}
	if item.ExitCode(causes) != 3 || found["schema"] != 1.0 || found["command"] != "doctor" || found["result"] != "failure" || found["exit_code"] != 3.0 {
		t.Errorf("%v: %s", causes, out.String())
	}
	if strings.Contains(out.String(), s.AdminToken()) || strings.Contains(out.String(), s.PGPassword()) {
		t.Error("a secret shows")
	}
}

// TestWhatCannotBeWrittenIsTold.
func TestWhatCannotBeWrittenIsTold(t *testing.T) {
	var log bytes.Buffer
	cfg := &config.Config{}
	e := &exam{cfg: cfg, log: logging.New(&log, logging.LevelInfo, logging.Text), world: realWorld(), limits: usual()}
	causes := e.run(t.Context(), t.Context(), full{}, nil)
	if !slices.Contains(causes, item.CauseFailed) || !strings.Contains(log.String(), "disk full") {
		t.Errorf("%v, %s", causes, log.String())
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("disk full") }

// TestEveryCheckHasATestAndAChapter: a test that finds its fault, and what docs/doctor.md says of it.
func TestEveryCheckHasATestAndAChapter(t *testing.T) {
	var tests strings.Builder
	err := filepath.WalkDir(".", func(name string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(name, "_test.go") {
			return err
		}
		text, err := os.ReadFile(name)
		tests.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	docs, err := os.ReadFile("../docs/doctor.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, c := range checks() {
		if !regexp.MustCompile(`wants\(t, "` + c.name + `", (Failure|Warning|test\.want|want)[,)]`).MatchString(tests.String()) {
			t.Errorf("no test plants a fault for %s", c.name)
		}
		if !strings.Contains(string(docs), "\n### "+c.name+"\n") {
			t.Errorf("docs/doctor.md says nothing of %s", c.name)
		}
		if seen[c.name] {
			t.Errorf("there are two checks %s", c.name)
		}
		seen[c.name] = true
	}
}

// TestNoSecretShows, whatever a check says.
func TestNoSecretShows(t *testing.T) {
	cfg := settings(t, sandbox.Shared(t))
	token := cfg.Token.Given.Reveal()
	x := examineIn(t.Context(), t, cfg, nil, []check{{name: "leaky", do: func(context.Context, *exam) finding {
		return finding{result: Warning, found: "a " + token, means: "b " + token, do: "c " + token, details: []string{"d " + token}}
	}}})
	c := x.of(t, "leaky")
	if diff := cmp.Diff([]string{"a ***", "b ***", "c ***", "d ***"}, append([]string{c.Found, c.Means, c.Do}, c.Details...)); diff != "" {
		t.Error(diff)
	}
}
