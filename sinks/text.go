package sinks

import (
	"errors"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"synupkeep/internal/item"
	"synupkeep/internal/printable"
)

// maxText is how many bytes of an error or of a key are kept: enough for every honest one, and 1,000 of them are small.
const maxText = 500

// line makes one printable line of at most maxText bytes out of any text.
func line(text string) string {
	// Errors may quote the whole answer of a server: what cannot be kept need not be looked at.
	if len(text) > 4*maxText {
		text = text[:4*maxText]
	}
	var lines []string
	for l := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == '\n' || r == '\r' }) {
		if l = strings.TrimSpace(l); l != "" {
			lines = append(lines, l)
		}
	}
	return cut(printable.Text(strings.ReplaceAll(strings.Join(lines, "; "), "\t", " ")))
}

// cut shortens text to maxText bytes, at the border of a rune.
func cut(text string) string {
	const more = "…"
	if len(text) <= maxText {
		return text
	}
	end := maxText - len(more)
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + more
}

// quoted makes a key fit for a terminal and for a list: as it is if nothing in it can mislead, else in quotes.
func quoted(key string) string {
	misleads := func(r rune) bool { return r == ' ' || r == '"' || r == '\\' || !unicode.IsPrint(r) }
	if key == "" || !utf8.ValidString(key) || strings.ContainsFunc(key, misleads) {
		return strconv.Quote(key)
	}
	return key
}

func runError(err error) (*item.RunError, bool) {
	var run *item.RunError
	ok := errors.As(err, &run)
	return run, ok
}
