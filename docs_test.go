package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"synupkeep/internal/item"
)

// TestEveryTestThatTheDocsNameExists reads every document. A promise whose test was renamed or removed is no longer shown by
// anything.
func TestEveryTestThatTheDocsNameExists(t *testing.T) {
	documents, err := filepath.Glob("docs/*.md")
	if err != nil || len(documents) < 3 {
		t.Fatal(documents, err)
	}
	for _, document := range documents {
		t.Run(filepath.Base(document), func(t *testing.T) {
			content, err := os.ReadFile(document)
			if err != nil {
				t.Fatal(err)
			}
			testsExist(t, string(content))
		})
	}
}

func testsExist(t *testing.T, text string) {
	t.Helper()
	named := map[string]bool{}
	for _, span := range regexp.MustCompile("`([a-z_/]+_test\\.go): ([^`]+)`").FindAllStringSubmatch(text, -1) {
		source, err := os.ReadFile(span[1])
		if err != nil {
			t.Error(err)
			continue
		}
		for name := range strings.SplitSeq(span[2], ", ") {
			named[name] = true
			if !regexp.MustCompile(`(?m)^func ` + name + `\(`).Match(source) {
				t.Errorf("%s has no %s", span[1], name)
			}
		}
	}
	for _, name := range regexp.MustCompile(`\b(Test|Fuzz)[A-Z]\w*`).FindAllString(text, -1) {
		if !named[name] {
			t.Errorf("%s is named without its file, as `file_test.go: %s`", name, name)
		}
	}
	for _, name := range regexp.MustCompile(`testdata/[\w/.]+\.txtar`).FindAllString(text, -1) {
		if _, err := os.Stat(name); err != nil {
			t.Error(err)
		}
	}
}

// TestEveryAttackHasATest: what is said of an attack is shown by something.
func TestEveryAttackHasATest(t *testing.T) {
	content, err := os.ReadFile("docs/attacks.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for line := range strings.SplitSeq(string(content), "\n") {
		if !strings.HasPrefix(line, "| ") || strings.HasSuffix(line, "| test |") {
			continue
		}
		if rows++; !strings.Contains(line, "_test.go: ") {
			t.Errorf("no test shows: %s", line)
		}
	}
	if rows < 30 {
		t.Errorf("%d attacks", rows)
	}
}

func TestEveryPromiseGuardAndReasonHasATest(t *testing.T) {
	content, err := os.ReadFile("docs/safety.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(content)
	promises := regexp.MustCompile(`(?m)^### \d+\. `).Split(strings.Split(text, "\n## What protects media")[0], -1)
	if len(promises) != 15 {
		t.Errorf("%d promises, want 14", len(promises)-1)
	}
	for _, promise := range promises[1:] {
		if !strings.Contains(promise, "_test.go: ") {
			t.Errorf("no test shows: %s", promise)
		}
	}
	for line := range strings.SplitSeq(text, "\n") {
		row := strings.HasPrefix(line, "| ") && !strings.HasPrefix(line, "| reason |") && !strings.HasPrefix(line, "| guard |")
		if row && !strings.Contains(line, "_test.go: ") {
			t.Errorf("no test shows: %s", line)
		}
	}
	for _, why := range []item.Reason{
		item.Avatar, item.Profile, item.AccountData, item.Invite, item.DelayedEvent, item.Pinned, item.Reported, item.Event,
		item.Quarantined, item.Protected, item.Uploading, item.Admin, item.OriginDown,
	} {
		if !strings.Contains(text, "`"+string(why)+"`") {
			t.Errorf("the reason %q is not explained", why)
		}
	}
}
