//go:build image

package image_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"synupkeep/internal/sandbox/stock"
)

func ownerOf(t *testing.T, path string) string {
	t.Helper()
	var stat syscall.Stat_t
	if err := syscall.Stat(path, &stat); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d:%d", stat.Uid, stat.Gid)
}

// start is how a container is started; the zero value is the image's own way.
type start struct {
	container string
	user      string
	env       []string
	volumes   []string
}

func (s start) command(ctx context.Context, args ...string) *exec.Cmd {
	all := append(options(), "run", "--isolation", "chroot")
	if s.user != "" {
		all = append(all, "--user", s.user)
	}
	for _, one := range s.env {
		all = append(all, "--env", one)
	}
	for _, one := range s.volumes {
		all = append(all, "--volume", one)
	}
	all = append(all, s.container, "--", "/synupkeep") // run does not heed the entry point
	return exec.CommandContext(ctx, "buildah", append(all, args...)...)
}

func (s start) run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	cmd := s.command(t.Context(), args...)
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), log.String()
}

func (s start) mustRun(t *testing.T, args ...string) (stdout, stderr string) {
	t.Helper()
	code, stdout, stderr := s.run(t, args...)
	if code != 0 {
		t.Fatalf("%q: exit code %d\n%s\n%s", args, code, stdout, stderr)
	}
	return stdout, stderr
}

const tokenFile = "SYNUPKEEP_SYNAPSE_AUTH_TOKEN_FILE=/data/token"

func TestTheImageDeletesAsItPlanned(t *testing.T) {
	s := prepare(t, 1000, 1000)
	// Everything but the token and the age is found in /data.
	from := start{container: container(t), env: []string{tokenFile, "SYNUPKEEP_DELTA=30d"}, volumes: s.volumes()}
	type flows struct {
		Flows []struct {
			Flow string `json:"flow"`
			Rows int64  `json:"rows"`
		} `json:"flows"`
	}
	read := func(stdout string) (f flows) {
		t.Helper()
		if err := json.Unmarshal([]byte(stdout), &f); err != nil {
			t.Fatalf("%v\n%s", err, stdout)
		}
		return f
	}
	stdout, _ := from.mustRun(t, "plan", "--json")
	planned := read(stdout)
	stdout, _ = from.mustRun(t, "run", "--json")
	if diff := cmp.Diff(planned, read(stdout)); diff != "" {
		t.Error(diff)
	}
	s.done(t)
	if diff := cmp.Diff(map[string]bool{"1000:1000": true}, s.owners(t)); diff != "" {
		t.Error(diff)
	}
}

func TestStartedAsRootItIsWhomItIsToldToBe(t *testing.T) {
	for _, test := range []struct {
		name     string
		env      []string
		uid, gid int
	}{
		{"CUSTOM_UID and CUSTOM_GID", []string{"CUSTOM_UID=4711", "CUSTOM_GID=4712", "UID=1", "GID=1"}, 4711, 4712},
		{"the user of Synapse's image", []string{"UID=990"}, 990, 991},
		{"the owner of the media store", nil, 991, 991},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := prepare(t, test.uid, test.gid)
			from := start{
				container: container(t), user: "0:0", volumes: s.volumes(),
				env: append(test.env, tokenFile, "SYNUPKEEP_DELTA=30d"),
			}
			stdout, stderr := from.mustRun(t, "run")
			if strings.Contains(stderr, "as root") || !strings.Contains(stdout, "1 local media item deleted") {
				t.Errorf("%s\n%s", stdout, stderr)
			}
			s.done(t)
			if diff := cmp.Diff(map[string]bool{fmt.Sprintf("%d:%d", test.uid, test.gid): true}, s.owners(t)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAStoreOfAnotherUserIsRefusedWithTheWayOut(t *testing.T) {
	s := prepare(t, 991, 991)
	from := start{container: container(t), volumes: []string{s.MediaStore() + ":/data/media_store"}, env: []string{
		"SYNUPKEEP_POSTGRES=" + s.ConnString(), "SYNUPKEEP_SYNAPSE_AUTH_TOKEN=" + s.AdminToken(), "SYNUPKEEP_API_URL=" + s.APIURL(), "SYNUPKEEP_DELTA=30d",
	}}
	code, stdout, stderr := from.run(t, "run", "--only", "local-media", "--state-dir", "/nowhere")
	if code != 13 || !strings.Contains(stderr, "belongs to user 991, and this container runs as 1000") || !strings.Contains(stderr, "--user 991:991") {
		t.Errorf("exit code %d\n%s\n%s", code, stdout, stderr)
	}
	if diff := cmp.Diff(s.before, stock.OfMedia(t, s.Server)); diff != "" {
		t.Error(diff)
	}
}

func TestNothingIsReadAsRoot(t *testing.T) {
	s := prepare(t, 991, 991)
	for _, file := range []string{"token", "homeserver.yaml"} {
		path := filepath.Join(s.data, file)
		if err := os.Chown(path, 0, 0); err != nil { // of mode 0400
			t.Fatal(err)
		}
		from := start{container: container(t), user: "0:0", volumes: s.volumes(), env: []string{tokenFile, "SYNUPKEEP_DELTA=30d"}}
		if code, stdout, stderr := from.run(t, "run"); code != 2 || !strings.Contains(stderr, "permission denied") {
			t.Errorf("%s: exit code %d\n%s\n%s", file, code, stdout, stderr)
		}
		if err := os.Chown(path, 991, 991); err != nil {
			t.Fatal(err)
		}
	}
	from := start{container: container(t), user: "0:0", env: []string{"CUSTOM_UID=synapse"}}
	if code, _, stderr := from.run(t, "run"); code != 2 || !strings.Contains(stderr, "CUSTOM_UID is") || !strings.Contains(stderr, "nothing was done") {
		t.Errorf("exit code %d\n%s", code, stderr)
	}
}

func TestNothingIsWrittenOutsideOfTheVolumes(t *testing.T) {
	s := prepare(t, 991, 991)
	id := container(t)
	root := buildah(t, "mount", id)
	for _, dir := range []string{"data", "proc", "etc"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "etc/hosts"), []byte("127.0.0.1 localhost\n"), 0o644); err != nil { // every engine's
		t.Fatal(err)
	}
	// As an engine does it with --read-only: buildah's chroot has no such thing.
	script := `set -e
root=$1; data=$2; media=$3; shift 3
mount --make-rprivate /
mount --bind "$root" "$root"
mount --bind -o ro "$data" "$root/data"
mount --bind "$media" "$root/data/media"
mount -t proc proc "$root/proc"
mount -o remount,bind,ro "$root"
exec chroot "$root" "$@"`
	for _, command := range [][]string{{"run"}, {"plan", "--json"}, {"usage"}, {"doctor"}} {
		cmd := exec.CommandContext(t.Context(), "unshare", append([]string{
			"--mount", "sh", "-c", script, "sh", root, s.data, s.MediaStore(), "/synupkeep",
		}, command...)...)
		cmd.Env = []string{"SYNUPKEEP_CONTAINER=1", tokenFile, "SYNUPKEEP_DELTA=30d"}
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if code := cmd.ProcessState.ExitCode(); errors.As(err, &exit) && command[0] == "doctor" && code == 3 {
			err = nil // a sandbox has its weak spots
		}
		if err != nil || strings.Contains(string(out), "read-only") {
			t.Errorf("%q: %v\n%s", command, err, out)
		}
	}
	s.done(t)
}

func TestTheImageRunsByASchedule(t *testing.T) {
	s := prepare(t, 991, 991)
	from := start{
		container: container(t), user: "0:0", volumes: s.volumes(),
		env: []string{tokenFile, "SYNUPKEEP_DELTA=30d", "TZ=Asia/Kathmandu", "SYNUPKEEP_DOCKER_CRON_SCHEDULE=30 3 1 1 *"},
	}
	running := from.begin(t, "cron", "--run-now")
	running.until(t, "waiting for the next run")
	s.done(t)
	running.end(t, syscall.SIGTERM)
	for _, text := range []string{"-01-01T03:30:00+05:45", "stopped while no run was at work", "1 local media item deleted"} {
		if !strings.Contains(running.log.String(), text) {
			t.Errorf("%q is missing:\n%s", text, running.log.String())
		}
	}
}

// running is a container that is at work.
type running struct {
	cmd    *exec.Cmd
	log    watched
	waited chan error
}

func (s start) begin(t *testing.T, args ...string) *running {
	t.Helper()
	r := &running{cmd: s.command(t.Context(), args...), waited: make(chan error, 1)}
	r.cmd.Stdout, r.cmd.Stderr = &r.log, &r.log
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { r.waited <- r.cmd.Wait() }()
	return r
}

// until waits for a text in what it logs.
func (r *running) until(t *testing.T, text string) {
	t.Helper()
	for begun := time.Now(); !strings.Contains(r.log.String(), text); {
		select {
		case err := <-r.waited:
			t.Fatalf("it ended: %v\n%s", err, r.log.String())
		case <-time.After(50 * time.Millisecond):
		}
		if time.Since(begun) > 2*time.Minute {
			t.Fatalf("no %q came:\n%s", text, r.log.String())
		}
	}
}

// end tells the program to stop: the container has the host's numbers for processes, and buildah hands no signal on but
// SIGKILL.
func (r *running) end(t *testing.T, signal syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(descendant(t, r.cmd.Process.Pid, "/synupkeep"), signal); err != nil {
		t.Fatal(err)
	}
	if err := <-r.waited; err != nil {
		t.Errorf("%v\n%s", err, r.log.String())
	}
}

// watched is a buffer that is read while it is written.
type watched struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (w *watched) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.Write(b)
}

func (w *watched) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.String()
}

// descendant finds the process below another that runs a program.
func descendant(t *testing.T, ancestor int, program string) int {
	t.Helper()
	tasks, err := filepath.Glob("/proc/" + strconv.Itoa(ancestor) + "/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		children, _ := os.ReadFile(task) // it may have gone
		for child := range strings.FieldsSeq(string(children)) {
			pid, err := strconv.Atoi(child)
			if err != nil {
				t.Fatal(err)
			}
			line, _ := os.ReadFile("/proc/" + child + "/cmdline")
			if strings.HasPrefix(string(line), program+"\x00") {
				return pid
			}
			if found := descendant(t, pid, program); found != 0 {
				return found
			}
		}
	}
	return 0
}
