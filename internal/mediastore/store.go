// Package mediastore knows how Synapse lays out media on disk and deletes it there.
//
//	local_content/aa/bb/rest             local_thumbnails/aa/bb/rest/W-H-type-subtype-method
//	remote_content/<origin>/aa/bb/rest   remote_thumbnail/<origin>/aa/bb/rest/W-H-type-subtype[-method]
//	url_cache/<date>/rest                url_cache_thumbnails/<date>/rest/W-H-type-subtype-method
//
// Ids come from the database and may hold anything. Three walls keep what they say inside the store:
//
//   - A path is made of components that Synapse itself accepts, and of nothing else ([Locate]).
//   - Each of the six trees is an [os.Root], which no path leads out of. A tree may itself be a symbolic link: the admin
//     made it.
//   - Below a tree no symbolic link is followed, not even one that stays inside: each directory is looked at without
//     following, opened, and compared with what was looked at.
//
// A content file or thumbnail that is itself a symbolic link is unlinked; what it points to is not touched.
package mediastore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// Store is an open media store. It is safe for use by several goroutines.
type Store struct {
	path string

	mu     sync.Mutex
	closed bool
	trees  map[string]*os.Root // the trees that were on disk when they were asked for
}

// Open opens the directory that media_store_path names in homeserver.yaml. Trees that Synapse has not made yet may be
// missing; they are looked for again when they are needed.
func Open(path string) (*Store, error) {
	full, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open media store %q: %w", path, err)
	}
	if err := checkStore(full); err != nil {
		return nil, fmt.Errorf("open media store %s: %w", full, err)
	}
	s := &Store{path: full, trees: map[string]*os.Root{}}
	for _, kind := range []Kind{Local, Remote, Preview} {
		content, thumbnails := kind.trees()
		for _, name := range []string{content, thumbnails} {
			if _, err := s.tree(name); err != nil {
				return nil, errors.Join(err, s.Close())
			}
		}
	}
	return s, nil
}

func checkStore(full string) error {
	info, err := os.Stat(full)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("it does not exist: give the media_store_path of homeserver.yaml, as this machine sees it, " +
			"and look whether its file system is mounted")
	case err != nil:
		return unreadable(full, err)
	case !info.IsDir():
		return errors.New("it is not a directory: give the media_store_path of homeserver.yaml")
	}
	if _, err := os.Stat(filepath.Join(full, "local_content")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return unreadable(full, err)
	}
	return nil
}

// unreadable says whose a directory is that we may not look into.
func unreadable(full string, err error) error {
	var inner *fs.PathError
	if errors.As(err, &inner) {
		err = inner.Err
	}
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	us := named(uint32(os.Geteuid()))
	info, statErr := os.Stat(full)
	if statErr != nil {
		return fmt.Errorf("uid %s may not look into it: %w; run as the user that Synapse runs as", us, err)
	}
	return fmt.Errorf("it belongs to uid %s, and uid %s may not look into it: %w; run as its owner",
		named(owner(info)), us, err)
}

// Path is the absolute path of the store.
func (s *Store) Path() string { return s.path }

// Close closes the trees. Calls that are under way end by themselves.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	var errs []error
	for _, root := range s.trees {
		errs = append(errs, root.Close())
	}
	clear(s.trees)
	return errors.Join(errs...)
}

// tree returns the opened tree, or nil when it is not on disk.
func (s *Store) tree(name string) (*os.Root, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, fmt.Errorf("open %s: the media store %s: %w", name, s.path, fs.ErrClosed)
	}
	if root := s.trees[name]; root != nil {
		return root, nil
	}
	root, err := openTree(filepath.Join(s.path, name))
	if err != nil {
		return nil, fmt.Errorf("open %s in media store %s: %w", name, s.path, err)
	}
	if root != nil {
		s.trees[name] = root
	}
	return root, nil
}

// openTree follows a symbolic link, since it is the admin's. A link to nowhere is an error: an unmounted file system
// must not look like an empty tree.
func openTree(full string) (*os.Root, error) {
	info, err := os.Stat(full)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if target, err := os.Readlink(full); err == nil {
			return nil, fmt.Errorf("it is a symbolic link to %s, which does not exist: "+
				"look whether its file system is mounted", target)
		}
		return nil, nil
	case err != nil:
		return nil, unreadable(full, err)
	case !info.IsDir():
		return nil, fmt.Errorf("it %w", ErrNotDirectory)
	}
	root, err := os.OpenRoot(full)
	if err != nil {
		return nil, unreadable(full, err)
	}
	return root, nil
}

// directory is an open directory of a tree.
type directory struct {
	root *os.Root
	rel  string      // relative to the store
	info fs.FileInfo // as it was when it was opened; nil for a tree
}

// owner is the uid of d.
func (d directory) owner() uint32 {
	info := d.info
	if info == nil {
		var err error
		if info, err = d.root.Stat("."); err != nil {
			return 0 // asked for an error text only, and an open directory can always be looked at
		}
	}
	return owner(info)
}

// descend opens a tree and, one below the other, the directories of names. It returns all of them, the tree first, to be
// closed by ascend, the tree excepted. A missing one is fs.ErrNotExist.
func (s *Store) descend(tree string, names []string) ([]directory, error) {
	root, err := s.tree(tree)
	if err != nil {
		return nil, err
	}
	if root == nil {
		return nil, fs.ErrNotExist
	}
	chain := append(make([]directory, 0, len(names)+1), directory{root: root, rel: tree})
	for _, name := range names {
		next, err := chain[len(chain)-1].open(name)
		if err != nil {
			ascend(chain)
			return nil, err
		}
		chain = append(chain, next)
	}
	return chain, nil
}

func ascend(chain []directory) {
	for _, d := range chain[1:] {
		_ = d.root.Close() // never fails
	}
}

// open opens the directory name in d if it is one and no link to one. An [os.Root] would follow a link that stays inside
// the tree, hence the look before and the comparison after.
func (d directory) open(name string) (directory, error) {
	rel := d.rel + "/" + name
	seen, err := d.root.Lstat(name)
	if err != nil {
		return directory{}, failed("look at", rel, d, err)
	}
	switch {
	case seen.Mode()&fs.ModeSymlink != 0:
		return directory{}, fmt.Errorf("open %s: %w", rel, ErrSymlink)
	case !seen.IsDir():
		return directory{}, fmt.Errorf("open %s: %w", rel, ErrNotDirectory)
	}
	next := directory{rel: rel, info: seen}
	if next.root, err = d.root.OpenRoot(name); err != nil {
		return directory{}, failed("open", rel, next, err)
	}
	opened, err := next.root.Stat(".")
	if err == nil && !os.SameFile(seen, opened) {
		err = fmt.Errorf("it was replaced while it was opened: %w", unix.EAGAIN)
	}
	if err != nil {
		_ = next.root.Close() // the error above tells more
		return directory{}, failed("open", rel, next, err)
	}
	return next, nil
}

// stopped is the cause of a stop, to be asked for before anything is destroyed.
func stopped(ctx context.Context, rel string) error {
	if ctx.Err() == nil {
		return nil
	}
	return fmt.Errorf("remove %s: %w", rel, context.Cause(ctx))
}
