package sinks

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"sync"
	"time"

	"synupkeep/internal/item"
)

const (
	// flushEvery is how long a line waits for others to be compressed with.
	flushEvery = time.Second
	// flushSize bounds what waits, and with it how much of a file the end of a killed process can damage.
	flushSize = 256 << 10
)

// Outcomes is a file of what became of each item, a line of JSON each, for whoever has to know later what was deleted. A
// line is written when the deed is done, never before. Several goroutines may use it at once.
//
// A plain file gets each line at once, by one call to the operating system: a process that is killed loses none of those
// that were told of. Compressed lines wait for a second at most, and each write is a gzip member of its own: what
// is there of the file of a killed process can be read to its end.
//
// After an error nothing more is written: a record with a hole in it must not look whole.
type Outcomes struct {
	// Redact takes secrets out of errors. Failed is called once, with what made the record end. Lost gets, from then on,
	// each line that is not in the file although something is gone. All are set before the first outcome.
	Redact Redact
	Failed func(error)
	Lost   func(line string)
	// Warnings are what was found when the file was opened.
	Warnings []string

	path string
	run  time.Time
	zip  bool

	mu      sync.Mutex
	file    *os.File // nil when it has ended
	size    int64    // up to the end of the last line that is whole
	waiting bytes.Buffer
	due     *time.Timer
	failure error
	missing int64
}

// Add writes the line of an outcome, unless the item is kept.
func (o *Outcomes) Add(out item.Outcome) {
	if !recorded(out) {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	line, err := outcomeLine(out, o.run, time.Now(), o.Redact).encode()
	if o.file == nil {
		return // whatever comes now comes after the report
	}
	if err != nil && o.failure == nil {
		o.fail(err)
	}
	switch {
	case o.failure != nil:
		o.lose(line, changed(out))
	case o.zip:
		o.wait(line)
	case o.write(line) != nil:
		o.lose(line, changed(out))
	}
}

// wait lets a line wait for others. One that is about nothing that is gone counts as much as the others here.
func (o *Outcomes) wait(line []byte) {
	o.waiting.Write(line)
	switch {
	case o.waiting.Len() >= flushSize:
		o.flush()
	case o.due == nil:
		o.due = time.AfterFunc(flushEvery, func() {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.flush()
		})
	}
}

// flush writes what waits as one gzip member.
func (o *Outcomes) flush() {
	if o.due != nil {
		o.due.Stop()
		o.due = nil
	}
	if o.waiting.Len() == 0 || o.file == nil {
		return
	}
	if err := o.write(member(o.waiting.Bytes())); err != nil {
		for line := range bytes.Lines(o.waiting.Bytes()) {
			o.lose(line, true)
		}
	}
	o.waiting.Reset()
}

// member is text as gzip has it. A buffer takes all that is written to it.
func member(text []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(text)
	_ = z.Close()
	return b.Bytes()
}

// write appends, all or nothing.
func (o *Outcomes) write(text []byte) error {
	n, err := o.file.Write(text)
	if err == nil {
		o.size += int64(n)
		return nil
	}
	if n > 0 {
		_ = o.file.Truncate(o.size) // or the next run does it
	}
	o.fail(err)
	return err
}

func (o *Outcomes) fail(err error) {
	o.failure = &item.RunError{
		Cause: item.CauseFailed, Doing: "write the outcomes " + o.path, Err: err,
		Hint: "No new work was begun without them; the log names what was under way. See to the free space of the disk; the next run goes on.",
	}
	if o.Failed != nil {
		o.Failed(o.failure)
	}
}

func (o *Outcomes) lose(line []byte, gone bool) {
	o.missing++
	if gone && o.Lost != nil {
		o.Lost(string(bytes.TrimSuffix(line, []byte("\n"))))
	}
}

// Close writes what waits and makes it last. Its error, an item.RunError, says that outcomes are not in the file. A second
// call does nothing.
func (o *Outcomes) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.file == nil {
		return nil
	}
	o.flush()
	if o.zip && o.failure == nil && o.size == 0 {
		_ = o.write(member(nil)) // zcat takes an empty file for a broken one
	}
	if err := o.file.Sync(); err != nil && o.failure == nil {
		o.fail(err)
	}
	if err := o.file.Close(); err != nil && o.failure == nil {
		o.fail(err)
	}
	o.file = nil
	if o.missing > 0 {
		return fmt.Errorf("%s not in the file: %w", number(o.missing, "outcome is", "outcomes are"), o.failure)
	}
	return o.failure
}
