package sinks

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/dustin/go-humanize"

	"synupkeep/internal/item"
)

// extent says how large a sample was.
func extent(e item.Extent) string {
	part := ""
	if e.Blocks > 0 {
		part = fmt.Sprintf(" (%s%%)", strconv.FormatFloat(100*float64(e.BlocksRead)/float64(e.Blocks), 'g', 2, 64))
	}
	return fmt.Sprintf("%s rows of %s in %s of its %s blocks%s", humanize.Comma(e.Rows), line(e.Table), humanize.Comma(e.BlocksRead), humanize.Comma(e.Blocks), part)
}

// percent is by how much of itself a number may be wrong.
func percent(c Counted) string {
	switch {
	case c.Margin == 0:
		return ""
	case c.Number <= 0 || c.Margin > c.Number:
		return "±100%+"
	}
	return fmt.Sprintf("±%d%%", max(1, (100*c.Margin+c.Number/2)/c.Number))
}

// heading says of a list of rooms whether it is an estimate, and from what.
func heading(b *bytes.Buffer, what string, samples []item.Extent) {
	if len(samples) == 0 {
		fmt.Fprintf(b, "\n%s\n", what)
		return
	}
	var texts []string
	for _, e := range samples {
		texts = append(texts, extent(e))
	}
	fmt.Fprintln(b)
	wrap(b, "", what+", an estimate from "+strings.Join(texts, " and "))
}

// roomRow is a room with its numbers.
type roomRow struct {
	RoomName
	of    Counted // what its place in the list goes by
	cells []string
}

// roomRows writes rooms with their numbers first; of the name there is as much as there is place for. A room of which so little
// was drawn that the estimate says nothing is left out.
func roomRows(b *bytes.Buffer, header []string, rooms []roomRow) {
	vague := func(r roomRow) bool { return r.of.Margin > r.of.Number }
	known := slices.DeleteFunc(slices.Clone(rooms), vague)
	widths := make([]int, len(header))
	for i, name := range header {
		widths[i] = utf8.RuneCountInString(name)
		for _, r := range known {
			widths[i] = max(widths[i], utf8.RuneCountInString(r.cells[i]))
		}
	}
	before := 2
	for _, w := range widths {
		before += w + 2
	}
	rows := [][]string{append(slices.Clone(header), "room")}
	for _, r := range known {
		rows = append(rows, append(slices.Clone(r.cells), usageRoom(r.RoomName, planWidth-before)))
	}
	if len(known) > 0 {
		align(b, "  ", rows, len(header))
	}
	if n := int64(len(rooms) - len(known)); n > 0 {
		wrap(b, "  ", "Of "+number(n, "further room", "further rooms")+" too little was drawn to say how much there is.")
	}
}

// sized is the header of a list, with the margin where there are any.
func sized(samples []item.Extent, header ...string) []string {
	if len(samples) > 0 {
		return slices.Insert(header, 1, "±")
	}
	return header
}

// sizedCells are the cells below such a header.
func sizedCells(samples []item.Extent, size Counted, cells ...string) []string {
	if len(samples) > 0 {
		return slices.Insert(cells, 1, percent(size))
	}
	return cells
}

func usageRoom(r RoomName, width int) string {
	id := quoted(cut(r.RoomID))
	var words []string
	if r.Name != "" {
		words = append(words, strconv.Quote(line(r.Name)))
	}
	if r.Alias != "" {
		words = append(words, quoted(cut(r.Alias)))
	}
	const little = 8 // of a name says nothing
	place := width - 2 - utf8.RuneCountInString(id)
	if len(words) == 0 || place < little {
		return id
	}
	return id + "  " + clip(strings.Join(words, " "), place)
}

func writeHistoryRooms(b *bytes.Buffer, h *UsageHistory) {
	if h == nil {
		return
	}
	heading(b, "History by room", h.Samples)
	rooms := []RoomUsage{{RoomName: RoomName{RoomID: "all"}, Events: h.Events, Messages: h.Messages, State: h.State, JSONBytes: h.JSONBytes}}
	var rows []roomRow
	for _, r := range append(rooms, h.ByRoom...) {
		rows = append(rows, roomRow{RoomName: r.RoomName, of: r.JSONBytes, cells: sizedCells(h.Samples, r.JSONBytes, bytesOf(r.JSONBytes.Number),
			humanize.Comma(r.Events.Number), humanize.Comma(r.Messages.Number), humanize.Comma(r.State.Number))})
	}
	roomRows(b, sized(h.Samples, "JSON", "events", "messages", "state"), rows)
}

func writeStateRooms(b *bytes.Buffer, g *UsageStateGroups) {
	if g == nil {
		return
	}
	heading(b, "State groups by room", g.Samples)
	var rows []roomRow
	for _, r := range append([]RoomState{{RoomName: RoomName{RoomID: "all"}, Rows: g.Rows, Bytes: g.Bytes}}, g.ByRoom...) {
		rows = append(rows, roomRow{
			RoomName: r.RoomName, of: r.Rows, cells: sizedCells(g.Samples, r.Rows, bytesOf(r.Bytes), humanize.Comma(r.Rows.Number)),
		})
	}
	roomRows(b, sized(g.Samples, "size", "rows"), rows)
}

func writeRoomMedia(b *bytes.Buffer, m *UsageRoomMedia) {
	if m == nil {
		return
	}
	heading(b, "Media that messages name, by room", m.Samples)
	var rows []roomRow
	for _, r := range m.ByRoom {
		both := Counted{Number: r.LocalBytes + r.RemoteBytes, Margin: r.Margin}
		rows = append(rows, roomRow{RoomName: r.RoomName, of: both, cells: sizedCells(m.Samples, both, bytesOf(both.Number),
			humanize.Comma(r.LocalItems), humanize.Comma(r.RemoteItems))})
	}
	roomRows(b, sized(m.Samples, "size", "local", "remote"), rows)
	wrap(b, "  ", "Attachments of encrypted rooms are not among them: nobody but the members can see what a message there names.")
}
