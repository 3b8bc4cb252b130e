package planfile

import (
	"bufio"
	"cmp"
	"container/heap"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// record is one item on its way into the file.
type record struct {
	rank   int // of its flow in item.AllFlows
	key    string
	line   []byte
	amount int64
}

// spool sorts more records than memory holds: full buffers are sorted and written out one behind the other, and merged in
// the end.
type spool struct {
	file   *os.File
	most   int // bytes in memory
	buffer []record
	size   int
	at     int64
	runs   []section
}

// section is where a sorted buffer lies in the file.
type section struct{ begin, end int64 }

const (
	spooled  = 8 << 20 // bytes
	overhead = 80      // of a record in memory
	readSize = 1 << 14
)

func compareRecords(a, b record) int {
	return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.key, b.key))
}

func newSpool(dir string) (*spool, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	name := ".synupkeep-plan." + rand.Text() + ".tmp"
	file, err := root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		err = root.Remove(name) // whatever becomes of us, nothing stays behind
	}
	if err = errors.Join(err, root.Close()); err != nil {
		if file != nil {
			err = errors.Join(err, file.Close())
		}
		return nil, err
	}
	return &spool{file: file, most: spooled}, nil
}

func (s *spool) add(r record) error {
	s.buffer = append(s.buffer, r)
	s.size += len(r.key) + len(r.line) + overhead
	if s.size < s.most {
		return nil
	}
	return s.flush()
}

// flush sorts what is in memory and writes it out.
func (s *spool) flush() error {
	if len(s.buffer) == 0 {
		return nil
	}
	slices.SortStableFunc(s.buffer, compareRecords)
	out := bufio.NewWriterSize(io.NewOffsetWriter(s.file, s.at), 1<<16)
	var buf []byte
	begin := s.at
	for _, r := range s.buffer {
		buf = binary.AppendUvarint(buf[:0], uint64(r.rank))
		buf = binary.AppendVarint(buf, r.amount)
		buf = binary.AppendUvarint(buf, uint64(len(r.key)))
		buf = append(buf, r.key...)
		buf = binary.AppendUvarint(buf, uint64(len(r.line)))
		buf = append(buf, r.line...)
		if _, err := out.Write(buf); err != nil {
			return err
		}
		s.at += int64(len(buf))
	}
	if err := out.Flush(); err != nil {
		return err
	}
	s.runs = append(s.runs, section{begin, s.at})
	clear(s.buffer)
	s.buffer, s.size = s.buffer[:0], 0
	return nil
}

// each calls f with every record in order; of those with the same flow and key with the first that was added.
func (s *spool) each(f func(record) error) error {
	if err := s.flush(); err != nil {
		return err
	}
	var merge tails
	for i, run := range s.runs {
		t := &tail{run: i, in: bufio.NewReaderSize(io.NewSectionReader(s.file, run.begin, run.end-run.begin), readSize)}
		if more, err := t.next(); err != nil || !more {
			return fmt.Errorf("read back what was collected: %w", cmp.Or(err, io.ErrUnexpectedEOF))
		}
		merge = append(merge, t)
	}
	heap.Init(&merge)
	var last record
	for first := true; len(merge) > 0; {
		t := merge[0]
		if r := t.record; first || compareRecords(last, r) != 0 {
			if err := f(r); err != nil {
				return err
			}
			last, first = r, false
		}
		more, err := t.next()
		switch {
		case err != nil:
			return fmt.Errorf("read back what was collected: %w", err)
		case more:
			heap.Fix(&merge, 0)
		default:
			heap.Pop(&merge)
		}
	}
	return nil
}

func (s *spool) close() error {
	s.buffer = nil
	return s.file.Close()
}

// tail is what is still to come of a sorted buffer, its first record read.
type tail struct {
	run    int
	in     *bufio.Reader
	record record
}

// next reads the next record, or says that there is none.
func (t *tail) next() (more bool, err error) {
	rank, err := binary.ReadUvarint(t.in)
	if errors.Is(err, io.EOF) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	amount, err := binary.ReadVarint(t.in)
	if err != nil {
		return false, err
	}
	key, err := t.bytes()
	if err != nil {
		return false, err
	}
	line, err := t.bytes()
	t.record = record{rank: int(rank), key: string(key), line: line, amount: amount}
	return true, err
}

func (t *tail) bytes() ([]byte, error) {
	n, err := binary.ReadUvarint(t.in)
	if err != nil {
		return nil, err
	}
	text := make([]byte, n)
	_, err = io.ReadFull(t.in, text)
	return text, err
}

// tails is a heap of them: the one with the lowest record first, of equal ones the one that was written first.
type tails []*tail

func (h tails) Len() int { return len(h) }

func (h tails) Less(i, j int) bool {
	if c := compareRecords(h[i].record, h[j].record); c != 0 {
		return c < 0
	}
	return h[i].run < h[j].run
}

func (h tails) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

func (h *tails) Push(x any) { *h = append(*h, x.(*tail)) } // heap hands back what it was given

func (h *tails) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}
