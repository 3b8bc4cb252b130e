package progress

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

const (
	// maxQueue is how much of the log waits for a terminal that takes nothing, such as one that was stopped with Ctrl-S:
	// a run does not wait for it.
	maxQueue = 1 << 20
	// maxFlush is how long the end of a run waits for such a terminal.
	maxFlush = 2 * time.Second

	wrapOff, wrapOn = "\x1b[?7l", "\x1b[?7h"
	eraseLine       = "\x1b[K"
	eraseBelow      = "\x1b[J"
)

// Screen is a terminal that the log and the bars share. It is the writer of the log, each Write being whole lines. While
// nothing is drawn on it, it writes at once; while bars are, a goroutine of its own does. Make one with OnTerminal.
type Screen struct {
	out  io.Writer
	look func() look

	mu      sync.Mutex
	drawing bool // between begin and end
	ending  bool
	log     []byte
	lost    int // lines of the log for which there was no place
	lines   []string
	changed bool
	wake    chan struct{}
	ended   chan struct{}
}

// Write implements io.Writer. What is written stands above the bars.
func (s *Screen) Write(text []byte) (int, error) {
	s.mu.Lock()
	if !s.drawing {
		s.mu.Unlock()
		return s.out.Write(text)
	}
	defer s.mu.Unlock()
	if len(s.log)+len(text) > maxQueue {
		s.lost += bytes.Count(text, []byte("\n"))
		return len(text), nil
	}
	s.log = append(s.log, text...)
	s.poke()
	return len(text), nil
}

// show draws these lines in the place of those that stand there.
func (s *Screen) show(lines []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines, s.changed = lines, true
	s.poke()
}

func (s *Screen) poke() {
	select {
	case s.wake <- struct{}{}:
	default: // it will look again anyway
	}
}

func (s *Screen) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drawing, s.ending = true, false
	s.wake, s.ended = make(chan struct{}, 1), make(chan struct{})
	go s.work(s.wake, s.ended)
}

// end takes the bars away. It returns when all is written, or some time later when the terminal takes nothing.
func (s *Screen) end() {
	s.mu.Lock()
	s.ending, s.lines, s.changed = true, nil, true
	s.poke()
	ended := s.ended
	s.mu.Unlock()
	patience := time.NewTimer(maxFlush)
	defer patience.Stop()
	select {
	case <-ended:
	case <-patience.C:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drawing = false
}

// work writes. It alone knows what stands on the terminal.
func (s *Screen) work(wake <-chan struct{}, ended chan<- struct{}) {
	defer close(ended)
	var drawn []string
	for range wake {
		s.mu.Lock()
		log, lost, lines, changed, ending := s.log, s.lost, s.lines, s.changed, s.ending
		s.log, s.lost, s.changed = nil, 0, false
		s.mu.Unlock()
		if lost > 0 {
			log = fmt.Appendf(log, "(%d lines of the log are missing here: the terminal did not take them)\n", lost)
		}
		if len(log) > 0 || changed && !equal(drawn, lines) {
			_, _ = s.out.Write(compose(log, lines, len(drawn) > 0))
			drawn = lines
		}
		if ending {
			return
		}
	}
}

func equal(a, b []string) bool { return strings.Join(a, "\n") == strings.Join(b, "\n") }

// compose is what makes a terminal show the log, and below it the lines, the cursor at the begin of the first: there it was
// before, if something was drawn.
func compose(log []byte, lines []string, drawn bool) []byte {
	var b bytes.Buffer
	if drawn {
		b.WriteByte('\r')
		if len(log) > 0 || len(lines) == 0 {
			b.WriteString(eraseBelow)
		}
	}
	b.Write(log)
	if len(lines) == 0 {
		return b.Bytes()
	}
	b.WriteString(wrapOff)
	b.WriteString(strings.Join(lines, eraseLine+"\r\n"))
	b.WriteString(eraseBelow + "\r")
	if up := len(lines) - 1; up > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", up)
	}
	b.WriteString(wrapOn)
	return b.Bytes()
}
