package kills_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"synupkeep/internal/item"
	"synupkeep/proof/program"
	"synupkeep/proof/wire"
)

// moment is when a run is killed: at the first of these that happens, or a while after it.
type moment struct {
	name string
	// word and call say that it is now. What is said then is not passed on, unless there is a pause.
	word func(*watch, wire.Word) bool
	call func(wire.Call) bool
	// file ends the name of a file of the state directory that begins to be written. beginsOnly leaves out later writes.
	file func(w *watch, name string, created bool) bool
	// skip is how many of them are let go by at most, pause how long is waited then at most.
	skip  int
	pause time.Duration
	// any is whenever.
	any bool
	// flow is of whose deletions it is.
	flow item.Flow
}

// deletesOf says of which flow's rows a statement deletes.
func deletesOf(sql string) item.Flow {
	switch {
	case strings.Contains(sql, "DELETE FROM remote_media_cache"):
		return item.RemoteMedia
	case strings.Contains(sql, "DELETE FROM local_media_repository_url_cache"):
		return item.Previews
	case strings.Contains(sql, "DELETE FROM local_media_repository"):
		return item.LocalMedia
	}
	return ""
}

// moments of each phase of a run, in the order in which a run comes to them.
func moments() []moment {
	deleting := func(w *watch, x wire.Word) bool { return w.deletes(x.Conn) }
	return []moment{
		{name: "the journal is written anew", file: func(_ *watch, name string, created bool) bool {
			return created && strings.HasSuffix(name, ".jsonl.new")
		}},
		{name: "an earlier run's batch is finished", pause: 3 * time.Millisecond, skip: 5, word: func(w *watch, x wire.Word) bool {
			return !x.Answer && strings.Contains(x.Text, "unnest") && strings.Contains(x.Text, "FOR UPDATE OF m") && !strings.Contains(x.Text, "DELETE")
		}},
		{name: "a purge is asked for and not heard of", skip: 3, call: func(c wire.Call) bool { return c.AsksForAPurge() && !c.Answer }},
		{name: "the server purges, the answer is not heard", skip: 3, call: func(c wire.Call) bool { return c.AsksForAPurge() && c.Answer }},
		{name: "the server is asked how far a purge is", skip: 4, pause: 20 * time.Millisecond, call: func(c wire.Call) bool {
			return c.AsksHowFar() && !c.Answer
		}},
		{name: "what is shown is being written down", pause: 2 * time.Millisecond, file: func(_ *watch, name string, created bool) bool {
			return created && strings.HasSuffix(name, ".bin.new")
		}},
		{name: "rows are deleted, and the journal is not written", skip: 4, word: func(w *watch, x wire.Word) bool {
			return deleting(w, x) && x.Answer && strings.HasPrefix(x.Text, "SELECT")
		}},
		{name: "the journal is being written", skip: 4, file: func(w *watch, name string, created bool) bool {
			return !created && strings.HasSuffix(name, ".jsonl") && w.deletesAnywhere()
		}},
		{name: "the journal is written, and nothing is committed", skip: 4, word: func(w *watch, x wire.Word) bool {
			return deleting(w, x) && !x.Answer && strings.EqualFold(x.Text, "commit")
		}},
		{name: "it is committed, and the answer is not heard", skip: 4, word: func(w *watch, x wire.Word) bool {
			return deleting(w, x) && x.Answer && x.Text == "COMMIT"
		}},
		{name: "files go", skip: 4, pause: 8 * time.Millisecond, word: func(w *watch, x wire.Word) bool {
			return deleting(w, x) && x.Answer && x.Text == "COMMIT"
		}},
		{name: "any time", any: true}, // the last
	}
}

// watch is a run that is to be killed at a moment.
type watch struct {
	moment moment
	skip   int
	pause  time.Duration
	after  time.Duration // of a moment that is any time

	other   func(*testing.T, *world) // what else is killed, right before; it may be nil
	world   *world
	t       *testing.T
	process *program.Process
	started chan struct{} // closed when process is set
	done    chan struct{} // closed when the test does not wait for the moment any more
	come    atomic.Bool   // the moment has
	timers  sync.WaitGroup

	mu      sync.Mutex
	deleted map[int64]bool // connections with a transaction that deletes
}

func newWatch(m moment, took time.Duration, random *rand.Rand) *watch {
	w := &watch{moment: m, started: make(chan struct{}), done: make(chan struct{}), deleted: map[int64]bool{}}
	if m.skip > 0 {
		w.skip = random.IntN(m.skip)
	}
	if m.pause > 0 {
		w.pause = time.Duration(random.Int64N(int64(m.pause)))
	}
	// What a run has done the next one need not do: the halves of several runs are the whole of one.
	w.after = time.Duration(random.Int64N(int64(took / 2)))
	return w
}

func (w *watch) deletes(conn int64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.deleted[conn]
}

func (w *watch) deletesAnywhere() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.deleted) > 0
}

func (w *watch) word(x wire.Word) bool {
	if of := deletesOf(x.Text); !x.Answer && of != "" && (w.moment.flow == "" || of == w.moment.flow) {
		w.mu.Lock()
		w.deleted[x.Conn] = true
		w.mu.Unlock()
	}
	pass := w.moment.word == nil || !w.moment.word(w, x) || w.strike()
	if x.Answer && (x.Text == "COMMIT" || x.Text == "ROLLBACK") {
		w.mu.Lock()
		delete(w.deleted, x.Conn)
		w.mu.Unlock()
	}
	return pass
}

func (w *watch) call(c wire.Call) bool {
	return w.moment.call == nil || !w.moment.call(c) || w.strike()
}

// strike kills, now or in a while, if this is the one of many moments. It says whether what is heard may be passed on.
func (w *watch) strike() (pass bool) {
	w.mu.Lock()
	now := w.skip == 0
	w.skip--
	w.mu.Unlock()
	switch {
	case !now:
	case w.pause == 0:
		w.kill()
		return false
	default:
		w.timers.Go(func() { w.killAfter(w.pause) })
	}
	return true
}

func (w *watch) killAfter(pause time.Duration) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		w.kill()
	case <-w.done:
	}
}

// kill returns when the process is dead.
func (w *watch) kill() {
	<-w.started
	if w.other != nil && !w.come.Swap(true) {
		w.other(w.t, w.world)
	}
	w.process.Signal(syscall.SIGKILL)
	<-w.process.Ended()
}

// files watches the state directory until close is called.
func (w *watch) files(t *testing.T, dir string) (stop func()) {
	t.Helper()
	fd, err := syscall.InotifyInit1(syscall.IN_NONBLOCK | syscall.IN_CLOEXEC)
	must(t, err)
	file := os.NewFile(uintptr(fd), "inotify")
	_, err = syscall.InotifyAddWatch(fd, dir, syscall.IN_CREATE|syscall.IN_MODIFY)
	must(t, err)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		buffer := make([]byte, 1<<16)
		for {
			n, err := file.Read(buffer)
			if err != nil {
				return
			}
			for at := 0; at < n; {
				mask := binary.NativeEndian.Uint32(buffer[at+4:])
				length := int(binary.NativeEndian.Uint32(buffer[at+12:]))
				name := buffer[at+syscall.SizeofInotifyEvent:][:length]
				at += syscall.SizeofInotifyEvent + length
				if w.moment.file(w, string(bytes.TrimRight(name, "\x00")), mask&syscall.IN_CREATE != 0) {
					w.strike()
				}
			}
		}
	}()
	return func() {
		_ = file.Close()
		<-ended
	}
}
