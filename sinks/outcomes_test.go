package sinks

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"synupkeep/internal/item"
)

var nightly = time.Date(2026, 11, 22, 4, 0, 0, 0, time.UTC)

func openOutcomes(t testing.TB, path string) *Outcomes {
	t.Helper()
	o, err := CreateOutcomes(t.Context(), path, nightly)
	if err != nil {
		t.Fatal(err)
	}
	o.Lost = func(line string) { t.Errorf("lost: %s", line) }
	return o
}

func gone(key string) item.Outcome {
	return item.Outcome{Flow: item.LocalMedia, Key: key, Status: item.Done, Rows: 1, Files: 1}
}

// text is what is in a file, as zcat has it where it is compressed.
func text(t testing.TB, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(path, ".gz") || len(content) == 0 {
		return string(content)
	}
	z, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(z)
	if err != nil {
		t.Fatalf("after %d bytes: %v", len(plain), err)
	}
	return string(plain)
}

func keys(t testing.TB, path string) string {
	t.Helper()
	var all []string
	for line := range strings.Lines(text(t, path)) {
		var l OutcomeLine
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%v: %q", err, line)
		}
		all = append(all, l.Key)
	}
	return strings.Join(all, " ")
}

// bothKinds runs a test on a plain and on a compressed file.
func bothKinds(t *testing.T, test func(t *testing.T, path string)) {
	for _, name := range []string{"outcomes.jsonl", "outcomes.jsonl.gz"} {
		t.Run(name, func(t *testing.T) { test(t, filepath.Join(t.TempDir(), name)) })
	}
}

func TestALineIsThereAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "o")
	o := openOutcomes(t, path)
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	for _, key := range []string{"a", "b"} {
		o.Add(gone(key))
	}
	if got := keys(t, path); got != "a b" {
		t.Errorf("before it is closed: %s", got)
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	o.Add(gone("late"))
	if err := o.Close(); err != nil || keys(t, path) != "a b" {
		t.Errorf("%v, %s", err, keys(t, path))
	}
}

func TestCompressedLinesAreThereAfterASecond(t *testing.T) {
	path := filepath.Join(t.TempDir(), "o.gz")
	synctest.Test(t, func(t *testing.T) {
		o := openOutcomes(t, path)
		o.Add(gone("a"))
		o.Add(gone("b"))
		if got := text(t, path); got != "" {
			t.Errorf("compressed one by one: %s", got)
		}
		time.Sleep(flushEvery)
		synctest.Wait()
		if got := keys(t, path); got != "a b" {
			t.Errorf("after a second: %s", got)
		}
		o.Add(gone("c"))
		if err := o.Close(); err != nil {
			t.Fatal(err)
		}
		if got := keys(t, path); got != "a b c" {
			t.Errorf("in the end: %s", got)
		}
	})
}

func TestALotOfCompressedLinesDoesNotWait(t *testing.T) {
	path := filepath.Join(t.TempDir(), "o.gz")
	synctest.Test(t, func(t *testing.T) {
		o := openOutcomes(t, path)
		o.Add(gone(strings.Repeat("x", flushSize)))
		if len(text(t, path)) < flushSize {
			t.Error("it waits in memory")
		}
		if err := o.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestWhatIsKeptGetsNoLine(t *testing.T) {
	bothKinds(t, func(t *testing.T, path string) {
		o := openOutcomes(t, path)
		o.Add(item.Outcome{Flow: item.History, Key: "kept", Status: item.Kept, Reason: item.Gap})
		for _, s := range []item.Status{item.Done, item.Skipped, item.Left, item.Failed, "unknown"} {
			o.Add(item.Outcome{Flow: item.History, Key: string(s), Status: s})
		}
		o.Add(item.Outcome{Flow: item.History, Key: "kept-and-gone", Status: item.Kept, Rows: 1})
		if err := o.Close(); err != nil {
			t.Fatal(err)
		}
		if got, want := keys(t, path), "done skipped left failed unknown kept-and-gone"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	})
}

func TestTheNextRunAppends(t *testing.T) {
	bothKinds(t, func(t *testing.T, path string) {
		for _, key := range []string{"first", "second", "third"} {
			o := openOutcomes(t, path)
			if len(o.Warnings) > 0 {
				t.Error(o.Warnings)
			}
			if key != "second" { // a run that did nothing
				o.Add(gone(key))
			}
			if err := o.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if got := keys(t, path); got != "first third" {
			t.Error(got)
		}
	})
}

// zcat takes an empty file for a broken one.
func TestACompressedFileWithoutLinesCanBeRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "o.gz")
	if err := openOutcomes(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	z, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	if content, err := io.ReadAll(z); err != nil || len(content) > 0 {
		t.Errorf("%q, %v", content, err)
	}
}

// A run that is killed leaves whole lines, and at most a part of the last write, which is taken away: whoever reads the
// file must not stop there.
func TestWhatAKillLeavesIsMended(t *testing.T) {
	bothKinds(t, func(t *testing.T, path string) {
		o := openOutcomes(t, path)
		o.Add(gone("a"))
		o.mu.Lock()
		o.flush()
		one := o.size
		o.mu.Unlock()
		o.Add(gone("b"))
		if err := o.Close(); err != nil {
			t.Fatal(err)
		}
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for size := one; size <= int64(len(whole)); size++ {
			if err := os.WriteFile(path, whole[:size], 0o600); err != nil {
				t.Fatal(err)
			}
			want := "a c"
			torn := size > one && size < int64(len(whole))
			if size == int64(len(whole)) {
				want = "a b c"
			}
			o := openOutcomes(t, path)
			o.Add(gone("c"))
			if err := o.Close(); err != nil {
				t.Fatal(err)
			}
			if got := keys(t, path); got != want || torn != (len(o.Warnings) == 1) {
				t.Fatalf("cut at %d of %d: %s, warnings %q", size, len(whole), got, o.Warnings)
			}
		}
	})
}

func TestOneLineThatIsCutShortIsMended(t *testing.T) {
	path := filepath.Join(t.TempDir(), "o")
	o := openOutcomes(t, path)
	o.Add(gone("a"))
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, o.size-1); err != nil {
		t.Fatal(err)
	}
	o = openOutcomes(t, path)
	o.Add(gone("b"))
	if err := o.Close(); err != nil || keys(t, path) != "b" || len(o.Warnings) != 1 {
		t.Errorf("%v, %s, %q", err, keys(t, path), o.Warnings)
	}
}

// Nothing is appended to, and nothing taken from, what is something else.
func TestWhatIsNoFileOfOutcomesStaysAsItIs(t *testing.T) {
	for name, content := range map[string]string{
		"text": "root:x:0:0::/root:/bin/sh\n", "line": "precious", "object": "{\"a\":1}\n", "report": "{\n  \"schema\": 1,\n  \"version\": \"2\"\n}\n",
		"schemaless": `{"schema":1,"x":`, "text.gz": string(member([]byte("root:x:0:0\n"))), "line.gz": string(member([]byte("precious"))),
		"not.gz": "precious", "torn.gz": string(member([]byte(strings.Repeat("precious", 100)))[:30]), "short.gz": "\x1f\x8b",
		"damaged.gz": string(member([]byte(lineOf("a")))) + strings.Repeat("x", 3*flushSize),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), name)
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			o, err := CreateOutcomes(t.Context(), path, nightly)
			var run *item.RunError
			if !errors.As(err, &run) || run.Hint == "" || !strings.Contains(err.Error(), path) {
				t.Fatalf("%v, %v", o, err)
			}
			if got, err := os.ReadFile(path); err != nil || string(got) != content {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

func lineOf(key string) string {
	line, err := outcomeLine(gone(key), nightly, nightly, nil).encode()
	if err != nil {
		panic(err)
	}
	return string(line)
}

func TestAFileThatAnotherRunWritesIsRefused(t *testing.T) {
	bothKinds(t, func(t *testing.T, path string) {
		first := openOutcomes(t, path)
		_, err := CreateOutcomes(t.Context(), path, nightly)
		var run *item.RunError
		if !errors.As(err, &run) || run.Cause != item.CauseLocked {
			t.Errorf("%v", err)
		}
		first.Add(gone("a"))
		if err := first.Close(); err != nil || keys(t, path) != "a" {
			t.Errorf("%v", err)
		}
		if err := openOutcomes(t, path).Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestOutcomesThatCannotBe(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink("/etc/passwd", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dir, "none", "o"), dir, "/dev/null", filepath.Join(dir, "link")} {
		_, err := CreateOutcomes(t.Context(), path, nightly)
		var run *item.RunError
		if !errors.As(err, &run) || run.Cause != item.CauseUsage || !strings.Contains(run.Hint, "--outcomes") && !strings.Contains(run.Hint, "create the directory") {
			t.Errorf("%s: %v", path, err)
		}
	}
	stopped, stop := context.WithCancelCause(t.Context())
	stop(errors.New("enough"))
	path := filepath.Join(dir, "o.gz")
	o := openOutcomes(t, path)
	o.Add(gone("a"))
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := CreateOutcomes(stopped, path, nightly); err == nil || err.Error() != "enough" {
		t.Errorf("a stop while a long file is read: %v", err)
	}
}

// After an error nothing more is written, and what is gone and not in the file is told elsewhere.
func TestAfterAnErrorTheRecordEnds(t *testing.T) {
	bothKinds(t, func(t *testing.T, path string) {
		o := openOutcomes(t, path)
		var failures []error
		var lost []string
		o.Failed = func(err error) { failures = append(failures, err) }
		o.Lost = func(line string) { lost = append(lost, line) }
		o.Add(gone("a"))
		o.mu.Lock()
		o.flush()
		o.mu.Unlock()
		readOnly, err := os.Open(path) // stands for a disk that is full
		if err != nil {
			t.Fatal(err)
		}
		was := o.file
		o.file = readOnly
		t.Cleanup(func() { _ = was.Close() })
		o.Add(gone("b"))
		o.mu.Lock()
		o.flush()
		o.mu.Unlock()
		o.Add(gone("c"))
		o.Add(item.Outcome{Flow: item.History, Key: "d", Status: item.Left, Reason: item.Stopped})
		err = o.Close()
		var run *item.RunError
		if !errors.As(err, &run) || run.Cause != item.CauseFailed || !strings.Contains(err.Error(), "3 outcomes are not in the file") {
			t.Errorf("%v", err)
		}
		if len(failures) != 1 || keys(t, path) != "a" {
			t.Errorf("%v, %s", failures, keys(t, path))
		}
		if len(lost) != 2 || !strings.Contains(lost[0], `"key":"b"`) || !strings.Contains(lost[1], `"key":"c"`) || strings.Contains(lost[0], "\n") {
			t.Errorf("lost: %q", lost)
		}
	})
}

func TestSecretsAndControlsAreNoPartOfALine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "o")
	o := openOutcomes(t, path)
	o.Redact = func(text string) string { return strings.ReplaceAll(text, "s3cret", "***") }
	o.Add(item.Outcome{
		Flow: item.RemoteMedia, Key: "mxc://a/\x1b[2J\n\u202e", Status: item.Failed,
		Err: fmt.Errorf("with s3cret: %w", &item.RunError{Doing: "d", Hint: "give s3cret"}),
	})
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	got := text(t, path)
	if strings.Contains(got, "s3cret") || strings.ContainsAny(got, "\x1b\u202e") || strings.Count(got, "\n") != 1 {
		t.Errorf("%q", got)
	}
	var l OutcomeLine
	if err := json.Unmarshal([]byte(got), &l); err != nil || l.Key != "mxc://a/\x1b[2J\n\u202e" || l.Hint != "give ***" {
		t.Errorf("%+v, %v", l, err)
	}
}

// Whatever flows add at once, each line is whole and there once.
func TestLinesOfSeveralFlowsAreWhole(t *testing.T) {
	bothKinds(t, func(t *testing.T, path string) {
		o := openOutcomes(t, path)
		var flows sync.WaitGroup
		for f := range 4 {
			flows.Go(func() {
				for i := range 500 {
					o.Add(gone(fmt.Sprintf("%d-%d", f, i)))
				}
			})
		}
		flows.Wait()
		if err := o.Close(); err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for key := range strings.FieldsSeq(keys(t, path)) {
			if seen[key] {
				t.Errorf("%s twice", key)
			}
			seen[key] = true
		}
		if len(seen) != 2000 {
			t.Errorf("%d of 2000", len(seen))
		}
	})
}

func TestALineTellsWhatTheOutcomeDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := item.Outcome{
			Flow: rapid.SampledFrom(item.Flows()).Draw(t, "flow"), Key: rapid.String().Draw(t, "key"),
			Status: rapid.SampledFrom(item.Statuses()).Draw(t, "status"), Rows: int64(rapid.Uint32().Draw(t, "rows")),
			Media: &item.Media{ID: rapid.String().Draw(t, "id"), Created: rapid.Int64().Draw(t, "created"), LastAccess: rapid.Int64().Draw(t, "accessed")},
		}
		line, err := outcomeLine(o, nightly, nightly, nil).encode()
		if err != nil {
			t.Fatal(err)
		}
		var l OutcomeLine
		if err := json.Unmarshal(line, &l); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if l.Flow != o.Flow || l.Key != o.Key || l.Status != o.Status || l.Rows != o.Rows || l.Media.ID != o.Media.ID || !l.Run.Equal(nightly) {
			t.Fatalf("%+v of %+v", l, o)
		}
		if !l.Media.Created.IsZero() && l.Media.Created.UnixMilli() != o.Media.Created {
			t.Fatalf("created %v of %d", l.Media.Created, o.Media.Created)
		}
	})
}
