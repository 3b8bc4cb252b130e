package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"debug/buildinfo"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/CycloneDX/cyclonedx-go"
	"github.com/google/go-cmp/cmp"
)

// largest is what the program may be, in bytes: with a licence beside it, it is the container image, which is under 20 MiB.
const largest = 20<<20 - 64<<10

// cloned is a release of the last commit from a clone of its own.
func cloned(t *testing.T, args ...string) (out string) {
	t.Helper()
	ctx := t.Context()
	dir := filepath.Join(t.TempDir(), strings.Repeat("d", 1+len(args)*7))
	tool := filepath.Join(t.TempDir(), "release")
	for _, cmd := range []*exec.Cmd{
		exec.CommandContext(ctx, "git", "clone", "-q", "../..", dir),
		exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", tool, "."),
	} {
		// The checkout may belong to somebody else than who runs the tests.
		cmd.Env = append(os.Environ(), "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*")
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", cmd.Args, err, text)
		}
	}
	out = filepath.Join(dir, "dist")
	cmd := exec.CommandContext(ctx, tool, append([]string{"--out", out, "--arch", "amd64"}, args...)...)
	cmd.Dir = dir
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%q: %v\n%s", cmd.Args, err, text)
	}
	return out
}

// one is the one file of a release whose name ends so.
func one(t *testing.T, out, suffix string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(out, "*"+suffix))
	if err != nil || len(found) != 1 {
		t.Fatalf("%s: %v, %v", suffix, found, err)
	}
	return found[0]
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// unpacked is a tar.gz: the content of each file by its name without the directory, and the modes.
func unpacked(t *testing.T, content []byte) (files map[string][]byte, modes map[string]int64) {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	files, modes = map[string][]byte{}, map[string]int64{}
	for archive := tar.NewReader(z); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files, modes
		}
		if err != nil {
			t.Fatal(err)
		}
		_, name, _ := strings.Cut(header.Name, "/")
		if files[name], err = io.ReadAll(archive); err != nil {
			t.Fatal(err)
		}
		modes[name] = header.Mode
	}
}

// TestTwoReleasesOfACommitAreTheSameBytes, made in two directories.
func TestTwoReleasesOfACommitAreTheSameBytes(t *testing.T) {
	first, second := cloned(t), cloned(t)
	if diff := cmp.Diff(string(read(t, filepath.Join(first, "SHA256SUMS"))), string(read(t, filepath.Join(second, "SHA256SUMS")))); diff != "" {
		t.Error(diff)
	}
	check := exec.CommandContext(t.Context(), "sha256sum", "--check", "--strict", "SHA256SUMS")
	check.Dir = first
	if out, err := check.CombinedOutput(); err != nil || strings.Count(string(out), ": OK\n") != 2 {
		t.Errorf("%v\n%s", err, out)
	}
	files, modes := unpacked(t, read(t, one(t, first, ".tar.gz")))
	for _, name := range []string{"LICENSE", "README.md", "synupkeep.1", "completions/_synupkeep", "docs/safety.md", "deploy/systemd/synupkeep.service"} {
		if len(files[name]) == 0 || modes[name] != 0o644 {
			t.Errorf("%s: %d bytes, %o", name, len(files[name]), modes[name])
		}
	}
	program := filepath.Join(t.TempDir(), "synupkeep")
	if err := os.WriteFile(program, files["synupkeep"], 0o700); err != nil {
		t.Fatal(err)
	}
	if size := len(files["synupkeep"]); size > largest || modes["synupkeep"] != 0o755 {
		t.Errorf("the program has %d bytes, at most %d are wanted; %o", size, largest, modes["synupkeep"])
	}
	commit, err := output(context.WithoutCancel(t.Context()), ".", "git", "rev-parse", "HEAD")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), program, "version", "--json").Output(); err != nil ||
		!strings.Contains(string(out), `"revision": "`+commit+`"`) || !strings.Contains(string(out), `"modified": false`) {
		t.Errorf("%v\n%s", err, out)
	}
	billOf(t, program, read(t, one(t, first, ".cdx.json")))
}

// billOf holds the bill against the program.
func billOf(t *testing.T, program string, text []byte) {
	t.Helper()
	var bill cyclonedx.BOM
	if err := cyclonedx.NewBOMDecoder(bytes.NewReader(text), cyclonedx.BOMFileFormatJSON).Decode(&bill); err != nil {
		t.Fatal(err)
	}
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"std": strings.TrimPrefix(info.GoVersion, "go")}
	for _, dep := range info.Deps {
		want[dep.Path] = dep.Version
	}
	got := map[string]string{}
	for _, c := range *bill.Components {
		got[c.Name] = c.Version
	}
	if diff := cmp.Diff(want, got); diff != "" || len(got) < 20 {
		t.Error(diff)
	}
	if depends := (*bill.Dependencies)[0]; depends.Ref != bill.Metadata.Component.BOMRef || len(*depends.Dependencies) != len(want) {
		t.Errorf("%+v", depends)
	}
}

// TestNothingIsMadeOfWhatIsNoCheckout: the error says so.
func TestNothingIsMadeOfWhatIsNoCheckout(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("GIT_CEILING_DIRECTORIES", "/")
	if err := run(t.Context(), filepath.Join(t.TempDir(), "dist"), "", []string{"amd64"}); err == nil || !strings.Contains(err.Error(), "a release is made of a commit") {
		t.Error(err)
	}
}

// TestADirectoryOfSomethingElseIsLeftAlone.
func TestADirectoryOfSomethingElseIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"SHA256SUMS", "synupkeep_2.0.0-1_amd64.deb", "thesis.txt"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := emptied(dir); err == nil || !strings.Contains(err.Error(), "thesis.txt") {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 3 {
		t.Errorf("%v, %v", left, err)
	}
	if err := os.Remove(filepath.Join(dir, "thesis.txt")); err != nil {
		t.Fatal(err)
	}
	if err := emptied(dir); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("%v, %v", left, err)
	}
}

// TestEveryFileOfTheRecipeIsThere: what the packages take from the checkout, and each file of deploy/packages is used.
func TestEveryFileOfTheRecipeIsThere(t *testing.T) {
	recipe := string(read(t, "../../deploy/packages/nfpm.yaml"))
	files, err := filepath.Glob("../../deploy/packages/*")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]string{"ARCH": "", "STAGE": "", "VERSION": "", "MTIME": ""}
	os.Expand(recipe, func(name string) string {
		if _, ok := known[name]; !ok {
			t.Errorf("$%s is not known, one of %v is", name, slices.Sorted(maps.Keys(known)))
		}
		return ""
	})
	for _, file := range files {
		if name := filepath.Base(file); name != "nfpm.yaml" && !strings.Contains(recipe, "deploy/packages/"+name) {
			t.Errorf("%s is in no package", name)
		}
	}
}
