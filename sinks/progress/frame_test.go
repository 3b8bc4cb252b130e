package progress

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"synupkeep/internal/item"
)

var update = flag.Bool("update", false, "write the golden frames")

// states are what a run may be like at some moment.
func states() map[string]state {
	history := flowState{
		flow: item.History, begun: true, took: 10 * time.Minute, done: 412, total: 1203, looked: 5000, rate: 0.87, left: 23 * time.Minute,
		atLeast: true, inFlight: []inFlightState{
			{key: "!a:example.org", names: Names{Name: "家の中 \U0001F468\u200d\U0001F469\u200d\U0001F467 \x1b[2J\u202egnp.\u0007 Family room", Alias: "#family:example.org"}, since: 723 * time.Second},
			{key: "!b:example.org", since: 3 * time.Second},
			{key: "!c:example.org", doing: "waiting for its turn", waits: true, since: time.Second},
		},
	}
	local := flowState{
		flow: item.LocalMedia, begun: true, took: time.Minute, done: 12_345, total: 1_234_567, rate: 1234, left: 16*time.Minute + 30*time.Second,
		inFlight: []inFlightState{{doing: "deleting the rows of 1,000 media", since: 2 * time.Second}}, files: 4,
	}
	unknown := flowState{flow: item.RemoteMedia, begun: true, took: time.Minute, done: 70_000, total: -1, rate: 812, left: -1, files: 4}
	return map[string]state{
		"history": {phase: "", flows: []flowState{history, {flow: item.LocalMedia}, {flow: item.Previews}}},
		"side_by_side": {flows: []flowState{
			{flow: item.History, begun: true, over: true, took: 83 * time.Second, done: 1203, total: 1203},
			local, unknown,
			{flow: item.Previews, begun: true, over: true, failed: true, took: 4 * time.Second},
		}},
		"reading": {flows: []flowState{
			{flow: item.History, begun: true, doing: "looking for rooms with something to purge", doingFor: 9 * time.Second, looked: 12_000, total: -1},
			{flow: item.LocalMedia, begun: true, doing: "reading which media is still shown", doingFor: 95 * time.Second, total: -1},
		}},
		"phase": {phase: "taking the lock", phaseFor: 12 * time.Second, flows: []flowState{{flow: item.History}}},
		"stopping": {stopping: "stopped by a signal", flows: []flowState{
			{flow: item.History, begun: true, done: 3, total: 10, rate: 0.5, left: -1, idle: 3 * time.Minute, inFlight: history.inFlight[1:2]},
		}},
		"idle": {flows: []flowState{{flow: item.Previews, begun: true, done: 3, total: 10, rate: 5, left: -1, idle: 3 * time.Minute, files: 4}}},
		"begin_and_end": {flows: []flowState{
			{flow: item.Previews, begun: true, total: 10, left: -1},
			{flow: item.RemoteMedia, begun: true, done: 10, total: 10, rate: 3, left: 0},
			{flow: item.LocalMedia, begun: true, left: -1},
			{flow: item.History, begun: true, total: -1, left: -1},
		}},
	}
}

// TestFrames compares frames with those that were looked at and found good.
func TestFrames(t *testing.T) {
	for name, s := range states() {
		var frames strings.Builder
		for _, l := range []look{{width: 79, height: 24}, {width: 79, height: 24, ascii: true}, {width: 39, height: 24}, {width: 39, height: 24, ascii: true}, {width: 19, height: 24}, {width: 19, height: 24, ascii: true}, {width: 79, height: 4}} {
			fmt.Fprintf(&frames, "--- %d x %d, ascii %t\n%s\n", l.width, l.height, l.ascii, strings.Join(frame(s, l), "\n"))
		}
		path := filepath.Join("testdata", name+".frames")
		if *update {
			if err := os.WriteFile(path, []byte(frames.String()), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), frames.String()); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}

// TestNoFrameIsLargerThanTheTerminal: whatever a run is like and strangers call their rooms.
func TestNoFrameIsLargerThanTheTerminal(t *testing.T) {
	duration := rapid.Map(rapid.Int64Range(0, 1e18), func(n int64) time.Duration { return time.Duration(n) })
	inFlight := rapid.Custom(func(t *rapid.T) inFlightState {
		return inFlightState{
			key: rapid.String().Draw(t, "key"), names: Names{Name: rapid.String().Draw(t, "name")}, since: duration.Draw(t, "since"),
			doing: rapid.SampledFrom([]string{"", "doing something"}).Draw(t, "doing"), waits: rapid.Bool().Draw(t, "waits"),
		}
	})
	flows := rapid.Custom(func(t *rapid.T) flowState {
		return flowState{
			flow: rapid.SampledFrom(item.Flows()).Draw(t, "flow"), begun: rapid.Bool().Draw(t, "begun"), over: rapid.Bool().Draw(t, "over"),
			failed: rapid.Bool().Draw(t, "failed"), doing: rapid.SampledFrom([]string{"", "", "reading"}).Draw(t, "doing"),
			done: rapid.Int64Range(0, 1e15).Draw(t, "done"), total: rapid.Int64Range(-1, 1e15).Draw(t, "total"),
			rate: rapid.Float64Range(0, 1e9).Draw(t, "rate"), left: duration.Draw(t, "left") - 1, idle: duration.Draw(t, "idle"),
			files: rapid.Int64Range(0, 10).Draw(t, "files"), inFlight: rapid.SliceOfN(inFlight, 0, 4).Draw(t, "in flight"), took: duration.Draw(t, "took"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		s := state{
			phase: rapid.SampledFrom([]string{"", "taking the lock"}).Draw(t, "phase"), stopping: rapid.SampledFrom([]string{"", "a signal"}).Draw(t, "stopping"),
			flows: rapid.SliceOfN(flows, 0, 4).Draw(t, "flows"),
		}
		l := look{width: rapid.IntRange(1, 130).Draw(t, "width"), height: rapid.IntRange(1, 30).Draw(t, "height"), ascii: rapid.Bool().Draw(t, "ascii")}
		lines := frame(s, l)
		if len(lines) > l.height-1 {
			t.Fatalf("%d lines of %d", len(lines), l.height)
		}
		for _, line := range lines {
			if width(line) > l.width {
				t.Fatalf("%d columns of %d: %q", width(line), l.width, line)
			}
			for _, r := range line {
				if !unicode.IsPrint(r) || l.ascii && r > unicode.MaxASCII {
					t.Fatalf("%q in %q", r, line)
				}
			}
		}
	})
}
