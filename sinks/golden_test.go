package sinks_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"synupkeep/internal/item"
	"synupkeep/sinks"
)

var update = flag.Bool("update", false, "write testdata/*.golden anew")

var fourOClock = time.Date(2026, 11, 22, 4, 0, 0, 0, time.UTC)

const month = 30 * 24 * time.Hour

// run plays a run: each flow takes the seconds and gets the outcomes that it is given.
type run struct {
	tally *sinks.Tally
	now   time.Time
}

func newRun() *run {
	return &run{tally: sinks.NewTally(item.Flows()), now: fourOClock}
}

func (r *run) flow(f item.Flow, took time.Duration, err error, outcomes ...item.Outcome) {
	r.tally.SetCutOff(f, fourOClock.Add(-month))
	r.tally.Begin(f, r.now)
	r.add(f, outcomes...)
	r.now = r.now.Add(took)
	r.tally.End(f, r.now, err)
}

func (r *run) add(f item.Flow, outcomes ...item.Outcome) {
	for _, o := range outcomes {
		o.Flow = f
		if o.Tries == 0 {
			o.Tries = 1
		}
		r.tally.Add(o)
	}
}

func (r *run) end() sinks.Summary {
	s := r.tally.Summary()
	s.Command, s.Version, s.ServerName, s.ServerVersion = "run", "2.0.0", "example.org", "1.163.2"
	s.Started, s.Ended = fourOClock, r.now
	return s
}

func times(n int, o item.Outcome) []item.Outcome {
	all := make([]item.Outcome, n)
	for i := range all {
		all[i] = o
		all[i].Key = fmt.Sprintf("%s%d", o.Key, i)
	}
	return all
}

func goodRun() sinks.Summary {
	r := newRun()
	rooms := times(15, item.Outcome{Key: "!r", Status: item.Done, Reason: item.YoungEvent, Rows: 1200, Tries: 1})
	rooms = append(rooms, times(5, item.Outcome{Key: "!e", Status: item.Done, Reason: item.Extremity, Rows: 60, Pinned: 1, Tries: 2})...)
	rooms = append(rooms, times(7, item.Outcome{Key: "!n", Status: item.Kept, Reason: item.NothingOld})...)
	rooms = append(rooms, times(2, item.Outcome{Key: "!w", Status: item.Kept, Reason: item.NotYetWorthIt})...)
	rooms = append(rooms, times(2, item.Outcome{Key: "!g", Status: item.Kept, Reason: item.Gap})...)
	r.flow(item.History, 62*time.Second+400*time.Millisecond, nil, rooms...)
	media := times(480, item.Outcome{Key: "mxc://example.org/m", Status: item.Done, Rows: 1, Files: 4, Bytes: 300_000})
	media = append(media, times(7, item.Outcome{
		Key: "mxc://example.org/s", Status: item.Done, Rows: 1, Files: 1, Bytes: 2_000_000, ShownByEvent: true,
	})...)
	media = append(media, item.Outcome{Key: "mxc://example.org/gone", Status: item.Done, Rows: 1, Missing: 1})
	media = append(media, times(12, item.Outcome{Key: "mxc://example.org/a", Status: item.Kept, Reason: item.Avatar})...)
	media = append(media, item.Outcome{Key: "mxc://example.org/u", Status: item.Skipped, Reason: item.InUse})
	r.flow(item.LocalMedia, 4200*time.Millisecond, nil, media...)
	r.flow(item.RemoteMedia, 35*time.Millisecond, nil,
		item.Outcome{Key: "mxc://other.example/x", Status: item.Done, Rows: 1, Files: 1, Bytes: 2048},
		item.Outcome{Key: "mxc://other.example/y", Status: item.Done, Files: 3, Bytes: 4096, Finished: true},
		item.Outcome{Key: "mxc://other.example/z", Status: item.Done, Files: 1, Bytes: 1024, Finished: true})
	r.flow(item.Previews, 8*time.Millisecond, nil)
	return r.end()
}

func nothingToDo() sinks.Summary {
	r := newRun()
	r.flow(item.History, 120*time.Millisecond, nil,
		times(31, item.Outcome{Key: "!n", Status: item.Kept, Reason: item.NothingOld})...)
	r.flow(item.LocalMedia, 3*time.Millisecond, nil)
	r.flow(item.RemoteMedia, 2*time.Millisecond, nil)
	r.flow(item.Previews, 2*time.Millisecond, nil)
	return r.end()
}

func failures() sinks.Summary { return failing(2) }

func manyFailures() sinks.Summary { return failing(1210) }

func failing(media int) sinks.Summary {
	r := newRun()
	r.flow(item.History, 3*time.Second, nil,
		item.Outcome{Key: "!hurt:example.org", Status: item.Failed, Rows: 12, PurgeID: "QwErTy", Err: &item.RunError{
			Doing: "check !hurt:example.org after its purge",
			Err:   errors.New("no forward extremity is left"), Hint: "synupkeep repair --room '!hurt:example.org'",
		}},
		item.Outcome{Key: "!ok:example.org", Status: item.Done, Reason: item.YoungEvent, Rows: 5})
	outcomes := []item.Outcome{{
		Key:    "mxc://example.org/../../../x\x1b[2J\nall is well",
		Status: item.Failed, Err: errors.New("media id \"../../../x\x1b[2J\nall is well\": not a media id"),
	}}
	outcomes = append(outcomes, times(media, item.Outcome{
		Key: "mxc://example.org/f", Status: item.Failed, Err: errors.New("unlink content: input/output error"),
	})...)
	r.flow(item.LocalMedia, 90*time.Second, nil, outcomes...)
	r.flow(item.RemoteMedia, time.Second, nil)
	r.flow(item.Previews, time.Second, nil)
	return r.end()
}

func interrupted() sinks.Summary {
	r := newRun()
	stop := &item.RunError{Cause: item.CauseTerminated, Doing: "stopped by SIGTERM", Hint: "the next run goes on where this one ended"}
	r.flow(item.History, 3*time.Hour+2*time.Minute, stop,
		item.Outcome{Key: "!done:example.org", Status: item.Done, Reason: item.StateExtremity, Rows: 1},
		item.Outcome{Key: "!big:example.org", Status: item.Left, Reason: item.Stopped, PurgeID: "AbCdEfGh"},
		item.Outcome{Key: "!next:example.org", Status: item.Left, Reason: item.Stopped})
	return r.end()
}

func refused() sinks.Summary {
	s := newRun().end()
	s.Warnings = []string{"the token was given as an argument, where ps shows it: use --token-file"}
	s.AddError(&item.RunError{
		Cause: item.CauseRefused, Doing: "look at the media store /data/media_store",
		Err:  errors.New("none of 20 sampled files is there"),
		Hint: "mount the store of this server, or name it with --media-store",
	})
	return s
}

func severalCauses() sinks.Summary {
	r := newRun()
	lost := &item.RunError{
		Cause: item.CauseFailed, Doing: "delete media rows", Err: errors.New("connection refused"),
		Hint: "see that PostgreSQL runs",
	}
	r.flow(item.History, time.Minute, nil,
		item.Outcome{Key: "!bad:example.org", Status: item.Failed, Err: errors.New("purge !bad:example.org: 500 Internal server error")},
		item.Outcome{Key: "!big:example.org", Status: item.Left, Reason: item.Limit},
		item.Outcome{Key: "!ok:example.org", Status: item.Done, Reason: item.NewestEvent, Rows: 2})
	r.flow(item.LocalMedia, time.Second, fmt.Errorf("local-media: %w", lost))
	r.flow(item.RemoteMedia, time.Second, lost)
	r.flow(item.Previews, time.Second, lost)
	s := r.end()
	s.AddCause(item.CauseInterrupt)
	return s
}

func TestGolden(t *testing.T) {
	tests := []struct {
		name    string
		summary sinks.Summary
		code    int
	}{
		{"good", goodRun(), 0},
		{"nothing_to_do", nothingToDo(), 0},
		{"failures", failures(), 3},
		{"many_failures", manyFailures(), 3},
		{"interrupted", interrupted(), 143},
		{"refused", refused(), 13},
		{"several_causes", severalCauses(), 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.summary.ExitCode != test.code {
				t.Errorf("exit code %d, want %d", test.summary.ExitCode, test.code)
			}
			var table, object bytes.Buffer
			if err := sinks.WriteTable(&table, test.summary); err != nil {
				t.Fatal(err)
			}
			if err := sinks.WriteJSON(&object, test.summary); err != nil {
				t.Fatal(err)
			}
			compare(t, test.name+".txt", table.Bytes())
			if test.name != "many_failures" { // the JSON has 1,000 names in it
				compare(t, test.name+".json", object.Bytes())
			}
		})
	}
}

func compare(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v: run the test with -update and look at what it wrote", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}
