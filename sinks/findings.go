package sinks

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/dustin/go-humanize"

	"synupkeep/internal/item"
)

// maxSamples is how many of each finding are named.
const maxSamples = 5

// Finding is what drift found of one kind.
type Finding struct {
	Finding item.Reason `json:"finding"`
	Items   int64       `json:"items"`
	// Deleted is how many of them were deleted, or would be in a plan.
	Deleted int64 `json:"deleted"`
	// Bytes is what they have on disk, or had.
	Bytes int64 `json:"bytes"`
	// Samples name the first of them by their order: mxc URIs or paths in the media store. Strangers may have made them up:
	// quote them before they reach a terminal.
	Samples []string `json:"samples"`
}

// found counts a finding. However many there are, the memory is that of the samples.
func (f *FlowSummary) found(o item.Outcome) {
	if o.Finding == "" {
		return
	}
	order := func(r item.Reason) int { return slices.Index(item.Findings(), r) }
	at, known := slices.BinarySearchFunc(f.Findings, o.Finding, func(a Finding, r item.Reason) int { return order(a.Finding) - order(r) })
	if !known {
		f.Findings = slices.Insert(f.Findings, at, Finding{Finding: o.Finding})
	}
	found := &f.Findings[at]
	found.Items++
	found.Bytes += max(o.Length, o.Bytes)
	if o.Status == item.Done {
		found.Deleted++
	}
	sample := key(o.Key)
	if i, there := slices.BinarySearch(found.Samples, sample); !there && i < maxSamples {
		found.Samples = slices.Insert(found.Samples, i, sample)
		found.Samples = found.Samples[:min(len(found.Samples), maxSamples)]
	}
}

// cloneFindings shares nothing with the original, and samples are not nil.
func cloneFindings(all []Finding) []Finding {
	all = slices.Clone(all)
	for i := range all {
		all[i].Samples = append([]string{}, all[i].Samples...)
	}
	return all
}

// allFound is how many findings there are of all kinds.
func allFound(f FlowSummary) (n int64) {
	for _, found := range f.Findings {
		n += found.Items
	}
	return n
}

// writeFindings names what was found, each kind with its numbers and some of it.
func writeFindings(b *bytes.Buffer, findings []Finding, gone string) {
	if len(findings) == 0 {
		return
	}
	rows := [][]string{{"found", gone, "on disk", ""}}
	for _, f := range findings {
		rows = append(rows, []string{humanize.Comma(f.Items), humanize.Comma(f.Deleted), bytesOf(f.Bytes), line(string(f.Finding))})
	}
	fmt.Fprintln(b)
	align(b, "  ", rows, 3)
	for _, f := range findings {
		such := ""
		if f.Items > int64(len(f.Samples)) {
			such = ", such as"
		}
		fmt.Fprintf(b, "\n  %s%s\n", line(string(f.Finding)), such)
		for _, sample := range f.Samples {
			fmt.Fprintf(b, "    %s\n", quoted(cut(sample)))
		}
	}
}
