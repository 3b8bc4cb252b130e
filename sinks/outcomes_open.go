package sinks

import (
	"bufio"
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
	"syscall"
	"time"

	"github.com/dustin/go-humanize"

	"synupkeep/internal/item"
)

// errForeign refuses to append to what is something else.
var errForeign = errors.New("it is not empty, and does not begin with an outcome")

// errWriting refuses a file that another process writes.
var errWriting = errors.New("another process is writing it")

// CreateOutcomes opens the file before anything is deleted, with mode 0600 if it is new. What it holds already stays, and
// the lines of this run follow: a run that was killed is begun again with the same arguments, and must neither
// destroy what the first one wrote nor be refused over it. Only what a killed process left of a last line is taken away.
// run is when the run began; a name that ends in .gz has it compressed.
//
// The file is locked while it is open. It stays where nothing became of the run, too: empty, it says so.
//
// The error is an item.RunError.
func CreateOutcomes(ctx context.Context, path string, run time.Time) (*Outcomes, error) {
	o := &Outcomes{path: path, run: run, zip: strings.HasSuffix(path, ".gz")}
	err := o.open(ctx)
	if err == nil {
		return o, nil
	}
	if o.file != nil {
		_ = o.file.Close() // nothing was written
	}
	doing := "create the outcomes " + path
	switch {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case errors.Is(err, errWriting):
		return nil, &item.RunError{
			Cause: item.CauseLocked, Doing: doing, Err: err,
			Hint: "Wait for that run to end. If it is one on another server, give each its own file.",
		}
	case errors.Is(err, errForeign):
		return nil, &item.RunError{
			Cause: item.CauseUsage, Doing: doing, Err: err,
			Hint: "name a new file with --outcomes, or one that an earlier run wrote",
		}
	}
	return nil, notCreated(path, FileKind{What: "the outcomes", Flag: "outcomes"}, err)
}

func (o *Outcomes) open(ctx context.Context) error {
	dir, err := openDirOf(o.path)
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	o.file, err = dir.OpenFile(filepath.Base(o.path), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	// Some network file systems have no locks.
	if err := lock(o.file); errors.Is(err, syscall.EWOULDBLOCK) {
		return errWriting
	}
	info, err := o.file.Stat()
	if err != nil {
		return err
	}
	if info.Size() == 0 {
		syncDir(dir)
		return nil
	}
	if o.zip {
		o.size, err = wholeMembers(ctx, o.file, info.Size())
	} else {
		o.size, err = wholeLines(o.file, info.Size())
	}
	if err != nil {
		return err
	}
	return o.mend(info.Size())
}

// mend takes away what a killed process left of a last line.
func (o *Outcomes) mend(size int64) error {
	if o.size == size {
		return nil
	}
	if err := o.file.Truncate(o.size); err != nil {
		return err
	}
	o.Warnings = append(o.Warnings, fmt.Sprintf("the end of the outcomes %s was cut short, as when a run is killed or the disk is full while it "+
		"writes: the last %s, no whole line, were taken away", o.path, number(size-o.size, "byte", "bytes")))
	return nil
}

// wholeLines is up to where a file holds whole lines.
func wholeLines(file *os.File, size int64) (int64, error) {
	first, err := bufio.NewReader(io.NewSectionReader(file, 0, size)).ReadBytes('\n')
	switch {
	case errors.Is(err, io.EOF) && bytes.HasPrefix(first, []byte(linePrefix)):
		return 0, nil // one line, cut short
	case errors.Is(err, io.EOF):
		return 0, errForeign
	case err != nil:
		return 0, err
	case !isOutcome(first):
		return 0, errForeign
	}
	block := make([]byte, 4096)
	for end := size; end > 0; {
		begin := max(0, end-int64(len(block)))
		part := block[:end-begin]
		if _, err := file.ReadAt(part, begin); err != nil {
			return 0, err
		}
		if at := bytes.LastIndexByte(part, '\n'); at >= 0 {
			return begin + int64(at) + 1, nil
		}
		end = begin
	}
	return 0, errForeign
}

// linePrefix is how every line begins.
const linePrefix = `{"schema":1,"run":"2`

func isOutcome(line []byte) bool {
	var l OutcomeLine
	return json.Unmarshal(line, &l) == nil && l.Schema > 0 && l.Flow != "" && l.Status != ""
}

// longestLine is more than any line of ours has.
const longestLine = 1 << 20

// wholeMembers is up to where a file holds whole gzip members. It reads all of it: nothing else tells.
func wholeMembers(ctx context.Context, file *os.File, size int64) (whole int64, err error) {
	counted := &counter{r: io.NewSectionReader(file, 0, size)}
	in := bufio.NewReader(counted) // gzip takes no more from one than it needs
	var z gzip.Reader
	lines := &lineReader{text: bufio.NewReaderSize(&z, longestLine)}
	for whole < size {
		if err = z.Reset(in); err == nil {
			z.Multistream(false)
			err = lines.readMember(ctx, &z)
		}
		switch {
		case ctx.Err() != nil:
			return 0, err
		case err != nil:
			return whole, lines.torn(size-whole, err)
		}
		whole = counted.n - int64(in.Buffered())
	}
	return whole, nil
}

// lineReader reads the lines of gzip members. The first must be an outcome.
type lineReader struct {
	text *bufio.Reader
	ours bool // it was
}

// torn says whether what is left after the last whole member can be the rest of a last write.
func (l *lineReader) torn(rest int64, err error) error {
	switch {
	case errors.Is(err, errForeign), !l.ours:
		return errForeign
	case rest > 2*flushSize:
		return fmt.Errorf("it is damaged %s before its end: %w", humanize.IBytes(uint64(rest)), err)
	}
	return nil
}

// readMember reads a member to its end.
func (l *lineReader) readMember(ctx context.Context, z io.Reader) error {
	l.text.Reset(z)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		line, err := l.text.ReadSlice('\n')
		switch {
		case errors.Is(err, io.EOF) && len(line) == 0:
			return nil
		case errors.Is(err, io.EOF), errors.Is(err, bufio.ErrBufferFull):
			return errForeign
		case err != nil:
			return err
		case !l.ours && !isOutcome(line):
			return errForeign
		}
		l.ours = true
	}
}

// counter counts what was read.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
