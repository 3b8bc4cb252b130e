package journal

import (
	"bufio"
	"errors"
	"io"
)

// lines reads a file line by line. Of a line that is longer than any of ours, garbage without an end, it keeps only the
// beginning.
type lines struct {
	in *bufio.Reader
	at int64
}

func newLines(file io.Reader) *lines { return &lines{in: bufio.NewReaderSize(file, 1<<16)} }

// next returns a line without its end and where it begins. ended is false for the last one if it has no end. The line is
// valid beside io.EOF as well.
func (l *lines) next() (line []byte, at int64, ended bool, err error) {
	at = l.at
	for {
		part, err := l.in.ReadSlice('\n')
		l.at += int64(len(part))
		if len(line) <= longest {
			line = append(line, part...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err == nil {
			line = line[:len(line)-1]
		}
		return line, at, err == nil, err
	}
}
