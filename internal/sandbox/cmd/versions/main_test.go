package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestTheMatrixIsEveryReleaseAndEveryMajorButWhatAllTestsRunOn(t *testing.T) {
	want := []combination{
		{"1.98.0", "18"},
		{"1.124.0", "18"},
		{"1.130.0", "18"},
		{"1.163.2", "16"},
		{"1.98.0", "16"},
		{"1.163.2", "15"},
		{"1.98.0", "15"},
	}
	if diff := cmp.Diff(want, matrix()); diff != "" {
		t.Error(diff)
	}
}

func TestUnknownCombinationsAreRefused(t *testing.T) {
	for only, want := range map[string]int{"": 7, "1.98.0/16": 1, "1.98.0/16,1.163.2/18": 2, "1.98.0": 0, "1.97.0/18": 0, "1.98.0/9": 0, ",": 0} {
		got, err := chosen(only)
		if (err == nil) != (want > 0) || len(got) != want {
			t.Errorf("%q: %v, %v", only, got, err)
		}
	}
}

func TestPackagesThatUseAServerAreFound(t *testing.T) {
	got, err := usersOfAServer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// go list ./... sees what lies below this package, which is nothing.
	if len(got) != 0 {
		t.Errorf("%v", got)
	}
	t.Chdir(filepath.Join("..", "..", "..", ".."))
	if got, err = usersOfAServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	all := " " + strings.Join(got, " ") + " "
	for path, uses := range map[string]bool{
		"synupkeep": true, "synupkeep/pipeline": true, "synupkeep/stages": true, "synupkeep/sources": true,
		"synupkeep/internal/sandbox": true, "synupkeep/internal/synapse": true, "synupkeep/internal/postgres": true,
		"synupkeep/config": false, "synupkeep/internal/flow": false, "synupkeep/internal/sandbox/cmd/versions": false,
	} {
		if strings.Contains(all, " "+path+" ") != uses {
			t.Errorf("%s: want %t in %v", path, uses, got)
		}
	}
}

const said = `{"Action":"start","Package":"p"}
not JSON
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"pass","Package":"p","Test":"TestA/one"}
{"Action":"output","Package":"p","Test":"TestA/two","Output":"    a_test.go:12: needs Synapse 1.115.0: no table: none\n"}
{"Action":"output","Package":"p","Test":"TestA/two","Output":"--- SKIP: TestA/two (0.00s)\n"}
{"Action":"skip","Package":"p","Test":"TestA/two"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"skip","Package":"p","Test":"TestB"}
{"Action":"pass","Package":"p"}
{"Action":"skip","Package":"without tests"}
`

func TestResultsAreCounted(t *testing.T) {
	passed := row{Packages: 1, Passed: 1, Skipped: 2, skips: []string{"`p/a_test.go: TestA` (two): needs Synapse 1.115.0: no table: none", "`p: TestB`: no reason given"}}
	for name, test := range map[string]struct {
		text   string
		want   row
		failed bool
	}{
		"passed":      {said, passed, false},
		"nothing ran": {"", row{}, true},
		"a subtest failed": {`{"Action":"fail","Package":"q","Test":"TestC/x"}
{"Action":"fail","Package":"q","Test":"TestC"}
{"Action":"pass","Package":"q","Test":"TestD"}
{"Action":"fail","Package":"q"}`, row{Packages: 1, Passed: 1, Failed: 1, failures: []string{"q.TestC/x", "q.TestC"}}, true},
		"a package failed after its tests": {`{"Action":"pass","Package":"q","Test":"TestD"}
{"Action":"fail","Package":"q"}`, row{Packages: 1, Passed: 1, broken: true, failures: []string{"q as a whole"}}, true},
		"a package does not compile": {`{"Action":"pass","Package":"q","Test":"TestD"}
{"Action":"pass","Package":"q"}
{"ImportPath":"r","Action":"build-fail"}`, row{Packages: 1, Passed: 1, broken: true}, true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := count(strings.NewReader(test.text))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(row{}), cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
			if got.failed() != test.failed || strings.Contains(got.line(), "FAILED") != test.failed {
				t.Errorf("failed: %t, %s", got.failed(), got.line())
			}
		})
	}
}

func TestTheTableKeepsWhatWasNotRunAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "compatibility.md")
	if err := os.WriteFile(path, []byte("# Before\n\n"+begin+"\nold\n"+end+"\n\nafter | as it was\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	write := func(release, major string, passed, failed int, skips ...string) {
		t.Helper()
		r := row{combination: combination{release, major}, Packages: 2, Passed: passed, Failed: failed, Skipped: len(skips), skips: skips, Date: "2026-11-22"}
		if err := rewrite(path, r); err != nil {
			t.Fatal(err)
		}
	}
	write("1.98.0", "16", 5, 0, "TestA: no table")
	write("1.163.2", "16", 6, 0)
	write("1.98.0", "18", 5, 0, "TestA: no table", "TestB: none")
	write("1.124.0", "18", 4, 1, "TestC: no other")
	write("1.98.0", "16", 4, 1, "TestA: no table either")
	want := "# Before\n\n" + begin + "\n\n" + head + `| 1.163.2 | 16 | 2 | 6 | 0 | 0 | passed | 2026-11-22 |
| 1.124.0 | 18 | 2 | 4 | 1 | 1 | **FAILED** | 2026-11-22 |
| 1.98.0 | 18 | 2 | 5 | 0 | 2 | passed | 2026-11-22 |
| 1.98.0 | 16 | 2 | 4 | 1 | 1 | **FAILED** | 2026-11-22 |

Skipped on Synapse 1.98.0: TestA: no table either.

Skipped on Synapse 1.124.0: TestC: no other.

` + end + "\n\nafter | as it was\n"
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
}

func TestADocumentWithoutItsMarkersStaysAsItIs(t *testing.T) {
	for _, text := range []string{"", begin, end, end + begin, begin + end + end, begin + end + begin} {
		if b, err := replaced([]byte(text), row{}); err == nil {
			t.Errorf("%q became %q", text, b)
		}
	}
}

func TestAWrongCombinationRunsNothing(t *testing.T) {
	if err := run(t.Context(), []string{"-only", "1.52.0/18"}, io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), "1.98.0") {
		t.Error(err)
	}
}
