package page

import (
	"cmp"
	"fmt"
	"time"

	"synupkeep/sinks"
)

func title(heading, server string, at time.Time) string {
	t := "synupkeep: " + heading
	if server != "" {
		t += " on " + server
	}
	if !at.IsZero() {
		t += ", " + at.UTC().Format("2006-01-02 15:04 UTC")
	}
	return t
}

// roomNames is what people know a room by, else its id; in a table the id stands below it.
func roomCell(id, name, alias string) cell {
	c := foreign(cmp.Or(name, alias, id), "–")
	c.Text = clip(c.Text, maxName)
	if name != "" || alias != "" {
		c.Sub = clean(id, maxText)
	} else {
		c.Code = true
	}
	return c
}

func yes(is bool) string {
	if is {
		return "yes"
	}
	return "no"
}

// roomFigure is the history of rooms.
func roomFigure(rooms []sinks.RoomShare, what string) []figure {
	if len(rooms) == 0 {
		return nil
	}
	f := figure{Caption: what + " by room", Table: table{
		Caption: "Rooms with the most", Head: []cell{text("room"), head("messages"), head("of events"), head("members"), text("encrypted")},
	}}
	var bars []bar
	named, note := first(rooms)
	f.Table.Note = note
	for _, r := range named {
		events := none()
		if r.Events > 0 {
			events = count(r.Events)
		}
		name := roomCell(r.RoomID, r.Name, r.Alias)
		f.Table.Rows = append(f.Table.Rows, row{Cells: []cell{name, count(r.Messages), events, count(r.Members), text(yes(r.Encrypted))}})
		bars = append(bars, bar{Name: name.Text, Value: r.Messages, Tells: count(r.Messages).Text})
	}
	return f.ranked(bars)
}

// shareFigure is who has how much of media.
func shareFigure(shares []sinks.Share, caption, of, ifEmpty string) []figure {
	if len(shares) == 0 {
		return nil
	}
	f := figure{Caption: caption, Table: table{Caption: "The most first", Head: []cell{text(of), head("media"), head("size")}}}
	var bars []bar
	named, note := first(shares)
	f.Table.Note = note
	for _, s := range named {
		name := foreign(s.Key, ifEmpty)
		name.Text = clip(name.Text, 2*maxName)
		f.Table.Rows = append(f.Table.Rows, row{Cells: []cell{name, count(s.Items), size(s.Bytes)}})
		bars = append(bars, bar{Name: name.Text, Value: s.Bytes, Tells: ibytes(s.Bytes)})
	}
	return f.ranked(bars)
}

// ranked draws the bars of a figure.
func (f figure) ranked(bars []bar) []figure {
	says := f.Caption + ", the most first."
	for _, b := range bars[:min(len(bars), 3)] {
		says += fmt.Sprintf(" %s: %s.", fitting(b.Name, barName, plotWidth), b.Tells)
	}
	f.SVG = ranking(bars, says)
	if len(bars) > maxBars {
		f.Caption += fmt.Sprintf(" (the first %d of %d)", maxBars, len(bars))
	}
	return []figure{f}
}
