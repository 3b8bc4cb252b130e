package journal

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"synupkeep/internal/item"
)

// encoded is a journal of the rows of n batches, some of which have ended or shrunk.
func encoded(t *testing.T, n int) (lines [][]byte, records []record) {
	t.Helper()
	for i := range n {
		r := record{ID: uint64(i + 1), Flow: item.Previews}
		for k := range i + 1 {
			r.Rows = append(r.Rows, Row{Origin: "hs", ID: fmt.Sprint("id", i, k), FileID: fmt.Sprint("file", i, k)})
		}
		records = append(records, r)
	}
	records = append(records, record{ID: 1, End: true}, record{ID: 2, Flow: item.Previews, Rows: records[1].Rows[:1]})
	for _, r := range records {
		line, err := encode(r)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
	}
	return lines, records
}

// read returns the records that a journal of this content has.
func read(t rapid.TB, content []byte) (found []record, damage Damage) {
	t.Helper()
	damage, err := scan(bytes.NewReader(content), func(r record, at, length int64) {
		again, err := decode(content[at : at+length])
		if diff := cmp.Diff(r, again); err != nil || diff != "" {
			t.Fatalf("it is not where scan says: %v, %s", err, diff)
		}
		found = append(found, r)
	})
	if err != nil {
		t.Fatal(err)
	}
	return found, damage
}

// TestAFlippedBitCostsOneLine flips every bit of a journal.
func TestAFlippedBitCostsOneLine(t *testing.T) {
	lines, records := encoded(t, 3)
	content := slices.Concat(lines...)
	for i, from := 0, 0; i < len(lines); i, from = i+1, from+len(lines[i]) {
		for bit := range len(lines[i]) * 8 {
			copied := bytes.Clone(content)
			copied[from+bit/8] ^= 1 << (bit % 8)
			found, damage := read(t, copied)
			want := records
			if len(found) < len(records) {
				want = slices.Delete(slices.Clone(records), i, i+1)
			}
			if diff := cmp.Diff(want, found); diff != "" {
				t.Fatalf("line %d, bit %d: %s", i, bit, diff)
			}
			if len(found) < len(records) && damage == (Damage{}) {
				t.Errorf("line %d, bit %d: it is lost and nothing is said", i, bit)
			}
		}
	}
}

// TestAnyDamageSparesTheOtherLines overwrites, cuts out and puts in anything anywhere.
func TestAnyDamageSparesTheOtherLines(t *testing.T) {
	lines, records := encoded(t, 5)
	content := slices.Concat(lines...)
	rapid.Check(t, func(t *rapid.T) {
		from := rapid.IntRange(0, len(content)).Draw(t, "from")
		to := rapid.IntRange(from, min(len(content), from+300)).Draw(t, "to")
		garbage := rapid.OneOf(
			rapid.SliceOfN(rapid.Byte(), 0, 300),
			rapid.SliceOfN(rapid.SampledFrom([]byte("\n {}\"0")), 0, 20),
		).Draw(t, "garbage")
		found, _ := read(t, slices.Concat(content[:from], garbage, content[to:]))
		at := 0
		for i, line := range lines {
			untouched := to <= at || from >= at+len(line)
			at += len(line)
			if untouched && !slices.ContainsFunc(found, same(records[i])) {
				t.Fatalf("line %d is lost", i)
			}
		}
		for _, f := range found {
			if !slices.ContainsFunc(records, same(f)) {
				t.Fatalf("it was never written: %+v", f)
			}
		}
	})
}

func same(a record) func(record) bool { return func(b record) bool { return cmp.Equal(a, b) } }
