package progress

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cheggaaa/pb/v3"
	"github.com/dustin/go-humanize"

	"synupkeep/internal/item"
)

// look is what a terminal is like.
type look struct {
	width, height int // columns and lines
	ascii         bool
}

func (l look) more() string {
	if l.ascii {
		return ".."
	}
	return "…"
}

const (
	// leastBar is how many columns a bar has at least, with its ends: a shorter one says less than the percentage.
	leastBar = 6
	// leastText is how many columns a text is cut to at least.
	leastText = 8
)

// frame draws a state: no line is wider than the terminal, and together they leave one line of it to the log. What finds no
// place is left out: first what is in flight, then what has ended.
func frame(s state, l look) (lines []string) {
	if s.phase != "" {
		lines = append(lines, l.first(s.phase+" ("+span(s.phaseFor)+")", s.phase))
	}
	if s.stopping != "" {
		lines = append(lines, l.first("stopping: no new work is begun, what runs is finished", "stopping: what runs is finished", "stopping"))
	}
	var shown []flowState
	names := 0
	for _, f := range s.flows {
		if f.begun {
			shown = append(shown, f)
			names = max(names, len(f.flow))
		}
	}
	room := l.height - 1 - len(lines)
	for len(shown) > max(room, 0) {
		at := max(0, slices.IndexFunc(shown, func(f flowState) bool { return f.over }))
		shown = slices.Delete(shown, at, at+1)
	}
	room -= len(shown)
	for _, f := range shown {
		lines = append(lines, l.flow(f, names))
		if under := l.inFlight(f); under != "" && room > 0 {
			lines = append(lines, under)
			room--
		}
	}
	return lines[:max(0, min(len(lines), l.height-1))]
}

// first is the first of the texts that is not too wide, else the last one, cut.
func (l look) first(texts ...string) string {
	for _, text := range texts {
		if width(text) <= l.width {
			return text
		}
	}
	return fit(texts[len(texts)-1], l.width, l.more())
}

// flow is the line of a flow. Fields are left out where there is no place for them.
func (l look) flow(f flowState, names int) string {
	name := fmt.Sprintf("%-*s  ", names, f.flow)
	items := humanize.Comma(f.done)
	switch {
	case f.over && f.failed:
		return l.first(name+"ended early, after "+span(f.took), name+"ended early", string(f.flow)+" failed")
	case f.over:
		return l.first(name+"complete: "+items+" "+f.unit()+" in "+span(f.took), name+"complete", string(f.flow)+" ok")
	case f.doing != "":
		doing, since := f.doing, " ("+span(f.doingFor)+")"
		if f.looked > 0 {
			doing += ": " + humanize.Comma(f.looked)
		}
		if columns := l.width - len(name) - len(since); columns >= leastText || columns >= width(doing) {
			return name + fit(doing, columns, l.more()) + since
		}
		return l.first(name+span(f.doingFor), string(f.flow))
	case f.total == 0:
		return l.first(name+"nothing to do", string(f.flow)+" ok")
	case f.total < 0:
		rate := f.pace()
		return l.first(strings.TrimSpace(name+items+" "+f.unit()+" so far  "+rate), strings.TrimSpace(name+items+"  "+rate), string(f.flow)+" "+items)
	}
	of := humanize.Comma(f.total)
	percent := fmt.Sprintf("%3d%%", percent(f.done, f.total))
	count := fmt.Sprintf("%*s/%s", len(of), items, of)
	rate, left := fmt.Sprintf("%9s", f.pace()), fmt.Sprintf("%-12s", f.remaining())
	for _, rest := range []string{
		percent + "  " + count + "  " + rate + "  " + left, percent + "  " + count + "  " + left, percent + "  " + left,
		strings.TrimSpace(percent + "  " + f.remaining()),
	} {
		if columns := l.width - len(name) - len("  ") - len(rest); columns >= leastBar {
			return strings.TrimSpace(name + l.bar(f, columns) + "  " + rest)
		}
	}
	name, percent = string(f.flow), strings.TrimSpace(percent)
	return l.first(strings.TrimSpace(name+" "+percent+" "+f.remaining()), name+" "+percent, percent)
}

// unit is what a flow's items are.
func (f flowState) unit() string {
	if f.flow == item.History {
		return "rooms"
	}
	return "media"
}

// bar is drawn by pb: it takes columns, of which two are its ends.
func (l look) bar(f flowState, columns int) string {
	template := pb.ProgressBarTemplate(`{{bar . "[" "█" "█" "░" "]"}}`)
	if l.ascii {
		template = `{{bar . "[" "=" ">" " " "]"}}`
	}
	return template.New(0).SetTotal(f.total).SetCurrent(f.done).SetWidth(columns).String()
}

// pace is how fast the flow is, "" while that is not known.
func (f flowState) pace() string {
	switch {
	case f.rate == 0:
		return ""
	case f.idle > patienceWith(f.rate):
		return "0/min"
	}
	return perTime(f.rate)
}

// remaining is how long the flow still takes, "" while that is not known.
func (f flowState) remaining() string {
	switch {
	case f.rate > 0 && f.idle > patienceWith(f.rate):
		return "idle " + span(f.idle)
	case f.left < 0:
		return ""
	case f.atLeast:
		return "over " + about(f.left) + " left"
	}
	return about(f.left) + " left"
}

// inFlight is the line of what is under way, "" when there is nothing to say.
func (l look) inFlight(f flowState) string {
	if f.over || !f.begun {
		return ""
	}
	busy, waiting := f.busy()
	var tail []string
	if len(busy) > 1 {
		tail = append(tail, fmt.Sprintf("%d more", len(busy)-1))
	}
	if waiting > 0 {
		tail = append(tail, fmt.Sprintf("%d waiting", waiting))
	}
	files := "files of " + humanize.Comma(f.files)
	switch {
	case f.files > 0 && len(busy)+waiting == 0:
		return l.first("  deleting the "+files+" media", "  "+files)
	case f.files > 0:
		tail = append(tail, files)
	}
	rest := strings.Join(tail, ", ")
	switch {
	case len(busy) == 0 && rest == "":
		return ""
	case len(busy) == 0:
		return l.first("  " + rest)
	}
	label, since := busy[0].title(l.ascii), "  "+span(busy[0].since)
	if rest != "" {
		rest = "  + " + rest
	}
	for i, end := range []string{since + rest, since} {
		if columns := l.width - len("  ") - len(end); columns >= leastText*(2-i) || columns >= width(label) {
			return "  " + fit(label, columns, l.more()) + end
		}
	}
	return fit("  "+label, l.width, l.more())
}

// busy is what does not wait, the longest first, and how many wait.
func (f flowState) busy() (busy []inFlightState, waiting int) {
	for _, i := range f.inFlight {
		if i.waits {
			waiting++
			continue
		}
		busy = append(busy, i)
	}
	return busy, waiting
}

// title is what is being done with what, where it has a name: a room that is purged goes by its name alone.
func (i inFlightState) title(asciiOnly bool) string {
	if i.key == "" {
		return i.doing
	}
	label := i.names.label(i.key, asciiOnly)
	if i.doing == "" {
		return label
	}
	return label + " (" + i.doing + ")"
}
