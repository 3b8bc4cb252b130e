package doctor

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"synupkeep/config"
	"synupkeep/internal/homeserver"
	"synupkeep/internal/item"
	"synupkeep/internal/journal"
	"synupkeep/internal/sandbox"
)

// uploaded uploads some pictures and returns their content files.
func uploaded(t testing.TB, s *sandbox.Server, n int) (files []string) {
	t.Helper()
	for range n {
		mxc, err := s.As("painter").Upload(t.Context(), "image/png", sandbox.Picture(20, 20))
		if err != nil {
			t.Fatal(err)
		}
		content, _, err := s.LocalPaths(mxc)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, content)
	}
	return files
}

// away moves files to where nobody looks for them until the test ends.
func away(t testing.TB, files ...string) {
	t.Helper()
	for _, file := range files {
		t.Cleanup(func() {
			if err := os.Rename(file+".away", file); err != nil {
				t.Error(err)
			}
		})
		if err := os.Rename(file, file+".away"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAMediaStoreThatIsNotThereIsAFailure(t *testing.T) {
	s := sandbox.Shared(t)
	cfg := settings(t, s)
	cfg.MediaStore = filepath.Join(t.TempDir(), "media_store")
	x := examine(t, cfg, nil)
	x.wants(t, "media-store", Failure, "does not exist", "--media-store")
	x.wants(t, "media-files", NotChecked, "no media store")
	x.but(t, "media-store")
	cfg = settings(t, s, "--only", "history")
	cfg.MediaStore = "/nowhere"
	examine(t, cfg, nil).wants(t, "media-store", NotChecked, "no media is to be deleted on this disk")
}

func TestAnotherMediaStoreIsAFailure(t *testing.T) {
	s := sandbox.Shared(t)
	uploaded(t, s, 3)
	cfg := settings(t, s)
	cfg.MediaStore = t.TempDir()
	x := examine(t, cfg, nil)
	x.wants(t, "media-files", Failure, "local-media: of ", "are not there, such as local_content/", "--only history")
	x.but(t, "media-files")
	examine(t, settings(t, s), nil).wants(t, "media-files", OK)
}

func TestTheNewestFilesMissingIsAFailure(t *testing.T) {
	s := sandbox.Shared(t)
	uploaded(t, s, 12)
	away(t, uploaded(t, s, 3)...)
	x := examine(t, settings(t, s), nil)
	x.wants(t, "media-files", Failure, "not one of the 3 newest files of local-media", "an older copy")
	x.but(t, "media-files")
}

// TestSomeFilesMissingIsAWarning plants ids that lie as far apart as can be, so that each is in the sample.
func TestSomeFilesMissingIsAWarning(t *testing.T) {
	s := sandbox.Shared(t)
	do(t, s, `DELETE FROM local_media_repository`)
	err := s.Plant(t.Context(), func(ctx context.Context, p *sandbox.Plant) error {
		for _, letter := range []string{"A", "F", "K", "P", "U"} {
			missing := letter == "F" || letter == "P"
			if _, err := p.LocalMedia(ctx, 1, sandbox.Media{ID: strings.Repeat(letter, 24), NoFile: missing}, 0); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { do(t, s, `DELETE FROM local_media_repository`) })
	x := examine(t, settings(t, s), nil)
	x.wants(t, "media-files", Warning, "sampled files of local-media, ", "are not there, such as local_content/", "backup")
	x.but(t, "media-files")
}

// notOurs is set in the process that is another user's.
const notOurs = "DOCTOR_TEST_OF_ANOTHER_USER"

// asAnotherUser runs the calling test again where dir is not ours to write: as another uid when we are root, whom modes do not
// bind, else in this process with its modes taken away.
func asAnotherUser(t *testing.T, dir string, test func(t *testing.T, dir string)) {
	t.Helper()
	if os.Geteuid() != 0 {
		for _, name := range []string{filepath.Join(dir, "local_content"), dir} {
			if err := os.Chmod(name, 0o555); err != nil {
				t.Fatal(err)
			}
			defer os.Chmod(name, 0o755) //nolint:errcheck // so that it can be removed
		}
		test(t, dir)
		return
	}
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // the temporary directory is ours alone
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v", "-test.count=1")
	cmd.Env = append(os.Environ(), notOurs+"="+dir)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("as another user: %v\n%s", err, out)
	}
}

// TestDirectoriesThatAreNotOursAreAFailure: those of the media store and that of the state.
func TestDirectoriesThatAreNotOursAreAFailure(t *testing.T) {
	if dir := os.Getenv(notOurs); dir != "" {
		checkNotOurs(t, dir)
		return
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "local_content"), 0o755); err != nil {
		t.Fatal(err)
	}
	asAnotherUser(t, dir, checkNotOurs)
}

func checkNotOurs(t *testing.T, dir string) {
	e := &exam{cfg: &config.Config{MediaStore: dir, StateDir: dir, Flows: item.Flows()}, world: realWorld()}
	want := func(f finding, texts ...string) {
		t.Helper()
		all := strings.Join(append(f.details, f.found, f.means, f.do), "\n")
		for _, text := range texts {
			if f.result != Failure || !strings.Contains(all, text) {
				t.Errorf("%s: it does not say %q:\n%s", f.result, text, all)
			}
		}
	}
	want(checkMediaStore(t.Context(), e), "may not delete in local_content, which belongs to uid", "as uid", "the user that Synapse runs as")
	want(checkStateDirectory(t.Context(), e), "we may not write in "+dir, "--state-dir")
	e.cfg.StateDir = filepath.Join(dir, "state", "of", "ours")
	want(checkStateDirectory(t.Context(), e), "is not there, and we may not make it", "--state-dir")
}

func TestAMediaStoreOfSomebodyElseThatWeMayWriteInIsAWarning(t *testing.T) {
	s := sandbox.Shared(t)
	uploaded(t, s, 1)
	x := examine(t, settings(t, s), func(e *exam) { e.world.uid = os.Geteuid() + 4711 })
	x.wants(t, "media-store", Warning, "local_content belongs to uid", "may not be ours to delete")
	x.but(t, "media-store")
}

func TestFileSystemsThatAreFull(t *testing.T) {
	s := sandbox.Shared(t)
	const gib = 1 << 30
	for _, test := range map[string]struct {
		space
		err  error
		want Result
		says string
	}{
		"enough":            {space{size: 100 * gib, free: 50 * gib, files: 1000, filesFree: 900, on: "ext4 /dev/vda at /"}, nil, OK, "50 GiB of 100 GiB free on ext4 /dev/vda at /"},
		"a little left":     {space{size: 100 * gib, free: 2 * gib}, nil, Warning, "2.0 GiB of 100 GiB free"},
		"a small one":       {space{size: 5 * gib, free: gib / 2}, nil, Warning, "512 MiB of 5.0 GiB free"},
		"no inodes":         {space{size: 100 * gib, free: 50 * gib, files: 1000, filesFree: 9}, nil, Warning, "9 of 1000 inodes free"},
		"without inodes":    {space{size: 100 * gib, free: 50 * gib}, nil, OK, ""},
		"read-only":         {space{size: 100 * gib, free: 50 * gib, readOnly: true}, nil, Failure, "mounted read-only"},
		"that does not say": {space{}, errors.New("stale handle"), Warning, "stale handle"},
	} {
		x := examine(t, settings(t, s), func(e *exam) { e.world.space = func(string) (space, error) { return test.space, test.err } })
		x.wants(t, "media-space", test.want, test.says)
		x.but(t, "media-space")
	}
	real, err := spaceOf(s.MediaStore())
	if err != nil || real.size == 0 || real.free > real.size || real.on == "" {
		t.Errorf("%+v, %v", real, err)
	}
}

func TestStorageProvidersAreAWarning(t *testing.T) {
	s := sandbox.Shared(t)
	cfg := settings(t, s)
	cfg.Synapse = &homeserver.Config{ServerName: s.ServerName()}
	examine(t, cfg, nil).wants(t, "storage-providers", OK)
	cfg.Synapse.Providers = []homeserver.Provider{{Module: "s3", S3: &homeserver.S3{Bucket: "pictures"}}, {Module: "file_system", Directory: "/backup"}, {Module: "own.Thing"}}
	x := examine(t, cfg, nil)
	x.wants(t, "storage-providers", Warning, "S3 bucket pictures", "directory /backup", "own.Thing")
	x.but(t, "storage-providers")
}

func TestStateDirectoriesThatAreNone(t *testing.T) {
	s := sandbox.Shared(t)
	cfg := settings(t, s)
	file := filepath.Join(cfg.StateDir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	open := filepath.Join(cfg.StateDir, "open")
	if err := os.Mkdir(open, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o777); err != nil {
		t.Fatal(err)
	}
	for dir, test := range map[string]struct {
		want Result
		says string
	}{
		file: {Failure, "is not a directory"},
		open: {Warning, "others may write in " + open},
		"":   {OK, "nothing is remembered"},
		filepath.Join(cfg.StateDir, "new", "one"): {OK, "the first run makes it"},
	} {
		cfg.StateDir = dir
		x := examine(t, cfg, nil)
		x.wants(t, "state-directory", test.want, test.says)
		x.but(t, "state-directory")
		if _, err := os.Stat(filepath.Join(dir, "new")); err == nil {
			t.Error("the state directory was made")
		}
	}
}

func TestWhatAnEarlierRunLeftIsAWarning(t *testing.T) {
	s := sandbox.Shared(t)
	cfg := settings(t, s)
	name := "journal-" + s.ServerName() + ".jsonl"
	j, _, err := journal.Open(cfg.StateDir, name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := j.Begin(item.LocalMedia, []journal.Row{{Origin: "localhost", ID: "abcdef", FileID: "abcdef"}}); err != nil {
		t.Fatal(err)
	}
	x := examine(t, cfg, nil)
	x.wants(t, "state-directory", Warning, "the files of 1 medium whose rows are gone", "the next run finishes it")
	x.but(t, "state-directory")
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(filepath.Join(cfg.StateDir, name), os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = file.WriteString("\n00000000 {\"damaged\": true}\n")
		err = errors.Join(err, file.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	examine(t, cfg, nil).wants(t, "state-directory", Warning, "1 line of the journal", "cannot be read")
}
