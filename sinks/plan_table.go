package sinks

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/dustin/go-humanize"

	"synupkeep/internal/item"
)

const (
	// planWidth is how many columns the table of a plan takes, as far as ids allow.
	planWidth = 100
	// leastName is how much of a room's name is shown in any case.
	leastName = 16
)

// writePlan is WriteTable for a plan. Every line says what would be: nobody is to think that something was deleted.
func writePlan(w io.Writer, s Summary) error {
	var b bytes.Buffer
	b.WriteString("plan by ")
	writeHead(&b, s)
	switch {
	case !anyBegun(s.Flows):
		fmt.Fprintln(&b, "Nothing has been deleted.")
	case whole(s):
		fmt.Fprintln(&b, "Nothing has been deleted. With the same flags, synupkeep run would do this:")
	default:
		fmt.Fprintln(&b, "Nothing has been deleted. This is not the whole of what synupkeep run would do with the same flags:")
	}
	writePlannedFlows(&b, s.Flows)
	for _, f := range s.Flows {
		writePlannedFlow(&b, f)
	}
	writeFailures(&b, s, "cannot be deleted")
	writeNotes(&b, s.Ending)
	fmt.Fprintf(&b, "\n%s\n", planVerdict(s))
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("write the plan: %w", err)
	}
	return nil
}

// whole says that nothing ended the plan early.
func whole(s Summary) bool {
	return !slices.ContainsFunc(s.Flows, func(f FlowSummary) bool { return f.Error != "" || !f.Ran }) &&
		!slices.ContainsFunc(s.Causes, func(c item.Cause) bool { return c != item.CauseItems && c != item.CauseRefused })
}

func writePlannedFlows(b *bytes.Buffer, flows []FlowSummary) {
	if !anyBegun(flows) {
		fmt.Fprintln(b, "\nno flow was looked at")
		return
	}
	fmt.Fprintln(b)
	rows := [][]string{{"flow", "older than (UTC)", "examined", "would go", "would free", "would stay", "skipped", "left", "cannot go"}}
	for _, f := range flows {
		cutOff, freed := "-", "-"
		if !f.CutOff.IsZero() {
			cutOff = f.CutOff.Format("2006-01-02 15:04")
		}
		if f.Flow != item.History {
			freed = bytesOf(f.Bytes)
		}
		rows = append(rows, []string{
			line(string(f.Flow)), cutOff, humanize.Comma(f.Examined), humanize.Comma(f.Done), freed, humanize.Comma(f.KeptTotal),
			humanize.Comma(f.SkippedTotal), humanize.Comma(f.LeftTotal), humanize.Comma(f.Failed),
		})
	}
	align(b, "", rows, 0)
}

func writePlannedFlow(b *bytes.Buffer, f FlowSummary) {
	details := [][2]string{
		{"would go", amounts(f, true)},
		{"held by", reasons(f.HeldBy)},
		{"would stay", reasons(f.Kept)},
		{"skipped", reasons(f.Skipped)},
		{"left", reasons(f.Left)},
		{"not whole", line(f.Error)},
	}
	details = slices.DeleteFunc(details, func(d [2]string) bool { return d[1] == "" })
	if len(details)+len(f.Findings) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s\n", line(string(f.Flow)))
	for _, d := range details {
		wrap(b, fmt.Sprintf("  %-10s  ", d[0]), d[1])
	}
	writeFindings(b, f.Findings, "would go")
	writeShares(b, f.Shares)
}

// writeShares names who has the most, numbers first: what follows them may be as long as it likes.
func writeShares(b *bytes.Buffer, s Shares) {
	writeRooms(b, s.ByRoom)
	for _, list := range []struct {
		of     string
		shares []Share
	}{{"user", s.ByUser}, {"server", s.ByOrigin}, {"type", s.ByType}} {
		if len(list.shares) == 0 {
			continue
		}
		rows := [][]string{{"would free", "media", list.of}}
		for _, share := range list.shares {
			whose := ""
			if share.Key != "" {
				whose = quoted(cut(share.Key))
			}
			rows = append(rows, []string{bytesOf(share.Bytes), humanize.Comma(share.Items), cmp.Or(whose, "nobody")})
		}
		fmt.Fprintf(b, "\n  %ss with the most\n", list.of)
		align(b, "    ", rows, 2)
	}
}

func writeRooms(b *bytes.Buffer, rooms []RoomShare) {
	if len(rooms) == 0 {
		return
	}
	rows := [][]string{{"messages", "of events", "members", "encrypted", "room"}}
	for _, r := range rooms {
		encrypted, events := "no", "-"
		if r.Encrypted {
			encrypted = "yes"
		}
		if r.Events > 0 {
			events = humanize.Comma(r.Events)
		}
		rows = append(rows, []string{humanize.Comma(r.Messages), events, humanize.Comma(r.Members), encrypted, roomName(r)})
	}
	fmt.Fprint(b, "\n  rooms with the most\n")
	align(b, "    ", rows, 3, 4)
}

// roomName is the id of a room, whole, and as much of its name and alias as there is place for.
func roomName(r RoomShare) string {
	id := quoted(cut(r.RoomID))
	var words []string
	if r.Name != "" {
		words = append(words, strconv.Quote(cut(r.Name)))
	}
	if r.Alias != "" {
		words = append(words, quoted(cut(r.Alias)))
	}
	if len(words) == 0 {
		return id
	}
	const numbers = 46 // columns before it
	return id + "  " + clip(strings.Join(words, " "), max(leastName, planWidth-numbers-2-utf8.RuneCountInString(id)))
}

// clip shortens a text to so many characters.
func clip(text string, most int) string {
	runes := []rune(text)
	if len(runes) <= most {
		return text
	}
	return string(runes[:most-1]) + "…"
}

func writeNotes(b *bytes.Buffer, end Ending) {
	if len(end.Warnings)+len(end.Errors) > 0 {
		fmt.Fprintln(b)
	}
	for _, w := range end.Warnings {
		wrap(b, "warning: ", line(w))
	}
	for _, e := range end.Errors {
		wrap(b, e.label()+" ", e.Text())
		if e.Hint != "" {
			wrap(b, "  hint: ", line(e.Hint))
		}
	}
}

// wrap writes a text in lines of planWidth, the first behind begin, the others below it.
func wrap(b *bytes.Buffer, begin, text string) {
	indent := strings.Repeat(" ", min(utf8.RuneCountInString(begin), 14))
	at := 0
	put := func(word string) {
		b.WriteString(word)
		at += utf8.RuneCountInString(word)
	}
	put(begin)
	for i, word := range strings.Fields(text) {
		switch {
		case i > 0 && at+1+utf8.RuneCountInString(word) > planWidth:
			b.WriteString("\n")
			at = 0
			put(indent)
		case i > 0:
			put(" ")
		}
		put(word)
	}
	b.WriteString("\n")
}

// planVerdict is the last line of a plan.
func planVerdict(s Summary) string {
	what := "there is nothing to delete"
	var words []string
	for _, f := range s.Flows {
		if f.Done > 0 {
			words = append(words, planned(f))
		}
	}
	if len(words) > 0 {
		what = strings.Join(words, ", ")
	}
	why := func(c item.Cause) string {
		i := slices.IndexFunc(s.Errors, func(e RunFailure) bool { return e.Cause == c })
		if i < 0 {
			return "no error was given"
		}
		return s.Errors[i].Text()
	}
	switch {
	case len(s.Causes) == 0:
		what = "plan: " + what
	case s.Causes[0] == item.CauseItems:
		what = "plan: " + what + "; " + failedItems(s, "cannot be deleted")
	case s.Causes[0] == item.CauseRefused:
		what = "a run would be refused: " + why(item.CauseRefused)
	case s.Causes[0] == item.CauseInterrupt, s.Causes[0] == item.CauseTerminated:
		what = "the plan is not whole, it was stopped by a signal"
	default:
		what = "no plan could be made: " + why(s.Causes[0])
	}
	return fmt.Sprintf("%s. Nothing has been deleted (exit code %d)", what, s.ExitCode)
}

func planned(f FlowSummary) string {
	freed := " (" + bytesOf(f.Bytes) + ") would be deleted"
	switch f.Flow {
	case item.History:
		return fmt.Sprintf("%s of %s would be purged", number(f.Rows, "message", "messages"), number(f.Done, "room", "rooms"))
	case item.LocalMedia:
		return number(f.Done, "local media item", "local media items") + freed
	case item.RemoteMedia:
		return number(f.Done, "remote media item", "remote media items") + freed
	case item.Previews:
		return number(f.Done, "URL preview", "URL previews") + freed
	case item.Drift:
		return number(f.Done, "finding", "findings") + " of drift" + freed
	}
	return number(f.Done, "item", "items") + " of " + line(string(f.Flow)) + freed
}
