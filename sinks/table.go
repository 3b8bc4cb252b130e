package sinks

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"

	"synupkeep/internal/item"
	"synupkeep/internal/printable"
)

const (
	// maxShown is how many failed items and purges the table names: what fits on a screen.
	maxShown = 20
	// maxReasonsShown is how many reasons it names: what fits in a line that can still be read.
	maxReasonsShown = 12
)

// WriteTable writes the summary for people: a line for each flow, the reasons, failed items with their cause, errors
// with what to do about them, and in the last line the result and the exit code. Whatever the summary holds, nothing
// but printable characters and newlines is written.
func WriteTable(w io.Writer, s Summary) error {
	s = s.normal()
	if s.Command == commandPlan {
		return writePlan(w, s)
	}
	var b bytes.Buffer
	writeHead(&b, s)
	if err := writeFlows(&b, s.Flows); err != nil {
		return fmt.Errorf("write the summary: %w", err)
	}
	for _, f := range s.Flows {
		writeReasons(&b, f)
	}
	writeFailures(&b, s, "failed")
	writeLeftPurges(&b, s)
	writeMessages(&b, s.Ending)
	fmt.Fprintf(&b, "\n%s\n", verdict(s))
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("write the summary: %w", err)
	}
	return nil
}

func writeHead(b *bytes.Buffer, s Summary) {
	words := []string{strings.TrimSpace("synupkeep " + line(s.Version))}
	if s.ServerName != "" {
		words = append(words, line(s.ServerName))
	}
	if s.ServerVersion != "" {
		words = append(words, "Synapse "+line(s.ServerVersion))
	}
	if !s.Started.IsZero() {
		words = append(words, s.Started.Format("2006-01-02 15:04:05")+" UTC")
	}
	if s.DurationS > 0 {
		words = append(words, "took "+took(s.DurationS))
	}
	fmt.Fprintln(b, strings.Join(words, ", "))
	if s.Approved != nil {
		fmt.Fprintf(b, "carries out the plan %s of %s UTC\n", line(s.Approved.File), s.Approved.Made.Format("2006-01-02 15:04:05"))
	}
}

func writeFlows(b *bytes.Buffer, flows []FlowSummary) error {
	if !anyBegun(flows) {
		fmt.Fprintln(b, "\nno flow was begun")
		return nil
	}
	const gap = 2
	width := len("flow")
	for _, f := range flows {
		width = max(width, len(line(string(f.Flow))))
	}
	fmt.Fprintln(b)
	var rows bytes.Buffer
	row := func(flow string, cells ...string) {
		fmt.Fprintf(&rows, "%-*s\t%s\t\n", width, flow, strings.Join(cells, "\t"))
	}
	row("flow", "older than (UTC)", "examined", "done", "kept", "skipped", "left", "failed", "freed", "took")
	for _, f := range flows {
		cutOff, freed, duration := "-", "-", "not run"
		if !f.CutOff.IsZero() {
			cutOff = f.CutOff.Format("2006-01-02 15:04")
		}
		if f.Flow != item.History {
			freed = bytesOf(f.Bytes)
		}
		if f.Ran {
			duration = took(f.DurationS)
		}
		row(line(string(f.Flow)), cutOff, humanize.Comma(f.Examined), humanize.Comma(f.Done),
			humanize.Comma(f.KeptTotal), humanize.Comma(f.SkippedTotal), humanize.Comma(f.LeftTotal),
			humanize.Comma(f.Failed), freed, duration)
	}
	var aligned bytes.Buffer
	t := tabwriter.NewWriter(&aligned, 0, 0, gap, ' ', tabwriter.AlignRight)
	if _, err := t.Write(rows.Bytes()); err != nil {
		return err
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for l := range bytes.Lines(aligned.Bytes()) {
		b.Write(l[gap:]) // aligned to the right, the first column has the gap on its left
	}
	return nil
}

func anyBegun(flows []FlowSummary) bool {
	return slices.ContainsFunc(flows, func(f FlowSummary) bool { return f.Ran || f.Examined > 0 })
}

// writeReasons says more about one flow, as far as there is more to say.
func writeReasons(b *bytes.Buffer, f FlowSummary) {
	details := [][2]string{
		{"deleted", amounts(f, false)},
		{"held by", reasons(f.HeldBy)},
		{"kept", reasons(f.Kept)},
		{"skipped", reasons(f.Skipped)},
		{"left", reasons(f.Left)},
		{"retries", humanize.Comma(f.Retries)},
		{"stopped", line(f.Error)},
	}
	details = slices.DeleteFunc(details, func(d [2]string) bool { return d[1] == "" || d[1] == "0" })
	if len(details)+len(f.Findings) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s\n", line(string(f.Flow)))
	for _, d := range details {
		fmt.Fprintf(b, "  %-8s  %s\n", d[0], d[1])
	}
	writeFindings(b, f.Findings, "deleted")
}

// reasons lists the most frequent first, equal ones by name, and counts together what is too much for a line.
func reasons(counts map[item.Reason]int64) string {
	sorted := slices.SortedFunc(maps.Keys(counts), func(a, b item.Reason) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
	var words []string
	var others, rest int64
	for i, r := range sorted {
		if i >= maxReasonsShown && len(sorted) > maxReasonsShown+1 { // one more takes no more place than its number
			others++
			rest += counts[r]
			continue
		}
		words = append(words, line(string(r))+" "+humanize.Comma(counts[r]))
	}
	if others > 0 {
		words = append(words, fmt.Sprintf("%d other reasons %s", others, humanize.Comma(rest)))
	}
	return strings.Join(words, ", ")
}

func writeFailures(b *bytes.Buffer, s Summary, heading string) {
	named := int64(len(s.Failures))
	all := named + s.FailuresNotNamed
	if all == 0 {
		return
	}
	shown := s.Failures[:min(named, maxShown)]
	fmt.Fprintln(b, "\n"+heading)
	for _, f := range shown {
		text := line(f.Cause)
		if id := quoted(cut(f.Key)); !strings.Contains(text, id) {
			text = id + ": " + text
		}
		fmt.Fprintf(b, "  %s  %s\n", line(string(f.Flow)), text)
		if f.PurgeID != "" {
			fmt.Fprintf(b, "    purge %s\n", quoted(cut(f.PurgeID)))
		}
		if f.Hint != "" {
			fmt.Fprintf(b, "    hint: %s\n", line(f.Hint))
		}
	}
	if more := all - int64(len(shown)); more > 0 {
		which := "them all"
		if s.FailuresNotNamed > 0 {
			which = "the first " + humanize.Comma(named)
		}
		fmt.Fprintf(b, "  and %s more: --report and --json name %s\n", humanize.Comma(more), which)
	}
}

func writeLeftPurges(b *bytes.Buffer, s Summary) {
	if len(s.LeftPurges) == 0 {
		return
	}
	fmt.Fprintln(b, "\npurges that the server still works on")
	shown := s.LeftPurges[:min(len(s.LeftPurges), maxShown)]
	for _, p := range shown {
		fmt.Fprintf(b, "  %s  purge %s\n", quoted(cut(p.RoomID)), quoted(cut(p.PurgeID)))
	}
	if more := int64(len(s.LeftPurges)-len(shown)) + s.LeftPurgesNotNamed; more > 0 {
		fmt.Fprintf(b, "  and %s more\n", humanize.Comma(more))
	}
}

func writeMessages(b *bytes.Buffer, end Ending) {
	if len(end.Warnings)+len(end.Errors) > 0 {
		fmt.Fprintln(b)
	}
	for _, w := range end.Warnings {
		fmt.Fprintln(b, "warning:", line(w))
	}
	for _, e := range end.Errors {
		fmt.Fprintln(b, e.label(), e.Text())
		if e.Hint != "" {
			fmt.Fprintln(b, "  hint:", line(e.Hint))
		}
	}
}

func (e RunFailure) label() string {
	if e.Wanted() {
		return "note:"
	}
	return "error:"
}

// Wanted says that it is a stop that somebody asked for, and nothing that went wrong.
func (e RunFailure) Wanted() bool {
	return slices.Contains([]item.Cause{item.CauseInterrupt, item.CauseTerminated, item.CauseLeft}, e.Cause)
}

// Text is what was being done and what went wrong, in one line.
func (e RunFailure) Text() string {
	words := slices.DeleteFunc([]string{line(e.Doing), line(e.Error)}, func(w string) bool { return w == "" })
	return strings.Join(words, ": ")
}

func number(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return humanize.Comma(n) + " " + many
}

// took prints as many digits as somebody wants to know: 35ms, 4.2s, 1h2m3s.
func took(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	}
	return printable.Duration(d.Round(time.Second))
}
