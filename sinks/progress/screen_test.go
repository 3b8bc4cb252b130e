package progress

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hinshun/vt10x"

	"synupkeep/internal/item"
	"synupkeep/internal/logging"
)

// terminal is an emulator that may be looked at while it is written to.
type terminal struct {
	mu   sync.Mutex
	vt   vt10x.Terminal
	size look
	raw  bytes.Buffer
}

func newTerminal(width, height int) *terminal {
	return &terminal{vt: vt10x.New(vt10x.WithSize(width, height)), size: look{width: width - 1, height: height, ascii: true}}
}

func (v *terminal) Write(text []byte) (int, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.raw.Write(text)
	// What a terminal's driver does on output.
	_, err := v.vt.Write(bytes.ReplaceAll(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n")))
	return len(text), err
}

func (v *terminal) look() look {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.size
}

func (v *terminal) resize(width, height int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.vt.Resize(width, height)
	v.size.width, v.size.height = width-1, height
}

// lines are what it shows, without what is empty at the end.
func (v *terminal) lines() (lines []string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for line := range strings.SplitSeq(strings.TrimRight(v.vt.String(), " \n"), "\n") {
		lines = append(lines, strings.TrimRight(line, " "))
	}
	return lines
}

func (v *terminal) screen() *Screen { return &Screen{out: v, look: v.look} }

// shows fails unless the terminal shows these lines.
func (v *terminal) shows(t *testing.T, when string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, v.lines()); diff != "" {
		t.Errorf("%s:\n%s", when, diff)
	}
}

// TestTheLogStandsAboveTheBars: whole lines in their order, and in the end nothing but them.
func TestTheLogStandsAboveTheBars(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newTerminal(60, 8)
		s := v.screen()
		log := logging.New(s, logging.LevelInfo, logging.Text)
		log.Info("before")
		b := New()
		b.Draw(s)
		w := b.Watch("run", []item.Flow{item.History, item.Previews}, log)
		b.Phase("")
		f := b.Flow(item.History)
		f.Begin("")
		f.SetTotal(4)
		room := f.Enter("!slow:example.org", "")
		const stamp = "2000-01-01T00:00:00Z INFO "
		time.Sleep(300 * time.Millisecond)
		v.shows(t, "in the beginning", stamp+"before", "history  [            ]    0%  0/4", "  !slow:example.org  0s")
		log.Info("one")
		log.Warn("two")
		f.Ended(item.Outcome{Status: item.Done})
		b.Flow(item.Previews).Begin("")
		time.Sleep(300 * time.Millisecond)
		v.shows(t, "with the log", stamp+"before", stamp+"one", "2000-01-01T00:00:00Z WARNING two",
			"history   [==>        ]   25%  1/4", "  !slow:example.org  0s", "previews  0 media so far")
		v.resize(30, 8)
		time.Sleep(300 * time.Millisecond)
		v.shows(t, "made narrow", stamp+"befo", stamp+"one", "2000-01-01T00:00:00Z WARNING t",
			"history   [==>         ]  25%", "  !slow:example.org  0s", "previews  0 media so far")
		v.resize(60, 8)
		room.Leave()
		for i := range 20 {
			log.Info(fmt.Sprint("line ", i))
		}
		time.Sleep(300 * time.Millisecond)
		v.shows(t, "scrolled", stamp+"line 15", stamp+"line 16", stamp+"line 17", stamp+"line 18", stamp+"line 19",
			"history   [==>        ]   25%  1/4", "previews  0 media so far")
		w.Clear()
		v.shows(t, "cleared", stamp+"line 15", stamp+"line 16", stamp+"line 17", stamp+"line 18", stamp+"line 19")
		log.Info("after")
		w.End()
		v.shows(t, "after", stamp+"line 15", stamp+"line 16", stamp+"line 17", stamp+"line 18", stamp+"line 19", "2000-01-01T00:00:01Z INFO after")
		if b.Text() != nil {
			t.Error("a run that is over has a state")
		}
		for _, sequence := range []string{"\x1b[3", "\x1b[1m", "\x1b[?25l", "\x1b[?1049h"} {
			if strings.Contains(v.raw.String(), sequence) {
				t.Errorf("%q was written: colours, or what a kill would leave behind", sequence)
			}
		}
	})
}

// TestATerminalThatTakesNothingHoldsUpNothing: what finds no place is counted, and the run comes to its end.
func TestATerminalThatTakesNothingHoldsUpNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stopped := &stoppable{to: newTerminal(80, 5), until: make(chan struct{})}
		s := &Screen{out: stopped, look: stopped.to.look}
		b := New()
		b.Draw(s)
		w := b.Watch("run", []item.Flow{item.History}, logging.New(s, logging.LevelInfo, logging.Text))
		b.Flow(item.History).Begin("")
		time.Sleep(time.Second)
		line := []byte(strings.Repeat("x", 1<<10-1) + "\n")
		for range 2 << 10 {
			if n, err := s.Write(line); n != len(line) || err != nil {
				t.Fatal(n, err)
			}
		}
		b.Text()
		ended := make(chan struct{})
		go func() {
			w.End()
			close(ended)
		}()
		select {
		case <-ended:
		case <-time.After(time.Minute):
			t.Error("the run does not end")
		}
		close(stopped.until)
		synctest.Wait()
		if text := stopped.to.raw.String(); strings.Count(text, "x\n") != 1<<10 || !strings.Contains(text, "(1024 lines of the log are missing here") {
			t.Errorf("%d lines came through, and %q", strings.Count(text, "x\n"), text[max(0, len(text)-200):])
		}
	})
}

// stoppable is a terminal on which somebody pressed Ctrl-S.
type stoppable struct {
	to    *terminal
	until chan struct{}
}

func (s *stoppable) Write(text []byte) (int, error) {
	<-s.until
	return s.to.Write(text)
}

// TestAFrameThatIsTheSameIsNotDrawnAgain: whoever looks on from far away pays for each byte.
func TestAFrameThatIsTheSameIsNotDrawnAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newTerminal(80, 24)
		b := New()
		b.Draw(v.screen())
		w := b.Watch("run", []item.Flow{item.History}, logging.New(io.Discard, logging.LevelInfo, logging.Text))
		b.Phase("")
		b.Flow(item.History).Begin("")
		time.Sleep(time.Second)
		synctest.Wait()
		before := v.raw.Len()
		time.Sleep(time.Hour)
		synctest.Wait()
		if after := v.raw.Len(); before == 0 || after != before {
			t.Errorf("%d bytes more than %d", after-before, before)
		}
		w.End()
	})
}
