package config

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"synupkeep/internal/item"
)

// Whoever installs a newer minor version changes nothing: what a release understood and wrote, the next one does as well.
// A directory of testdata/compat holds what that was, for each release since. CONTRIBUTING.md says when one is added.

const compatDir = "../testdata/compat"

// snapshotEnv names a release whose commands are written down anew in place of being compared.
const snapshotEnv = "SYNUPKEEP_TEST_SNAPSHOT"

// interfaceOf is the command line of a release.
type interfaceOf struct {
	Commands  []Command                `json:"commands"`
	Flags     map[string]interfaceFlag `json:"flags"`
	ExitCodes map[item.Cause]int       `json:"exit_codes,omitempty"`
}

type interfaceFlag struct {
	Alias     string    `json:"alias,omitempty"`
	Kind      string    `json:"kind"`
	Default   string    `json:"default,omitempty"`
	Variables []string  `json:"variables"`
	Commands  []Command `json:"commands"`
	// Accepted are values that mean something, written by hand: they stay accepted.
	Accepted []string `json:"accepted,omitempty"`
}

func kindName(kind flagKind) string {
	return map[flagKind]string{single: "value", repeated: "values", truth: "true or false"}[kind]
}

func interfaceNow() interfaceOf {
	now := interfaceOf{Flags: map[string]interfaceFlag{}, ExitCodes: map[item.Cause]int{}}
	for _, c := range commands() {
		now.Commands = append(now.Commands, c.command)
	}
	for _, f := range flagSpecs() {
		known := now.Flags[f.name] // one table may give a flag to different commands
		now.Flags[f.name] = interfaceFlag{
			Alias: f.alias, Kind: kindName(f.kind), Default: f.fallback, Variables: f.variables(),
			Commands: slices.Compact(slices.Sorted(slices.Values(append(known.Commands, f.commands...)))),
		}
	}
	for _, cause := range item.Causes() {
		now.ExitCodes[cause] = item.ExitCode([]item.Cause{cause})
	}
	return now
}

func TestNothingThatAReleaseUnderstoodIsLost(t *testing.T) {
	releases, err := filepath.Glob(compatDir + "/*/interface.json")
	if err != nil || len(releases) < 2 {
		t.Fatal(releases, err)
	}
	for _, path := range releases {
		t.Run(filepath.Base(filepath.Dir(path)), func(t *testing.T) {
			then := readInterface(t, path)
			if release := os.Getenv(snapshotEnv); release != "" && filepath.Base(filepath.Dir(path)) == release {
				writeInterface(t, path, then)
				return
			}
			for _, lost := range lostSince(then, interfaceNow()) {
				t.Error(lost)
			}
			for name, flag := range then.Flags {
				for _, value := range flag.Accepted {
					stillAccepted(t, name, value, flag.Commands)
				}
			}
		})
	}
}

// lostSince lists what was understood then, and is not or not in the same way now.
func lostSince(then, now interfaceOf) (lost []string) {
	for _, c := range then.Commands {
		if !slices.Contains(now.Commands, c) {
			lost = append(lost, "the command "+string(c)+" is gone")
		}
	}
	for name, was := range then.Flags {
		is, there := now.Flags[name]
		if !there {
			lost = append(lost, "--"+name+" is gone")
			continue
		}
		if is.Alias != was.Alias || is.Kind != was.Kind || is.Default != was.Default {
			lost = append(lost, "--"+name+" is another one: "+cmp.Diff(was, is))
		}
		for _, variable := range was.Variables {
			if !slices.Contains(is.Variables, variable) {
				lost = append(lost, "--"+name+" no longer reads "+variable)
			}
		}
		for _, c := range was.Commands {
			if !slices.Contains(is.Commands, c) {
				lost = append(lost, string(c)+" no longer takes --"+name)
			}
		}
	}
	for cause, code := range then.ExitCodes {
		if is, there := now.ExitCodes[cause]; !there || is != code {
			lost = append(lost, "the exit code of "+string(cause)+" is another one")
		}
	}
	return lost
}

func stillAccepted(t *testing.T, name, value string, commands []Command) {
	t.Helper()
	command := commands[0]
	if slices.Contains(commands, CommandRun) {
		command = CommandRun
	}
	env := map[string]string{"SYNUPKEEP_POSTGRES": conn, tokenVariable: token}
	args := []string{string(command), "--" + name + "=" + value}
	switch {
	case command == CommandToken:
		args = append(args, "--token-file=token")
	case name != "before":
		env["SYNUPKEEP_DELTA"] = "30d"
	}
	if command == CommandRepair {
		args = append(args, repairable)
	}
	if _, _, err := Parse(input(env, args...)); err != nil {
		t.Errorf("%q is refused: %v", args, err)
	}
}

// TestTheDefaultsAreThoseThatTheHelpNames gives each flag its default: nothing may change by that.
func TestTheDefaultsAreThoseThatTheHelpNames(t *testing.T) {
	env := map[string]string{"SYNUPKEEP_POSTGRES": conn, tokenVariable: token, "SYNUPKEEP_DELTA": "30d"}
	for _, f := range flagSpecs() {
		if f.fallback == "" {
			continue
		}
		command := f.commands[0]
		without := mustParse(t, env, string(command))
		with := mustParse(t, env, string(command), "--"+f.name+"="+f.fallback)
		without.origins, with.origins = nil, nil
		if diff := cmp.Diff(plainly(without), plainly(with)); diff != "" {
			t.Errorf("the default of --%s is not %s:\n%s", f.name, f.fallback, diff)
		}
	}
}

// plainly is a configuration as text: that of a schedule has functions in it.
func plainly(cfg *Config) string {
	text, err := json.MarshalIndent(cfg, "", " ")
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// TestWhatALostFlagLooksLike: the comparison finds each kind of change.
func TestWhatALostFlagLooksLike(t *testing.T) {
	change := map[string]func(now *interfaceOf){
		"the command plan is gone":        func(now *interfaceOf) { now.Commands = []Command{CommandRun} },
		"--delta is gone":                 func(now *interfaceOf) { delete(now.Flags, "delta") },
		"--top is another one":            func(now *interfaceOf) { f := now.Flags["top"]; f.Default = "20"; now.Flags["top"] = f },
		"--quiet is another one":          func(now *interfaceOf) { f := now.Flags["quiet"]; f.Kind = "value"; now.Flags["quiet"] = f },
		"no longer reads SYNUPKEEP_DELTA": func(now *interfaceOf) { f := now.Flags["delta"]; f.Variables = nil; now.Flags["delta"] = f },
		"plan no longer takes --delta": func(now *interfaceOf) {
			f := now.Flags["delta"]
			f.Commands = []Command{CommandRun}
			now.Flags["delta"] = f
		},
		"the exit code of locked is other": func(now *interfaceOf) { now.ExitCodes[item.CauseLocked] = 99 },
	}
	for want, make := range change {
		now := interfaceNow()
		make(&now)
		want = strings.TrimSuffix(want, " other")
		if lost := lostSince(interfaceNow(), now); !slices.ContainsFunc(lost, func(l string) bool { return strings.Contains(l, want) }) {
			t.Errorf("%s is not seen: %q", want, lost)
		}
	}
	more := interfaceNow()
	more.Flags["new"] = interfaceFlag{}
	more.Commands = append(more.Commands, "explain")
	if lost := lostSince(interfaceNow(), more); len(lost) > 0 {
		t.Errorf("what is new counts as lost: %q", lost)
	}
}

func readInterface(t *testing.T, path string) (found interfaceOf) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(content, &found); err != nil {
		t.Fatal(path, err)
	}
	return found
}

// writeInterface writes down what there is now, with the values that were accepted.
func writeInterface(t *testing.T, path string, then interfaceOf) {
	t.Helper()
	now := interfaceNow()
	for name, flag := range now.Flags {
		flag.Accepted = then.Flags[name].Accepted
		now.Flags[name] = flag
	}
	text, err := json.MarshalIndent(now, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(text, '\n'), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s is written", path)
}
