package progress

import (
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"synupkeep/internal/item"
	"synupkeep/internal/logging"
)

const (
	// frameTime is how long a frame stands.
	frameTime = 250 * time.Millisecond
	// lineTime is how often a flow that goes on is told to the log, where nothing is drawn.
	lineTime = time.Minute
)

// Watching is a run that is watched.
type Watching struct {
	board       *Board
	screen      *Screen // nil: nothing is drawn
	done, ended chan struct{}
	clear       sync.Once
}

// Watch begins a run of these flows, which command is called for, and tells how far it is: on the screen, if there is one,
// else in the log.
func (b *Board) Watch(command string, flows []item.Flow, log *logging.Logger) *Watching {
	b.begin(command, flows)
	b.mu.Lock()
	w := &Watching{board: b, screen: b.screen, done: make(chan struct{}), ended: make(chan struct{})}
	b.mu.Unlock()
	if w.screen != nil {
		w.screen.begin()
	}
	go func() {
		defer close(w.ended)
		b.watch(w.screen, log, w.done)
	}()
	return w
}

// Stopping says that no new work is begun any more, and why.
func (w *Watching) Stopping(why error) { w.board.setStopping(why.Error()) }

// Clear takes the bars away, for good: what follows is the report. The log tells nothing any more; who asks is told.
func (w *Watching) Clear() {
	w.clear.Do(func() {
		close(w.done)
		<-w.ended
		if w.screen != nil {
			w.screen.end()
		}
		w.board.Phase("telling what was done")
	})
}

// End says that the run is over. Nobody is told of it any more.
func (w *Watching) End() {
	w.Clear()
	w.board.end()
}

func (b *Board) watch(screen *Screen, log *logging.Logger, done <-chan struct{}) {
	interval := every // often enough for the rates, should somebody ask
	if screen != nil {
		interval = frameTime
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	told := time.Now()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
		}
		s := b.state()
		switch {
		case screen != nil:
			screen.show(frame(s, screen.look()))
		case s.now.Sub(told) >= lineTime && log.Logger.IsLevelEnabled(logrus.InfoLevel):
			told = s.now
			b.look()
			s.log(log)
		}
	}
}

// log writes a line for each flow that is under way, and one for the run when it is at something else.
func (s state) log(log *logging.Logger) {
	if s.phase != "" && s.phaseFor >= lineTime {
		log.With(logrus.Fields{"for": span(s.phaseFor)}).Info("still at it: " + s.phase)
	}
	for _, f := range s.flows {
		if !f.begun || f.over {
			continue
		}
		fields := logrus.Fields{"flow": f.flow}
		if f.doing != "" {
			fields["for"] = span(f.doingFor)
			if f.looked > 0 {
				fields["done"] = f.looked
			}
			log.With(fields).Info("still at it: " + f.doing)
			continue
		}
		fields["done"] = f.done
		if f.total >= 0 {
			fields["total"] = f.total
			fields["percent"] = percent(f.done, f.total)
		}
		if pace := f.pace(); pace != "" {
			fields["rate"] = pace
		}
		if remaining := f.remaining(); remaining != "" {
			fields["remaining"] = remaining
		}
		if busy, _ := f.busy(); len(busy) > 0 {
			fields["in_flight"] = len(busy)
			fields["longest"] = busy[0].title(false)
			fields["longest_for"] = span(busy[0].since)
		}
		if f.files > 0 {
			fields["files_of"] = f.files
		}
		log.With(fields).Info("in progress")
	}
}
