package journal

import (
	"errors"
	"fmt"
	"io"
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

// Batch is a batch of rows that is open: their deletion may have been committed, and their files be there still.
type Batch struct {
	ID   uint64
	Flow item.Flow
	Rows int // how many
}

// Journal is safe for use by several goroutines.
type Journal struct {
	mu   sync.Mutex
	dir  *os.Root
	name string
	file *os.File // locked
	size int64    // in bytes, of what is written and whole
	open map[uint64]place
	live int64 // bytes of the lines of open batches
	last uint64
	// small is the size in bytes up to which it is never written anew.
	small int64
	// broken is why nothing more is begun: it is not known what of the file is on disk.
	broken error
}

// place is where in the file the rows of an open batch are.
type place struct {
	at, length int64 // without the ends of line
	flow       item.Flow
	rows       int
}

// ends is how many bytes a line has around its text.
const ends = 2

// Open opens the journal of that name in dir, both made if missing. damage tells what of it could not be read. The error is
// ErrInUse while somebody else has it open.
func Open(dir, name string) (j *Journal, damage Damage, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, damage, fmt.Errorf("make the state directory: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, damage, fmt.Errorf("open the state directory: %w", err)
	}
	j = &Journal{dir: root, name: name, open: map[uint64]place{}, small: small}
	if j.file, err = openLocked(root, name); err == nil {
		if damage, err = j.read(); err == nil {
			err = j.ready(damage)
		}
		if err != nil {
			_ = j.file.Close() // the error that counts is the first
		}
	}
	if err != nil {
		_ = root.Close() // the same
		return nil, damage, fmt.Errorf("open the journal %s in %s: %w", name, dir, err)
	}
	return j, damage, nil
}

func (j *Journal) read() (damage Damage, err error) {
	if j.size, err = j.file.Seek(0, io.SeekEnd); err != nil {
		return damage, err
	}
	return scan(io.NewSectionReader(j.file, 0, j.size), func(r record, at, length int64) {
		j.last = max(j.last, r.ID)
		j.forget(r.ID)
		if !r.End {
			j.remember(r, place{at: at, length: length})
		}
	})
}

// ready makes a journal that was read one to write to.
func (j *Journal) ready(damage Damage) error {
	if damage != (Damage{}) || j.size > j.most() {
		return j.compact()
	}
	return j.syncDir() // it may be new
}

func (j *Journal) remember(r record, p place) {
	p.flow, p.rows = r.Flow, len(r.Rows)
	j.open[r.ID] = p
	j.live += p.length + ends
}

func (j *Journal) forget(id uint64) {
	if p, ok := j.open[id]; ok {
		j.live -= p.length + ends
		delete(j.open, id)
	}
}

// Batches returns the batches that are open, oldest first.
func (j *Journal) Batches() []Batch {
	j.mu.Lock()
	defer j.mu.Unlock()
	var all []Batch
	for _, id := range j.ids() {
		all = append(all, Batch{ID: id, Flow: j.open[id].flow, Rows: j.open[id].rows})
	}
	return all
}

// ids returns the numbers of the open batches in order.
func (j *Journal) ids() []uint64 {
	ids := make([]uint64, 0, len(j.open))
	for id := range j.open {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// Rows reads the rows of an open batch.
func (j *Journal) Rows(id uint64) ([]Row, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	p, ok := j.open[id]
	if !ok {
		return nil, nil
	}
	text := make([]byte, p.length)
	if _, err := j.file.ReadAt(text, p.at); err != nil {
		return nil, fmt.Errorf("read the journal: %w", err)
	}
	r, err := decode(text)
	if err == nil && (r.ID != id || r.Flow != p.flow) {
		err = errLine
	}
	return r.Rows, err
}

// Begin writes down the rows of a batch. When it returns nil they are on disk, and their deletion may be committed.
func (j *Journal) Begin(flow item.Flow, rows []Row) (id uint64, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.broken != nil {
		return 0, j.broken
	}
	before := j.size
	r := record{ID: j.last + 1, Flow: flow, Rows: rows}
	p, err := j.append(r)
	if err != nil {
		return 0, fmt.Errorf("write the journal: %w", err)
	}
	if err := j.file.Sync(); err != nil {
		// After a failed fsync the kernel may forget what it could not write, and say that all is well the next time.
		j.broken = fmt.Errorf("write the journal to disk: %w", err)
		j.size = before
		return 0, errors.Join(j.broken, j.file.Truncate(before))
	}
	j.last++
	j.remember(r, p)
	return j.last, nil
}

// End strikes out a batch but for the rows that are left: those whose files could not be deleted. It does not wait until
// the disk has that: to finish a batch twice does no harm.
func (j *Journal) End(id uint64, left []Row) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	old, ok := j.open[id]
	if !ok {
		return nil
	}
	r := record{ID: id, Flow: old.flow, Rows: left, End: len(left) == 0}
	p, err := j.append(r)
	if err != nil {
		return fmt.Errorf("write the journal: %w", err)
	}
	j.forget(id)
	if !r.End {
		j.remember(r, p)
	}
	if j.size > j.most() {
		err = j.shrink()
	}
	return err
}

// append writes a line at the end. Half a line is taken away again.
func (j *Journal) append(r record) (place, error) {
	line, err := encode(r)
	if err != nil {
		return place{}, err
	}
	if _, err := j.file.WriteAt(line, j.size); err != nil {
		return place{}, errors.Join(err, j.file.Truncate(j.size))
	}
	p := place{at: j.size + 1, length: int64(len(line)) - ends}
	j.size += int64(len(line))
	return p, nil
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
