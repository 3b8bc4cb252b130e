package sandbox

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// listOf returns the embedded requirements.
func listOf(t *testing.T, name string) []byte {
	t.Helper()
	list, err := requirementsOf(name)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// onePackage is the part of the requirements that installs six alone.
func onePackage(t *testing.T) []byte {
	t.Helper()
	_, after, found := strings.Cut(string(listOf(t, "synapse-"+newest())), "\nsix==")
	if !found {
		t.Fatal("six is not in the requirements")
	}
	lines := strings.SplitAfter("six=="+after, "\n")
	n := 1
	for n < len(lines) && strings.HasPrefix(lines[n], " ") {
		n++
	}
	return []byte(strings.Join(lines[:n], ""))
}

func TestInstallRedoesHalfMadeEnvironment(t *testing.T) {
	cache, list := t.TempDir(), onePackage(t)
	done, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := install(done, cache, list, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("install with an ended context: %v", err)
	}
	env, err := install(t.Context(), cache, list, nil)
	if err != nil {
		t.Fatal(err)
	}
	// Broken off: the marker was not written yet, part of the environment is missing, part is damaged.
	stray := filepath.Join(env.dir, "stray")
	if err := errors.Join(os.Remove(env.marker()), os.RemoveAll(env.lib), os.WriteFile(stray, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	var log safeBuffer
	var group sync.WaitGroup
	for range 3 {
		group.Go(func() {
			again, err := install(t.Context(), cache, list, &log)
			if err != nil {
				t.Error(err)
			} else if again.dir != env.dir {
				t.Errorf("installed into %s, want %s", again.dir, env.dir)
			}
		})
	}
	group.Wait()
	if n := strings.Count(log.String(), "making"); n != 1 {
		t.Errorf("made %d times, want once", n)
	}
	if _, err := os.Stat(filepath.Join(env.lib, "six.py")); err != nil {
		t.Error(err)
	}
	if pyc, _ := filepath.Glob(filepath.Join(env.lib, "__pycache__", "six.*.pyc")); len(pyc) != 1 {
		t.Errorf("bytecode: %v", pyc)
	}
	if _, err := os.Stat(stray); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the half-made environment was not removed: %v", err)
	}
	withoutEnsurePip(t, env, list)
}

// withoutEnsurePip installs with an interpreter that can make environments only without pip, by its own pip.
func withoutEnsurePip(t *testing.T, made environment, list []byte) {
	py, err := probePython(t.Context(), made.python())
	if err != nil {
		t.Fatal(err)
	}
	if !py.Venv || !py.Pip {
		t.Fatalf("the environment's own interpreter lacks venv or pip: %+v", py)
	}
	py.EnsurePip = false
	dir := filepath.Join(t.TempDir(), "venv")
	second := environment{dir: dir, lib: strings.Replace(made.lib, made.dir, dir, 1), requirements: list}
	if err := second.build(t.Context(), py, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(second.lib, "six.py")); err != nil || !second.complete() {
		t.Errorf("not installed: %v", err)
	}
}

func TestWrongHashIsRefused(t *testing.T) {
	wrong := onePackage(t)
	for i := range wrong {
		if i > 0 && wrong[i-1] == ':' {
			wrong[i] = 'a' + (wrong[i]-'0'+1)%5
		}
	}
	env, err := install(t.Context(), t.TempDir(), wrong, nil)
	if err == nil || env.dir != "" {
		t.Fatalf("a package with another hash was installed: %+v", env)
	}
}

func TestMissingPythonNamesThePackages(t *testing.T) {
	dir := t.TempDir()
	script := func(name, answer string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("#!/bin/sh\necho '"+answer+"'\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	old := script("old", `{"path": "/old", "major": 3, "minor": 9, "venv": true, "ensurepip": true}`)
	bare := script("bare", `{"path": "/bare", "major": 3, "minor": 12, "venv": true}`)
	broken := script("broken", `not JSON`)
	outside := script("outside", `{"path": "/outside", "major": 3, "minor": 12, "venv": true, "pip": true}`)
	full := script("full", `{"path": "/full", "major": 3, "minor": 13, "venv": true, "ensurepip": true}`)
	for _, c := range []struct {
		uv    string
		names []string
		want  string // path, or part of the error
	}{
		{"", nil, "python3-venv"},
		{"", []string{dir + "/none"}, "apt-get install python3 python3-venv"},
		{"", []string{old}, "old is Python 3.9"},
		{"", []string{bare}, "bare lacks the module venv or ensurepip"},
		{"", []string{broken}, "broken does not run"},
		{"", []string{old, bare, outside}, "/outside"},
		{"", []string{outside, full}, "/full"},
		{"/usr/bin/uv", []string{old, bare}, "/bare"},
	} {
		p, err := findPython(t.Context(), c.uv, c.names)
		if strings.HasPrefix(c.want, "/") {
			if err != nil || p.Path != c.want {
				t.Errorf("%v: %+v, %v, want %s", c.names, p, err, c.want)
			}
			continue
		}
		if !errors.Is(err, errNoPython) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %s", c.names, err, c.want)
		}
	}
}

// Root without user namespaces: PostgreSQL runs as nobody, and says which directory is in its way.
func TestCredentialsMode(t *testing.T) {
	if os.Geteuid() != 0 {
		if mode := chooseRootMode(t.Context()); mode != direct {
			t.Errorf("mode %d as uid %d", mode, os.Geteuid())
		}
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	mode := credentials
	t.Setenv("SYNUPKEEP_SANDBOX_CACHE", publicEnvironment(t))
	s, err := Start(ctx, Options{mode: &mode})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	}()
	info, err := os.Stat(s.cluster.data)
	if err != nil {
		t.Fatal(err)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); !ok || st.Uid != nobody {
		t.Errorf("owner of %s: %+v", s.cluster.data, info.Sys())
	}
	if _, err := s.As("alice").CreateRoom(ctx, RoomOptions{}); err != nil {
		t.Error(err)
	}
	if err := errors.Join(s.Snapshot(ctx, "a"), s.Reset(ctx, "a")); err != nil {
		t.Error(err)
	}
	closed := filepath.Join(t.TempDir(), "below", "a", "closed", "directory")
	if err := os.MkdirAll(filepath.Dir(closed), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(ctx, Options{Dir: closed, mode: &mode}); err == nil || !strings.Contains(err.Error(), "cannot pass") {
		t.Errorf("in a closed directory: %v", err)
	}
}

// publicEnvironment is a cache that every uid can reach.
func publicEnvironment(t *testing.T) string {
	t.Helper()
	from, err := cacheDir(userNS)
	if err != nil {
		t.Fatal(err)
	}
	env, err := install(t.Context(), from, listOf(t, "synapse-"+chosen(t).synapse), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("/tmp", "cache-") //nolint:usetesting // others cannot pass the parent of t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := errors.Join(os.Chmod(dir, 0o755), copyTree(t.Context(), env.dir, filepath.Join(dir, filepath.Base(env.dir)))); err != nil {
		t.Fatal(err)
	}
	return dir
}

// safeBuffer is a log that several goroutines write.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
