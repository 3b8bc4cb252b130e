package references

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
)

// The file: magic, the head as JSON behind its length, then the records: the number of hashes, the difference of the
// stream ordering to the one before, the hashes. A record of no hashes and the number of records ends them. Behind it is
// the SHA-256 of everything before. Numbers are varints, hashes have eight bytes, the lowest first.
const (
	magic = "synupkeep references 1\n"
	// most is how many hashes a record may have; an event that names more has several records.
	most     = 1 << 12
	mostHead = 1 << 20 // bytes
)

var errDamaged = errors.New("it is damaged")

// verify compares the file with its checksum and returns the size of what comes before that.
func verify(file *os.File) (int64, error) {
	info, err := file.Stat()
	if err != nil {
		return 0, err
	}
	size := info.Size() - sha256.Size
	begin := make([]byte, len(magic))
	if _, err := file.ReadAt(begin, 0); err != nil || string(begin) != magic {
		return 0, errors.New("it is no memory of this version")
	}
	if size < int64(len(magic)) {
		return 0, errDamaged
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(file, 0, size)); err != nil {
		return 0, err
	}
	want := make([]byte, sha256.Size)
	if _, err := file.ReadAt(want, size); err != nil {
		return 0, err
	}
	if !bytes.Equal(sum.Sum(nil), want) {
		return 0, errDamaged
	}
	return size, nil
}

// Reader reads a memory from its begin to its end.
type Reader struct {
	file   io.Closer
	in     *bufio.Reader
	head   Head
	stream int64
	count  uint64
	hashes []uint64
}

// Head says what the memory is of.
func (r *Reader) Head() Head { return r.head }

func (r *Reader) begin(from io.Reader) error {
	r.in = bufio.NewReaderSize(from, 1<<16)
	begin := make([]byte, len(magic))
	if _, err := io.ReadFull(r.in, begin); err != nil || string(begin) != magic {
		return errors.New("it is no memory of this version")
	}
	n, err := binary.ReadUvarint(r.in)
	if err != nil || n > mostHead {
		return errDamaged
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(r.in, text); err != nil {
		return errDamaged
	}
	if err := json.Unmarshal(text, &r.head); err != nil {
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	return nil
}

// Next returns an event's stream ordering and the media that it names; the hashes are valid until the next call. The error
// is io.EOF at the end. Any other means that the memory is not whole.
func (r *Reader) Next() (stream int64, hashes []uint64, err error) {
	n, err := binary.ReadUvarint(r.in)
	if err != nil {
		return 0, nil, errDamaged
	}
	if n == 0 {
		count, err := binary.ReadUvarint(r.in)
		if err != nil || count != r.count {
			return 0, nil, errDamaged
		}
		return 0, nil, io.EOF
	}
	step, err := binary.ReadVarint(r.in)
	if err != nil || n > most {
		return 0, nil, errDamaged
	}
	r.hashes = r.hashes[:0]
	var raw [8]byte
	for range n {
		if _, err := io.ReadFull(r.in, raw[:]); err != nil {
			return 0, nil, errDamaged
		}
		r.hashes = append(r.hashes, binary.LittleEndian.Uint64(raw[:]))
	}
	r.stream += step
	r.count++
	return r.stream, r.hashes, nil
}

// Close closes the file.
func (r *Reader) Close() { _ = r.file.Close() } // it was only read

// Writer writes a new memory. It is not safe for use by several goroutines.
type Writer struct {
	root       *os.Root
	file       *os.File
	name, temp string
	out        *bufio.Writer
	sum        hash.Hash
	stream     int64
	count      uint64
	buf        []byte
}

func (w *Writer) begin(head Head) error {
	w.sum = sha256.New()
	w.out = bufio.NewWriterSize(io.MultiWriter(w.file, w.sum), 1<<16)
	text, err := json.Marshal(head)
	if err != nil {
		return err
	}
	w.buf = binary.AppendUvarint([]byte(magic), uint64(len(text)))
	_, err = w.out.Write(append(w.buf, text...))
	return err
}

// Add remembers the media that an event names. Events may come in any order, each once.
func (w *Writer) Add(stream int64, hashes []uint64) error {
	for len(hashes) > 0 {
		part := hashes[:min(len(hashes), most)]
		hashes = hashes[len(part):]
		w.buf = binary.AppendUvarint(w.buf[:0], uint64(len(part)))
		w.buf = binary.AppendVarint(w.buf, stream-w.stream)
		for _, h := range part {
			w.buf = binary.LittleEndian.AppendUint64(w.buf, h)
		}
		if _, err := w.out.Write(w.buf); err != nil {
			return fmt.Errorf("write %s: %w", w.temp, err)
		}
		w.stream = stream
		w.count++
	}
	return nil
}

// Commit puts the memory in the place of the old one. Either of them is there whole at any moment.
func (w *Writer) Commit() error {
	_, err := w.out.Write(binary.AppendUvarint([]byte{0}, w.count))
	if err == nil {
		err = w.out.Flush()
	}
	if err == nil {
		_, err = w.file.Write(w.sum.Sum(nil))
	}
	if err == nil {
		err = w.file.Sync()
	}
	err = errors.Join(err, w.file.Close())
	if err == nil {
		err = errors.Join(w.root.Rename(w.temp, w.name), w.syncDir())
	}
	if err = errors.Join(err, w.root.Close()); err != nil {
		return fmt.Errorf("write %s: %w", w.name, err)
	}
	return nil
}

func (w *Writer) syncDir() error {
	dir, err := w.root.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Abort leaves the old memory as it was. What was written stays beside it until the next run writes over it.
func (w *Writer) Abort() {
	_ = w.file.Close() // nobody needs it
	_ = w.root.Close()
}
