// Package journal remembers the files of media whose rows are being deleted. Rows go first, files after them; whoever is
// killed in between leaves files that no row names any more. So the rows of a batch are written down, and are on disk,
// before their deletion is committed, and struck out when their files are gone. The next run finishes what is left.
//
// A journal is a file of lines, each a JSON object: a batch with its rows, or the end of one. A line that is cut short was
// not on disk when the process died, so nothing was committed on its strength, and it is passed over.
package journal

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"

	"synupkeep/internal/item"
)

// Row is one deleted row: what names it, and what names its files.
type Row struct {
	Origin string `json:"o"`
	ID     string `json:"i"`
	FileID string `json:"f"`
}

// Batch is the rows that one transaction deletes.
type Batch struct {
	ID   uint64    `json:"batch"`
	Flow item.Flow `json:"flow,omitempty"`
	Rows []Row     `json:"rows,omitempty"`
	// End says that the files of the batch are gone.
	End bool `json:"end,omitempty"`
}

// full is the size in bytes from which a journal is emptied as soon as no batch is open.
const full = 1 << 20

// Journal is safe for use by several goroutines. It belongs to one run at a time; the lock of the run sees to that.
type Journal struct {
	mu   sync.Mutex
	dir  *os.Root
	name string
	file *os.File
	open map[uint64]bool
	last uint64
	size int64
}

// Open opens the journal of that name in dir, both made if missing. It returns the batches that were not finished, oldest
// first, and how many lines could not be read.
func Open(dir, name string) (j *Journal, unfinished []Batch, unreadable int, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, 0, fmt.Errorf("make the state directory: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, nil, 0, fmt.Errorf("open the state directory: %w", err)
	}
	j = &Journal{dir: root, name: name, open: map[uint64]bool{}}
	unfinished, unreadable, err = j.read()
	if err == nil {
		err = j.rewrite(unfinished)
	}
	if err != nil {
		_ = root.Close() // the error that counts is the first
		return nil, nil, 0, fmt.Errorf("open the journal %s in %s: %w", name, dir, err)
	}
	return j, unfinished, unreadable, nil
}

func (j *Journal) read() (unfinished []Batch, unreadable int, err error) {
	file, err := j.dir.Open(j.name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	defer file.Close() //nolint:errcheck // it was only read
	lines := bufio.NewReader(file)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, 0, err
		}
		ended := err != nil
		var b Batch
		switch {
		case len(bytes.TrimSpace(line)) == 0:
		case json.Unmarshal(line, &b) != nil || b.ID == 0:
			unreadable++
		case b.End:
			unfinished = slices.DeleteFunc(unfinished, func(o Batch) bool { return o.ID == b.ID })
		default:
			unfinished = append(unfinished, b)
		}
		if ended {
			return unfinished, unreadable, nil
		}
	}
}

// rewrite puts a journal of just these batches in the place of the old one.
func (j *Journal) rewrite(batches []Batch) error {
	temp := j.name + ".new"
	file, err := j.dir.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	j.file, j.size = file, 0
	for i := range batches {
		j.last++
		batches[i].ID = j.last
		j.open[j.last] = true
		if err := j.append(batches[i]); err != nil {
			return errors.Join(err, file.Close())
		}
	}
	if err := errors.Join(file.Sync(), j.dir.Rename(temp, j.name), j.syncDir()); err != nil {
		return errors.Join(err, file.Close())
	}
	return nil
}

func (j *Journal) syncDir() error {
	dir, err := j.dir.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func (j *Journal) append(b Batch) error {
	line, err := json.Marshal(b)
	if err != nil {
		return err
	}
	if _, err := j.file.Write(append(line, '\n')); err != nil {
		// Half a line would spoil the one after it.
		return errors.Join(err, j.file.Truncate(j.size))
	}
	j.size += int64(len(line)) + 1
	return nil
}

// Begin writes down the rows of a batch. When it returns nil they are on disk, and their deletion may be committed.
func (j *Journal) Begin(flow item.Flow, rows []Row) (uint64, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.last++
	id := j.last
	if err := j.append(Batch{ID: id, Flow: flow, Rows: rows}); err != nil {
		return 0, fmt.Errorf("write the journal: %w", err)
	}
	if err := j.file.Sync(); err != nil {
		return 0, fmt.Errorf("write the journal to disk: %w", err)
	}
	j.open[id] = true
	return id, nil
}

// End strikes out a batch: its files are gone, or its rows were not deleted. That this reaches the disk is not waited for:
// to finish a batch twice does no harm.
func (j *Journal) End(id uint64) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.open, id)
	if len(j.open) == 0 && j.size > full {
		j.size = 0
		return j.file.Truncate(0)
	}
	if err := j.append(Batch{ID: id, End: true}); err != nil {
		return fmt.Errorf("write the journal: %w", err)
	}
	return nil
}

// Close closes the journal. What is still open is finished by the next run.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	var err error
	if len(j.open) == 0 {
		err = j.file.Truncate(0)
	}
	return errors.Join(err, j.file.Close(), j.dir.Close())
}
