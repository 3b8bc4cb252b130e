package sinks

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestLine(t *testing.T) {
	tests := []struct{ in, want string }{
		{"", ""},
		{"purge !a:h: 403", "purge !a:h: 403"},
		{"a\nb", "a; b"},
		{"\r\n a \r\n\n\tb\n", "a; b"},
		{"a\tb", "a b"},
		{"\x1b[31mred", `\x1b[31mred`},
		{"\u009b2J", `\u009b2J`},
		{"x\u202egnp.exe", `x\u202egnp.exe`},
		{"it's \"ä\" \\ 漢", "it's \"ä\" \\ 漢"},
		{"a\xffb", "a\uFFFDb"},
	}
	for _, test := range tests {
		if got := line(test.in); got != test.want {
			t.Errorf("%q: %q, want %q", test.in, got, test.want)
		}
	}
}

func TestLineIsBoundedAndPrintable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pieces := rapid.SliceOf(rapid.SampledFrom([]string{"a", "ä", "漢", "😀", "\x1b", "\n", "\xff"})).Draw(t, "pieces")
		got := line(strings.Repeat(strings.Join(pieces, ""), rapid.IntRange(1, 300).Draw(t, "times")))
		if len(got) > maxText || !utf8.ValidString(got) {
			t.Fatalf("%d bytes: %q", len(got), got)
		}
		if strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Fatalf("not printable: %q", got)
		}
	})
}

func TestCut(t *testing.T) {
	tests := []struct{ in, want string }{
		{strings.Repeat("x", 500), strings.Repeat("x", 500)},
		{strings.Repeat("x", 501), strings.Repeat("x", 497) + "…"},
		{strings.Repeat("ä", 251), strings.Repeat("ä", 248) + "…"},
	}
	for _, test := range tests {
		if got := cut(test.in); got != test.want {
			t.Errorf("%d bytes: got %d bytes, want %d: %q", len(test.in), len(got), len(test.want), got)
		}
	}
}

func TestQuoted(t *testing.T) {
	tests := []struct{ in, want string }{
		{"!abc:example.org", "!abc:example.org"},
		{"!Qx-_31NbvRoom12", "!Qx-_31NbvRoom12"},
		{"mxc://h/a/../b", "mxc://h/a/../b"},
		{"!ä:例え.jp", "!ä:例え.jp"},
		{"", `""`},
		{"a b", `"a b"`},
		{`a"b`, `"a\"b"`},
		{`a\x1b`, `"a\\x1b"`},
		{"\x1b[2J", `"\x1b[2J"`},
		{"a\nb", `"a\nb"`},
		{"a\xff", `"a\xff"`},
		{"a\u202eb", `"a\u202eb"`},
	}
	for _, test := range tests {
		if got := quoted(test.in); got != test.want {
			t.Errorf("%q: %s, want %s", test.in, got, test.want)
		}
	}
}
