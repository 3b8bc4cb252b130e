package journal_test

import (
	"bytes"
	"errors"
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

// contents is what is open in a journal: the files of each batch, by its number.
type contents map[uint64][]string

func open(t rapid.TB, dir string) (*journal.Journal, journal.Damage) {
	t.Helper()
	j, damage, err := journal.Open(dir, "journal")
	if err != nil {
		t.Fatal(err)
	}
	return j, damage
}

func closed(t rapid.TB, j *journal.Journal) {
	t.Helper()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

// unfinished reads all that is open.
func unfinished(t rapid.TB, j *journal.Journal) contents {
	t.Helper()
	found := contents{}
	for _, b := range j.Batches() {
		rows, err := j.Rows(b.ID)
		if err != nil {
			t.Fatal(err)
		}
		if len(rows) != b.Rows {
			t.Errorf("batch %d has %d rows, and says %d", b.ID, len(rows), b.Rows)
		}
		found[b.ID] = files(rows)
	}
	return found
}

func files(rows []journal.Row) []string {
	var all []string
	for _, r := range rows {
		all = append(all, r.FileID)
	}
	return all
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

func end(t rapid.TB, j *journal.Journal, id uint64, left ...journal.Row) {
	t.Helper()
	if err := j.End(id, left); err != nil {
		t.Fatal(err)
	}
}

func size(t rapid.TB, dir string) int64 {
	t.Helper()
	info, err := os.Stat(filepath.Join(dir, "journal"))
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

func same(t rapid.TB, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Fatal(diff)
	}
}

func TestWhatWasNotEndedComesBackUntilItIs(t *testing.T) {
	dir := t.TempDir()
	j, _ := open(t, dir)
	same(t, contents{}, unfinished(t, j))
	first := begin(t, j, item.LocalMedia, rows(3))
	second := begin(t, j, item.RemoteMedia, rows(2))
	end(t, j, first)
	closed(t, j)
	for range 2 { // whoever does not end it finds it again
		j, damage := open(t, dir)
		same(t, journal.Damage{}, damage)
		same(t, []journal.Batch{{ID: second, Flow: item.RemoteMedia, Rows: 2}}, j.Batches())
		got, err := j.Rows(second)
		if err != nil {
			t.Fatal(err)
		}
		same(t, rows(2), got)
		closed(t, j)
	}
	j, _ = open(t, dir)
	end(t, j, second)
	closed(t, j)
	j, _ = open(t, dir)
	same(t, contents{}, unfinished(t, j))
	closed(t, j)
	if n := size(t, dir); n != 0 {
		t.Errorf("an empty journal has %d bytes", n)
	}
}

func TestABatchShrinksToWhatIsLeftOfIt(t *testing.T) {
	dir := t.TempDir()
	j, _ := open(t, dir)
	begin(t, j, item.Previews, rows(1))
	id := begin(t, j, item.LocalMedia, rows(5))
	end(t, j, id, rows(5)[3], rows(5)[1])
	same(t, contents{1: {"file0"}, id: {"file3", "file1"}}, unfinished(t, j))
	closed(t, j)
	j, _ = open(t, dir)
	same(t, []journal.Batch{{ID: 1, Flow: item.Previews, Rows: 1}, {ID: id, Flow: item.LocalMedia, Rows: 2}}, j.Batches())
	same(t, contents{1: {"file0"}, id: {"file3", "file1"}}, unfinished(t, j))
	end(t, j, id)
	end(t, j, id, rows(1)...) // it has ended, and does not come back
	same(t, contents{1: {"file0"}}, unfinished(t, j))
	closed(t, j)
}

func TestOneJournalIsOpenOnce(t *testing.T) {
	dir := t.TempDir()
	j, _ := open(t, dir)
	refused := func() {
		t.Helper()
		if _, _, err := journal.Open(dir, "journal"); !errors.Is(err, journal.ErrInUse) {
			t.Errorf("opened twice: %v", err)
		}
	}
	refused()
	for range 30 { // long enough to be written anew
		end(t, j, begin(t, j, item.LocalMedia, rows(1000)), rows(300)...)
	}
	refused()
	other, _, err := journal.Open(dir, "journal of another server")
	if err != nil {
		t.Fatal(err)
	}
	closed(t, other)
	closed(t, j)
	j, _ = open(t, dir)
	closed(t, j)
}

// TestAnythingBegunAndNotEndedIsThere does anything at random, kills included, and compares with a model. The journal
// never grows beyond a multiple of what is open in it.
func TestAnythingBegunAndNotEndedIsThere(t *testing.T) {
	const small, large = 5000, 300 // bytes: of a journal that is never written anew, of an id
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "journal") //nolint:usetesting // a rapid.T has no TempDir
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir) //nolint:errcheck // temporary
		j, _ := open(t, dir)
		j.SetSmall(small)
		model := contents{}
		live := map[uint64]int64{} // bytes of ids
		one := func() uint64 { return rapid.SampledFrom(keys(model)).Draw(t, "batch") }
		check := func() { same(t, model, unfinished(t, j)) }
		for range rapid.IntRange(0, 40).Draw(t, "steps") {
			step := rapid.SampledFrom([]string{"begin", "begin", "end", "end", "shrink", "kill", "close"}).Draw(t, "step")
			if len(model) == 0 && (step == "end" || step == "shrink") {
				step = "begin"
			}
			switch step {
			case "begin":
				r := rows(rapid.IntRange(0, 4).Draw(t, "rows"))
				length := rapid.SampledFrom([]int{10, large}).Draw(t, "length")
				for i := range r {
					r[i].ID = strings.Repeat("x", length)
				}
				id := begin(t, j, item.LocalMedia, r)
				model[id], live[id] = files(r), int64(len(r)*length)
			case "end":
				id := one()
				end(t, j, id)
				delete(model, id)
				delete(live, id)
			case "shrink":
				id := one()
				all, err := j.Rows(id)
				if err != nil {
					t.Fatal(err)
				}
				left := all[:rapid.IntRange(0, len(all)).Draw(t, "left")]
				end(t, j, id, left...)
				model[id], live[id] = files(left), live[id]*int64(len(left))/max(1, int64(len(all)))
				if len(left) == 0 {
					delete(model, id)
				}
			case "kill", "close":
				check()
				closed(t, j) // a kill closes it as well; what is written is written
				var damage journal.Damage
				j, damage = open(t, dir)
				j.SetSmall(small)
				same(t, journal.Damage{}, damage)
				check()
			}
			most := int64(5 * large) // what was begun last comes on top
			for _, n := range live {
				most += 4 * (n + 500)
			}
			if n := size(t, dir); n > max(small, most)+5*large {
				t.Fatalf("%d bytes for %v that are open", n, live)
			}
		}
		check()
		closed(t, j)
	})
}

func keys(c contents) (ids []uint64) {
	for id := range c {
		ids = append(ids, id)
	}
	return ids
}

func TestAJournalOfWhichOneBatchStaysOpenStaysSmall(t *testing.T) {
	dir := t.TempDir()
	j, _ := open(t, dir)
	stuck := begin(t, j, item.Previews, rows(10))
	most := int64(0)
	for range 60 {
		end(t, j, begin(t, j, item.LocalMedia, rows(1000)))
		most = max(most, size(t, dir))
	}
	if most > 3<<19 {
		t.Errorf("it grew to %d bytes", most)
	}
	same(t, contents{stuck: files(rows(10))}, unfinished(t, j))
	closed(t, j)
	if info, err := os.Stat(filepath.Join(dir, "journal")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestAStateDirectoryThatCannotBeMadeIsSaidAtOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := journal.Open(filepath.Join(file, "state"), "journal"); err == nil {
		t.Error("no error")
	}
}

func TestABatchThatIsTooLargeIsRefused(t *testing.T) {
	j, _ := open(t, t.TempDir())
	long := []journal.Row{{ID: string(bytes.Repeat([]byte("x"), 17<<20))}}
	if _, err := j.Begin(item.LocalMedia, long); err == nil {
		t.Error("what could not be read again is written")
	}
	same(t, contents{}, unfinished(t, j))
	closed(t, j)
}
