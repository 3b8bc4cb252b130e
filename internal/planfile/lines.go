package planfile

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
)

// lines reads a file line by line, and adds up its checksum.
type lines struct {
	ctx context.Context //nolint:containedctx // of the one call that reads
	in  *bufio.Reader
	sum hash.Hash
	n   int // of the line that was read last, from 1
	// closing is the line with the checksum, once it was read.
	closing []byte
	broken  bool // there is nothing more that could be read
}

// newLines reads lines of at most so many bytes.
func newLines(ctx context.Context, from io.Reader, most int) *lines {
	return &lines{ctx: ctx, in: bufio.NewReaderSize(from, most), sum: sha256.New()}
}

var errCut = errors.New("the file ends here")

// next returns the next line without its end; it is valid until the next call.
func (l *lines) next() ([]byte, error) {
	const often = 1 << 12
	if l.n%often == 0 && l.ctx.Err() != nil {
		return nil, context.Cause(l.ctx)
	}
	l.n++
	line, err := l.in.ReadSlice('\n')
	if err != nil {
		l.broken = true
	}
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, fmt.Errorf("it is longer than %d bytes", l.in.Size())
	case errors.Is(err, io.EOF):
		return nil, errCut
	case err != nil:
		return nil, err
	}
	if bytes.HasPrefix(line, []byte(sumLine)) {
		l.closing = bytes.Clone(line)
	} else if l.closing == nil {
		_, _ = l.sum.Write(line) // it never fails
	}
	return line[:len(line)-1], nil
}

// end reads what comes after the line with the checksum, and compares that.
func (l *lines) end(closing []byte) error {
	if string(closing) != sumLine+hex.EncodeToString(l.sum.Sum(nil))+`"` {
		return ErrDamaged
	}
	line, err := l.next()
	if err != nil || string(line) != "}" {
		return ErrDamaged
	}
	if _, err := l.in.ReadByte(); !errors.Is(err, io.EOF) {
		return ErrDamaged
	}
	return nil
}

// intact reads to the end and says whether the file is as it was written all the same.
func (l *lines) intact() bool {
	for l.closing == nil {
		if l.broken {
			return false
		}
		if _, err := l.next(); err != nil {
			return false
		}
	}
	return l.end(bytes.TrimSuffix(l.closing, []byte("\n"))) == nil
}
