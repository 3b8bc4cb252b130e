// Package program builds synupkeep and runs it as its users do, for tests that kill it, starve it and lie to it.
package program

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"synupkeep/internal/sandbox"
	_ "synupkeep/pipeline" // or go test would take results of before a change of the program from its cache
	"synupkeep/sinks"
)

// built is the program of this test binary.
var built struct { //nolint:gochecknoglobals // it is built once for all tests of a binary
	sync.Once
	path string
	err  error
}

// TestMain runs the tests, then stops the sandbox that they share and removes the program.
func TestMain(m *testing.M) int {
	code := sandbox.TestMain(m)
	if built.path != "" {
		if err := os.RemoveAll(filepath.Dir(built.path)); err != nil {
			return max(code, 1)
		}
	}
	return code
}

// path builds the program once, with the race detector if the test has it.
func path(t testing.TB) string {
	t.Helper()
	built.Do(func() {
		dir, err := os.MkdirTemp("", "synupkeep-program-") //nolint:usetesting // it outlives the test
		if err != nil {
			built.err = err
			return
		}
		args := append([]string{"build"}, raceFlag...)
		name := filepath.Join(dir, "synupkeep")
		cmd := exec.CommandContext(context.WithoutCancel(t.Context()), "go", append(args, "-o", name, "synupkeep")...)
		if out, err := cmd.CombinedOutput(); err != nil {
			built.err = errors.Join(err, errors.New(string(out)))
		}
		built.path = name
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.path
}

// Where a run finds what it needs; what is empty is the sandbox's own.
type Where struct {
	Server     *sandbox.Server
	Postgres   string // a connection string
	APIURL     string
	MediaStore string
	StateDir   string // empty: beside the sandbox's data, kept from run to run
	Env        map[string]string
	// ModesBind has the process bound by the modes of files and directories, as root is not: what lets root pass over
	// them is taken away from it.
	ModesBind bool
}

// ThroughPort is the sandbox's connection string with another port of this machine, such as a proxy's.
func ThroughPort(s *sandbox.Server, port int) string {
	return strings.Replace(s.ConnString(), "port="+strconv.Itoa(s.PGPort()), "port="+strconv.Itoa(port), 1)
}

func (w Where) environment() []string {
	s := w.Server
	or := func(v, other string) string {
		if v == "" {
			return other
		}
		return v
	}
	env := map[string]string{
		"PATH": os.Getenv("PATH"), "TMPDIR": os.TempDir(), "GORACE": "halt_on_error=1 atexit_sleep_ms=10",
		"SYNUPKEEP_POSTGRES_CONNECTION_STRING": or(w.Postgres, s.ConnString()),
		"SYNUPKEEP_SYNAPSE_AUTH_TOKEN":         s.AdminToken(),
		"SYNUPKEEP_SYNAPSE_API_URL":            or(w.APIURL, s.APIURL()),
		"SYNUPKEEP_MEDIA_STORE_PATH":           or(w.MediaStore, s.MediaStore()),
		"SYNUPKEEP_STATE_DIR":                  or(w.StateDir, filepath.Join(s.Dir(), "state")),
	}
	maps.Copy(env, w.Env)
	var all []string
	for name, value := range env {
		all = append(all, name+"="+value)
	}
	return slices.Sorted(slices.Values(all))
}

// Process is a run under way.
type Process struct {
	cmd         *exec.Cmd
	stdout, log bytes.Buffer
	ended       chan struct{}
}

// Start starts `synupkeep run --json`, or plan where that is the first argument, with more arguments; the cut-off is 30 days
// where they say nothing else. The process is killed when the test ends.
func Start(t testing.TB, w Where, args ...string) *Process {
	t.Helper()
	given := []string{"run"}
	if len(args) > 0 && args[0] == "plan" {
		given, args = args[:1:1], args[1:]
	}
	if !slices.ContainsFunc(args, func(a string) bool { return strings.HasPrefix(a, "--json") }) {
		given = append(given, "--json")
	}
	if !slices.ContainsFunc(args, func(a string) bool { return strings.HasPrefix(a, "--delta") || strings.HasPrefix(a, "--before") }) {
		given = append(given, "--delta", "30d")
	}
	p := &Process{cmd: exec.CommandContext(t.Context(), path(t), append(given, args...)...), ended: make(chan struct{})}
	p.cmd.Env = w.environment()
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.log
	if err := p.start(w.ModesBind); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // the exit code tells
		close(p.ended)
	}()
	return p
}

func (p *Process) start(modesBind bool) error {
	if !modesBind || os.Geteuid() != 0 {
		return p.cmd.Start()
	}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread, which lacks something now, ends with the goroutine
		var err error
		for _, right := range []uintptr{unix.CAP_DAC_OVERRIDE, unix.CAP_DAC_READ_SEARCH, unix.CAP_FOWNER} {
			err = errors.Join(err, unix.Prctl(unix.PR_CAPBSET_DROP, right, 0, 0, 0))
		}
		if err == nil {
			err = p.cmd.Start()
		}
		started <- err
	}()
	return <-started
}

// Run runs the program to its end. See [Start].
func Run(t testing.TB, w Where, args ...string) Result {
	t.Helper()
	return Start(t, w, args...).Wait(t)
}

// Signal sends a signal, such as SIGKILL, unless the process has ended.
func (p *Process) Signal(sig syscall.Signal) { _ = p.cmd.Process.Signal(sig) }

// Ended is closed when the process has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// PID is the number of the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Wait waits for the end, at most five minutes.
func (p *Process) Wait(t testing.TB) Result {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(5 * time.Minute):
		p.Signal(syscall.SIGQUIT)
		<-p.ended
		t.Fatalf("the run did not end:\n%s", p.log.String())
	}
	r := Result{Code: p.cmd.ProcessState.ExitCode(), Log: p.log.String(), Out: p.stdout.String()}
	if strings.Contains(r.Log, "DATA RACE") || strings.Contains(r.Log, "panic:") {
		t.Fatalf("the program is wrong:\n%s", r.Log)
	}
	return r
}

// Result is how a run ended.
type Result struct {
	Code int // the exit code, -1 for a process that a signal ended
	Out  string
	Log  string
}

// Killed says that a signal ended it, and not it itself.
func (r Result) Killed() bool { return r.Code == -1 }

// Summary is what the run reports. The test fails when it reported nothing.
func (r Result) Summary(t testing.TB) sinks.Summary {
	t.Helper()
	var s sinks.Summary
	if err := json.Unmarshal([]byte(r.Out), &s); err != nil {
		t.Fatalf("exit code %d, and the summary is not JSON: %v\n%s\n%s", r.Code, err, r.Out, r.Log)
	}
	if s.ExitCode != r.Code {
		t.Errorf("the summary says exit code %d, it was %d", s.ExitCode, r.Code)
	}
	return s
}
