package printable_test

import (
	"encoding/json"
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
