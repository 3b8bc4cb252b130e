package sinks_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"synupkeep/internal/item"
	"synupkeep/sinks"
)

// hostile draws what a database may hold: mostly honest, at times anything.
func hostile() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.SampledFrom([]string{
			"", "!a:example.org", "mxc://example.org/x", "a\nb", "\x1b[2Jx", "\u009b2J", "\u202egnp", "\x00", "\xff\xfe",
			"a\u2028b", "\x7f", "\U000E0001", strings.Repeat("ä", 400), strings.Repeat("\x1b", 3000),
		}),
		rapid.String(),
		rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
	)
}

func outcome() *rapid.Generator[item.Outcome] {
	return rapid.Custom(func(t *rapid.T) item.Outcome {
		o := item.Outcome{
			Flow:    rapid.SampledFrom(append(item.Flows(), "a flow nobody knows")).Draw(t, "flow"),
			Key:     hostile().Draw(t, "key"),
			Status:  rapid.SampledFrom(append(item.Statuses(), "", "a status nobody knows")).Draw(t, "status"),
			Reason:  rapid.SampledFrom([]item.Reason{"", item.Avatar, item.Gap, item.Limit, item.Stopped}).Draw(t, "reason"),
			Rows:    rapid.Int64Range(0, 1<<40).Draw(t, "rows"),
			Files:   rapid.Int64Range(0, 9).Draw(t, "files"),
			Missing: rapid.Int64Range(0, 1).Draw(t, "missing"),
			Bytes:   rapid.Int64Range(0, 1<<40).Draw(t, "bytes"),
			Tries:   rapid.IntRange(0, 9).Draw(t, "tries"),
			PurgeID: rapid.SampledFrom([]string{"", "AbCd", "\x1b]0;x\a"}).Draw(t, "purge id"),
		}
		if rapid.Bool().Draw(t, "with an error") {
			o.Err = errors.New(hostile().Draw(t, "error"))
		}
		return o
	})
}

func sum(m map[item.Reason]int64) (n int64) {
	for _, v := range m {
		n += v
	}
	return n
}

func TestEveryOutcomeIsCountedOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tally := sinks.NewTally(item.Flows())
		outcomes := rapid.SliceOf(outcome()).Draw(t, "outcomes")
		var failed int64
		byStatus := map[item.Status]int64{}
		for _, o := range outcomes {
			tally.Add(o)
			byStatus[o.Status]++
		}
		s := tally.Summary()
		got := map[item.Status]int64{}
		for _, f := range s.Flows {
			if f.Examined != f.Done+f.KeptTotal+f.SkippedTotal+f.LeftTotal+f.Failed {
				t.Fatalf("%s: the parts are not the whole: %+v", f.Flow, f)
			}
			if sum(f.Kept) != f.KeptTotal || sum(f.Skipped) != f.SkippedTotal || sum(f.Left) != f.LeftTotal {
				t.Fatalf("%s: the reasons are not the total: %+v", f.Flow, f)
			}
			failed += f.Failed
			got[item.Done] += f.Done
			got[item.Kept] += f.KeptTotal
			got[item.Skipped] += f.SkippedTotal
			got[item.Left] += f.LeftTotal
		}
		for _, status := range []item.Status{item.Done, item.Kept, item.Skipped, item.Left} {
			if got[status] != byStatus[status] {
				t.Fatalf("%s: %d, want %d", status, got[status], byStatus[status])
			}
			delete(byStatus, status)
		}
		if want := total(byStatus); failed != want { // what is no other status has failed
			t.Fatalf("failed: %d, want %d", failed, want)
		}
		if named := int64(len(s.Failures)) + s.FailuresNotNamed; named != failed {
			t.Fatalf("%d failed, %d are named or counted", failed, named)
		}
		if (s.ExitCode == 0) != (failed == 0 && got[item.Left] == 0) {
			t.Fatalf("exit code %d with %d failed and %d left", s.ExitCode, failed, got[item.Left])
		}
	})
}

func total(m map[item.Status]int64) (n int64) {
	for _, v := range m {
		n += v
	}
	return n
}

func TestManyGoroutinesAddAndAsk(t *testing.T) {
	const workers, each = 8, 500
	tally := sinks.NewTally(item.Flows())
	var all sync.WaitGroup
	for w := range workers {
		f := item.Flows()[w%len(item.Flows())]
		all.Go(func() {
			tally.Begin(f, fourOClock)
			tally.SetCutOff(f, fourOClock)
			for i := range each {
				status := item.Statuses()[i%len(item.Statuses())]
				tally.Add(item.Outcome{Flow: f, Key: fmt.Sprint(w, i), Status: status, Reason: item.Stopped, PurgeID: "p"})
				if i%50 == 0 {
					s := tally.Summary()
					s.Flows[0].Kept["spoilt"] = 1 << 40
				}
			}
			tally.End(f, fourOClock, nil)
		})
	}
	all.Wait()
	var examined int64
	for _, f := range tally.Summary().Flows {
		examined += f.Examined
		if f.Failed != f.Examined/5 || f.Kept["spoilt"] != 0 {
			t.Errorf("%+v", f)
		}
	}
	if examined != workers*each {
		t.Errorf("examined %d, want %d", examined, workers*each)
	}
}

func TestSummaryIsADeepCopy(t *testing.T) {
	tally := sinks.NewTally([]item.Flow{item.History})
	for _, status := range item.Statuses() {
		tally.Add(item.Outcome{Flow: item.History, Key: "!a", Status: status, Reason: item.Gap, PurgeID: "p"})
	}
	tally.End(item.History, fourOClock, errors.New("lost"))
	before := tally.Summary()
	spoilt := tally.Summary()
	for _, m := range []map[item.Reason]int64{
		spoilt.Flows[0].Kept, spoilt.Flows[0].Skipped, spoilt.Flows[0].Left, spoilt.Flows[0].HeldBy,
	} {
		m[item.Gap] = 99
	}
	spoilt.Flows[0].Done = 99
	spoilt.Failures[0].Key, spoilt.LeftPurges[0].RoomID, spoilt.Errors[0].Error = "x", "x", "x"
	spoilt.Causes[0] = "x"
	if diff := cmp.Diff(before, tally.Summary()); diff != "" {
		t.Errorf("a change of one summary shows in the next (-want +got):\n%s", diff)
	}
}

func TestFirstThousandFailuresAreNamed(t *testing.T) {
	tally := sinks.NewTally([]item.Flow{item.LocalMedia})
	for i := range 1003 {
		tally.Add(item.Outcome{
			Flow: item.LocalMedia, Key: fmt.Sprintf("mxc://h/%04d", i), Status: item.Failed,
			Err: errors.New(strings.Repeat("x", 100_000)),
		})
	}
	s := tally.Summary()
	if len(s.Failures) != 1000 || s.FailuresNotNamed != 3 || s.Flows[0].Failed != 1003 {
		t.Fatalf("%d named, %d not, of %d", len(s.Failures), s.FailuresNotNamed, s.Flows[0].Failed)
	}
	if got := s.Failures[999].Key; got != "mxc://h/0999" {
		t.Errorf("the last one named is %s", got)
	}
	for _, f := range s.Failures {
		if len(f.Cause) > 500 {
			t.Fatalf("%s: a cause of %d bytes", f.Key, len(f.Cause))
		}
	}
}

func TestFirstThousandLeftPurgesAreNamed(t *testing.T) {
	tally := sinks.NewTally([]item.Flow{item.History})
	for i := range 1002 {
		tally.Add(item.Outcome{Flow: item.History, Key: fmt.Sprintf("!%04d", i), Status: item.Left, PurgeID: "p"})
	}
	tally.Add(item.Outcome{Flow: item.History, Key: "!never begun", Status: item.Left})
	s := tally.Summary()
	if len(s.LeftPurges) != 1000 || s.LeftPurgesNotNamed != 2 || s.Flows[0].LeftTotal != 1003 {
		t.Errorf("%d named, %d not, %d left", len(s.LeftPurges), s.LeftPurgesNotNamed, s.Flows[0].LeftTotal)
	}
}

func TestReasonsAreBounded(t *testing.T) {
	tally := sinks.NewTally([]item.Flow{item.LocalMedia})
	for i := range 5000 {
		tally.Add(item.Outcome{Flow: item.LocalMedia, Status: item.Kept, Reason: item.Reason(fmt.Sprint("mistake ", i))})
	}
	tally.Add(item.Outcome{Flow: item.LocalMedia, Status: item.Skipped})
	f := tally.Summary().Flows[0]
	if len(f.Kept) > 101 || f.Kept["other reasons"] != 4900 || sum(f.Kept) != 5000 {
		t.Errorf("%d reasons, %d others, %d together", len(f.Kept), f.Kept["other reasons"], sum(f.Kept))
	}
	if f.Skipped["no reason given"] != 1 {
		t.Errorf("skipped %v", f.Skipped)
	}
}

// Strangers make up types of state events: what they make up must neither fill the memory nor push out the other reasons.
func TestTypesOfStateEventsAreBounded(t *testing.T) {
	tally := sinks.NewTally([]item.Flow{item.LocalMedia})
	add := func(r item.Reason) { tally.Add(item.Outcome{Flow: item.LocalMedia, Status: item.Kept, Reason: r}) }
	for range 2 {
		for i := range 1000 {
			add(item.StateEvent(fmt.Sprint("made.up.", i)))
		}
	}
	for range 300 {
		add(item.Avatar)
	}
	kept := tally.Summary().Flows[0].Kept
	if len(kept) != 52 || kept["state:made.up.0"] != 2 || kept["state:made.up.49"] != 2 || kept["state"] != 1900 || kept[item.Avatar] != 300 {
		t.Errorf("%d reasons: %v", len(kept), kept)
	}
	var out strings.Builder
	if err := sinks.WriteTable(&out, tally.Summary()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "  kept      state 1,900, avatar 300, state:made.up.0 2, ") || !strings.Contains(out.String(), " 2, 40 other reasons 80\n") {
		t.Error(out.String())
	}
}

func TestFailureOrderDoesNotDependOnTheRun(t *testing.T) {
	outcomes := []item.Outcome{
		{Flow: item.Previews, Key: "mxc://h/a", Status: item.Failed},
		{Flow: item.History, Key: "!b", Status: item.Failed},
		{Flow: item.History, Key: "!a", Status: item.Failed},
		{Flow: item.History, Key: "!d", Status: item.Left, PurgeID: "2"},
		{Flow: item.History, Key: "!c", Status: item.Left, PurgeID: "1"},
	}
	rapid.Check(t, func(t *rapid.T) {
		tally := sinks.NewTally(item.Flows())
		for _, o := range rapid.Permutation(outcomes).Draw(t, "order") {
			tally.Add(o)
		}
		s := tally.Summary()
		keys := []string{}
		for _, f := range s.Failures {
			keys = append(keys, f.Key)
		}
		for _, p := range s.LeftPurges {
			keys = append(keys, p.RoomID)
		}
		if diff := cmp.Diff([]string{"!a", "!b", "mxc://h/a", "!c", "!d"}, keys); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

func TestFailureSaysWhy(t *testing.T) {
	tests := []struct {
		name    string
		outcome item.Outcome
		want    sinks.Failure
	}{
		{"error", item.Outcome{Status: item.Failed, Err: errors.New("a\nb")}, sinks.Failure{Cause: "a; b"}},
		{"no error", item.Outcome{Status: item.Failed}, sinks.Failure{Cause: "no cause given"}},
		{"unknown status", item.Outcome{Status: "lost"}, sinks.Failure{Cause: "unknown status lost"}},
		{
			"hint and purge", item.Outcome{
				Status: item.Failed, PurgeID: "p",
				Err: fmt.Errorf("purge !a: %w", &item.RunError{Doing: "check", Hint: "repair it"}),
			}, sinks.Failure{Cause: "purge !a: check", Hint: "repair it", PurgeID: "p"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			tally := sinks.NewTally(item.Flows())
			test.outcome.Flow, test.outcome.Key = item.History, "!a"
			test.want.Flow, test.want.Key = item.History, "!a"
			tally.Add(test.outcome)
			if diff := cmp.Diff([]sinks.Failure{test.want}, tally.Summary().Failures); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestNumbersOfAFlow(t *testing.T) {
	newYork := time.FixedZone("EST", -5*3600)
	tally := sinks.NewTally([]item.Flow{item.LocalMedia, item.Previews})
	tally.SetCutOff(item.LocalMedia, fourOClock.In(newYork))
	tally.Begin(item.LocalMedia, fourOClock)
	tally.Add(item.Outcome{Flow: item.LocalMedia, Status: item.Done, Rows: 1, Files: 4, Bytes: 100, Length: 60, Tries: 3})
	tally.Add(item.Outcome{Flow: item.LocalMedia, Status: item.Failed, Rows: 1, Files: 1, Missing: 1, Bytes: 5, Tries: 0})
	tally.Add(item.Outcome{Flow: item.LocalMedia, Status: "lost", Media: &item.Media{Bytes: 7}})
	tally.End(item.LocalMedia, fourOClock.Add(1234567*time.Microsecond), nil)
	tally.Begin(item.Previews, fourOClock)
	tally.End(item.Previews, fourOClock.Add(-time.Hour), nil) // the clock was set back
	s := tally.Summary()
	empty := map[item.Reason]int64{}
	sizeless := map[item.Status]int64{item.Done: 0, item.Failed: 0, item.Kept: 0, item.Left: 0, item.Skipped: 0}
	none := sinks.Shares{ByRoom: []sinks.RoomShare{}, ByUser: []sinks.Share{}, ByOrigin: []sinks.Share{}, ByType: []sinks.Share{}, ByDay: []sinks.DayShare{}}
	want := []sinks.FlowSummary{
		{
			Flow: item.LocalMedia, CutOff: fourOClock, Ran: true, DurationS: 1.235, Examined: 3, Done: 1, Failed: 2,
			Sizes: map[item.Status]int64{item.Done: 60, item.Failed: 7, item.Kept: 0, item.Left: 0, item.Skipped: 0},
			Rows:  2, Files: 5, Missing: 1, Bytes: 105, Retries: 2, Kept: empty, Skipped: empty, Left: empty, HeldBy: empty, Shares: none,
		},
		{Flow: item.Previews, Ran: true, Sizes: sizeless, Kept: empty, Skipped: empty, Left: empty, HeldBy: empty, Shares: none},
	}
	if diff := cmp.Diff(want, s.Flows); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if s.Flows[0].CutOff.Location() != time.UTC {
		t.Errorf("the cut-off is in %s", s.Flows[0].CutOff.Location())
	}
}
