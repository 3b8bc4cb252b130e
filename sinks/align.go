package sinks

import (
	"bytes"
	"slices"
	"strings"
	"unicode/utf8"
)

// align writes rows of cells, the first of them a heading, in columns two spaces apart: numbers to the right, the columns
// named in left to the left.
func align(b *bytes.Buffer, indent string, rows [][]string, left ...int) {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		var l strings.Builder
		l.WriteString(indent)
		for i, cell := range row {
			if i > 0 {
				l.WriteString("  ")
			}
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if slices.Contains(left, i) {
				l.WriteString(cell + pad)
			} else {
				l.WriteString(pad + cell)
			}
		}
		b.WriteString(strings.TrimRight(l.String(), " ") + "\n")
	}
}
