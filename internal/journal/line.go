package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"

	"synupkeep/internal/item"
)

// record is what a line says.
type record struct {
	ID   uint64    `json:"batch"`
	Flow item.Flow `json:"flow,omitempty"`
	Rows []Row     `json:"rows,omitempty"`
	// End says that the files of the batch are gone.
	End bool `json:"end,omitempty"`
}

const (
	// longest is how long a line may be, in bytes: several times what the largest batch could need.
	longest = 16 << 20
	// sumLength is the checksum and the space after it.
	sumLength = 9
)

var (
	errLine = errors.New("a line of the journal is damaged")
	errLong = fmt.Errorf("a batch takes more than %d bytes", longest)
)

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

func encode(r record) ([]byte, error) {
	text, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	line := fmt.Appendf(nil, "\n%08x ", checksum(text))
	line = append(append(line, text...), '\n')
	if len(line) > longest {
		return nil, errLong
	}
	return line, nil
}

// decode reads a line, with or without the ends of line around it.
func decode(line []byte) (record, error) {
	line = bytes.Trim(line, "\n")
	if len(line) < sumLength || line[sumLength-1] != ' ' {
		return record{}, errLine
	}
	sum, err := strconv.ParseUint(string(line[:sumLength-1]), 16, 32)
	if text := line[sumLength:]; err != nil || checksum(text) != uint32(sum) {
		return record{}, errLine
	}
	var r record
	if err := json.Unmarshal(line[sumLength:], &r); err != nil || r.ID == 0 {
		return record{}, errLine
	}
	return r, nil
}

// Damage is what of a journal could not be read.
type Damage struct {
	// Lines is how many whole lines were damaged. What they named is lost.
	Lines int
	// Cut says that the last line was cut short, as by a kill while it was written, which loses nothing.
	Cut bool
}

// scan calls f for each line that can be read, with its place in the file. It holds no more than one line.
func scan(file io.Reader, f func(r record, at, length int64)) (Damage, error) {
	var damage Damage
	lines := newLines(file)
	for {
		line, at, ended, err := lines.next()
		last := errors.Is(err, io.EOF)
		if err != nil && !last {
			return damage, err
		}
		if len(line) > 0 {
			switch r, wrong := decode(line); {
			case wrong == nil:
				f(r, at, int64(len(line)))
			case ended:
				damage.Lines++
			default:
				damage.Cut = true
			}
		}
		if last {
			return damage, nil
		}
	}
}
