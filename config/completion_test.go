package config

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// completedBy has bash itself complete the last of some words.
func completedBy(t *testing.T, words ...string) []string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "synupkeep")
	if err := os.WriteFile(path, []byte(completion("bash")), 0o600); err != nil {
		t.Fatal(err)
	}
	script := `source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _synupkeep; printf '%s\n' "${COMPREPLY[@]}"`
	cmd := exec.CommandContext(t.Context(), "bash", append([]string{"-euc", script, "bash", path, "synupkeep"}, words...)...)
	cmd.Dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(cmd.Dir, "token.txt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v\n%s", words, err, out)
	}
	return strings.Fields(string(out))
}

func TestBashCompletesWhatIsTyped(t *testing.T) {
	for _, test := range []struct {
		words []string
		want  []string
	}{
		{[]string{"pl"}, []string{"plan"}},
		{[]string{"re"}, []string{"repair"}},
		{[]string{"repair", ""}, []string{"rooms"}},
		{[]string{"help", "us"}, []string{"usage"}},
		{[]string{"completion", ""}, []string{"bash", "zsh", "fish"}},
		{[]string{"run", "--max-r"}, []string{"--max-rooms"}},
		{[]string{"--max-r"}, []string{"--max-rooms"}},                    // the form of 1.0.0 is run
		{[]string{"usage", "--max-r"}, nil},                               // no flag of usage
		{[]string{"--json", "repair", "rooms", "--y"}, []string{"--yes"}}, // flags may stand before the command
		{[]string{"run", "--only", "h"}, []string{"history"}},
		{[]string{"run", "--only", "=", "h"}, []string{"history"}}, // --only=h, as bash takes it apart
		{[]string{"run", "--only", "="}, []string{"history", "local-media", "remote-media", "previews"}},
		{[]string{"plan", "-l", "W"}, []string{"WARNING"}},
		{[]string{"run", "--token-file", "tok"}, []string{"token.txt"}},
		{[]string{"run", "--room", ""}, nil},
		{[]string{"version", "--"}, []string{"--json", "--help"}},
	} {
		got := completedBy(t, test.words...)
		if test.words[len(test.words)-1] == "=" { // other flows may come
			got = slices.DeleteFunc(got, func(word string) bool { return !slices.Contains(test.want, word) })
		}
		if diff := cmp.Diff(test.want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%q (-want +got):\n%s", test.words, diff)
		}
	}
}

// TestEveryShellKnowsEveryCommandAndFlag, each flag for the commands that take it.
func TestEveryShellKnowsEveryCommandAndFlag(t *testing.T) {
	for _, spec := range commands() {
		given := completedBy(t, string(spec.command), "--")
		want := []string{"--help"}
		for _, f := range spec.flags {
			want = append(want, "--"+f.name)
		}
		if diff := cmp.Diff(slices.Sorted(slices.Values(want)), slices.Sorted(slices.Values(given))); diff != "" {
			t.Errorf("bash, %s (-want +got):\n%s", spec.command, diff)
		}
		_, after, _ := strings.Cut(completion("zsh"), "\t\t"+string(spec.command)+")\n")
		ofCommand, _, _ := strings.Cut(after, "\t\t\t;;\n")
		for _, f := range spec.flags {
			if !strings.Contains(ofCommand, "'--"+f.name+"[") && !strings.Contains(ofCommand, "--"+f.name+"=[") {
				t.Errorf("zsh, %s: no --%s in %s", spec.command, f.name, ofCommand)
			}
		}
		if !strings.Contains(completion("fish"), "-a "+string(spec.command)+" -d '") {
			t.Errorf("fish: no %s", spec.command)
		}
	}
	for _, f := range flagSpecs() {
		if !strings.Contains(completion("fish"), " -l "+f.name+" ") {
			t.Errorf("fish: no --%s", f.name)
		}
	}
}

// TestWhatCompletesIsAccepted: a value that is offered is one that the program takes.
func TestWhatCompletesIsAccepted(t *testing.T) {
	for _, f := range flagSpecs() {
		for _, word := range f.words() {
			args := []string{string(f.commands[0]), "--" + f.name + "=" + word}
			if f.name != "delta" {
				args = append(args, "--delta=30d")
			}
			in := input(map[string]string{"SYNUPKEEP_POSTGRES": "host=db", "SYNUPKEEP_SYNAPSE_AUTH_TOKEN": "syt_x"}, args...)
			if _, _, err := Parse(in); err != nil && (word != "api" || !strings.Contains(err.Error(), "previews")) {
				t.Errorf("%q: %v", args, err)
			}
		}
	}
}

// TestTheShellsThemselvesReadTheScripts, those that are here: bash always is.
func TestTheShellsThemselvesReadTheScripts(t *testing.T) {
	for _, shell := range shells() {
		program, err := exec.LookPath(shell)
		if err != nil && shell != "bash" {
			t.Logf("%s is not here to read its script", shell)
			continue
		}
		path := filepath.Join(t.TempDir(), "script")
		if err := os.WriteFile(path, []byte(completion(shell)), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.CommandContext(t.Context(), program, "-n", path).CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s -n: %v\n%s", shell, err, out)
		}
	}
}
