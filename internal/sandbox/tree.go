package sandbox

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// mirrorTree makes the directory to like from, with modes, times, owners (as root) and symbolic links, and removes what
// from does not have. A file of the same size, time, mode and owner is taken to be the same: what was not touched costs
// nothing. Files are copied, not linked: the copy must not change with the original.
func mirrorTree(ctx context.Context, from, to string) error {
	err := filepath.WalkDir(to, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		rel, err := filepath.Rel(to, path)
		if err != nil {
			return err
		}
		info, err := os.Lstat(filepath.Join(from, rel))
		if err == nil && info.Mode().Type() == entry.Type() {
			return nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := os.RemoveAll(path); err != nil {
			return err
		}
		if entry.IsDir() {
			return filepath.SkipDir
		}
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return copyTree(ctx, from, to)
}

// copyTree is mirrorTree that removes nothing.
func copyTree(ctx context.Context, from, to string) error {
	type made struct {
		path string
		info fs.FileInfo
	}
	var dirs []made
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	err := filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		info, err := entry.Info()
		if err != nil {
			return err
		}
		switch {
		case entry.IsDir():
			dirs = append(dirs, made{target, info})
			return os.MkdirAll(target, info.Mode().Perm()|0o700)
		case info.Mode()&fs.ModeSymlink != 0:
			return copyLink(path, target)
		case info.Mode().IsRegular() && !same(target, info):
			group.Go(func() error { return copyFile(path, target, info) })
		}
		return nil
	})
	if err := errors.Join(err, group.Wait()); err != nil {
		return err
	}
	// Deepest first: filling a directory changes its time.
	for i := len(dirs) - 1; i >= 0; i-- {
		if err := like(dirs[i].path, dirs[i].info); err != nil {
			return err
		}
	}
	return nil
}

// same says whether path needs no copy of the file that info tells of.
func same(path string, info fs.FileInfo) bool {
	have, err := os.Lstat(path)
	if err != nil || have.Size() != info.Size() || have.Mode() != info.Mode() || !have.ModTime().Equal(info.ModTime()) {
		return false
	}
	a, okA := have.Sys().(*syscall.Stat_t)
	b, okB := info.Sys().(*syscall.Stat_t)
	return okA && okB && a.Uid == b.Uid && a.Gid == b.Gid
}

func copyLink(from, to string) error {
	dest, err := os.Readlink(from)
	if err != nil {
		return err
	}
	if have, err := os.Readlink(to); err == nil && have == dest {
		return nil
	}
	return errors.Join(os.RemoveAll(to), os.Symlink(dest, to))
}

func copyFile(from, to string, info fs.FileInfo) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	if err := os.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err := errors.Join(err, out.Close()); err != nil {
		return err
	}
	return like(to, info)
}

// like gives path the mode, times and, as root, the owner that info tells.
func like(path string, info fs.FileInfo) error {
	if st, ok := info.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 {
		if err := os.Lchown(path, int(st.Uid), int(st.Gid)); err != nil {
			return err
		}
	}
	if err := os.Chmod(path, info.Mode().Perm()); err != nil {
		return err
	}
	return os.Chtimes(path, time.Time{}, info.ModTime())
}
