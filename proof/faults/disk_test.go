package faults_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"synupkeep/internal/item"
	"synupkeep/internal/sandbox/stock"
	"synupkeep/proof/program"
	"synupkeep/sinks"
)

// diskFault is something that happens to the disk between the deletion of rows and of their files.
type diskFault struct {
	name    string
	inflict func(t *testing.T, w *world) (heal func())
	code    int
	// rows says that rows may go on being deleted.
	rows bool
	// long leaves it to the long runs.
	long bool
}

// TestTheDiskFailsWhileMediaGoes: what cannot be deleted is told, nothing else is touched for it, and when the disk is in
// order again the next run deletes what this one had to leave.
func TestTheDiskFailsWhileMediaGoes(t *testing.T) {
	t.Parallel()
	for _, f := range []diskFault{
		{"rights are taken away", rightsGone, 13, false, false},
		{"the store is read-only", readOnly, 13, false, false},
		{"nothing can be written to the state directory", nil, 1, false, false},
		{"the store is moved away, and a link leads nowhere", dangling, 0, true, true},
		{"files vanish", vanish, 0, true, false},
		{"directories lie in the place of files", directoryInTheWay, 3, true, false},
		{"files lie in the place of directories", fileInTheWay, 3, true, true},
	} {
		if f.long && !long() {
			continue
		}
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			lend(t).suffersDisk(t, f)
		})
	}
}

func (w *world) suffersDisk(t *testing.T, f diskFault) {
	w.back(t)
	bindStore(t, w)
	where := w.where()
	where.ModesBind = true
	inflict := func(int) (heal func()) { return f.inflict(t, w) }
	if f.inflict == nil {
		where.StateDir, inflict = smallDisk(t)
		w.stateDir = where.StateDir
	}
	// A batch waits, so that the fault comes between rows that were looked at and files that are to go.
	held := w.hold(t, "local_media_repository_thumbnails")
	p := program.Start(t, where, "--only", "local-media", "--batch-size", "10")
	w.waited(t, "local_media_repository_thumbnails", 1)
	heal := inflict(p.PID())
	held.release()
	r := p.Wait(t)
	sum := r.Summary(t)
	broken := stock.All[int](t, w.s, `SELECT count(*)::int FROM local_media_repository`)[0]
	heal()
	w.halfWay(t)
	media := sum.Flows[0]
	if before := countOf(w.before, "local_media_repository"); int64(before-broken) != media.Rows {
		t.Errorf("%d rows are said to be deleted, %d are", media.Rows, before-broken)
	}
	if r.Code != f.code || f.code != 0 && len(sum.Errors)+len(sum.Failures) == 0 || !f.rows && media.Rows > 1 {
		t.Errorf("exit code %d, want %d: %+v %+v %+v\n%s", r.Code, f.code, media, sum.Errors, sum.Failures, r.Log)
	}
	if media.Retries > 0 {
		t.Errorf("what needs a person was tried %d times more", media.Retries)
	}
	w.tellsWhatStays(t, sum)
	w.finishes(t)
}

func countOf(v stock.Server, table string) (n int) {
	for _, r := range v.Media.Rows {
		if r.Table == table {
			n++
		}
	}
	return n
}

// tellsWhatStays fails unless each media whose row is gone and whose content is not is among the failures.
func (w *world) tellsWhatStays(t *testing.T, sum sinks.Summary) {
	t.Helper()
	now := stock.OfServer(t, w.s)
	for key, r := range w.before.Media.Rows {
		if _, there := now.Media.Rows[key]; there || flowOf(r) != "local-media" {
			continue
		}
		content, _ := r.Places()
		_, there := now.Media.Files[content]
		told := slices.ContainsFunc(sum.Failures, func(f sinks.Failure) bool {
			return f.Flow == item.LocalMedia && f.Key == "mxc://"+w.s.ServerName()+"/"+r.Text("media_id") && f.Cause != ""
		})
		if there && !told {
			t.Errorf("%s has lost its row and not its file, and nothing says so", content)
		}
	}
}

// deletable are the paths of the content, or of the thumbnails' directory, of uploads that are to go.
func (w *world) deletable(thumbnails bool) (paths []string) {
	for key, r := range w.before.Media.Rows {
		if _, stays := w.reference.Media.Rows[key]; stays || flowOf(r) != "local-media" {
			continue
		}
		content, directory := r.Places()
		if thumbnails {
			content = directory
		}
		paths = append(paths, filepath.Join(w.s.MediaStore(), content))
	}
	slices.Sort(paths)
	return paths
}

// rightsGone takes away the right to write in every directory of the store.
func rightsGone(t *testing.T, w *world) func() {
	modes := func(mode os.FileMode) {
		_, dirs := stock.Listing(t, w.s.MediaStore())
		for dir := range dirs {
			must(t, os.Chmod(filepath.Join(w.s.MediaStore(), dir), mode))
		}
	}
	modes(0o555)
	return func() { modes(0o755) }
}

// dangling moves the tree of uploads, which is open, and puts a link to nowhere in its place.
func dangling(t *testing.T, w *world) func() {
	tree := filepath.Join(w.s.MediaStore(), "local_content")
	must(t, os.Rename(tree, tree+".away"))
	must(t, os.Symlink("/nowhere", tree))
	return func() {
		must(t, os.Remove(tree))
		must(t, os.Rename(tree+".away", tree))
	}
}

// vanish deletes every second file that is to go.
func vanish(t *testing.T, w *world) func() {
	for i, name := range w.deletable(false) {
		if i%2 == 0 {
			_ = os.Remove(name) // unless it has gone already
		}
	}
	return func() {}
}

// directoryInTheWay puts a directory with something in it in the place of every third file that is to go.
func directoryInTheWay(t *testing.T, w *world) func() {
	return inTheWay(t, w, false, func(name string) {
		must(t, os.Mkdir(name, 0o755))
		must(t, os.WriteFile(filepath.Join(name, "precious"), []byte("precious"), 0o600))
	}, func(name string) {
		if _, err := os.Stat(filepath.Join(name, "precious")); err != nil {
			t.Error(err)
		}
	})
}

// fileInTheWay puts a file in the place of every third directory of thumbnails.
func fileInTheWay(t *testing.T, w *world) func() {
	return inTheWay(t, w, true, func(name string) { must(t, os.WriteFile(name, []byte("precious"), 0o600)) }, func(name string) {
		if _, err := os.Stat(name); err != nil {
			t.Error(err)
		}
	})
}

// inTheWay moves what is to go away, and puts something else there, which must be there in the end.
func inTheWay(t *testing.T, w *world, thumbnails bool, put, check func(name string)) func() {
	t.Helper()
	var names []string
	for i, name := range w.deletable(thumbnails) {
		if i%3 == 0 && os.Rename(name, filepath.Join(w.s.MediaStore(), "aside"+itoa(i))) == nil {
			put(name)
			names = append(names, name)
		} else {
			names = append(names, "")
		}
	}
	return func() {
		for i, name := range names {
			if name != "" {
				check(name)
				must(t, os.RemoveAll(name))
				must(t, os.Rename(filepath.Join(w.s.MediaStore(), "aside"+itoa(i)), name))
			}
		}
	}
}
