package printable

import (
	"strconv"
	"strings"
	"unicode"
)

// Text writes whatever a terminal might act upon, line breaks included, as Go would in a string.
func Text(text string) string {
	var b strings.Builder
	for _, r := range text {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
			continue
		}
		quoted := strconv.QuoteRune(r)
		b.WriteString(quoted[1 : len(quoted)-1])
	}
	return b.String()
}
