package mediastore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Pass is a part of a store whose media can be walked in byte order of their keys. Previews take two: the paths of ids that
// begin with a date and of those that do not order differently from each other.
type Pass uint8

// The passes. Together they come upon every name in the six trees.
const (
	LocalPass      Pass = iota + 1
	RemotePass          // in order of origin, then of the key
	PreviewPass         // ids that begin with a date
	OldPreviewPass      // ids of very old previews, which do not
)

// Passes returns every pass.
func Passes() []Pass { return []Pass{LocalPass, RemotePass, PreviewPass, OldPreviewPass} }

// Kind is the kind of media that the pass comes upon.
func (p Pass) Kind() Kind {
	switch p {
	case LocalPass:
		return Local
	case RemotePass:
		return Remote
	case PreviewPass, OldPreviewPass:
		return Preview
	}
	return 0
}

// levels is how many directories lie above a content file.
func (p Pass) levels() int {
	switch p {
	case RemotePass:
		return 3
	case PreviewPass:
		return 1
	case LocalPass, OldPreviewPass:
	}
	return 2
}

// Stored is one media item that Walk came upon.
type Stored struct {
	Origin string // of remote media
	// Key is what names the files: the id of local media and previews, the filesystem_id of remote media. Of a preview whose id
	// begins with a date the path does not hold the eleventh character, and so the Key has none.
	Key string
	// Content and Thumbnails say what there is of it.
	Content, Thumbnails bool
	// Odd says that something of it is not as Synapse makes it, and has been told to Visitor.Odd: it is to be left alone.
	Odd bool
}

// FileID is an id that Locate finds these files by.
func (p Pass) FileID(key string) string {
	if p != PreviewPass {
		return key
	}
	return key[:len(dateForm)] + "_" + key[len(dateForm):]
}

// PreviewIDs are the ids that a preview may have whose files FileID finds: of one that begins with a date, the path does not tell
// the eleventh character.
func PreviewIDs(fileID string) []string {
	if !beginsWithDate(fileID) || len(fileID) < len(dateForm)+2 {
		return []string{fileID}
	}
	var ids []string
	for c := byte(' '); c <= '~'; c++ {
		if badCharacter(string(c)) == "" {
			ids = append(ids, fileID[:len(dateForm)]+string(c)+fileID[len(dateForm)+1:])
		}
	}
	return ids
}

// Visitor is told what Walk comes upon. An error of any function ends the walk.
type Visitor struct {
	// Media gets the media in byte order of Origin, then of Key, content and thumbnails together.
	Media func(Stored) error
	// Empty gets directories that are empty and that Remove would have taken away: those of the second level (the date of
	// previews), and of thumbnails.
	Empty func(path string, modified time.Time) error
	// Odd gets what is not Synapse's: a name that none of its paths has, a link, something else than a file or a directory in
	// its place.
	Odd func(path string, why error) error
	// Unread gets directories that could not be read, and that a person has to see to. What lies below them is not come upon.
	Unread func(path string, err error) error
}

// errNotOurs is what is told of names.
var errNotOurs = errors.New("no path of Synapse has such a name in this place")

// Walk reads the directories of a pass, and nothing but the directories. No link below a tree is followed. It holds the names of
// the directories that lie on the way to where it is and of a few beside it, and no more.
func (s *Store) Walk(ctx context.Context, pass Pass, v Visitor) error {
	content, thumbnails := pass.Kind().trees()
	w := &walk{ctx: ctx, pass: pass, visit: v, trees: [2]string{content, thumbnails}}
	var tops [2]int
	for i, name := range w.trees {
		tops[i] = none
		root, err := s.tree(name)
		if err != nil {
			return err
		}
		if root == nil {
			continue
		}
		top, err := root.Open(".")
		if err != nil {
			return failed("read", name, directory{root: root, rel: name}, err)
		}
		defer func() { _ = top.Close() }() // it is only read
		tops[i] = int(top.Fd())
	}
	return w.level(tops, 0)
}

// none stands for a directory that there is not.
const none = -1

type walk struct {
	ctx   context.Context //nolint:containedctx // of one call of Walk
	pass  Pass
	visit Visitor
	trees [2]string // content, thumbnails
	parts []string  // the directories on the way
	buf   []byte
	// buffers are those of what is read side by side.
	buffers [readers][]byte
}

// level reads a directory of the content tree and the one of the same name of the thumbnail tree.
func (w *walk) level(dirs [2]int, depth int) error {
	if w.ctx.Err() != nil {
		return fmt.Errorf("read %s: %w", w.path(0), context.Cause(w.ctx))
	}
	var lists [2][]entry
	for i, dir := range dirs {
		if dir == none {
			continue
		}
		var err error
		if lists[i], err = w.names(dir); err == nil && len(lists[i]) == 0 && depth == w.pass.levels() && depth > 0 {
			err = w.empty(dir, w.path(i))
		}
		if err != nil {
			if err = w.unread(w.path(i), err); err != nil {
				return err
			}
		}
	}
	if depth == w.pass.levels()-1 {
		return w.ahead(lists, dirs, depth)
	}
	return merge(lists, func(name string, types [2]entryType) error {
		if depth == w.pass.levels() {
			return w.media(name, types, dirs)
		}
		return w.descend(name, types, dirs, depth)
	})
}

// descend reads the directories of one name.
func (w *walk) descend(name string, types [2]entryType, dirs [2]int, depth int) error {
	mine, known := w.directory(name, depth)
	if !known && !mine {
		return nil // another pass comes upon it
	}
	next := [2]int{none, none}
	defer func() {
		for _, fd := range next {
			if fd != none {
				_ = unix.Close(fd)
			}
		}
	}()
	for i, kind := range types {
		var err error
		switch {
		case kind == absent:
			continue
		case !known:
			err = w.visit.Odd(w.path(i, name), errNotOurs)
		case kind != dirEntry:
			err = w.visit.Odd(w.path(i, name), notDirectory(kind))
		default:
			next[i], err = w.open(i, dirs[i], name)
		}
		if err != nil {
			return err
		}
	}
	if next[0] == none && next[1] == none {
		return nil
	}
	w.parts = append(w.parts, name)
	err := w.level(next, depth+1)
	w.parts = w.parts[:len(w.parts)-1]
	return err
}

// directory says whether a directory of this name can lie there (known), and whether this pass is the one to tell what
// becomes of the name.
func (w *walk) directory(name string, depth int) (mine, known bool) {
	pair := len(name) == 2 && isComponent(name)
	switch {
	case w.pass == RemotePass && depth == 0:
		return true, isComponent(name)
	case w.pass == PreviewPass: // it tells of what belongs to neither of the two
		dated := len(name) == len(dateForm) && beginsWithDate(name)
		return !pair, dated
	case w.pass == OldPreviewPass && depth == 0:
		return pair, pair
	}
	return true, pair
}

func isComponent(name string) bool { return checkComponent("", name, name) == nil }

// open opens a directory without following a link. none is returned when there is none any more, or none that can be read.
func (w *walk) open(tree, dir int, name string) (int, error) {
	fd, err := openat(dir, name)
	switch {
	case err == nil:
		return fd, nil
	case errors.Is(err, unix.ENOENT):
		return none, nil // it was removed meanwhile
	case errors.Is(err, unix.ELOOP):
		return none, w.visit.Odd(w.path(tree, name), ErrSymlink)
	case errors.Is(err, unix.ENOTDIR):
		return none, w.visit.Odd(w.path(tree, name), ErrNotDirectory)
	}
	return none, w.unread(w.path(tree, name), err)
}

// unread tells of a directory that a person has to see to; what else can be wrong ends the walk.
func (w *walk) unread(path string, err error) error {
	err = fmt.Errorf("read %s: %w", path, err)
	if errors.Is(err, fs.ErrPermission) {
		return w.visit.Unread(path, err)
	}
	return err
}

func openat(dir int, name string) (int, error) {
	for {
		fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}

// empty tells of an empty directory with the time at which the last name went from it.
func (w *walk) empty(dir int, path string) error {
	var stat unix.Stat_t
	if err := unix.Fstat(dir, &stat); err != nil {
		return err
	}
	return w.visit.Empty(path, time.Unix(stat.Mtim.Unix()))
}

// media tells of what lies at the end of a path.
func (w *walk) media(name string, types [2]entryType, dirs [2]int) error {
	found := Stored{Key: w.key(name)}
	if w.pass == RemotePass {
		found.Origin = w.parts[0]
	}
	if !isComponent(name) || w.pass == OldPreviewPass && beginsWithDate(found.Key) {
		for i, kind := range types {
			if kind != absent {
				if err := w.visit.Odd(w.path(i, name), errNotOurs); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if types[0] != absent {
		found.Content = true
		if types[0] != fileEntry {
			found.Odd = true
			if err := w.visit.Odd(w.path(0, name), notFile(types[0])); err != nil {
				return err
			}
		}
	}
	if types[1] != absent {
		if err := w.thumbnails(name, types[1], dirs[1], &found); err != nil {
			return err
		}
	}
	if !found.Content && !found.Thumbnails {
		return nil
	}
	return w.visit.Media(found)
}

// key is the id without what is not in the path.
func (w *walk) key(name string) string {
	if w.pass == RemotePass {
		return w.parts[1] + w.parts[2] + name
	}
	if w.pass == PreviewPass {
		return w.parts[0] + name
	}
	return w.parts[0] + w.parts[1] + name
}

// path is where something lies, relative to the store.
func (w *walk) path(tree int, names ...string) string {
	all := append([]string{w.trees[tree]}, w.parts...)
	return strings.Join(append(all, names...), "/")
}
