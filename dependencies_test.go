package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type module struct {
	Path, Dir string
	Main      bool
	Indirect  bool
}

// modulesOf asks go list for the modules of packages, or for all that go.mod requires.
func modulesOf(t *testing.T, args ...string) map[string]module {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list", "-json=Module"}, args...)...)
	if args[0] == "-m" {
		cmd.Args = append([]string{"go", "list", "-json"}, args...)
	}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v", cmd.Args, err)
	}
	all := map[string]module{}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var m struct {
			module
			Module *module
		}
		if err := d.Decode(&m); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		if m.Module != nil {
			m.module = *m.Module
		}
		if m.Path != "" && !m.Main {
			all[m.Path] = m.module
		}
	}
}

// TestEveryDependencyHasAReason: docs/dependencies.md names what go.mod requires, in the program and in its tests.
func TestEveryDependencyHasAReason(t *testing.T) {
	text, err := os.ReadFile("docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	program := modulesOf(t, "-deps", ".")
	inProgram, inTests := []string{}, []string{}
	for path, m := range modulesOf(t, "-m", "all") {
		if m.Indirect {
			continue
		}
		if _, linked := program[path]; linked {
			inProgram = append(inProgram, path)
		} else {
			inTests = append(inTests, path)
		}
	}
	first, second, found := strings.Cut(string(text), "## In its tests and tools alone")
	if !found {
		t.Fatal("the headings are others")
	}
	row := regexp.MustCompile(`(?m)^\| (.*) \| (\S.*\S) \|$`)
	link := regexp.MustCompile(`\[([^\]]+)\]\(https://[^)]+\)`)
	for name, list := range map[string]struct {
		text string
		want []string
	}{"the program": {first, inProgram}, "its tests": {second, inTests}} {
		var got []string
		for _, cells := range row.FindAllStringSubmatch(list.text, -1) {
			for _, m := range link.FindAllStringSubmatch(cells[1], -1) {
				got = append(got, m[1])
			}
		}
		slices.Sort(list.want)
		slices.Sort(got)
		if diff := cmp.Diff(list.want, got); diff != "" {
			t.Errorf("%s (- has no reason, + is not required any more):\n%s", name, diff)
		}
	}
}

// licences are texts by which a licence is known; all of them let what is under them become part of a program under the AGPL.
func licences() map[string]*regexp.Regexp {
	return map[string]*regexp.Regexp{
		"MIT":        regexp.MustCompile(`(?s)Permission is hereby granted, free of charge.*without restriction.*THE SOFTWARE IS PROVIDED "AS IS"`),
		"BSD":        regexp.MustCompile(`(?s)Redistribution and use in source and binary forms.*THIS SOFTWARE IS PROVIDED BY`),
		"Apache-2.0": regexp.MustCompile(`(?s)Apache License\s+Version 2\.0, January 2004`),
		"ISC":        regexp.MustCompile(`(?s)Permission to use, copy, modify, and(/or)? distribute this software for any purpose`),
		"MPL-2.0":    regexp.MustCompile(`Mozilla Public License,? [Vv]ersion 2\.0`),
	}
}

func licenceOf(dir string) (name string, err error) {
	found, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		return "", err
	}
	isLicence := regexp.MustCompile(`(?i)^(licen[cs]e|copying)([-.].*)?$`)
	var texts []string
	for _, path := range found {
		if !isLicence.MatchString(filepath.Base(path)) {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		texts = append(texts, string(text))
	}
	var names []string
	for name, text := range licences() {
		if slices.ContainsFunc(texts, text.MatchString) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return "", fmt.Errorf("none of %v is in its %d licence files", slices.Sorted(maps.Keys(licences())), len(texts))
	}
	slices.Sort(names)
	return strings.Join(names, " and "), nil
}

// TestEveryLicenceLetsUsPublish looks at each module that becomes part of the program.
func TestEveryLicenceLetsUsPublish(t *testing.T) {
	linked := modulesOf(t, "-deps", ".")
	if len(linked) < 15 {
		t.Fatalf("only %d modules", len(linked))
	}
	for path, m := range linked {
		name, err := licenceOf(m.Dir)
		if err != nil {
			t.Errorf("%s: %v", path, err)
		}
		t.Logf("%s: %s", path, name)
	}
	if name, err := licenceOf("."); err == nil {
		t.Errorf("our own licence passes for %s", name)
	}
}
