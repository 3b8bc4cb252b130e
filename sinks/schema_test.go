package sinks_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"synupkeep/internal/item"
	"synupkeep/sinks"
)

const (
	reportSchema  = "../docs/report.schema.json"
	outcomeSchema = "../docs/outcome.schema.json"
)

// schemaOf compiles a schema; formats such as that of a time are looked at as well.
func schemaOf(t *testing.T, path string) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	s, err := c.Compile(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func valid(s *jsonschema.Schema, text []byte) error {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	return s.Validate(v)
}

func TestEverySummaryIsAsTheSchemaSays(t *testing.T) {
	s := schemaOf(t, reportSchema)
	goldens, err := filepath.Glob("testdata/*.json.golden")
	if err != nil || len(goldens) < 6 {
		t.Fatal(goldens, err)
	}
	for _, golden := range goldens {
		if err := valid(s, []byte(read(t, golden))); err != nil {
			t.Errorf("%s: %v", golden, err)
		}
	}
	for name, summary := range map[string]sinks.Summary{
		"empty": {}, "many failures": manyFailures(), "everything": everything(),
	} {
		var text bytes.Buffer
		if err := sinks.WriteJSON(&text, summary); err != nil {
			t.Fatal(err)
		}
		if summary.Command == "" { // whoever runs the flows sets it
			text = *bytes.NewBufferString(strings.Replace(text.String(), `"command": ""`, `"command": "run"`, 1))
		}
		if err := valid(s, text.Bytes()); err != nil {
			t.Errorf("%s: %v\n%s", name, err, text.String())
		}
	}
}

// everything is a summary in which no key is left out.
func everything() sinks.Summary {
	s := severalCauses()
	s.Command = "plan"
	s.Failures = []sinks.Failure{{Flow: item.History, Key: "!a", Cause: "c", Hint: "h", PurgeID: "p"}}
	s.LeftPurges = []sinks.LeftPurge{{RoomID: "!a", PurgeID: "p"}}
	s.Warnings = []string{"w"}
	s.Flows = append(s.Flows, sinks.FlowSummary{
		Flow: item.LocalMedia, CutOff: fourOClock, Kept: map[item.Reason]int64{item.Avatar: 1, item.StateEvent("a.b"): 2, item.StateEvent(""): 3},
		Skipped: map[item.Reason]int64{"no reason given": 1}, Left: map[item.Reason]int64{"other reasons": 1},
		Findings: []sinks.Finding{{Finding: item.Lost, Items: 1, Samples: []string{"mxc://a/b"}}},
		Shares: sinks.Shares{
			ByRoom: []sinks.RoomShare{{RoomID: "!a"}}, ByUser: []sinks.Share{{Key: "@a:b"}}, ByOrigin: []sinks.Share{{}}, ByType: []sinks.Share{{}},
			ByDay: []sinks.DayShare{{Day: "2026-11-22"}},
		},
	})
	return s
}

func TestTheSchemaRefusesWhatItDoesNotName(t *testing.T) {
	s := schemaOf(t, reportSchema)
	var text bytes.Buffer
	if err := sinks.WriteJSON(&text, everything()); err != nil {
		t.Fatal(err)
	}
	for _, change := range [][2]string{
		{`"schema": 1`, `"schema": 2`},
		{`"version": `, `"new": 1, "version": `},
		{`"examined": `, `"new": 1, "examined": `},
		{`"room_id": `, `"new": 1, "room_id": `},
		{`"avatar": 1`, `"sticker": 1`},
		{`"cut_off": "`, `"cut_off": "yesterday `},
		{`"history"`, `"rooms"`},
	} {
		if !strings.Contains(text.String(), change[0]) {
			t.Fatalf("no %s in %s", change[0], text.String())
		}
		if valid(s, []byte(strings.ReplaceAll(text.String(), change[0], change[1]))) == nil {
			t.Errorf("%s passes", change[1])
		}
	}
}

func TestOutcomeLinesAreAsTheSchemaSays(t *testing.T) {
	s := schemaOf(t, outcomeSchema)
	path := filepath.Join(t.TempDir(), "o")
	o, err := sinks.CreateOutcomes(t.Context(), path, fourOClock)
	if err != nil {
		t.Fatal(err)
	}
	for _, out := range outcomes() {
		o.Add(out)
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(read(t, path)) {
		if err := valid(s, []byte(line)); err != nil {
			t.Errorf("%v\n%s", err, line)
		}
		if valid(s, []byte(strings.Replace(line, `"run":`, `"new":1,"run":`, 1))) == nil {
			t.Errorf("a key that nobody described passes: %s", line)
		}
	}
}

// outcomes has each key of a line in it.
func outcomes() []item.Outcome {
	return []item.Outcome{
		{
			Flow: item.History, Key: "!a", Status: item.Done, Reason: item.Extremity, Rows: 2, Pinned: 1, Tries: 3, Took: 1e9, PurgeID: "p",
			Cut: &item.Cut{RoomID: "!a", Depth: 7, EventID: "$a", Messages: 2},
		},
		{
			Flow: item.LocalMedia, Key: "mxc://a/b", Status: item.Done, Rows: 1, Files: 2, Missing: 1, Bytes: 3, ShownByEvent: true, Finished: true,
			Media: &item.Media{Origin: "a", ID: "b", FileID: "c", UserID: "@a:a", Type: "image/png", Bytes: 3, Created: 1e12, LastAccess: 2e12},
		},
		{Flow: item.RemoteMedia, Key: "mxc://a/b", Status: item.Failed, Err: &item.RunError{Doing: "d", Hint: "h"}, Media: &item.Media{Created: 1 << 62}},
		{Flow: item.Previews, Key: "mxc://a/b", Status: item.Skipped, Reason: item.InUse},
		{Flow: item.Previews, Key: "mxc://a/b", Status: item.Left, Reason: item.FilesLeft},
		{Flow: item.Drift, Key: "local_content/aa/bb/c", Status: item.Done, Finding: item.FilesWithoutRow, Files: 1, Bytes: 3, Length: 3},
		{Flow: item.Drift, Key: "mxc://a/c", Status: item.Left, Finding: item.RemoteWithoutFile, Reason: item.Limit},
	}
}

// What a reader of the schema expects is what the program has a word for.
func TestTheSchemaKnowsAllWords(t *testing.T) {
	var reasons, causes, flows, statuses, findings []string
	for _, r := range item.Findings() {
		findings = append(findings, string(r))
	}
	for _, r := range item.Reasons() {
		reasons = append(reasons, string(r))
	}
	for _, c := range item.Causes() {
		causes = append(causes, string(c))
	}
	for _, f := range item.AllFlows() {
		flows = append(flows, string(f))
	}
	for _, s := range item.Statuses() {
		statuses = append(statuses, string(s))
	}
	report, outcome := document(t, reportSchema), document(t, outcomeSchema)
	for _, test := range []struct {
		name      string
		got, want []string
	}{
		{"reasons", words(report, "$defs", "reason", "anyOf", 0, "enum"), append(reasons, "state", "no reason given", "other reasons")},
		{"causes", words(report, "$defs", "cause", "enum"), causes},
		{"flows", words(report, "$defs", "flow", "enum"), flows},
		{"reasons of outcomes", words(outcome, "properties", "reason", "anyOf", 0, "enum"), append(reasons, "state", "no reason given", "other reasons")},
		{"findings of outcomes", words(outcome, "properties", "finding", "enum"), findings},
		{"flows of outcomes", words(outcome, "properties", "flow", "enum"), flows},
		{"statuses of outcomes", words(outcome, "properties", "status", "enum"), statuses},
	} {
		if diff := cmp.Diff(test.want, test.got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}

// Each key that the schema describes is one that the program writes, as deep as they go.
func TestTheSchemaDescribesNothingThatIsNotWritten(t *testing.T) {
	for _, test := range []struct {
		path  string
		value any
	}{{reportSchema, sinks.Summary{}}, {outcomeSchema, sinks.OutcomeLine{}}} {
		doc := document(t, test.path)
		same(t, doc, doc, reflect.TypeOf(test.value), test.path)
	}
}

func same(t *testing.T, doc, node map[string]any, typ reflect.Type, at string) {
	t.Helper()
	if ref, ok := node["$ref"].(string); ok {
		node = valueAt(doc, "$defs", strings.TrimPrefix(ref, "#/$defs/")).(map[string]any)
	}
	switch typ.Kind() {
	case reflect.Pointer:
		same(t, doc, node, typ.Elem(), at)
	case reflect.Slice:
		items, ok := node["items"].(map[string]any)
		if !ok {
			t.Errorf("%s is no list", at)
			return
		}
		same(t, doc, items, typ.Elem(), at+"[]")
	case reflect.Struct:
		properties, ok := node["properties"].(map[string]any)
		if !ok || typ.String() == "time.Time" {
			return
		}
		fields := jsonFields(typ)
		for key, property := range properties {
			field, ok := fields[key]
			if !ok {
				t.Errorf("%s.%s is never written", at, key)
				continue
			}
			same(t, doc, property.(map[string]any), field, at+"."+key)
			delete(fields, key)
		}
		for key := range fields {
			t.Errorf("%s.%s is not described", at, key)
		}
	default:
	}
}

func jsonFields(typ reflect.Type) map[string]reflect.Type {
	fields := map[string]reflect.Type{}
	for _, f := range reflect.VisibleFields(typ) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name != "" && name != "-" {
			fields[name] = f.Type
		}
	}
	return fields
}

func document(t *testing.T, path string) (doc map[string]any) {
	t.Helper()
	if err := json.Unmarshal([]byte(read(t, path)), &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

func valueAt(v any, path ...any) any {
	for _, p := range path {
		switch p := p.(type) {
		case string:
			v = v.(map[string]any)[p]
		case int:
			v = v.([]any)[p]
		}
	}
	return v
}

func words(doc map[string]any, path ...any) (all []string) {
	for _, w := range valueAt(doc, path...).([]any) {
		all = append(all, w.(string))
	}
	return slices.Clip(all)
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
