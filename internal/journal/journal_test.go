package journal_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"synupkeep/internal/item"
	"synupkeep/internal/journal"
)

func open(t rapid.TB, dir string) (*journal.Journal, []journal.Batch, int) {
	t.Helper()
	j, unfinished, unreadable, err := journal.Open(dir, "journal")
	if err != nil {
		t.Fatal(err)
	}
	return j, unfinished, unreadable
}

func rows(n int) []journal.Row {
	all := make([]journal.Row, n)
	for i := range all {
		all[i] = journal.Row{Origin: "hs:8448", ID: fmt.Sprintf("id\n%d", i), FileID: fmt.Sprintf("file%d", i)}
	}
	return all
}

func begin(t rapid.TB, j *journal.Journal, flow item.Flow, r []journal.Row) uint64 {
	t.Helper()
	id, err := j.Begin(flow, r)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestWhatWasNotEndedComesBackUntilItIs(t *testing.T) {
	dir := t.TempDir()
	j, unfinished, _ := open(t, dir)
	if len(unfinished) > 0 {
		t.Fatalf("a new journal holds %v", unfinished)
	}
	first := begin(t, j, item.LocalMedia, rows(3))
	begin(t, j, item.RemoteMedia, rows(2))
	if err := j.End(first); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // whoever does not end it finds it again
		j, unfinished, unreadable := open(t, dir)
		want := []journal.Batch{{ID: 1, Flow: item.RemoteMedia, Rows: rows(2)}}
		if diff := cmp.Diff(want, unfinished); diff != "" || unreadable != 0 {
			t.Fatalf("%d unreadable, %s", unreadable, diff)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
	j, unfinished, _ = open(t, dir)
	if err := j.End(unfinished[0].ID); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if _, unfinished, _ = open(t, dir); len(unfinished) > 0 {
		t.Fatalf("after its end: %v", unfinished)
	}
}

// TestACutOrSpoiltJournalLosesOnlyThatLine cuts a journal at every byte and spoils every line.
func TestACutOrSpoiltJournalLosesOnlyThatLine(t *testing.T) {
	dir := t.TempDir()
	j, _, _ := open(t, dir)
	for n := range 3 {
		begin(t, j, item.Previews, rows(n+1))
	}
	content, err := os.ReadFile(filepath.Join(dir, "journal"))
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	check := func(content []byte, wantRows []int, wantUnreadable int) {
		t.Helper()
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "journal"), content, 0o600); err != nil {
			t.Fatal(err)
		}
		j, unfinished, unreadable := open(t, dir)
		defer j.Close() //nolint:errcheck // a copy
		var got []int
		for _, b := range unfinished {
			got = append(got, len(b.Rows))
		}
		if diff := cmp.Diff(wantRows, got); diff != "" || unreadable != wantUnreadable {
			t.Errorf("%q: %d unreadable, %s", content, unreadable, diff)
		}
	}
	lines := bytes.SplitAfter(content, []byte("\n"))[:3]
	at := 0
	for i, line := range lines {
		var whole []int
		for k := range i {
			whole = append(whole, k+1)
		}
		check(content[:at], whole, 0)
		for cut := 1; cut < len(line)-1; cut++ {
			check(content[:at+cut], whole, 1)
		}
		check(content[:at+len(line)-1], append(whole, i+1), 0) // only its end of line is missing
		at += len(line)
	}
	check([]byte(strings.Replace(string(content), `"batch":2`, `"batch"2`, 1)), []int{1, 3}, 1)
}

func TestAJournalThatIsIdleStaysSmall(t *testing.T) {
	dir := t.TempDir()
	j, _, _ := open(t, dir)
	most := int64(0)
	for range 60 {
		if err := j.End(begin(t, j, item.LocalMedia, rows(1000))); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(filepath.Join(dir, "journal"))
		if err != nil {
			t.Fatal(err)
		}
		most = max(most, info.Size())
	}
	if most > 2<<20 {
		t.Errorf("it grew to %d bytes", most)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(dir, "journal")); err != nil || info.Size() != 0 || info.Mode().Perm() != 0o600 {
		t.Errorf("after the end: %v, %v", info, err)
	}
}

func TestAnythingBegunAndNotEndedIsThere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "journal") //nolint:usetesting // a rapid.T has no TempDir
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir) //nolint:errcheck // temporary
		j, _, _ := open(t, dir)
		model := map[uint64]int{}
		for range rapid.IntRange(0, 30).Draw(t, "steps") {
			switch rapid.IntRange(0, 2).Draw(t, "step") {
			case 0:
				n := rapid.IntRange(0, 4).Draw(t, "rows")
				model[begin(t, j, item.LocalMedia, rows(n))] = n
			case 1:
				for id := range model {
					if err := j.End(id); err != nil {
						t.Fatal(err)
					}
					delete(model, id)
					break
				}
			case 2: // as if killed: nothing is closed
				var unfinished []journal.Batch
				j, unfinished, _ = open(t, dir)
				if len(unfinished) != len(model) {
					t.Fatalf("%d unfinished, want %d", len(unfinished), len(model))
				}
				counts, want := map[int]int{}, map[int]int{}
				for _, n := range model {
					want[n]++
				}
				model = map[uint64]int{}
				for _, b := range unfinished {
					counts[len(b.Rows)]++
					model[b.ID] = len(b.Rows)
				}
				if diff := cmp.Diff(want, counts); diff != "" {
					t.Fatal(diff)
				}
			}
		}
	})
}

func FuzzAnyFileIsRead(f *testing.F) {
	f.Add([]byte(`{"batch":1,"flow":"previews","rows":[{"o":"a","i":"b","f":"c"}]}` + "\n" + `{"batch":1,"end":true}` + "\n"))
	f.Add([]byte("\x00\n{}\n{\"batch\":-1}\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "journal"), content, 0o600); err != nil {
			t.Fatal(err)
		}
		j, before, _ := open(t, dir)
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		_, after, unreadable := open(t, dir)
		if diff := cmp.Diff(before, after, cmpopts.EquateEmpty()); diff != "" || unreadable > 0 {
			t.Errorf("read again it is another: %d unreadable, %s", unreadable, diff)
		}
	})
}

func TestAStateDirectoryThatCannotBeMadeIsSaidAtOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := journal.Open(filepath.Join(file, "state"), "journal"); err == nil {
		t.Error("no error")
	}
}
