// Release makes what is published, the same bytes from the same commit on whatever machine: the program for each
// architecture with its manual, completions and files for deployment, packages, a list of what the program is made of, and the
// sums of all of it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// release is one that is being made.
type release struct {
	root    string // of the checkout
	out     string // where it goes
	nfpm    string // the program that makes packages; empty: none are made
	version string // 2.0.0, without the v of the tag
	time    time.Time
}

func main() {
	out := flag.String("out", "dist", "`directory` for the files, without any but those of an earlier release")
	nfpm := flag.String("nfpm", "", "nfpm, the `program` that makes packages; without it none are made")
	architectures := flag.String("arch", "amd64,arm64", "architectures, with commas")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *out, *nfpm, strings.Split(*architectures, ",")); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1) //nolint:gocritic // nothing is left to be stopped
	}
}

func run(ctx context.Context, out, nfpm string, architectures []string) error {
	root, err := output(ctx, ".", "git", "rev-parse", "--show-toplevel")
	if err != nil {
		return fmt.Errorf("a release is made of a commit: %w", err)
	}
	r := release{root: root, out: out, nfpm: nfpm}
	if r.out, err = filepath.Abs(out); err != nil {
		return err
	}
	if r.version, err = versionOf(ctx, root); err != nil {
		return err
	}
	seconds, err := output(ctx, root, "git", "log", "-1", "--format=%ct")
	if err != nil {
		return err
	}
	unix, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return fmt.Errorf("the time of the commit: %w", err)
	}
	r.time = time.Unix(unix, 0).UTC()
	if err := emptied(r.out); err != nil {
		return err
	}
	for _, arch := range architectures {
		if err := r.build(ctx, arch); err != nil {
			return fmt.Errorf("%s: %w", arch, err)
		}
	}
	return r.sums()
}

// emptied makes a directory, or takes what an earlier release left out of it. What holds anything else is somebody's.
func emptied(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, file := range files {
		if name := file.Name(); file.IsDir() || name != "SHA256SUMS" && !strings.HasPrefix(name, "synupkeep") {
			return fmt.Errorf("%s holds %s, which no release has made: name an empty directory with --out", dir, name)
		}
	}
	for _, file := range files {
		if err := os.Remove(filepath.Join(dir, file.Name())); err != nil {
			return err
		}
	}
	return nil
}

// versionOf is the version that the tag of the commit gives, and on a way to the next one the commit behind the last.
func versionOf(ctx context.Context, root string) (string, error) {
	if tag, err := output(ctx, root, "git", "describe", "--tags", "--match", "v[0-9]*"); err == nil {
		return strings.TrimPrefix(tag, "v"), nil
	}
	commit, err := output(ctx, root, "git", "rev-parse", "--short=12", "HEAD")
	return "0.0.0~" + commit, err
}

// output is what a program writes, without the white space around it.
func output(ctx context.Context, dir string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	var failed strings.Builder
	cmd.Stderr = &failed
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(failed.String()))
	}
	return strings.TrimSpace(string(out)), nil
}

// build makes all files of an architecture.
func (r release) build(ctx context.Context, arch string) error {
	stage, err := os.MkdirTemp("", "synupkeep-release-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(stage) }()
	program := filepath.Join(stage, "synupkeep")
	// Without a build id and paths nothing tells where it was built. CGO_ENABLED=0: static, for any Linux. The tag leaves out
	// what cli would make documents with; ours are made by config.
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=true", "-tags=urfave_cli_no_docs", "-ldflags=-s -w -buildid=", "-o", program, ".")
	cmd.Dir = r.root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, "GOAMD64=v1", "GOARM64=v8.0", "GOFLAGS=-mod=readonly", "GOTOOLCHAIN="+runtime.Version())
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go build: %w", err)
	}
	if err := r.writeBill(program, arch); err != nil {
		return err
	}
	if err := r.writeManual(stage); err != nil {
		return err
	}
	if err := r.archive(stage, arch); err != nil {
		return err
	}
	return r.packages(ctx, stage, arch)
}

func (r release) name(arch string) string {
	return "synupkeep-" + strings.ReplaceAll(r.version, "~", "-") + "-linux-" + arch
}
