package references

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

type record struct {
	Stream int64
	Hashes []uint64
}

func write(t rapid.TB, m *Memory, head Head, records ...record) {
	t.Helper()
	w, err := m.Write(head)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if err := w.Add(r.Stream, r.Hashes); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
}

// readAll reads a memory to its end. Records of the same event that follow one another are one.
func readAll(r *Reader) (records []record, err error) {
	for {
		stream, hashes, err := r.Next()
		if errors.Is(err, io.EOF) {
			return records, nil
		}
		if err != nil {
			return records, err
		}
		if n := len(records); n > 0 && records[n-1].Stream == stream {
			records[n-1].Hashes = append(records[n-1].Hashes, hashes...)
			continue
		}
		records = append(records, record{stream, slices.Clone(hashes)})
	}
}

func TestWhatIsRememberedIsWhatWasWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "when missing")
	rapid.Check(t, func(t *rapid.T) {
		head := Head{
			Database: rapid.String().Draw(t, "database"), Transaction: rapid.Int64().Draw(t, "transaction"),
			High: rapid.Int64().Draw(t, "high"), Low: rapid.Int64().Draw(t, "low"),
			Anchors: rapid.SliceOf(rapid.Custom(func(t *rapid.T) Anchor {
				return Anchor{rapid.Int64().Draw(t, "stream"), rapid.String().Draw(t, "event")}
			})).Draw(t, "anchors"),
		}
		records := rapid.SliceOfDistinct(rapid.Custom(func(t *rapid.T) record {
			return record{
				rapid.OneOf(rapid.Int64(), rapid.Int64Range(-9, 9)).Draw(t, "place"),
				rapid.SliceOfN(rapid.Uint64(), 1, 5).Draw(t, "hashes"),
			}
		}), func(r record) int64 { return r.Stream }).Draw(t, "records")
		m := In(dir, rapid.StringMatching(`[a-z.:/\[\]%]{1,20}`).Draw(t, "server"))
		write(t, m, head, records...)
		r, err := m.Read()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		got, err := readAll(r)
		if diff := cmp.Diff(records, got); diff != "" && len(records)+len(got) > 0 || err != nil {
			t.Fatalf("%v\n%s", err, diff)
		}
		if diff := cmp.Diff(head, r.Head()); diff != "" && len(head.Anchors) > 0 {
			t.Fatal(diff)
		}
	})
}

func TestAnEventMayNameMoreMediaThanOneRecordHolds(t *testing.T) {
	m := In(t.TempDir(), "hs")
	many := make([]uint64, 3*most+1)
	for i := range many {
		many[i] = uint64(i)
	}
	want := []record{{math.MinInt64, many}, {math.MaxInt64, many[:most]}}
	write(t, m, Head{}, want...)
	r, err := m.Read()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got, err := readAll(r)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(err, diff)
	}
}

// TestADamagedMemoryIsNotUsed cuts the file short at each length and turns each bit.
func TestADamagedMemoryIsNotUsed(t *testing.T) {
	dir := t.TempDir()
	m := In(dir, "hs")
	file := filepath.Join(dir, "references-hs.bin")
	if _, err := m.Read(); !errors.Is(err, ErrNothing) {
		t.Errorf("without a file: %v", err)
	}
	write(t, m, Head{Database: "d", High: 5}, record{3, []uint64{1, 2}}, record{-4, []uint64{3}})
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	refused := func(content []byte, what string, at int) {
		t.Helper()
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := m.Read()
		var unreadable *UnreadableError
		if !errors.As(err, &unreadable) {
			r.Close()
			t.Errorf("%s at %d: %v", what, at, err)
		}
	}
	for i := range whole {
		refused(whole[:i], "cut", i)
		turned := slices.Clone(whole)
		turned[i] ^= 1 << (i % 8)
		refused(turned, "turned", i)
	}
	refused(append(slices.Clone(whole), 0), "longer", len(whole))
	if err := errors.Join(os.Remove(file), os.Mkdir(file, 0o700)); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Read(); err == nil || errors.Is(err, ErrNothing) {
		t.Errorf("a directory: %v", err)
	}
}

// TestTheOldMemoryStaysUntilTheNewOneIsWhole.
func TestTheOldMemoryStaysUntilTheNewOneIsWhole(t *testing.T) {
	m := In(t.TempDir(), "hs")
	write(t, m, Head{High: 1}, record{1, []uint64{1}})
	high := func(want int64) {
		t.Helper()
		r, err := m.Read()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if r.Head().High != want {
			t.Errorf("%d, want %d", r.Head().High, want)
		}
	}
	w, err := m.Write(Head{High: 2})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Add(2, []uint64{2}); err != nil {
		t.Fatal(err)
	}
	high(1)
	w.Abort()
	high(1)
	write(t, m, Head{High: 3})
	high(3)
}

func TestAMemoryThatEverybodyMayWriteIsNotUsed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	m := In(dir, "hs")
	write(t, m, Head{High: 1}, record{1, []uint64{1}})
	file := filepath.Join(dir, "references-hs.bin")
	for _, test := range []struct {
		dir, file os.FileMode
		refused   bool
	}{
		{0o700, 0o600, false},
		{0o775, 0o664, false}, // of a group of one's own
		{0o777, 0o600, true},
		{0o777 | os.ModeSticky, 0o600, true},
		{0o700, 0o666, true},
	} {
		if err := errors.Join(os.Chmod(dir, test.dir), os.Chmod(file, test.file)); err != nil {
			t.Fatal(err)
		}
		r, err := m.Read()
		var unreadable *UnreadableError
		if refused := errors.As(err, &unreadable); refused != test.refused || !refused && err != nil {
			t.Errorf("%v, %v: %v", test.dir, test.file, err)
		}
		if err == nil {
			r.Close()
		}
	}
}

// TestAMemoryOfAnotherUserIsNotUsed, whatever its mode is, nor written to.
func TestAMemoryOfAnotherUserIsNotUsed(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("only root can give files away: what root would refuse is not tried")
		return
	}
	const nobody = 65534
	dir := t.TempDir()
	m := In(dir, "hs")
	write(t, m, Head{High: 1}, record{1, []uint64{1}})
	file := filepath.Join(dir, "references-hs.bin")
	if err := errors.Join(os.Chown(file, nobody, nobody), os.WriteFile(file+".new", nil, 0o666), os.Chown(file+".new", nobody, nobody)); err != nil {
		t.Fatal(err)
	}
	var unreadable *UnreadableError
	if _, err := m.Read(); !errors.As(err, &unreadable) {
		t.Errorf("%v", err)
	}
	write(t, m, Head{High: 2})
	r, err := m.Read()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
}

func TestAReadOnlyMemoryWritesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	w, err := In(dir, "hs").ReadOnly().Write(Head{})
	if w != nil || err != nil {
		t.Errorf("%v, %v", w, err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func TestAStateDirectoryThatCannotBeWrittenIsAnError(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := In(file, "hs").Write(Head{}); err == nil {
		t.Error("no error")
	}
}

// FuzzReader reads what may be anything behind a right checksum.
func FuzzReader(f *testing.F) {
	dir := f.TempDir()
	w, err := In(dir, "hs").Write(Head{Database: "d", Anchors: []Anchor{{1, "$a"}}})
	if err != nil {
		f.Fatal(err)
	}
	if err := errors.Join(w.Add(3, []uint64{1, 2}), w.Add(-4, []uint64{3}), w.Commit()); err != nil {
		f.Fatal(err)
	}
	whole, err := os.ReadFile(filepath.Join(dir, "references-hs.bin"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole[:len(whole)-32])
	f.Add([]byte(magic + "\x02{}\x00\x00"))
	f.Add([]byte(magic + "\x02{}\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Fuzz(func(t *testing.T, content []byte) {
		r := &Reader{file: io.NopCloser(nil)}
		if r.begin(bytes.NewReader(content)) != nil {
			return
		}
		records, err := readAll(r)
		n := 0
		for _, r := range records {
			n += len(r.Hashes)
		}
		if n*8 > len(content) {
			t.Errorf("%d hashes of %d bytes: %v", n, len(content), err)
		}
	})
}
