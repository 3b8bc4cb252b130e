// Command versions runs the tests that use a server on other releases of Synapse and PostgreSQL than the newest, prints
// what came of it and writes the table into docs/compatibility.md.
package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"synupkeep/internal/sandbox"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "versions:", err)
		os.Exit(1)
	}
}

var errFailed = errors.New("not every combination passed")

func run(ctx context.Context, args []string, out, log io.Writer) error {
	flags := flag.NewFlagSet("versions", flag.ContinueOnError)
	only := flags.String("only", "", "combinations such as `1.98.0/18,1.163.2/16`; empty means all")
	packages := flags.String("packages", "", "`patterns` with commas; empty means every package whose tests use a server")
	doc := flags.String("doc", filepath.Join("docs", "compatibility.md"), "`file` with the table; empty means none")
	logs := flags.String("logs", filepath.Join(os.TempDir(), "synupkeep-versions"), "`directory` for what the tests said")
	if err := flags.Parse(args); err != nil {
		return err
	}
	combinations, err := chosen(*only)
	if err != nil {
		return err
	}
	patterns := strings.Split(*packages, ",")
	if *packages == "" {
		if patterns, err = usersOfAServer(ctx); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(*logs, 0o700); err != nil {
		return err
	}
	failed := false
	for _, c := range combinations {
		_, _ = fmt.Fprintf(log, "versions: Synapse %s on PostgreSQL %s, %d packages\n", c.Synapse, c.Postgres, len(patterns))
		row, err := test(ctx, c, patterns, *logs, log)
		if err != nil {
			return err
		}
		failed = failed || row.failed()
		_, _ = fmt.Fprintln(out, row.line())
		if *doc == "" {
			continue
		}
		// After each, so that what has run is not lost with what has not.
		if err := rewrite(*doc, row); err != nil {
			return err
		}
	}
	if failed {
		return errFailed
	}
	return nil
}

// combination is a pair of servers.
type combination struct{ Synapse, Postgres string }

// matrix is every release on the newest PostgreSQL, and the newest and the oldest release on the other majors; without
// the newest on the newest, which every test run is on.
func matrix() []combination {
	releases, majors := sandbox.Releases(), sandbox.PostgresMajors()
	oldest, newest := releases[0], releases[len(releases)-1]
	var all []combination
	for _, release := range releases[:len(releases)-1] {
		all = append(all, combination{release, majors[0]})
	}
	for _, major := range majors[1:] {
		all = append(all, combination{newest, major}, combination{oldest, major})
	}
	return all
}

// chosen reads -only; the newest on the newest, which is not of the matrix, can be named, too.
func chosen(only string) ([]combination, error) {
	if only == "" {
		return matrix(), nil
	}
	var all []combination
	for pair := range strings.SplitSeq(only, ",") {
		release, major, _ := strings.Cut(pair, "/")
		c := combination{release, major}
		if !slices.Contains(sandbox.Releases(), release) || !slices.Contains(sandbox.PostgresMajors(), major) {
			return nil, fmt.Errorf("no combination %q: want one of %s before a slash and one of %s behind it",
				pair, strings.Join(sandbox.Releases(), ", "), strings.Join(sandbox.PostgresMajors(), ", "))
		}
		all = append(all, c)
	}
	return all, nil
}

// usersOfAServer lists the packages whose tests import the sandbox, or what stands on it.
func usersOfAServer(ctx context.Context) ([]string, error) {
	const format = `{{.ImportPath}}{{range .TestImports}} {{.}}{{end}}{{range .XTestImports}} {{.}}{{end}}`
	out, err := exec.CommandContext(ctx, "go", "list", "-f", format, "./...").Output()
	if err != nil {
		return nil, fmt.Errorf("list the packages: %w", err)
	}
	var users []string
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		uses := slices.ContainsFunc(fields[1:], func(path string) bool {
			return strings.HasPrefix(path, "synupkeep/internal/sandbox") || strings.HasPrefix(path, "synupkeep/proof/")
		})
		// The commands of the sandbox and its own tests of installing are the same everywhere, but start servers, too.
		if uses || fields[0] == "synupkeep/internal/sandbox" {
			users = append(users, fields[0])
		}
	}
	return slices.DeleteFunc(users, func(path string) bool { return path == "synupkeep/internal/sandbox/cmd/versions" }), nil
}

// test runs the packages on one combination.
func test(ctx context.Context, c combination, packages []string, logs string, progress io.Writer) (row, error) {
	// Of what a server has stored, nothing of another run is to be used: -count=1.
	args := append([]string{"test", "-json", "-count=1", "-shuffle=on", "-timeout=60m"}, packages...)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = time.Minute
	cmd.Env = append(os.Environ(), "SYNUPKEEP_SANDBOX_SYNAPSE="+c.Synapse, "SYNUPKEEP_SANDBOX_POSTGRES="+c.Postgres)
	name := filepath.Join(logs, c.Synapse+"-on-"+c.Postgres)
	var said, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &errs
	ended := cmd.Run()
	if err := errors.Join(os.WriteFile(name+".json", said.Bytes(), 0o600), os.WriteFile(name+".err", errs.Bytes(), 0o600)); err != nil {
		return row{}, err
	}
	if ctx.Err() != nil {
		return row{}, ctx.Err()
	}
	r, err := count(&said)
	if err != nil {
		return row{}, fmt.Errorf("%s.json: %w", name, err)
	}
	r.combination, r.Date = c, time.Now().UTC().Format(time.DateOnly)
	r.broken = r.broken || ended != nil && r.Failed == 0 // such as a package that does not compile
	for _, f := range r.failures {
		_, _ = fmt.Fprintln(progress, "versions: failed:", f)
	}
	if r.failed() {
		_, _ = fmt.Fprintf(progress, "versions: what was said is in %s.json and .err (%v)\n", name, cmp.Or(ended, errFailed))
	}
	return r, nil
}
