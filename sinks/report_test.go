package sinks

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"synupkeep/internal/item"
)

func create(t *testing.T, path string) *Report {
	t.Helper()
	r, err := CreateReport(path)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return strings.Join(all, " ")
}

func TestReportReplacesTheOldOneWhenItIsComplete(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "report.json")
	if err := os.WriteFile(path, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	r := create(t, path)
	if got := read(t, path); got != "old" {
		t.Errorf("the old report is gone before the new one is there: %q", got)
	}
	if info, err := r.dir.Lstat(r.temp); err != nil || info.Mode() != 0o600 {
		t.Errorf("the temporary file: %v, %v", info, err)
	}
	if err := r.Write(Summary{Version: "2.0.0"}); err != nil {
		t.Fatal(err)
	}
	var s Summary
	if err := json.Unmarshal([]byte(read(t, path)), &s); err != nil || s.Version != "2.0.0" {
		t.Errorf("the report: %+v, %v", s, err)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("its mode: %v, %v", info.Mode(), err)
	}
	if got := names(t, dir); got != "report.json" {
		t.Errorf("in the directory: %s", got)
	}
	if err := r.Abandon(); err != nil {
		t.Errorf("abandon after write: %v", err)
	}
	if err := r.Write(Summary{}); err == nil {
		t.Error("it could be written twice")
	}
	if got := names(t, dir); got != "report.json" {
		t.Errorf("in the directory: %s", got)
	}
}

func TestAbandonedReportLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "report.json")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := create(t, path)
	for range 2 {
		if err := r.Abandon(); err != nil {
			t.Fatal(err)
		}
	}
	if got := names(t, dir); got != "report.json" || read(t, path) != "old" {
		t.Errorf("in the directory: %s, in the report: %s", got, read(t, path))
	}
	if err := r.Write(Summary{}); err == nil {
		t.Error("an abandoned report could be written")
	}
}

func TestTwoReportsOfOneName(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "report.json")
	first, second := create(t, path), create(t, path)
	if err := second.Write(Summary{Version: "second"}); err != nil {
		t.Fatal(err)
	}
	if err := first.Write(Summary{Version: "first"}); err != nil {
		t.Fatal(err)
	}
	if got := read(t, path); !strings.Contains(got, `"version": "first"`) || names(t, dir) != "report.json" {
		t.Errorf("%s in %s", got, names(t, dir))
	}
}

func TestFailedWriteKeepsTheOldReport(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "report.json")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := create(t, path)
	if err := r.file.Close(); err != nil { // stands for a disk that is full
		t.Fatal(err)
	}
	err := r.Write(Summary{})
	var run *item.RunError
	if !errors.As(err, &run) || run.Cause != item.CauseFailed || run.Hint != "there is no new report, but the output says the same; see to the free space of the disk" || !errors.Is(err, os.ErrClosed) {
		t.Errorf("error %v", err)
	}
	if names(t, dir) != "report.json" || read(t, path) != "old" {
		t.Errorf("in the directory: %s, in the report: %s", names(t, dir), read(t, path))
	}
}

func TestReportThatCannotBe(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	link := filepath.Join(dir, "link")
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, path, hint string }{
		{"no directory", filepath.Join(dir, "none", "r.json"), "create the directory " + filepath.Join(dir, "none")},
		{"file as directory", filepath.Join(file, "r.json"), "name another file"},
		{"a directory", dir, "not a directory"},
		{"a device", "/dev/null", "--json"},
		{"a link", link, "a link"},
		{"empty", "", "not a directory"},
		{"long name", filepath.Join(dir, strings.Repeat("x", 300)), "name another file"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r, err := CreateReport(test.path)
			var run *item.RunError
			if !errors.As(err, &run) {
				t.Fatalf("report %v, error %v", r, err)
			}
			if run.Cause != item.CauseUsage || !strings.Contains(run.Hint, test.hint) || !strings.Contains(err.Error(), test.path) {
				t.Errorf("%s: %v, hint: %s", run.Cause, err, run.Hint)
			}
		})
	}
	if got := names(t, dir); got != "file link" || read(t, file) != "mine" {
		t.Errorf("in the directory: %s, in the file: %s", got, read(t, file))
	}
}

func TestReportInADirectoryOfSomebodyElse(t *testing.T) {
	dir := t.TempDir()
	// The way there is open to everybody, the directory is not.
	for path, mode := range map[string]fs.FileMode{filepath.Dir(dir): 0o755, dir: 0o555} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	created := make(chan error)
	go func() {
		// Modes do not bind root: this thread gives up its rights on files, and ends with its goroutine.
		runtime.LockOSThread()
		if os.Geteuid() == 0 {
			if err := syscall.Setfsuid(65534); err != nil {
				created <- err
				return
			}
		}
		_, err := CreateReport(filepath.Join(dir, "report.json"))
		created <- err
	}()
	err := <-created
	var run *item.RunError
	if !errors.As(err, &run) || run.Cause != item.CauseUsage || !errors.Is(err, fs.ErrPermission) {
		t.Fatalf("error %v", err)
	}
	if !strings.Contains(run.Hint, dir) || !strings.Contains(run.Hint, "uid ") {
		t.Errorf("hint %s", run.Hint)
	}
	if got := names(t, dir); got != "" {
		t.Errorf("in the directory: %s", got)
	}
}
