package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Peek is a journal that is only looked at.
type Peek struct{ journal *Journal }

// Look reads the journal of that name in dir and changes nothing: it makes neither, locks nothing and mends nothing. One that
// is not there is empty. A run may be writing to it.
func Look(dir, name string) (p *Peek, damage Damage, err error) {
	p = &Peek{journal: &Journal{name: name, open: map[uint64]place{}}}
	root, err := os.OpenRoot(dir)
	if err == nil {
		p.journal.file, err = root.Open(name)
		err = errors.Join(err, root.Close())
	}
	if err == nil {
		damage, err = p.journal.read()
	}
	if errors.Is(err, fs.ErrNotExist) {
		return p, damage, nil
	}
	if err != nil {
		p.Close()
		return nil, damage, fmt.Errorf("look at the journal %s in %s: %w", name, dir, err)
	}
	return p, damage, nil
}

// Batches returns the batches that are open, oldest first.
func (p *Peek) Batches() []Batch { return p.journal.Batches() }

// Rows reads the rows of an open batch.
func (p *Peek) Rows(id uint64) ([]Row, error) { return p.journal.Rows(id) }

// Close closes the file.
func (p *Peek) Close() {
	if p.journal.file != nil {
		_ = p.journal.file.Close() // it was only read
	}
}
