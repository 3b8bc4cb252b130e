package sinks

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// age makes a file as old as that.
func age(t *testing.T, path string, by time.Duration) {
	t.Helper()
	then := time.Now().Add(-by)
	if err := os.Chtimes(path, then, then); err != nil {
		t.Fatal(err)
	}
}

// killed leaves what a process leaves that is killed before its report is complete.
func killed(t *testing.T, dir, text string) (name string) {
	t.Helper()
	r := create(t, filepath.Join(dir, "report.json"))
	if _, err := r.file.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if err := r.close(); err != nil {
		t.Fatal(err)
	}
	return r.temp
}

func TestWhatKilledRunsLeftIsRemovedAfterADay(t *testing.T) {
	dir := t.TempDir()
	empty, half, young := killed(t, dir, ""), killed(t, dir, "{"), killed(t, dir, "")
	age(t, filepath.Join(dir, empty), 25*time.Hour)
	age(t, filepath.Join(dir, half), 1000*time.Hour)
	age(t, filepath.Join(dir, young), 23*time.Hour)
	r := create(t, filepath.Join(dir, "another.json"))
	want := []string{young, r.temp}
	slices.Sort(want)
	if got := names(t, dir); got != strings.Join(want, " ") {
		t.Errorf("in the directory are %s, want %s", got, want)
	}
	if err := r.Write(Summary{}); err != nil {
		t.Error(err)
	}
}

// TestAFileInUseIsNoLeftover however old it is: a run may take days, and writes its report at the end.
func TestAFileInUseIsNoLeftover(t *testing.T) {
	dir := t.TempDir()
	first := create(t, filepath.Join(dir, "report.json"))
	age(t, filepath.Join(dir, first.temp), 1000*time.Hour)
	second := create(t, filepath.Join(dir, "report.json"))
	if err := second.Abandon(); err != nil {
		t.Error(err)
	}
	if err := first.Write(Summary{}); err != nil {
		t.Error(err)
	}
	if got := names(t, dir); got != "report.json" {
		t.Errorf("in the directory: %s", got)
	}
}

// TestWhatOthersNamedAlikeStays whatever it is, and however old.
func TestWhatOthersNamedAlikeStays(t *testing.T) {
	dir := t.TempDir()
	ours := tempName("report")
	random := strings.TrimSuffix(strings.TrimPrefix(ours, ".synupkeep-report."), ".tmp")
	var want []string
	for _, name := range []string{
		strings.Replace(ours, "report", "html", 1),
		strings.Replace(ours, "report", "reports", 1),
		strings.ToLower(ours),
		strings.Replace(ours, random, random[1:], 1),
		strings.Replace(ours, random, random+"A", 1),
		strings.Replace(ours, random, "1"+random[1:], 1),
		strings.Replace(ours, random, "report.2026-11-23.backup00", 1),
		random + ".tmp", ours[1:], "x" + ours, ours + "~", strings.TrimSuffix(ours, ".tmp"),
		".synupkeep-report.tmp", ".synupkeep-report..tmp",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		want = append(want, name)
	}
	pipe, directory, link := tempName("report"), tempName("report"), tempName("report")
	err := errors.Join(syscall.Mkfifo(filepath.Join(dir, pipe), 0o600), os.Mkdir(filepath.Join(dir, directory), 0o700))
	if err != nil {
		t.Fatal(err)
	}
	want = append(want, pipe, directory)
	for _, name := range want {
		age(t, filepath.Join(dir, name), 1000*time.Hour)
	}
	if err := os.Symlink(want[0], filepath.Join(dir, link)); err != nil {
		t.Fatal(err)
	}
	want = append(want, link)
	if err := create(t, filepath.Join(dir, "report.json")).Abandon(); err != nil {
		t.Error(err)
	}
	slices.Sort(want)
	if got := names(t, dir); got != strings.Join(want, " ") {
		t.Errorf("in the directory are\n%s, want\n%s", got, strings.Join(want, " "))
	}
}
