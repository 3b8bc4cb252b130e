package sources

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"synupkeep/internal/item"
	"synupkeep/internal/mediastore"
	"synupkeep/internal/retry"
)

// Drift compares the files of a media store with the rows that should name them, in both directions at once: both come in byte
// order of the same keys. What it yields has still to be looked at again, since neither stands still. Its memory does not
// grow with either.
type Drift struct {
	DB    Snapshots
	Store Walker
	Retry retry.Policy
	// Dirs are where the rows may be spooled, the best place first.
	Dirs []string
	// Seen counts what was compared; it may be nil.
	Seen *Compared
	// NoRows is asked when there is a file and not one row of its pass; its error ends the comparison. It may be nil.
	NoRows func(mediastore.Pass) error
}

// Walker walks a media store.
type Walker interface {
	Walk(ctx context.Context, pass mediastore.Pass, v mediastore.Visitor) error
}

// Compared counts what was compared. It may be read at any time.
type Compared struct{ Media, Rows atomic.Int64 }

var errEnough = errors.New("nobody wants more of it")

// Each yields what does not fit together, pass by pass.
func (d Drift) Each(ctx context.Context) iter.Seq2[item.Suspect, error] {
	return func(yield func(item.Suspect, error) bool) {
		spool, err := newSpool(d.Dirs)
		if err != nil {
			yield(item.Suspect{}, err)
			return
		}
		defer func() { _ = spool.Close() }() // nothing reads it any more
		for _, pass := range mediastore.Passes() {
			err := d.compare(ctx, pass, spool, func(s item.Suspect) error {
				if !yield(s, nil) {
					return errEnough
				}
				return nil
			})
			if errors.Is(err, errEnough) {
				return
			}
			if err != nil {
				yield(item.Suspect{}, err)
				return
			}
		}
	}
}

func (d Drift) compare(ctx context.Context, pass mediastore.Pass, spool *os.File, emit func(item.Suspect) error) error {
	if d.Seen == nil {
		d.Seen = &Compared{}
	}
	if err := d.spool(ctx, pass, spool); err != nil {
		return fmt.Errorf("read the rows of %s media: %w", pass.Kind(), err)
	}
	rows, err := readSpool(spool)
	if err != nil {
		return err
	}
	j := &join{pass: pass, rows: rows, emit: emit, seen: d.Seen}
	if err := j.advance(); err != nil {
		return err
	}
	if j.ended && d.NoRows != nil {
		j.noRows = func() error { return d.NoRows(pass) }
	}
	visit := mediastore.Visitor{
		Media:  j.media,
		Empty:  func(path string, modified time.Time) error { return emit(item.Suspect{Path: path, Modified: modified}) },
		Odd:    func(path string, why error) error { return emit(item.Suspect{Path: path, Odd: why}) },
		Unread: func(path string, err error) error { return emit(item.Suspect{Path: path, Err: err}) },
	}
	if err := d.Store.Walk(ctx, pass, visit); err != nil {
		return err
	}
	return j.rest()
}

// join goes through media and rows side by side.
type join struct {
	pass   mediastore.Pass
	rows   rowReader
	emit   func(item.Suspect) error
	seen   *Compared
	noRows func() error

	row   mediaRow // the next one
	ended bool     // there is none
}

// mediaRow is what a comparison has to know of a row.
type mediaRow struct {
	origin string
	// key is what names its files: see mediastore.Stored.
	key string
	// id is the media id, empty where it is the key.
	id string
	// unfinished says that nothing has been uploaded to it.
	unfinished bool
}

// rowReader reads rows in order of origin and key; the error is io.EOF after the last.
type rowReader interface{ next() (mediaRow, error) }

func (j *join) advance() error {
	before := j.row
	row, err := j.rows.next()
	if errors.Is(err, io.EOF) {
		j.ended = true
		return nil
	}
	if err != nil {
		return err
	}
	if compareKeys(before.origin, before.key, row.origin, row.key) > 0 {
		return fmt.Errorf("the database gave %q of %q after %q: not in byte order", row.key, row.origin, before.key)
	}
	j.row = row
	j.seen.Rows.Add(1)
	return nil
}

func compareKeys(originA, keyA, originB, keyB string) int {
	if c := strings.Compare(originA, originB); c != 0 {
		return c
	}
	return strings.Compare(keyA, keyB)
}

// media takes the next media of the store.
func (j *join) media(m mediastore.Stored) error {
	j.seen.Media.Add(1)
	known := false
	for !j.ended {
		order := compareKeys(j.row.origin, j.row.key, m.Origin, m.Key)
		if order > 0 {
			break
		}
		known = known || order == 0
		if order < 0 || !m.Content || j.row.unfinished {
			if err := j.emit(j.suspectRow()); err != nil {
				return err
			}
		}
		if err := j.advance(); err != nil {
			return err
		}
	}
	if known || m.Odd { // of what is odd it has been told
		return nil
	}
	if j.noRows != nil {
		if err := j.noRows(); err != nil {
			return err
		}
	}
	return j.emit(item.Suspect{Flow: flowOf(j.pass), Origin: m.Origin, FileID: j.pass.FileID(m.Key)})
}

// rest takes the rows that come after all media.
func (j *join) rest() error {
	for !j.ended {
		if err := j.emit(j.suspectRow()); err != nil {
			return err
		}
		if err := j.advance(); err != nil {
			return err
		}
	}
	return nil
}

func (j *join) suspectRow() item.Suspect {
	s := item.Suspect{Flow: flowOf(j.pass), Origin: j.row.origin, FileID: j.row.key, ID: j.row.id}
	if s.ID == "" {
		s.ID = j.row.key
	}
	if s.Flow != item.RemoteMedia {
		s.FileID = s.ID
	}
	return s
}

func flowOf(pass mediastore.Pass) item.Flow {
	switch pass.Kind() {
	case mediastore.Local:
		return item.LocalMedia
	case mediastore.Remote:
		return item.RemoteMedia
	case mediastore.Preview:
	}
	return item.Previews
}
