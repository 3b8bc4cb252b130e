//go:build image

// Package image_test builds the container image and runs it on a real Synapse. It needs buildah and root: make test-image.
package image_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"synupkeep/internal/sandbox"
	"synupkeep/internal/sandbox/stock"
)

const (
	most = 20 << 20 // bytes
	name = "localhost/synupkeep:test"
)

func TestMain(m *testing.M) {
	storage, err := os.MkdirTemp("", "synupkeep-image-")
	if err != nil {
		panic(err)
	}
	storageDir = storage
	code := sandbox.TestMain(m)
	if err := os.RemoveAll(storage); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// storageDir is where buildah keeps what the tests build: nothing of the machine's own is touched.
var storageDir string

func options() []string {
	return []string{"--storage-driver", "vfs", "--root", filepath.Join(storageDir, "store"), "--runroot", filepath.Join(storageDir, "run")}
}

func buildah(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "buildah", append(options(), args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("buildah %q: %v\n%s", args, err, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

// build is what `make image` does, and returns the id of the image.
func build(t *testing.T, as string, flags ...string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("the tests of the image start it as root and as others: they need root")
	}
	cmd := exec.CommandContext(t.Context(), "make", "-C", "../..", "image", "IMAGE="+as, "IMAGEFLAGS="+strings.Join(flags, " "))
	cmd.Env = append(os.Environ(), "BUILDER=buildah", "BUILDAH_OPTIONS="+strings.Join(options(), " "))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make image: %v\n%s", err, out)
	}
	return buildah(t, "images", "--quiet", "--no-trunc", as)
}

var once sync.Once

// container makes a container of the image, which is built once.
func container(t *testing.T) string {
	t.Helper()
	once.Do(func() { build(t, name) })
	id := buildah(t, "from", name)
	t.Cleanup(func() {
		_ = exec.Command("buildah", append(options(), "rm", id)...).Run() // the storage goes as a whole
	})
	return id
}

// config is what an image says of itself.
type config struct {
	OCIv1 struct {
		Architecture string `json:"architecture"`
		Config       struct {
			User            string
			Env, Entrypoint []string
			Cmd             []string
			Labels          map[string]string
		} `json:"config"`
	}
}

func inspect(t *testing.T, image string) (c config) {
	t.Helper()
	if err := json.Unmarshal([]byte(buildah(t, "inspect", "--type", "image", image)), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// files are the regular files and links of a container, with their sizes and times.
func files(t *testing.T, id string) map[string]string {
	t.Helper()
	root := buildah(t, "mount", id)
	defer buildah(t, "umount", id)
	found := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		found[strings.TrimPrefix(path, root)] = fmt.Sprint(info.Mode(), " ", info.Size(), " ", info.ModTime())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestTheImageIsTheProgramAndLittleElse(t *testing.T) {
	id := container(t)
	found := files(t, id)
	for _, file := range []string{"/synupkeep", "/LICENSE"} {
		if found[file] == "" {
			t.Errorf("there is no %s", file)
		}
		delete(found, file)
	}
	if len(found) != 0 {
		t.Errorf("there is more in it: %v", found)
	}
	archive := filepath.Join(t.TempDir(), "image.tar")
	buildah(t, "push", "--quiet", name, "docker-archive:"+archive)
	if info, err := os.Stat(archive); err != nil || info.Size() >= most {
		t.Errorf("the image has %d bytes, of %d that it may have: %v", info.Size(), most, err)
	}
}

func TestTheImageSaysWhatItIs(t *testing.T) {
	container(t)
	c := inspect(t, name).OCIv1.Config
	if diff := cmp.Diff([]string{"1000:1000", "/synupkeep", "run"}, []string{c.User, strings.Join(c.Entrypoint, " "), strings.Join(c.Cmd, " ")}); diff != "" {
		t.Errorf("user, entry point, command: %s", diff)
	}
	for _, label := range []string{"title", "description", "licenses", "version", "revision"} {
		if c.Labels["org.opencontainers.image."+label] == "" {
			t.Errorf("the label %s is missing: %v", label, c.Labels)
		}
	}
	if !strings.Contains(strings.Join(c.Env, " "), "SYNUPKEEP_CONTAINER=1") {
		t.Errorf("%q", c.Env)
	}
}

func TestUserAndArchitectureAreChosenWhenItIsBuilt(t *testing.T) {
	t.Setenv("GOARCH", "arm64")
	build(t, "localhost/synupkeep:other", "--build-arg USER_ID=991", "--build-arg GROUP_ID=992")
	other := inspect(t, "localhost/synupkeep:other").OCIv1
	if other.Config.User != "991:992" || other.Architecture != "arm64" {
		t.Errorf("%+v", other)
	}
}

func TestTwoBuildsAreTheSameImage(t *testing.T) {
	first, second := build(t, "localhost/synupkeep:first"), build(t, "localhost/synupkeep:second")
	if first != second {
		t.Errorf("%s, %s", first, second)
	}
}

// server is a sandbox with an old room, an old file that nothing shows, a young one and an old avatar, and beside it a data
// directory as Synapse's image has one.
type server struct {
	*sandbox.Server

	data        string
	goes, young string // mxc
	room        string
	before      stock.Media
}

var seeded struct {
	sync.Once
	server
}

// prepare brings the server into the state before any run; data and media belong to uid and gid, and to nobody else.
func prepare(t *testing.T, uid, gid int) *server {
	t.Helper()
	s := sandbox.Shared(t)
	seeded.Do(func() { seeded.server = seed(t, s) })
	if err := s.Reset(t.Context(), "image"); err != nil {
		t.Fatal(err)
	}
	one := seeded.server
	one.lay(t, uid, gid, "")
	return &one
}

// lay makes the data directory, which Synapse's homeserver.yaml with some more lines is in, and gives it and the media away.
func (s *server) lay(t *testing.T, uid, gid int, more string) {
	t.Helper()
	s.data, s.before = t.TempDir(), stock.OfMedia(t, s.Server)
	content, err := os.ReadFile(filepath.Join(s.Dir(), "homeserver.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	// In the container the media lies where Synapse's image has it, on a volume of its own.
	content = bytes.ReplaceAll(content, []byte(s.MediaStore()), []byte("/data/media"))
	if more != "" { // JSON is YAML, and lines follow no JSON
		content = append(bytes.TrimSuffix(bytes.TrimSpace(content), []byte("}")), ", "+more+"}"...)
	}
	for file, text := range map[string]string{"homeserver.yaml": string(content), "token": s.AdminToken() + "\n"} {
		if err := os.WriteFile(filepath.Join(s.data, file), []byte(text), 0o400); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(s.data, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{s.data, s.MediaStore()} {
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			return errors.Join(err, os.Lchown(path, uid, gid))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(s.data, "media"), 0o755); err != nil { // a mount point
		t.Fatal(err)
	}
}

func seed(t *testing.T, s *sandbox.Server) (one server) {
	t.Helper()
	ctx, alice := t.Context(), s.As("alice")
	must := func(text string, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	one.Server = s
	one.room = must(alice.CreateRoom(ctx, sandbox.RoomOptions{}))
	for i := range 3 {
		must(alice.Send(ctx, one.room, "message "+strconv.Itoa(i)))
	}
	one.goes = must(alice.Upload(ctx, "image/png", sandbox.Picture(100, 100)))
	one.young = must(alice.Upload(ctx, "image/png", sandbox.Picture(100, 101)))
	avatar := must(alice.Upload(ctx, "image/png", sandbox.Picture(100, 102)))
	if err := alice.SetAvatar(ctx, avatar); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-90 * 24 * time.Hour)
	err := s.Plant(ctx, func(ctx context.Context, p *sandbox.Plant) error {
		return errors.Join(p.AgeRoom(ctx, one.room, 90*24*time.Hour), p.AgeMedia(ctx, old, old, one.goes, avatar))
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Snapshot(ctx, "image"); err != nil {
		t.Fatal(err)
	}
	return one
}

// volumes are what a container shares with Synapse's.
func (s *server) volumes() []string {
	return []string{s.data + ":/data:ro", s.MediaStore() + ":/data/media"}
}

// done compares what is gone with what had to go.
func (s *server) done(t *testing.T) {
	t.Helper()
	after := stock.OfMedia(t, s.Server)
	content, thumbnails, err := s.LocalPaths(s.goes)
	if err != nil {
		t.Fatal(err)
	}
	wrong := 0
	for file := range s.before.Files {
		path := filepath.Join(s.MediaStore(), file)
		should := path == content || strings.HasPrefix(path, thumbnails+"/")
		if _, left := after.Files[file]; left == should {
			wrong++
			t.Errorf("%s: is left %t, and should go %t", file, left, should)
		}
	}
	id := s.goes[strings.LastIndexByte(s.goes, '/')+1:]
	for key := range s.before.Rows {
		if _, left := after.Rows[key]; left == strings.Contains(key, id) {
			wrong++
			t.Errorf("row %s: is left %t", key, left)
		}
	}
	events, err := s.As("alice").Timeline(t.Context(), s.room)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if e.Type == "m.room.message" && e.Body() != "message 2" { // the newest stays: a room needs its end
			t.Errorf("%s is still there", e.Body())
		}
	}
	if wrong == 0 && len(after.Files) == len(s.before.Files) {
		t.Error("nothing was deleted")
	}
}

// owners are those of what lies in the state directory.
func (s *server) owners(t *testing.T) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	err := filepath.WalkDir(filepath.Join(s.MediaStore(), ".synupkeep"), func(path string, _ fs.DirEntry, err error) error {
		if err == nil {
			found[ownerOf(t, path)] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
