package sandbox

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestMirrorTree(t *testing.T) {
	from, to := filepath.Join(t.TempDir(), "from"), filepath.Join(t.TempDir(), "to")
	write := func(path, text string) {
		t.Helper()
		old := time.Now().Add(-48 * time.Hour).Truncate(time.Second)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o640), os.Chtimes(path, old, old)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"a/b/same", "a/b/gone", "a/changed", "a/filewasdir"} {
		write(filepath.Join(from, name), name)
	}
	if err := errors.Join(os.Symlink("/nowhere", filepath.Join(from, "link")), os.Mkdir(filepath.Join(from, "empty"), 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := mirrorTree(t.Context(), from, to); err != nil {
		t.Fatal(err)
	}
	want := listing(t, from)
	if got := listing(t, to); !slices.Equal(got, want) {
		t.Fatalf("copy:\n%v\nwant\n%v", got, want)
	}
	untouched, err := os.Stat(filepath.Join(to, "a/b/same"))
	if err != nil {
		t.Fatal(err)
	}
	write(filepath.Join(to, "a/changed"), "other text")
	write(filepath.Join(to, "more/of/it"), "x")
	if err := errors.Join(os.Remove(filepath.Join(to, "a/b/gone")), os.Remove(filepath.Join(to, "a/filewasdir")),
		os.Mkdir(filepath.Join(to, "a/filewasdir"), 0o700), os.Remove(filepath.Join(to, "link")), os.Symlink("/elsewhere", filepath.Join(to, "link")),
		os.Remove(filepath.Join(to, "empty")), os.Chmod(filepath.Join(to, "a"), 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := mirrorTree(t.Context(), from, to); err != nil {
		t.Fatal(err)
	}
	if got := listing(t, to); !slices.Equal(got, want) {
		t.Fatalf("after changes:\n%v\nwant\n%v", got, want)
	}
	if now, err := os.Stat(filepath.Join(to, "a/b/same")); err != nil || !os.SameFile(now, untouched) {
		t.Errorf("a file that had not changed was written again: %v", err)
	}
	original, err := os.Stat(filepath.Join(from, "a/b/same"))
	if err != nil || os.SameFile(original, untouched) {
		t.Errorf("the copy is a link: %v", err)
	}
}

// listing tells of each entry its name, mode, time and content.
func listing(t *testing.T, root string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		text := ""
		switch {
		case info.Mode().IsRegular():
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text = info.ModTime().String() + string(b)
		case info.Mode()&fs.ModeSymlink != 0:
			if text, err = os.Readlink(path); err != nil {
				return err
			}
		case entry.IsDir():
			text = info.ModTime().String()
		}
		out = append(out, rel+" "+info.Mode().String()+" "+text)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
