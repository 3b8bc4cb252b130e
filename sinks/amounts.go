package sinks

import (
	"fmt"
	"strings"

	"github.com/dustin/go-humanize"

	"synupkeep/internal/item"
)

// amounts says in words what a flow deleted, or would delete by a plan. It is empty if that is nothing. What a run deleted
// it names with the flag that would have kept it.
func amounts(f FlowSummary, plan bool) string {
	row, rows := "row", "rows"
	if f.Flow == item.History {
		row, rows = "message", "messages"
	}
	file, files, keepPinned, keepShown := "file was", "files were", " (--keep-pinned keeps those)", " (--keep-shown=false)"
	if plan {
		file, files, keepPinned, keepShown = "file is", "files are", "", ""
	}
	var words []string
	if f.Rows > 0 {
		words = append(words, number(f.Rows, row, rows))
	}
	if f.Pinned > 0 {
		words = append(words, humanize.Comma(f.Pinned)+" of them pinned"+keepPinned)
	}
	if f.Shown > 0 {
		words = append(words, fmt.Sprintf("%s of them (%s) shown by kept events%s", humanize.Comma(f.Shown), bytesOf(f.ShownBytes), keepShown))
	}
	if f.Files > 0 {
		words = append(words, number(f.Files, "file", "files"))
	}
	if f.Finished > 0 {
		words = append(words, "among them those of "+number(f.Finished, "media whose row", "media whose rows")+" an earlier run had deleted")
	}
	if f.Missing > 0 {
		words = append(words, number(f.Missing, file, files)+" not there any more")
	}
	return strings.Join(words, ", ")
}

func bytesOf(n int64) string { return humanize.IBytes(uint64(max(0, n))) }
