package journal

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
)

const (
	// small is the size in bytes up to which a journal is never written anew, whatever is open in it.
	small = 1 << 20
	// slack is how many times as large as what is open in it a journal may be.
	slack = 4
)

// most is how large the file may grow before it is written anew.
func (j *Journal) most() int64 { return max(j.small, slack*j.live) }

// shrink brings the file back to what is open.
func (j *Journal) shrink() error {
	if len(j.open) == 0 {
		// Should a power failure bring it back, its batches are finished once more, which does no harm.
		if err := j.file.Truncate(0); err != nil {
			return fmt.Errorf("empty the journal: %w", err)
		}
		j.size = 0
		return nil
	}
	if err := j.compact(); err != nil {
		return fmt.Errorf("write the journal anew: %w", err)
	}
	return nil
}

// compact puts a file with just the open batches in the place of the old one. After an error the old one is still there,
// and in use.
func (j *Journal) compact() error {
	temp := j.name + ".new"
	file, err := j.dir.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	places, size, err := j.copyOpen(file)
	if err == nil {
		err = lock(file) // before it has the name that others look for
	}
	if err == nil {
		err = file.Sync()
	}
	if err == nil {
		err = j.dir.Rename(temp, j.name)
	}
	if err != nil {
		return errors.Join(err, file.Close(), j.dir.Remove(temp))
	}
	old := j.file
	j.file, j.open, j.size = file, places, size
	_ = old.Close() // nothing was written to it that is not in the new one
	if err := j.syncDir(); err != nil {
		j.broken = fmt.Errorf("write the state directory to disk: %w", err)
		return j.broken
	}
	return nil
}

// copyOpen copies the lines of the open batches and returns where they are.
func (j *Journal) copyOpen(to io.Writer) (places map[uint64]place, size int64, err error) {
	out := bufio.NewWriterSize(to, 1<<16)
	places = make(map[uint64]place, len(j.open))
	for _, id := range j.ids() {
		p := j.open[id]
		err := out.WriteByte('\n')
		if err == nil {
			_, err = io.CopyN(out, io.NewSectionReader(j.file, p.at, p.length), p.length)
		}
		if err == nil {
			err = out.WriteByte('\n')
		}
		if err != nil {
			return nil, 0, err
		}
		p.at = size + 1
		places[id] = p
		size += p.length + ends
	}
	return places, size, out.Flush()
}

func (j *Journal) syncDir() error {
	dir, err := j.dir.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
