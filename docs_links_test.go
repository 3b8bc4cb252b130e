package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// documents are all that is written for people.
func documents(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob("docs/*.md")
	if err != nil || len(found) < 10 {
		t.Fatal(found, err)
	}
	return append(found, "README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")
}

// TestEveryLinkInTheDocsLeadsSomewhere follows the links between documents, to files and to headings.
func TestEveryLinkInTheDocsLeadsSomewhere(t *testing.T) {
	links := 0
	for _, document := range documents(t) {
		for _, link := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(withoutCode(read(t, document)), -1) {
			target, anchor, _ := strings.Cut(link[1], "#")
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			links++
			path := document
			if target != "" {
				path = filepath.Join(filepath.Dir(document), target)
			}
			info, err := os.Stat(path)
			if err != nil {
				t.Errorf("%s: %v", document, err)
				continue
			}
			if anchor != "" && (info.IsDir() || !slices.Contains(anchors(read(t, path)), anchor)) {
				t.Errorf("%s: %s has no heading #%s", document, path, anchor)
			}
		}
	}
	if links < 50 {
		t.Errorf("%d links: are they found?", links)
	}
}

// TestEveryDocumentIsLinkedFromTheREADME: what nothing leads to, nobody reads.
func TestEveryDocumentIsLinkedFromTheREADME(t *testing.T) {
	readme := read(t, "README.md")
	for _, document := range documents(t) {
		if document != "README.md" && !strings.Contains(readme, "]("+document) {
			t.Errorf("the README does not lead to %s", document)
		}
	}
}

func withoutCode(text string) string {
	text = regexp.MustCompile("(?ms)^ *```.*?^ *```").ReplaceAllString(text, "")
	return regexp.MustCompile("`[^`\n]*`").ReplaceAllString(text, "")
}

// anchors are those that GitHub and GitLab give to headings.
func anchors(text string) (found []string) {
	text = regexp.MustCompile("(?ms)^ *```.*?^ *```").ReplaceAllString(text, "")
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		plain := regexp.MustCompile(`\]\([^)]*\)`).ReplaceAllString(heading[1], "")
		plain = regexp.MustCompile(`[^\pL\pN _-]`).ReplaceAllString(strings.ToLower(plain), "")
		found = append(found, strings.ReplaceAll(plain, " ", "-"))
	}
	return found
}

// TestAnchorsOfTroubleshootingStay: logs, mails and bookmarks lead to them.
func TestAnchorsOfTroubleshootingStay(t *testing.T) {
	now := anchors(read(t, "docs/troubleshooting.md"))
	snapshots, err := filepath.Glob("testdata/compat/*/troubleshooting.anchors")
	if err != nil || len(snapshots) == 0 {
		t.Fatal(snapshots, err)
	}
	for _, snapshot := range snapshots {
		for _, anchor := range strings.Fields(read(t, snapshot)) {
			if !slices.Contains(now, anchor) {
				t.Errorf("%s: #%s is gone", snapshot, anchor)
			}
		}
	}
}
