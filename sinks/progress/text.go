package progress

import (
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

// mostInFlight is how many of what is in flight a text names of each flow.
const mostInFlight = 10

// Text says in several lines how far the run is; nil when there is none. It waits for nothing.
func (b *Board) Text() []string {
	b.look()
	s := b.state()
	if s.command == "" {
		return nil
	}
	b.mu.Lock()
	screen := b.screen
	b.mu.Unlock()
	return s.text(screen != nil && screen.look().ascii)
}

func (s state) text(asciiOnly bool) (lines []string) {
	at := s.phase
	if at == "" {
		at = "the flows are under way"
	} else {
		at += ", for " + span(s.phaseFor)
	}
	lines = append(lines, fmt.Sprintf("synupkeep %s at %s, after %s: %s", s.command, s.now.UTC().Format(time.RFC3339), span(s.running), at))
	if s.stopping != "" {
		lines = append(lines, "  stopping: "+s.stopping+"; no new work is begun, what runs is finished")
	}
	for _, f := range s.flows {
		lines = append(lines, f.text(asciiOnly)...)
	}
	return lines
}

func (f flowState) text(asciiOnly bool) (lines []string) {
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	switch {
	case !f.begun:
		add("  %s: not begun", f.flow)
		return lines
	case f.over && f.failed:
		add("  %s: ended early, after %s", f.flow, span(f.took))
	case f.over:
		add("  %s: complete after %s", f.flow, span(f.took))
	case f.doing != "":
		add("  %s: %s, for %s", f.flow, f.doing, span(f.doingFor))
	default:
		add("  %s: %s", f.flow, f.farther())
	}
	var counts []string
	for i, status := range statuses {
		counts = append(counts, fmt.Sprintf("%s %s", status, humanize.Comma(f.ended[i])))
	}
	if f.bytes > 0 {
		counts = append(counts, humanize.IBytes(uint64(f.bytes))+" freed")
	}
	add("    %s", strings.Join(counts, ", "))
	if f.over {
		return lines
	}
	for i, in := range f.inFlight {
		if i == mostInFlight {
			add("    in flight: %d more", len(f.inFlight)-i)
			break
		}
		add("    in flight for %s: %s", span(in.since), in.title(asciiOnly))
	}
	if f.files > 0 {
		add("    in flight: files of %s media", humanize.Comma(f.files))
	}
	return lines
}

// farther is how far the flow is among its items.
func (f flowState) farther() string {
	words := []string{humanize.Comma(f.done) + " so far"}
	if f.total >= 0 {
		words[0] = fmt.Sprintf("%s of %s (%d%%)", humanize.Comma(f.done), humanize.Comma(f.total), percent(f.done, f.total))
	}
	for _, word := range []string{f.pace(), f.remaining()} {
		if word != "" {
			words = append(words, word)
		}
	}
	return strings.Join(words, ", ")
}
