package mediastore

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// readers is how many directories are read side by side: a disk answers several at once much sooner than one after the other.
	readers = 8
	// aheadDirs is how many are read before the first of them is told of, aheadDates the same of the dates of previews, which
	// may hold thousands of names each.
	aheadDirs, aheadDates = 64, 4
)

// twin is a name in a directory of the content tree, of the thumbnail tree, or of both.
type twin struct {
	name  string
	types [2]entryType
}

// ahead descends into the directories of these lists, and tells of them in their order, while it reads several at once.
func (w *walk) ahead(lists [2][]entry, dirs [2]int, depth int) error {
	var all []twin
	err := merge(lists, func(name string, types [2]entryType) error {
		all = append(all, twin{name, types})
		return nil
	})
	if err != nil {
		return err
	}
	most := aheadDirs
	if w.pass == PreviewPass {
		most = aheadDates
	}
	for part := range slices.Chunk(all, most) {
		for _, told := range w.read(part, dirs, depth) {
			if err := told.tell(w.visit); err != nil {
				return err
			}
		}
	}
	return nil
}

// read reads directories side by side, and returns what is to be told of each.
func (w *walk) read(part []twin, dirs [2]int, depth int) []recorded {
	told := make([]recorded, len(part))
	var next atomic.Int64
	work := func(reader int) {
		if w.buffers[reader] == nil {
			w.buffers[reader] = make([]byte, direntBuffer)
		}
		for {
			i := int(next.Add(1)) - 1
			if i >= len(part) {
				return
			}
			apart := &walk{
				ctx: w.ctx, pass: w.pass, trees: w.trees, parts: slices.Clone(w.parts), visit: told[i].visitor(), buf: w.buffers[reader],
			}
			told[i].err = apart.descend(part[i].name, part[i].types, dirs, depth)
		}
	}
	var side sync.WaitGroup
	for reader := 1; reader < min(readers, len(part)); reader++ {
		side.Go(func() { work(reader) })
	}
	work(0)
	side.Wait()
	return told
}

// recorded is what is to be told of one directory.
type recorded struct {
	events []func(Visitor) error
	err    error // that ended it
}

func (r *recorded) visitor() Visitor {
	add := func(event func(Visitor) error) error {
		r.events = append(r.events, event)
		return nil
	}
	return Visitor{
		Media: func(m Stored) error { return add(func(v Visitor) error { return v.Media(m) }) },
		Empty: func(path string, modified time.Time) error {
			return add(func(v Visitor) error { return v.Empty(path, modified) })
		},
		Odd:    func(path string, why error) error { return add(func(v Visitor) error { return v.Odd(path, why) }) },
		Unread: func(path string, err error) error { return add(func(v Visitor) error { return v.Unread(path, err) }) },
	}
}

func (r recorded) tell(v Visitor) error {
	for _, event := range r.events {
		if err := event(v); err != nil {
			return err
		}
	}
	return r.err
}
