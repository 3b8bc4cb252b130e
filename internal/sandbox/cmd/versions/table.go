package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
)

// row is what came of one combination.
type row struct {
	combination
	Packages                int
	Passed, Failed, Skipped int // tests; of subtests only those that were skipped
	Date                    string

	skips    []string // what was skipped and why
	failures []string
	broken   bool // a package failed as a whole
}

// failed is true of a row without a single test, too: nothing was shown then.
func (r row) failed() bool { return r.Failed > 0 || r.broken || r.Passed == 0 }

// event is a line of go test -json.
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
}

// count reads the lines of go test -json. What is no JSON, such as what a test's child wrote, is no event.
func count(r io.Reader) (row, error) {
	var all row
	packages := map[string]bool{}
	last := map[string]string{} // the last thing that a test said
	failed := map[string]bool{} // packages with a test that failed
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, 16<<20)
	for scanner.Scan() {
		var e event
		if json.Unmarshal(scanner.Bytes(), &e) != nil {
			continue
		}
		name := e.Package + "." + e.Test
		top := e.Test != "" && !strings.Contains(e.Test, "/")
		switch e.Action {
		case "output":
			if text := strings.TrimSpace(e.Output); e.Test != "" && text != "" && !strings.HasPrefix(text, "---") && !strings.HasPrefix(text, "===") {
				last[name] = text
			}
		case "skip":
			if e.Test != "" {
				all.Skipped++
				all.skips = append(all.skips, e.skipped(last[name]))
			}
		case "pass":
			if top {
				all.Passed++
			}
			if e.Test == "" {
				packages[e.Package] = true
			}
		case "fail":
			if e.Test == "" {
				packages[e.Package] = true
				if !failed[e.Package] { // a panic, a timeout, a leak that TestMain saw
					all.broken = true
					all.failures = append(all.failures, e.Package+" as a whole")
				}
				continue
			}
			failed[e.Package] = true
			all.failures = append(all.failures, name)
			if top {
				all.Failed++
			}
		case "build-fail":
			all.broken = true
		}
	}
	all.Packages = len(packages)
	slices.Sort(all.skips)
	return all, scanner.Err()
}

// skipped names a test that was skipped, as the documents name tests, and why. What it said last begins with file and line.
func (e event) skipped(text string) string {
	test, sub, _ := strings.Cut(e.Test, "/")
	file, why, found := strings.Cut(text, ": ")
	if !found {
		file, why = "", "no reason given"
	}
	file, _, _ = strings.Cut(file, ":")
	file = path.Join(strings.TrimPrefix(e.Package, "synupkeep/"), file)
	if sub != "" {
		sub = " (" + strings.ReplaceAll(sub, "_", " ") + ")"
	}
	return "`" + file + ": " + test + "`" + sub + ": " + why
}

// line is the row as Markdown.
func (r row) line() string {
	result := "passed"
	if r.failed() {
		result = "**FAILED**"
	}
	return fmt.Sprintf("| %s | %s | %d | %d | %d | %d | %s | %s |",
		r.Synapse, r.Postgres, r.Packages, r.Passed, r.Failed, r.Skipped, result, r.Date)
}

const (
	begin = "<!-- make test-versions writes what follows -->"
	end   = "<!-- until here -->"
	head  = "| Synapse | PostgreSQL | packages | passed | failed | skipped | result | date |\n|---|---|---|---|---|---|---|---|\n"
	// skippedHead begins the list of what was skipped on a release, whatever PostgreSQL it had.
	skippedHead = "Skipped on Synapse "
)

var errNoMarkers = errors.New("the two markers of the table are not there, once and in order")

// rewrite puts the row in the place of the one of the same servers, and leaves all others and all text.
func rewrite(name string, r row) error {
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	after, err := replaced(b, r)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return os.WriteFile(name, after, 0o644)
}

func replaced(doc []byte, r row) ([]byte, error) {
	before, rest, found := bytes.Cut(doc, []byte(begin))
	table, after, closed := bytes.Cut(rest, []byte(end))
	if !found || !closed || bytes.Contains(after, []byte(begin)) || bytes.Contains(after, []byte(end)) {
		return nil, errNoMarkers
	}
	key := fmt.Sprintf("| %s | %s |", r.Synapse, r.Postgres)
	skippedKey := skippedHead + r.Synapse + ":"
	lines, skips := []string{r.line()}, []string{}
	if len(r.skips) > 0 {
		skips = append(skips, skippedKey+" "+strings.Join(r.skips, "; ")+".")
	}
	for line := range strings.Lines(string(table)) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, skippedHead) && !strings.HasPrefix(line, skippedKey):
			skips = append(skips, line)
		case strings.HasPrefix(line, "| ") && !strings.HasPrefix(line, "| Synapse") && !strings.HasPrefix(line, key):
			lines = append(lines, line)
		}
	}
	slices.SortFunc(lines, byVersions)
	slices.SortFunc(skips, bySkippedRelease)
	var b bytes.Buffer
	b.Write(before)
	b.WriteString(begin + "\n\n" + head + strings.Join(lines, "\n") + "\n\n")
	for _, s := range skips {
		b.WriteString(s + "\n\n")
	}
	b.WriteString(end)
	b.Write(after)
	return b.Bytes(), nil
}

// byVersions orders rows by Synapse, then by PostgreSQL, the newest first.
func byVersions(a, b string) int { return slices.Compare(numbers(b), numbers(a)) }

// numbers are those of the first two cells.
func numbers(line string) []int {
	var ns []int
	cells := strings.SplitN(line, "|", 4)
	for _, part := range strings.FieldsFunc(strings.Join(cells[1:min(3, len(cells))], "."), func(r rune) bool { return r == '.' || r == ' ' }) {
		n, _ := strconv.Atoi(part)
		ns = append(ns, n)
	}
	return ns
}

// bySkippedRelease orders the lists of what was skipped by their release, the oldest first.
func bySkippedRelease(a, b string) int {
	release := func(line string) []int {
		name, _, _ := strings.Cut(strings.TrimPrefix(line, skippedHead), ":")
		return numbers("|" + name)
	}
	return slices.Compare(release(a), release(b))
}
