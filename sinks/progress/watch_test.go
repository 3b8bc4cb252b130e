package progress

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"synupkeep/internal/item"
	"synupkeep/internal/logging"
)

// aRun lets half an hour of a run go by and returns what was logged.
func aRun(t *testing.T, level logging.Level) (lines []string) {
	t.Helper()
	var out bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		b := New()
		w := b.Watch("run", []item.Flow{item.History, item.RemoteMedia}, logging.New(&out, level, logging.Text))
		b.Phase("taking the lock")
		time.Sleep(80 * time.Second)
		b.Phase("")
		f := b.Flow(item.History)
		f.Begin("looking for rooms with something to purge")
		f.Resting()
		f.Ended(item.Outcome{Status: item.Kept})
		time.Sleep(time.Minute)
		f.SetTotal(100)
		f.At("")
		room := f.Enter("!slow:example.org", "")
		f.Name(map[string]Names{"!slow:example.org": {Name: "slow\x1b[2J", Alias: "#slow"}})
		f.Enter("!waits:example.org", "").Waits()
		time.Sleep(time.Second / 2) // beside the minutes
		for range 60 {
			time.Sleep(time.Second)
			f.Ended(item.Outcome{Status: item.Done})
		}
		room.Leave()
		f.End(false)
		b.Flow(item.RemoteMedia).Begin("")
		b.Flow(item.RemoteMedia).Files(3)
		time.Sleep(time.Minute)
		w.End()
	})
	for line := range strings.Lines(out.String()) {
		lines = append(lines, strings.TrimSpace(strings.TrimPrefix(line, "2000-01-01T00:0")))
	}
	return lines
}

func TestWithoutATerminalTheLogTellsEachMinute(t *testing.T) {
	want := []string{
		`1:00Z INFO still at it: taking the lock for=1m`,
		`2:00Z INFO still at it: looking for rooms with something to purge done=1 flow=history for=40s`,
		`3:00Z INFO in progress done=39 flow=history in_flight=1 longest="\"slow?[2J\"" longest_for=40s percent=39 rate=58/min remaining="1m left" total=100`,
		`4:00Z INFO in progress done=0 files_of=3 flow=remote-media`,
	}
	if diff := cmp.Diff(want, aRun(t, logging.LevelInfo)); diff != "" {
		t.Error(diff)
	}
}

func TestAQuietRunTellsNothing(t *testing.T) {
	if lines := aRun(t, logging.LevelError); lines != nil {
		t.Error(lines)
	}
}

func TestAShortRunTellsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		b := New()
		w := b.Watch("run", []item.Flow{item.History}, logging.New(&out, logging.LevelTrace, logging.JSON))
		b.Flow(item.History).Begin("")
		time.Sleep(59 * time.Second)
		select {
		case <-b.Looked():
			t.Error("somebody looks")
		default:
		}
		w.End()
		if out.Len() > 0 {
			t.Error(out.String())
		}
	})
}

func TestNobodyLooksAtAQuietRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New()
		w := b.Watch("run", []item.Flow{item.History}, logging.New(&bytes.Buffer{}, logging.LevelError, logging.Text))
		time.Sleep(time.Hour)
		select {
		case <-b.Looked():
			t.Error("somebody looks")
		default:
		}
		w.End()
	})
}

func TestTheTextSaysAllThatIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := New()
		if b.Text() != nil {
			t.Error("there is no run, and it has a state")
		}
		select {
		case <-b.Looked():
		default:
			t.Error("nobody looks")
		}
		w := b.Watch("run", []item.Flow{item.History, item.LocalMedia, item.RemoteMedia, item.Previews}, logging.New(&bytes.Buffer{}, logging.LevelInfo, logging.Text))
		defer w.End()
		b.Phase("taking the lock")
		time.Sleep(12 * time.Second)
		says(t, b, `synupkeep run at 2000-01-01T00:00:12Z, after 12s: taking the lock, for 12s
  history: not begun
  local-media: not begun
  remote-media: not begun
  previews: not begun`)
		b.Phase("")
		h, l, r := b.Flow(item.History), b.Flow(item.LocalMedia), b.Flow(item.RemoteMedia)
		h.Begin("")
		h.SetTotal(40)
		for _, status := range append(item.Statuses(), item.Done, "no such status") {
			time.Sleep(time.Second)
			h.Ended(item.Outcome{Status: status, Bytes: 1 << 20})
		}
		h.Enter("!waits:hs", "").Waits()
		for range 11 {
			h.Enter("!a:hs", "")
		}
		h.Enter("!goes:hs", "").Waits()
		h.Goes("!goes:hs")
		time.Sleep(time.Minute)
		b.Flow(item.Previews).Begin("")
		b.Flow(item.Previews).End(true)
		l.Begin("reading which media is still shown")
		time.Sleep(time.Second)
		r.Begin("")
		r.Enter("", "deleting the rows of 1,000 media")
		r.Files(4)
		w.Stopping(errors.New("stopped by a signal (terminated)"))
		says(t, b, `synupkeep run at 2000-01-01T00:01:20Z, after 1m 20s: the flows are under way
  stopping: stopped by a signal (terminated); no new work is begun, what runs is finished
  history: 7 of 40 (17%), 0/min, idle 1m 1s
    done 2, kept 1, skipped 1, failed 2, left 1, 7.0 MiB freed
    in flight for 1m 1s: !a:hs`+strings.Repeat("\n    in flight for 1m 1s: !a:hs", 9)+`
    in flight: 3 more
  local-media: reading which media is still shown, for 1s
    done 0, kept 0, skipped 0, failed 0, left 0
  remote-media: 0 so far
    done 0, kept 0, skipped 0, failed 0, left 0
    in flight for 0s: deleting the rows of 1,000 media
    in flight: files of 4 media
  previews: ended early, after 0s
    done 0, kept 0, skipped 0, failed 0, left 0`)
	})
}

func says(t *testing.T, b *Board, want string) {
	t.Helper()
	if diff := cmp.Diff(want, strings.Join(b.Text(), "\n")); diff != "" {
		t.Error(diff)
	}
}

func TestOnlyALongWaitMakesARoomWorthANameAndOnlyOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, f := begun(item.History)
		f.Enter("!slow", "")
		f.Enter("!waits", "").Waits()
		time.Sleep(time.Minute)
		f.Enter("!young", "")
		if diff := cmp.Diff([]string{"!slow"}, f.Nameless(time.Second)); diff != "" {
			t.Error(diff)
		}
		f.Name(map[string]Names{"!slow": {}})
		if keys := f.Nameless(time.Second); keys != nil {
			t.Errorf("asked again for %q", keys)
		}
	})
}
