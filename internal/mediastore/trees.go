package mediastore

import (
	"os"
	"path/filepath"
)

// Tree is one of the six trees of a store as it is on disk.
type Tree struct {
	Name string // such as local_content
	// Exists is false for one that Synapse has not made yet.
	Exists bool
	// Link is where a symbolic link leads that stands in its place; the admin made it.
	Link string
	// Owner is the uid of its directory.
	Owner uint32
	// Err is why we may not delete in it, a *NotDeletableError, or why it cannot be looked at.
	Err error
}

// Trees looks at the trees, contents first within each kind of media. What is in them is not looked at: a tree may be ours,
// and a directory in it not.
func (s *Store) Trees() []Tree {
	var trees []Tree
	for _, kind := range []Kind{Local, Remote, Preview} {
		content, thumbnails := kind.trees()
		trees = append(trees, s.look(content), s.look(thumbnails))
	}
	return trees
}

func (s *Store) look(name string) Tree {
	t := Tree{Name: name}
	root, err := s.tree(name)
	if err != nil || root == nil {
		t.Err = err
		return t
	}
	t.Exists = true
	t.Link, _ = os.Readlink(filepath.Join(s.path, name)) // empty where it is a directory
	d := directory{root: root, rel: name}
	t.Owner = d.owner()
	if err := d.writable(); err != nil {
		t.Err = failed("check", name, d, err)
	}
	return t
}
