package journal_test

import (
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"synupkeep/internal/item"
	"synupkeep/internal/journal"
)

// fileLimit lets no file of this process grow beyond n bytes: a write that crosses it stops half way, as on a full disk.
func fileLimit(t *testing.T, n int64) (lift func()) {
	t.Helper()
	signal.Ignore(syscall.SIGXFSZ)
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	limit := before
	limit.Cur = uint64(n)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	lift = func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(lift)
	return lift
}

func TestOnAFullDiskNothingIsBegunAndNoHalfLineStays(t *testing.T) {
	dir := t.TempDir()
	j, _ := open(t, dir)
	first := begin(t, j, item.LocalMedia, rows(2))
	before := size(t, dir)
	lift := fileLimit(t, before+50)
	if id, err := j.Begin(item.LocalMedia, rows(3)); !errors.Is(err, syscall.EFBIG) {
		t.Errorf("batch %d is begun on a full disk: %v", id, err)
	}
	if n := size(t, dir); n != before {
		t.Errorf("%d bytes of half a line stay", n-before)
	}
	if err := j.End(first, rows(1)); !errors.Is(err, syscall.EFBIG) {
		t.Errorf("%v", err)
	}
	same(t, contents{first: files(rows(2))}, unfinished(t, j))
	lift()
	second := begin(t, j, item.LocalMedia, rows(3)) // there is space again
	closed(t, j)
	j, damage := open(t, dir)
	same(t, journal.Damage{}, damage)
	same(t, contents{first: files(rows(2)), second: files(rows(3))}, unfinished(t, j))
	closed(t, j)
}

// TestAJournalThatCannotBeWrittenAnewIsKept: the old one has all that the new one would have had.
func TestAJournalThatCannotBeWrittenAnewIsKept(t *testing.T) {
	dir := t.TempDir()
	j, _ := open(t, dir)
	j.SetSmall(1)
	want := contents{}
	for range 2 {
		want[begin(t, j, item.Previews, rows(2))] = files(rows(2))
	}
	large := begin(t, j, item.Previews, rows(100))
	inItsPlace := filepath.Join(dir, "journal.new")
	if err := os.Mkdir(inItsPlace, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := j.End(large, nil); !errors.Is(err, syscall.EISDIR) {
		t.Errorf("%v", err)
	}
	same(t, want, unfinished(t, j))
	if err := os.Remove(inItsPlace); err != nil {
		t.Fatal(err)
	}
	before := size(t, dir)
	end(t, j, begin(t, j, item.Previews, rows(1)))
	if n := size(t, dir); n >= before {
		t.Errorf("%d bytes, it had %d", n, before)
	}
	closed(t, j)
	j, damage := open(t, dir)
	same(t, journal.Damage{}, damage)
	same(t, want, unfinished(t, j))
	closed(t, j)
}
