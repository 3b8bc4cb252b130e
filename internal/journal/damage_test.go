package journal_test

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"synupkeep/internal/item"
	"synupkeep/internal/journal"
)

// written is a journal of n batches of 1, 2, 3 ... rows, and where in the file each line is, its ends included.
func written(t *testing.T, n int) (content []byte, lines [][2]int) {
	t.Helper()
	dir := t.TempDir()
	j, _ := open(t, dir)
	for i := range n {
		from := int(size(t, dir))
		begin(t, j, item.Previews, rows(i+1))
		lines = append(lines, [2]int{from, int(size(t, dir))})
	}
	content, err := os.ReadFile(filepath.Join(dir, "journal"))
	if err != nil {
		t.Fatal(err)
	}
	closed(t, j)
	return content, lines
}

// readAgain says what is found in a journal of this content.
func readAgain(t *testing.T, dir string, content []byte) (contents, journal.Damage) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "journal"), content, 0o600); err != nil {
		t.Fatal(err)
	}
	j, damage := open(t, dir)
	defer closed(t, j)
	return unfinished(t, j), damage
}

func all(n int) contents {
	c := contents{}
	for i := range n {
		c[uint64(i+1)] = files(rows(i + 1))
	}
	return c
}

func TestAJournalThatIsCutShortLosesOnlyItsLastLine(t *testing.T) {
	dir := t.TempDir()
	content, lines := written(t, 3)
	for cut := range len(content) + 1 {
		whole, begun := 0, false
		for _, l := range lines {
			switch {
			case cut >= l[1]-1: // its very last byte is an end of line and may be missing
				whole++
			case cut > l[0]+1:
				begun = true
			}
		}
		found, damage := readAgain(t, dir, content[:cut])
		if diff := cmp.Diff(all(whole), found, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("cut at %d: %s", cut, diff)
		}
		if damage.Lines != 0 || damage.Cut != begun {
			t.Errorf("cut at %d: %+v, want cut to be %t", cut, damage, begun)
		}
	}
}

// A line of a development version had no checksum: nothing shows that it is what was written.
func TestALineWithoutItsChecksumIsDamaged(t *testing.T) {
	old := `{"batch":1,"flow":"previews","rows":[{"o":"a","i":"b","f":"c"}]}` + "\n"
	found, damage := readAgain(t, t.TempDir(), []byte(old))
	same(t, contents{}, found)
	same(t, journal.Damage{Lines: 1}, damage)
}

func TestGarbageWithoutAnEndIsNotHeldInMemory(t *testing.T) {
	content, _ := written(t, 2)
	garbage := bytes.Repeat([]byte("garbage "), 5<<20)
	found, damage := readAgain(t, t.TempDir(), slices.Concat(garbage, content))
	same(t, all(2), found)
	same(t, journal.Damage{Lines: 1}, damage)
}

func FuzzAnyFileIsRead(f *testing.F) {
	f.Add([]byte("\n3a1cf0c5 {\"batch\":1,\"flow\":\"previews\",\"rows\":[{\"o\":\"a\",\"i\":\"b\",\"f\":\"c\"}]}\n"))
	f.Add([]byte("\x00\n00000000 \n{}\n{\"batch\":-1}\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		dir := t.TempDir()
		before, _ := readAgain(t, dir, content)
		j, damage := open(t, dir)
		same(t, journal.Damage{}, damage)
		same(t, before, unfinished(t, j))
		closed(t, j)
	})
}

// FuzzDamage damages a journal anywhere: whatever is read from it has been written, row for row.
func FuzzDamage(f *testing.F) {
	f.Add(uint(3), uint(0), []byte{})
	f.Add(uint(0), uint(1), []byte("x"))
	f.Add(uint(12), uint(30), []byte("\n"))
	f.Add(uint(20), uint(1000), []byte(`0badc0de {"batch":2,"flow":"previews","rows":[{"o":"a","i":"b","f":"c"}]}`+"\n"))
	f.Fuzz(func(t *testing.T, at, gone uint, instead []byte) {
		content, _ := written(t, 3)
		from := min(int(at%uint(len(content)+1)), len(content))
		to := min(from+int(gone%4096), len(content))
		found, _ := readAgain(t, t.TempDir(), slices.Concat(content[:from], instead, content[to:]))
		for batch, files := range found {
			if diff := cmp.Diff(all(3)[batch], files); diff != "" {
				t.Errorf("batch %d (- was written, + is read):\n%s", batch, diff)
			}
		}
	})
}
