package journal_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"synupkeep/internal/item"
	"synupkeep/internal/journal"
)

// stateOf is all that can be seen of a directory.
func stateOf(t *testing.T, dir string) (all []string) {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		return []string{err.Error()}
	}
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, fmt.Sprint(f.Name(), info.Size(), info.Mode(), info.ModTime()))
	}
	return all
}

// TestALookAtAJournalChangesNothing, whether a run has it open, or was killed while it wrote, or never was there.
func TestALookAtAJournalChangesNothing(t *testing.T) {
	dir := t.TempDir()
	look := func(dir string, want contents, damaged journal.Damage) {
		t.Helper()
		before := stateOf(t, dir)
		p, damage, err := journal.Look(dir, "journal")
		if err != nil {
			t.Fatal(err)
		}
		got := contents{}
		for _, b := range p.Batches() {
			rows, err := p.Rows(b.ID)
			if err != nil {
				t.Error(err)
			}
			got[b.ID] = files(rows)
		}
		p.Close()
		if diff := cmp.Diff(want, got); diff != "" || damage != damaged {
			t.Errorf("%+v\n%s", damage, diff)
		}
		if diff := cmp.Diff(before, stateOf(t, dir)); diff != "" {
			t.Errorf("it has changed something:\n%s", diff)
		}
	}
	look(filepath.Join(dir, "missing"), contents{}, journal.Damage{})
	look(dir, contents{}, journal.Damage{})

	j, _ := open(t, dir)
	var ids []uint64
	for _, file := range []string{"a", "b"} {
		id, err := j.Begin(item.LocalMedia, []journal.Row{{ID: file, FileID: file}})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	look(dir, contents{ids[0]: {"a"}, ids[1]: {"b"}}, journal.Damage{})
	if err := j.End(ids[0], nil); err != nil {
		t.Fatal(err)
	}
	look(dir, contents{ids[1]: {"b"}}, journal.Damage{})
	closed(t, j)

	file, err := os.OpenFile(filepath.Join(dir, "journal"), os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = file.WriteString("damaged line\nhalf a li")
	}
	if err == nil {
		err = file.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	look(dir, contents{ids[1]: {"b"}}, journal.Damage{Lines: 1, Cut: true})
}
