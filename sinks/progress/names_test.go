package progress

import (
	"strings"
	"testing"
	"unicode"

	"pgregory.net/rapid"
)

func TestARoomGoesByItsNameElseItsAliasElseItsID(t *testing.T) {
	const id = "!abc:example.org"
	for _, test := range []struct {
		names       Names
		utf8, ascii string
	}{
		{Names{}, id, id},
		{Names{Alias: "#general:example.org"}, "#general:example.org", "#general:example.org"},
		{Names{Name: "General", Alias: "#general:example.org"}, `"General"`, `"General"`},
		{Names{Name: "Кухня", Alias: "#kitchen:example.org"}, `"Кухня"`, "#kitchen:example.org"},
		{Names{Name: "Кухня"}, `"Кухня"`, id},
		{Names{Name: "  "}, id, id},
		{Names{Name: "\u200b\u202e \u3000"}, id, id},
		{Names{Name: "\x1b[2J\x1b]0;owned\a\u009b31m\nnext"}, `"?[2J?]0;owned??31m next"`, `"?[2J?]0;owned??31m next"`},
		{Names{Name: `a" 2m 3s`}, `"a' 2m 3s"`, `"a' 2m 3s"`},
		{Names{Name: "\u202eevil\u2066"}, `"evil"`, `"evil"`},
		{Names{Name: "Z\u0300\u0301\u0302\u0303algo"}, "\"Z\u0300\u0301algo\"", id},
		{Names{Name: "\u0301mark"}, `"mark"`, `"mark"`},
		{Names{Name: "\u2764\ufe0f"}, "\"\u2764\"", id},
		{Names{Name: "\U0001F44B\U0001F3FD"}, "\"\U0001F44B\"", id},
		{Names{Name: "bad\xff"}, "\"bad\uFFFD\"", id},
		{Names{Name: "%_ad_el_%{{bar .}}"}, `"%_ad_el_%{{bar .}}"`, `"%_ad_el_%{{bar .}}"`},
	} {
		if got := test.names.label(id, false); got != test.utf8 {
			t.Errorf("%+q: %q, want %q", test.names, got, test.utf8)
		}
		if got := test.names.label(id, true); got != test.ascii {
			t.Errorf("%+q in ASCII: %q, want %q", test.names, got, test.ascii)
		}
	}
}

// TestNoNameSpeaksToTheTerminal: of whatever strangers write, what is shown is printable, narrow enough, and does not run on.
func TestNoNameSpeaksToTheTerminal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		evil := rapid.SliceOf(rapid.SampledFrom([]rune("ab \x00\x1b\u009b\u202e\u2067\u200d\u0301\u0489\ufe0f\u1160家ｗ\U0001F468\U0001F3FE\U0001F1E9\n\r\t\"\\")))
		n := Names{Name: rapid.OneOf(rapid.String(), rapid.Map(evil, func(r []rune) string { return string(r) })).Draw(t, "name")}
		id := rapid.String().Draw(t, "id")
		for _, asciiOnly := range []bool{true, false} {
			label := n.label(id, asciiOnly)
			for _, r := range label {
				if !unicode.IsPrint(r) || asciiOnly && r > unicode.MaxASCII {
					t.Fatalf("%q in %q", r, label)
				}
			}
			columns := rapid.IntRange(0, 40).Draw(t, "columns")
			if got := fit(label, columns, ".."); width(got) > columns || !strings.HasPrefix(label, strings.TrimSuffix(got, "..")) {
				t.Fatalf("%q in %d columns: %q", label, columns, got)
			}
		}
	})
}

func TestALongNameIsCut(t *testing.T) {
	for _, test := range []struct {
		text    string
		columns int
		want    string
	}{
		{"家の中", 6, "家の中"}, {"家の中", 5, "家の…"}, {"家の中", 4, "家…"}, {"家の中", 1, "…"}, {"abc", 0, ""}, {"ab cd", 4, "ab…"},
	} {
		if got := fit(test.text, test.columns, "…"); got != test.want {
			t.Errorf("%q in %d: %q, want %q", test.text, test.columns, got, test.want)
		}
	}
	if flag := "\U0001F1E9\U0001F1EA"; width(flag) != 4 { // some terminals show a flag, some two letters that are wide
		t.Errorf("a flag has %d columns", width(flag))
	}
	if got := plain(strings.Repeat("x", 1<<20)); len(got) != longestName {
		t.Errorf("%d characters", len(got))
	}
}
