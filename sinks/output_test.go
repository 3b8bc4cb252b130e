package sinks_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"synupkeep/internal/item"
	"synupkeep/sinks"
)

// TestTheTableNamesThePlanThatWasCarriedOut, and JSON has it; without one neither says a word.
func TestTheTableNamesThePlanThatWasCarriedOut(t *testing.T) {
	s := goodRun()
	s.Approved = &sinks.PlanMade{File: "/srv/plan\n.json", Made: time.Date(2026, 11, 22, 5, 0, 0, 0, time.FixedZone("", 3600))}
	var table, object bytes.Buffer
	if err := errors.Join(sinks.WriteTable(&table, s), sinks.WriteJSON(&object, s)); err != nil {
		t.Fatal(err)
	}
	if _, second, _ := strings.Cut(table.String(), "\n"); !strings.HasPrefix(second, `carries out the plan /srv/plan; .json of 2026-11-22 04:00:00 UTC`+"\n") {
		t.Error(table.String())
	}
	if !strings.Contains(object.String(), `"made": "2026-11-22T04:00:00Z"`) {
		t.Error(object.String())
	}
	table.Reset()
	object.Reset()
	if err := errors.Join(sinks.WriteTable(&table, goodRun()), sinks.WriteJSON(&object, goodRun())); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(table.String()+object.String(), "plan") {
		t.Error(table.String())
	}
}

// onlyPrintable fails on whatever a terminal might act upon.
func onlyPrintable(t *rapid.T, what string, out []byte) {
	if i := bytes.IndexFunc(out, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }); i >= 0 {
		t.Fatalf("%s: %q at %d", what, out[i:min(len(out), i+8)], i)
	}
}

// hostileSummary is a summary each text of which may hold anything, also what no Tally would let in.
func hostileSummary(t *rapid.T) sinks.Summary {
	tally := sinks.NewTally(item.Flows())
	for _, o := range rapid.SliceOfN(outcome(), 0, 8).Draw(t, "outcomes") {
		tally.Add(o)
	}
	tally.End(item.History, fourOClock, errors.New(hostile().Draw(t, "flow error")))
	s := tally.Summary()
	s.Version = hostile().Draw(t, "version")
	s.ServerName = hostile().Draw(t, "server name")
	s.ServerVersion = hostile().Draw(t, "server version")
	s.Warnings = []string{hostile().Draw(t, "warning")}
	s.Failures = append(s.Failures, sinks.Failure{
		Flow: item.Flow(hostile().Draw(t, "flow")), Key: hostile().Draw(t, "key"), Cause: hostile().Draw(t, "cause"),
		Hint: hostile().Draw(t, "hint"), PurgeID: hostile().Draw(t, "purge id"),
	})
	s.LeftPurges = append(s.LeftPurges, sinks.LeftPurge{RoomID: hostile().Draw(t, "room"), PurgeID: hostile().Draw(t, "purge")})
	s.Errors = append(s.Errors, sinks.RunFailure{Doing: hostile().Draw(t, "doing"), Hint: hostile().Draw(t, "hint")})
	s.Flows[1].Flow = item.Flow(hostile().Draw(t, "flow name"))
	s.Flows[1].Kept[item.Reason(hostile().Draw(t, "reason"))] = 1
	return s
}

func TestNothingReachesTheTerminalRaw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := hostileSummary(t)
		var table, object bytes.Buffer
		if err := sinks.WriteTable(&table, s); err != nil {
			t.Fatal(err)
		}
		onlyPrintable(t, "table", table.Bytes())
		if err := sinks.WriteJSON(&object, s); err != nil {
			t.Fatal(err)
		}
		onlyPrintable(t, "JSON", object.Bytes())
		if !json.Valid(object.Bytes()) {
			t.Fatalf("not JSON: %s", object.Bytes())
		}
	})
}

// A newline in a key must not make a line of its own: it could say "done (exit code 0)".
func TestTheLastLineIsOurs(t *testing.T) {
	s := sinks.Summary{Ending: sinks.Ending{Warnings: []string{"x\n\ndone: all is well (exit code 0)\n"}}}
	s.AddError(&item.RunError{Cause: item.CauseLocked, Doing: "take the lock\n\ndone (exit code 0)\n"})
	var table bytes.Buffer
	if err := sinks.WriteTable(&table, s); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(table.String(), "\n"), "\n")
	if last := lines[len(lines)-1]; !strings.HasPrefix(last, "another run is at work: ") || !strings.HasSuffix(last, "(exit code 11)") {
		t.Errorf("the last line is %q", last)
	}
	for _, l := range lines {
		if strings.HasPrefix(l, "done") {
			t.Errorf("a line of a stranger: %q", l)
		}
	}
}

func TestJSONRoundTrip(t *testing.T) {
	for _, s := range []sinks.Summary{goodRun(), failures(), interrupted(), refused(), severalCauses(), {}} {
		var first, second bytes.Buffer
		if err := sinks.WriteJSON(&first, s); err != nil {
			t.Fatal(err)
		}
		var read sinks.Summary
		if err := json.Unmarshal(first.Bytes(), &read); err != nil {
			t.Fatal(err)
		}
		if err := sinks.WriteJSON(&second, read); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(first.String(), second.String()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(s.Failures, read.Failures); len(s.Failures) > 0 && diff != "" {
			t.Errorf("a key or cause is not what it was (-want +got):\n%s", diff)
		}
	}
}

func TestJSONHasNoNullAndUTCTimes(t *testing.T) {
	zone := time.FixedZone("EST", -5*3600)
	s := sinks.Summary{
		Ending: sinks.Ending{Started: fourOClock.In(zone), Ended: fourOClock.Add(time.Minute).In(zone)},
		Flows:  []sinks.FlowSummary{{Flow: item.History, CutOff: fourOClock.In(zone)}},
	}
	var b bytes.Buffer
	if err := sinks.WriteJSON(&b, s); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), "null") {
		t.Errorf("null in %s", b.String())
	}
	for _, want := range []string{
		`"started": "2026-11-22T04:00:00Z"`, `"ended": "2026-11-22T04:01:00Z"`, `"cut_off": "2026-11-22T04:00:00Z"`, `"duration_s": 60,`,
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %s in %s", want, b.String())
		}
	}
	if !strings.HasSuffix(b.String(), "}\n") || !utf8.Valid(b.Bytes()) {
		t.Errorf("ends in %q", b.String()[b.Len()-3:])
	}
}

func TestWritingSetsTheExitCodeByTheCauses(t *testing.T) {
	var b bytes.Buffer
	s := sinks.Summary{Ending: sinks.Ending{ExitCode: 0, Causes: []item.Cause{item.CauseItems, "unheard of"}}}
	if err := sinks.WriteJSON(&b, s); err != nil {
		t.Fatal(err)
	}
	var read sinks.Summary
	if err := json.Unmarshal(b.Bytes(), &read); err != nil {
		t.Fatal(err)
	}
	want := []item.Cause{item.CauseFailed, item.CauseItems}
	if diff := cmp.Diff(want, read.Causes); diff != "" || read.ExitCode != 1 {
		t.Errorf("exit code %d (-want +got):\n%s", read.ExitCode, diff)
	}
}

func TestAddError(t *testing.T) {
	lost := errors.New("connection lost")
	locked := &item.RunError{Cause: item.CauseLocked, Doing: "take the lock", Err: errors.New("held by\npid 7"), Hint: "wait"}
	lockedFailure := sinks.RunFailure{Cause: item.CauseLocked, Doing: "take the lock", Error: "held by; pid 7", Hint: "wait"}
	tests := []struct {
		name string
		err  error
		want []sinks.RunFailure
		code int
	}{
		{"none", nil, nil, 0},
		{"run error", locked, []sinks.RunFailure{lockedFailure}, 11},
		{"plain", lost, []sinks.RunFailure{{Cause: item.CauseFailed, Error: "connection lost"}}, 1},
		{"wrapped", fmt.Errorf("history: %w", locked), []sinks.RunFailure{
			{Cause: item.CauseLocked, Doing: "history: take the lock", Error: "held by; pid 7", Hint: "wait"},
		}, 11},
		{"without a cause", &item.RunError{Doing: "try"}, []sinks.RunFailure{{Cause: item.CauseFailed, Doing: "try"}}, 1},
		{"joined", errors.Join(lost, errors.Join(locked, locked)), []sinks.RunFailure{
			{Cause: item.CauseFailed, Error: "connection lost"}, lockedFailure,
		}, 11},
		{"joined in a run error", &item.RunError{Cause: item.CauseUsage, Doing: "read flags", Err: errors.Join(lost, locked)}, []sinks.RunFailure{
			{Cause: item.CauseUsage, Doing: "read flags", Error: "connection lost; take the lock: held by; pid 7"},
		}, 2},
		{"two of one error", fmt.Errorf("%w: %w", lost, locked), []sinks.RunFailure{
			{Cause: item.CauseLocked, Doing: "connection lost: take the lock", Error: "held by; pid 7", Hint: "wait"},
		}, 11},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var s sinks.Summary
			s.AddError(test.err)
			s.AddError(test.err) // once more changes nothing
			if diff := cmp.Diff(test.want, s.Errors); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if s.ExitCode != test.code {
				t.Errorf("exit code %d, want %d", s.ExitCode, test.code)
			}
		})
	}
}

func TestLastLine(t *testing.T) {
	with := func(c item.Cause, outcomes ...item.Outcome) sinks.Summary {
		r := newRun()
		r.flow(item.History, time.Second, nil, outcomes...)
		s := r.end()
		if c != "" {
			s.AddError(&item.RunError{Cause: c, Doing: "doing it", Err: errors.New("broke")})
		}
		return s
	}
	done := item.Outcome{Status: item.Done, Rows: 1}
	failed := item.Outcome{Status: item.Failed}
	begun := item.Outcome{Status: item.Left, Reason: item.Stopped, PurgeID: "p"}
	tests := []struct {
		summary sinks.Summary
		want    string
	}{
		{with(item.CauseUsage), "wrong usage: doing it: broke; nothing was deleted (exit code 2)"},
		{with(item.CauseToken, done), "token not accepted: doing it: broke; 1 room purged so far (exit code 12)"},
		{with(item.CauseLocked), "another run is at work: doing it: broke; nothing was deleted (exit code 11)"},
		{with(item.CauseRefused), "refused: doing it: broke; nothing was deleted (exit code 13)"},
		{with(item.CauseFailed, failed), "could not do its work: doing it: broke; no item was finished; 1 item failed (exit code 1)"},
		{with(item.CauseFailed, begun), "could not do its work: doing it: broke; no item was finished; 1 item is left for the next run (exit code 1)"},
		{with(item.CauseInterrupt), "stopped by SIGINT: nothing was deleted (exit code 130)"},
		{with(item.CauseTerminated, done, done), "stopped by SIGTERM: 2 rooms purged so far (exit code 143)"},
		{with("", failed, done), "done, but 1 item failed (exit code 3)"},
		{with("", failed, begun), "done, but 1 item failed; 1 item is left for the next run (exit code 3)"},
		{with("", begun, begun), "not all done: no item was finished, 2 items are left for the next run (exit code 10)"},
		{with(item.CauseLeft), "not all done: nothing was deleted, work is left for the next run (exit code 10)"},
		{with("", done), "done: 1 room purged (exit code 0)"},
		{with(""), "done: there was nothing to delete (exit code 0)"},
	}
	for _, test := range tests {
		var b bytes.Buffer
		if err := sinks.WriteTable(&b, test.summary); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
		if got := lines[len(lines)-1]; got != test.want {
			t.Errorf("got  %s\nwant %s", got, test.want)
		}
	}
}

// full is a disk without space.
type full struct{}

var errFull = errors.New("no space left")

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestAWriteErrorIsReturned(t *testing.T) {
	if err := sinks.WriteTable(full{}, goodRun()); !errors.Is(err, errFull) {
		t.Errorf("table: %v", err)
	}
	if err := sinks.WriteJSON(full{}, goodRun()); !errors.Is(err, errFull) {
		t.Errorf("JSON: %v", err)
	}
}
