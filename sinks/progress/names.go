package progress

import (
	"strconv"
	"strings"
	"unicode"

	"github.com/mattn/go-runewidth"
)

// Names are what people call a room. Strangers make them up; "" is none.
type Names struct{ Name, Alias string }

// longestName is how many characters of a name are looked at.
const longestName = 200

// label is the name in quotes, so that it passes for nothing else, else the alias, else the id: the first of them that a
// terminal of ASCII shows as it is, where it is one.
func (n Names) label(id string, asciiOnly bool) string {
	var labels []string
	if name := plain(n.Name); strings.Trim(name, " ") != "" {
		labels = append(labels, `"`+strings.ReplaceAll(name, `"`, `'`)+`"`)
	}
	if alias := plain(n.Alias); alias != "" {
		labels = append(labels, alias)
	}
	labels = append(labels, plain(id))
	if !asciiOnly {
		return labels[0]
	}
	for _, label := range labels {
		if ascii(label) == label {
			return label
		}
	}
	return ascii(plain(id))
}

// plain makes a text that a terminal takes as text, and of which we know how wide it is: without control characters,
// without what turns the direction, joins characters or is not seen, with no more than two marks on a character.
func plain(text string) string {
	var b strings.Builder
	marks, taken := 0, 0
	for _, r := range strings.ToValidUTF8(text, "\uFFFD") {
		if taken++; taken > longestName {
			break
		}
		switch {
		case unicode.Is(unicode.Cf, r), unicode.Is(unicode.Variation_Selector, r), skinTone(r):
			continue // the latter two change how wide the one before is
		case unicode.Is(unicode.M, r):
			if marks++; marks > 2 || b.Len() == 0 {
				continue
			}
		case unicode.IsSpace(r):
			marks, r = 0, ' '
		case !unicode.IsPrint(r):
			marks, r = 0, '?'
		default:
			marks = 0
		}
		b.WriteRune(r)
	}
	return b.String()
}

func skinTone(r rune) bool { return 0x1F3FB <= r && r <= 0x1F3FF }

// ascii writes what is not ASCII as Go would in a string.
func ascii(text string) string {
	var b strings.Builder
	for _, r := range text {
		if r < unicode.MaxASCII {
			b.WriteRune(r)
			continue
		}
		quoted := strconv.QuoteRuneToASCII(r)
		b.WriteString(quoted[1 : len(quoted)-1])
	}
	return b.String()
}

// width is how many columns a text takes at most. Terminals do not agree on emoji: they count as wide, each by itself.
func width(text string) (columns int) {
	for _, r := range text {
		columns += runeWidth(r)
	}
	return columns
}

func runeWidth(r rune) int {
	if r >= 0x1F000 && r < 0x20000 {
		return 2
	}
	return runewidth.RuneWidth(r)
}

// fit cuts a text to so many columns. What is cut ends with more.
func fit(text string, columns int, more string) string {
	if width(text) <= columns {
		return text
	}
	columns -= width(more)
	if columns < 0 {
		return ""
	}
	var b strings.Builder
	for _, r := range text {
		if columns -= runeWidth(r); columns < 0 {
			break
		}
		b.WriteRune(r)
	}
	return strings.TrimRight(b.String(), " ") + more
}
