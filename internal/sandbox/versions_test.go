package sandbox

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// chosen is what a sandbox of this test binary runs.
func chosen(t *testing.T) versions {
	t.Helper()
	v, err := Options{}.choose()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestRequirementsAreHashedAndNameNoRegistry(t *testing.T) {
	files, err := requirements.ReadDir("requirements")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != len(Releases())+1 { // PostgreSQL 15 has one
		t.Errorf("%d lists", len(files))
	}
	for _, file := range files {
		list := listOf(t, strings.TrimSuffix(file.Name(), ".txt"))
		if bytes.Contains(list, []byte("://")) || bytes.Contains(list, []byte("--index")) {
			t.Errorf("%s names a registry", file.Name())
		}
		for _, line := range strings.Split(strings.TrimSpace(string(list)), "\n") {
			pin := strings.Contains(line, "==") && strings.HasSuffix(line, ` \`)
			if hash := strings.HasPrefix(line, "    --hash=sha256:"); !pin && !hash {
				t.Errorf("%s: %q is neither a pin that hashes follow nor a hash", file.Name(), line)
			}
		}
	}
	for _, release := range Releases() {
		list := string(listOf(t, "synapse-"+release))
		if !strings.Contains(list, "matrix-synapse=="+release+" \\\n") || strings.Count(list, "==") < 50 {
			t.Errorf("the list of %s is not its", release)
		}
	}
}

func TestVersionsAreChosenByOptionsThenByTheEnvironment(t *testing.T) {
	for name, c := range map[string]struct {
		synapse, postgres string // of the environment
		options           Options
		want              versions
		refused           string
	}{
		"nothing said":            {want: versions{"1.163.2", "18"}},
		"by the environment":      {synapse: "1.98.0", postgres: "16", want: versions{"1.98.0", "16"}},
		"by options":              {options: Options{Synapse: "1.130.0", Postgres: "15"}, want: versions{"1.130.0", "15"}},
		"options come first":      {synapse: "1.98.0", postgres: "16", options: Options{Synapse: "1.130.0", Postgres: "18"}, want: versions{"1.130.0", "18"}},
		"a directory":             {postgres: "/usr/lib/postgresql/15/bin", want: versions{"1.163.2", "/usr/lib/postgresql/15/bin"}},
		"an unknown release":      {synapse: "1.97.0", refused: `no Synapse "1.97.0" here: there are 1.98.0, 1.124.0, 1.130.0, 1.163.2`},
		"no part of a release":    {synapse: "1.98", refused: "there are 1.98.0"},
		"an unknown PostgreSQL":   {postgres: "9", refused: `no PostgreSQL "9" here: there are 18, 16, 15`},
		"a relative directory":    {postgres: "lib/postgresql", refused: "any directory that holds initdb"},
		"unknown in the options":  {options: Options{Synapse: "2.0.0"}, refused: "1.163.2"},
		"nothing outside of them": {synapse: "../../etc", refused: "there are"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(synapseVariable, c.synapse)
			t.Setenv(postgresVariable, c.postgres)
			got, err := c.options.choose()
			if c.refused != "" {
				if err == nil || !strings.Contains(err.Error(), c.refused) {
					t.Fatalf("%+v, %v, want %q", got, err, c.refused)
				}
				return
			}
			if err != nil || got != c.want {
				t.Errorf("%+v, %v, want %+v", got, err, c.want)
			}
		})
	}
}

func TestAnUnknownReleaseStartsNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sandbox")
	t.Setenv("SYNUPKEEP_SANDBOX_CACHE", filepath.Join(t.TempDir(), "cache"))
	s, err := Start(t.Context(), Options{Dir: dir, Synapse: "1.52.0"})
	if err == nil || s != nil || !strings.Contains(err.Error(), "1.98.0, 1.124.0") {
		t.Fatalf("%v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(dir), "*")); len(left) != 0 {
		t.Errorf("it left %v", left)
	}
}

// Neither a virtual environment nor a cluster template serves two versions.
func TestVersionsShareNothing(t *testing.T) {
	py := python{Path: "/usr/bin/python3", Major: 3, Minor: 11, Tag: "cpython"}
	seen := map[string]string{}
	note := func(path, who string) {
		if other, ok := seen[path]; ok {
			t.Errorf("%s and %s have the same %s", who, other, path)
		}
		seen[path] = who
	}
	for _, release := range Releases() {
		env := newEnvironment("/cache", py, listOf(t, "synapse-"+release))
		note(env.dir, release)
		for _, p := range []programs{{"/venv/pginstall18/bin", "18"}, {"/venv/pginstall/bin", "16"}, {"/usr/lib/postgresql/16/bin", "16"}} {
			s := &Server{cache: "/cache", env: env, programs: p}
			note(s.templatePath(), release+" on "+p.bin)
		}
	}
	if again := newEnvironment("/cache", py, listOf(t, "synapse-"+newest())); seen[again.dir] != newest() {
		t.Errorf("the same list makes another environment: %s", again.dir)
	}
}

func TestProgramsOfADirectory(t *testing.T) {
	dir := t.TempDir()
	find := func() (programs, error) { return findPrograms(t.Context(), dir, environment{}, "", nil) }
	if _, err := find(); err == nil || !strings.Contains(err.Error(), "initdb") {
		t.Errorf("an empty directory: %v", err)
	}
	for name, text := range map[string]string{"initdb": "", "postgres": "echo 'postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)'"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	p, err := find()
	if err != nil || p.major != "15" {
		t.Fatalf("%+v, %v", p, err)
	}
	data := t.TempDir()
	for made, refused := range map[string]bool{"15\n": false, "18\n": true} {
		if err := os.WriteFile(filepath.Join(data, "PG_VERSION"), []byte(made), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := p.checkMajor(data); (err != nil) != refused {
			t.Errorf("data of %q: %v", made, err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "postgres"), []byte("#!/bin/sh\necho cockroach\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := find(); err == nil || !strings.Contains(err.Error(), "not understood") {
		t.Errorf("another program: %v", err)
	}
}

func TestReleasesAreOrderedByTheirNumbers(t *testing.T) {
	got := map[string]bool{}
	for _, pair := range [][2]string{{"1.98.0", "1.124.0"}, {"1.124.0", "1.98.0"}, {"1.130.0", "1.130.0"}, {"1.163.2", "1.163.10"}} {
		got[pair[0]+" "+pair[1]] = before(pair[0], pair[1])
	}
	want := map[string]bool{"1.98.0 1.124.0": true, "1.124.0 1.98.0": false, "1.130.0 1.130.0": false, "1.163.2 1.163.10": true}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for i, release := range Releases()[1:] {
		if !before(Releases()[i], release) {
			t.Errorf("%s is not in its place", release)
		}
	}
}

func TestTestsAreSkippedOnOldReleasesOnly(t *testing.T) {
	for _, chosen := range Releases() {
		t.Setenv(synapseVariable, chosen)
		for _, release := range Releases() {
			if lacks, err := lacking(release); err != nil || lacks != before(chosen, release) {
				t.Errorf("on %s a test that needs %s is skipped: %t, %v", chosen, release, lacks, err)
			}
		}
		if _, err := lacking("1.999.0"); err == nil {
			t.Errorf("on %s a test that runs nowhere is accepted", chosen)
		}
	}
	t.Setenv(synapseVariable, "")
	if lacks, err := lacking(newest()); err != nil || lacks {
		t.Errorf("by default a test is skipped: %t, %v", lacks, err)
	}
}
