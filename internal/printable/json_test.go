package printable_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode"

	"pgregory.net/rapid"

	"synupkeep/internal/printable"
)

func TestJSONIsPrintableAndMeansTheSame(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		value := rapid.MapOf(rapid.String(), rapid.String()).Draw(rt, "value")
		value["evil"] = "\x1b[2J\u009b31m\u202e\ufeff\U000e0001\x7f" + rapid.String().Draw(rt, "more")
		text, err := json.Marshal(value)
		if err != nil {
			rt.Fatal(err)
		}
		out := printable.JSON(text)
		for _, r := range string(out) {
			if !unicode.IsPrint(r) {
				rt.Fatalf("%q in %s", r, out)
			}
		}
		var plain, again map[string]string
		if err := json.Unmarshal(text, &plain); err != nil {
			rt.Fatal(err)
		}
		if err := json.Unmarshal(out, &again); err != nil {
			rt.Fatal(err)
		}
		for name, v := range plain {
			if again[name] != v {
				rt.Fatalf("%q is %q, was %q", name, again[name], v)
			}
		}
	})
}

func TestIndentedJSONIsPrintableAndOfOneWrite(t *testing.T) {
	var b strings.Builder
	if err := printable.WriteJSON(&b, map[string]any{"a": "<\u009b&>", "b": []int{1}}); err != nil {
		t.Fatal(err)
	}
	if want := "{\n  \"a\": \"<\\u009b&>\",\n  \"b\": [\n    1\n  ]\n}\n"; b.String() != want {
		t.Errorf("it is %q, want %q", b.String(), want)
	}
	if err := printable.WriteJSON(&b, func() {}); err == nil {
		t.Error("a function was written as JSON")
	}
	w := &full{}
	if err := printable.WriteJSON(w, []int{1, 2}); !errors.Is(err, errFull) || w.calls != 1 {
		t.Errorf("of a full disk it says %v, after %d writes", err, w.calls)
	}
}

var errFull = errors.New("no space left on device")

type full struct{ calls int }

func (f *full) Write([]byte) (int, error) {
	f.calls++
	return 0, errFull
}
