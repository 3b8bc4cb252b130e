package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// TestJSONOfEarlierReleasesIsStillWritten compares the schemas of every release in testdata/compat with those of now: keys
// and words may come, and none may go or mean something else. config's test does the same for flags and exit codes.
func TestJSONOfEarlierReleasesIsStillWritten(t *testing.T) {
	paths, err := filepath.Glob("testdata/compat/*/*.schema.json")
	if err != nil || len(paths) < 5 {
		t.Fatal(paths, err)
	}
	for _, path := range paths {
		then, now := readSchema(t, path), readSchema(t, filepath.Join("docs", filepath.Base(path)))
		for _, lost := range lostKeys(then, now, "") {
			t.Errorf("%s: %s", path, lost)
		}
	}
}

// lostKeys compares two JSON schemas as far as ours go, for whoever reads what they describe.
func lostKeys(then, now any, at string) (lost []string) {
	was, isObject := then.(map[string]any)
	if !isObject {
		return nil
	}
	is, isObject := now.(map[string]any)
	if !isObject {
		return []string{at + " is gone"}
	}
	for _, key := range []string{"type", "const", "format", "pattern", "minimum", "maximum", "$ref"} {
		if before, there := was[key]; there && !reflect.DeepEqual(before, is[key]) {
			lost = append(lost, fmt.Sprintf("%s: %s was %v, is %v", at, key, before, is[key]))
		}
	}
	for _, key := range []string{"required", "enum"} {
		before, _ := was[key].([]any)
		after, _ := is[key].([]any)
		for _, word := range before {
			if !slices.Contains(after, word) {
				lost = append(lost, fmt.Sprintf("%s: %v is not among %s any more", at, word, key))
			}
		}
	}
	for _, key := range []string{"properties", "$defs"} {
		before, _ := was[key].(map[string]any)
		after, _ := is[key].(map[string]any)
		for name, what := range before {
			lost = append(lost, lostKeys(what, after[name], at+"/"+name)...)
		}
	}
	for _, key := range []string{"items", "additionalProperties", "propertyNames"} {
		lost = append(lost, lostKeys(was[key], is[key], at+"/"+key)...)
	}
	return append(lost, lostKeys(words(was), words(is), at)...)
}

// words joins the enums of an anyOf, which together are the words that there may be.
func words(schema map[string]any) any {
	choices, isList := schema["anyOf"].([]any)
	if !isList {
		return nil
	}
	var all []any
	for _, choice := range choices {
		if c, isObject := choice.(map[string]any); isObject {
			enum, _ := c["enum"].([]any)
			all = append(all, enum...)
			if pattern, there := c["pattern"]; there {
				all = append(all, pattern)
			}
		}
	}
	return map[string]any{"enum": all}
}

func readSchema(t *testing.T, path string) (schema any) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(content, &schema); err != nil {
		t.Fatal(path, err)
	}
	return schema
}

// TestALostKeyIsSeen changes a schema in each way that would hurt somebody.
func TestALostKeyIsSeen(t *testing.T) {
	const schema = `{"type":"object","required":["a","b"],"properties":{"a":{"enum":["x","y"]},"b":{"type":"array","items":{"$ref":"#/$defs/c"}}},
		"$defs":{"c":{"type":"integer","minimum":0},"w":{"anyOf":[{"enum":["p"]},{"enum":["q"]}]}}}`
	parse := func(text string) (found any) {
		if err := json.Unmarshal([]byte(text), &found); err != nil {
			t.Fatal(err)
		}
		return found
	}
	for from, to := range map[string]string{
		`"required":["a","b"]`: `"required":["a"]`, `"a":{"enum"`: `"z":{"enum"`, `["x","y"]`: `["x"]`, `"array"`: `"object"`,
		`#/$defs/c`: `#/$defs/d`, `"minimum":0`: `"minimum":-1`, `"integer"`: `"number"`, `["q"]`: `["r"]`,
	} {
		if lost := lostKeys(parse(schema), parse(strings.Replace(schema, from, to, 1)), ""); len(lost) == 0 {
			t.Errorf("%s in the place of %s is not seen", to, from)
		}
	}
	more := strings.NewReplacer(`"a":{`, `"new":{"type":"string"},"a":{`, `["x","y"]`, `["x","y","z"]`, `["a","b"]`, `["a","b","new"]`).Replace(schema)
	if lost := lostKeys(parse(schema), parse(more), ""); len(lost) > 0 {
		t.Errorf("what is new counts as lost: %q", lost)
	}
}
