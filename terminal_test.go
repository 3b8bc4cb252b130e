package main

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/hinshun/vt10x"

	"synupkeep/internal/sandbox"
	"synupkeep/proof/wire"
)

// onTerminal is the program in a process of its own, on a terminal that somebody looks at.
type onTerminal struct {
	cmd  *exec.Cmd
	file *os.File
	read chan struct{} // closed when the last of it was read

	mu  sync.Mutex
	vt  vt10x.Terminal
	raw strings.Builder
}

func startOnTerminal(t *testing.T, s *sandbox.Server, columns, rows int, env []string, args ...string) *onTerminal {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	o := &onTerminal{
		cmd: exec.CommandContext(t.Context(), self, args...), vt: vt10x.New(vt10x.WithSize(columns, rows)), read: make(chan struct{}),
	}
	o.cmd.Args[0] = "synupkeep" // which makes the test's binary the program
	o.cmd.Env = append(append(os.Environ(), "SYNUPKEEP_POSTGRES="+s.ConnString(), "SYNUPKEEP_SYNAPSE_AUTH_TOKEN="+s.AdminToken(),
		"SYNUPKEEP_SYNAPSE_API_URL="+s.APIURL(), "TERM=xterm", "LC_ALL=C.UTF-8"), env...)
	if o.file, err = pty.StartWithSize(o.cmd, &pty.Winsize{Cols: uint16(columns), Rows: uint16(rows)}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.file.Close() })
	go func() {
		defer close(o.read)
		buffer := make([]byte, 1<<16)
		for {
			n, err := o.file.Read(buffer)
			o.mu.Lock()
			o.raw.Write(buffer[:n])
			_, _ = o.vt.Write(buffer[:n])
			o.mu.Unlock()
			if err != nil { // the last process that had the terminal is gone
				return
			}
		}
	}()
	return o
}

func (o *onTerminal) screen() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.vt.String()
}

// shows waits for what a regular expression matches.
func (o *onTerminal) shows(t *testing.T, pattern string) {
	t.Helper()
	expression := regexp.MustCompile(pattern)
	for deadline := time.Now().Add(2 * time.Minute); !expression.MatchString(o.screen()); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s is never shown\n%s", pattern, o.screen())
		}
	}
}

func (o *onTerminal) end(t *testing.T) (code int) {
	t.Helper()
	<-o.read
	_ = o.cmd.Wait()
	return o.cmd.ProcessState.ExitCode()
}

// TestBarsOnATerminal: a run on a real terminal, with a purge that takes long, of a room with a name that speaks to terminals.
func TestBarsOnATerminal(t *testing.T) {
	s := sandbox.Shared(t)
	rooms := oldRooms(t, s, 3)
	name := "owned \x1b[2J\x1b]0;x\a\u202egnp.exe 家"
	if _, err := s.As("alice").SetState(t.Context(), rooms[0], "m.room.name", "", map[string]any{"name": name}); err != nil {
		t.Fatal(err)
	}
	for named := 0; named == 0; time.Sleep(100 * time.Millisecond) { // its statistics follow the server in their own time
		ask(t, s, &named, `SELECT count(*) FROM room_stats_state WHERE room_id = $1 AND name LIKE 'owned%'`, rooms[0])
	}
	letGo := holdEvents(t, s, rooms[:1])
	args := []string{"run", "-d", "30d", "--only", "history"}
	for _, id := range rooms {
		args = append(args, "--room", id)
	}
	o := startOnTerminal(t, s, 120, 30, nil, args...)
	o.shows(t, `history +\[█+░+\] +66% +2/3`)
	o.shows(t, `(?m)^  "owned \?\[2J\?\]0;x\?gnp\.exe 家" +\d+s *$`)
	if err := o.cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	o.shows(t, `(?m)^synupkeep run at \S+Z, after \d+s: the flows are under way *\n  history: 2 of 3 \(66%\).*\n    done 2, kept`)
	o.shows(t, `in flight for \d+s: "owned `)
	if err := pty.Setsize(o.file, &pty.Winsize{Cols: 40, Rows: 30}); err != nil {
		t.Fatal(err)
	}
	o.mu.Lock()
	o.vt.Resize(40, 30)
	o.mu.Unlock()
	o.shows(t, `(?m)^history +\[█+░+\] +66%.{0,15}$`)
	letGo()
	if code := o.end(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	screen := o.screen()
	if strings.Contains(screen, "█") || strings.Contains(screen, "2/3") || !strings.Contains(screen, "done: 3 rooms purged") {
		t.Errorf("the end of the run:\n%s", screen)
	}
	if strings.Contains(o.raw.String(), "\x1b]0;") || strings.Contains(o.raw.String(), "\u202e") {
		t.Errorf("a room's name speaks to the terminal: %q", o.raw.String())
	}
	whole := regexp.MustCompile(`\d\dZ INFO flow begins cut_off=\S+Z flow=history\r\n`)
	if n := len(whole.FindAllString(o.raw.String(), -1)); n != 1 {
		t.Errorf("the line of the log is there %d times: %q", n, o.raw.String())
	}
}

// TestNoBarsWhereNobodyWantsThem: and none but ASCII where the terminal knows nothing else.
func TestNoBarsWhereNobodyWantsThem(t *testing.T) {
	s := sandbox.Shared(t)
	all := oldRooms(t, s, 3)
	letGo := holdEvents(t, s, all)
	for i, test := range []struct {
		env, args []string
		bars      string
	}{
		{[]string{"LC_ALL=C"}, nil, `history +\[ +\] +0% +0/1`},
		{[]string{"TERM=dumb"}, nil, ""},
		{nil, []string{"--quiet"}, ""},
	} {
		rooms := all[i : i+1]
		args := append([]string{"run", "-d", "30d", "--only", "history", "--room", rooms[0]}, test.args...)
		o := startOnTerminal(t, s, 100, 30, test.env, args...)
		if test.bars != "" {
			o.shows(t, test.bars)
		} else {
			for purgesUnderWay(t, s, rooms) == 0 {
				time.Sleep(10 * time.Millisecond)
			}
			if err := o.cmd.Process.Signal(syscall.SIGUSR1); err != nil {
				t.Fatal(err)
			}
			o.shows(t, `history: 0 of 1 \(0%\)`)
		}
		if err := o.cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		if test.args == nil {
			o.shows(t, `no new work is begun`)
		}
		if err := o.cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		if code := o.end(t); code != 130 {
			t.Errorf("exit code %d\n%s", code, o.raw.String())
		}
		escapes := strings.Contains(o.raw.String(), "\x1b")
		if escapes != (test.bars != "") || strings.ContainsFunc(o.raw.String(), func(r rune) bool { return r > 127 }) {
			t.Errorf("%q %q: %q", test.env, test.args, o.raw.String())
		}
	}
	letGo()
	cleanUp(t, s)
}

// cleanUp leaves nothing old to the tests that come after.
func cleanUp(t *testing.T, s *sandbox.Server) {
	t.Helper()
	o := onServer{s: s, env: map[string]string{
		"SYNUPKEEP_POSTGRES": s.ConnString(), "SYNUPKEEP_SYNAPSE_AUTH_TOKEN": s.AdminToken(), "SYNUPKEEP_SYNAPSE_API_URL": s.APIURL(),
		"SYNUPKEEP_MEDIA_STORE_PATH": s.MediaStore(), "SYNUPKEEP_STATE_DIR": t.TempDir(),
	}}
	if code, stdout, stderr := o.run("run", "-d", "30d"); code != 0 {
		t.Errorf("exit code %d\n%s\n%s", code, stdout, stderr)
	}
}

// TestASilentDatabaseDoesNotKeepWhoAsksFromBeingTold: whatever the run waits for, and also when it is quiet.
func TestASilentDatabaseDoesNotKeepWhoAsksFromBeingTold(t *testing.T) {
	s := seeded(t).s
	rooms := oldRooms(t, s, 1)
	t.Cleanup(func() { cleanUp(t, s) })
	history := []string{"run", "-d", "30d", "--quiet", "--only", "history", "--room", rooms[0]}
	for _, test := range []struct {
		silentAt, told string
		args           []string
	}{
		{"SET application_name", ": opening the database, for ", history},
		{"pg_try_advisory_lock", ": taking the lock, for ", history},
		{"work.possible", ": making a plan first, to compare it with --max-rooms", append(history, "--max-rooms", "1000")},
		{"work.possible", "history: looking for rooms with something to purge, for ", append([]string{"plan"}, history[1:]...)},
		{
			"account_data_sequence", "local-media: reading which media is still shown, for ",
			[]string{"plan", "-d", "30d", "--quiet", "--only", "local-media", "-m", s.MediaStore()},
		},
		{"SET application_name", "synupkeep doctor at ", []string{"doctor"}},
	} {
		t.Run(test.args[0]+" "+test.silentAt, func(t *testing.T) {
			silent, speak := make(chan struct{}), make(chan struct{})
			var once sync.Once
			proxy := wire.ToPostgres(t, s, func(w wire.Word) bool {
				if !w.Answer && strings.Contains(w.Text, test.silentAt) {
					once.Do(func() { close(silent) })
					<-speak
				}
				return true
			})
			port := func(n int) string { return fmt.Sprint(" port=", n, " ") }
			c := startChild(t, s, append(test.args, "--postgres", strings.Replace(s.ConnString(), port(s.PGPort()), port(proxy.Port), 1))...)
			select {
			case <-silent:
			case <-time.After(2 * time.Minute):
				close(speak)
				t.Fatalf("it never says %s: exit code %d\n%s", test.silentAt, c.wait(t), c.log)
			}
			for range 100 {
				c.signal(t, syscall.SIGUSR1)
			}
			c.says(t, test.told)
			close(speak)
			if code := c.wait(t); code != 0 && test.args[0] != "doctor" {
				t.Errorf("exit code %d\n%s", code, c.log)
			}
		})
	}
}
