package sinks

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"synupkeep/internal/item"
)

// WriteUsage writes the usage for people: what each cut-off would give, then who has the most of what. Whatever the usage
// holds, nothing but printable characters and newlines is written.
func WriteUsage(w io.Writer, u Usage) error {
	u = u.normal()
	var b bytes.Buffer
	writeUsageHead(&b, u)
	writeCurves(&b, u.Curves)
	writeHistoryRooms(&b, u.History)
	writeStateRooms(&b, u.StateGroups)
	writeRoomMedia(&b, u.RoomMedia)
	writeUsageMedia(&b, "Local media", "user", "users", u.LocalMedia)
	writeUsageMedia(&b, "Remote media", "server", "servers", u.RemoteMedia)
	writeUsageMedia(&b, "Previews", "", "", u.Previews)
	if c := u.URLCache; c != nil && c.Answers > 0 {
		fmt.Fprintf(&b, "  %s kept by Synapse, %s of them expired\n", number(c.Answers, "answer of a page", "answers of pages"), humanize.Comma(c.Expired))
	}
	writeTables(&b, u.Tables)
	writeLeftovers(&b, u.Leftovers)
	writeNotes(&b, u.Ending)
	fmt.Fprintf(&b, "\n%s\n", usageVerdict(u))
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("write the usage: %w", err)
	}
	return nil
}

func writeUsageHead(b *bytes.Buffer, u Usage) {
	words := []string{strings.TrimSpace("synupkeep " + line(u.Version))}
	if u.ServerName != "" {
		words = append(words, line(u.ServerName))
	}
	if !u.Started.IsZero() {
		words = append(words, u.Started.Format("2006-01-02 15:04:05")+" UTC")
	}
	if u.DurationS > 0 {
		words = append(words, "took "+took(u.DurationS))
	}
	fmt.Fprintln(b, strings.Join(words, ", "))
	d := u.Database
	if d == nil {
		return
	}
	words = []string{"database " + quoted(cut(d.Name)), bytesOf(d.Bytes), "schema " + strconv.Itoa(d.Schema), "PostgreSQL " + line(d.Postgres)}
	if d.Standby {
		words = append(words, "standby")
	}
	fmt.Fprintln(b, strings.Join(words, ", "))
}

// flowColumns is what stands above the columns of a curve.
func flowColumns(c item.AgeCurve) []string {
	switch c.Flow {
	case item.History:
		if c.Sample != nil {
			return []string{"messages", "±", "size"}
		}
		return []string{"messages", "size"}
	case item.LocalMedia:
		return []string{"local", "size"}
	case item.RemoteMedia:
		return []string{"remote", "size"}
	case item.Previews:
		return []string{"previews", "size"}
	case item.Drift: // it has no curve
	}
	return []string{line(string(c.Flow)), "size"}
}

func curveCells(c item.AgeCurve, items, bytes, margin int64, total bool) []string {
	cells := []string{humanize.Comma(items)}
	if c.Flow == item.History && c.Sample != nil {
		around := ""
		if !total {
			around = percent(Counted{Number: items, Margin: margin})
		}
		cells = append(cells, around)
	}
	return append(cells, bytesOf(bytes))
}

func writeCurves(b *bytes.Buffer, curves []item.AgeCurve) {
	if len(curves) == 0 {
		return
	}
	fmt.Fprint(b, "\nWhat is older than a cut-off\n")
	header, all := []string{"cut-off"}, []string{"all"}
	var ages [][]string
	for _, c := range curves {
		header = append(header, flowColumns(c)...)
		all = append(all, curveCells(c, c.Items, c.Bytes, 0, true)...)
		for i, p := range c.Points {
			if i == len(ages) {
				ages = append(ages, []string{line(p.Age)})
			}
			ages[i] = append(ages[i], curveCells(c, p.Items, p.Bytes, p.Margin, false)...)
		}
	}
	align(b, "", append(append([][]string{header}, ages...), all), 0) // at its widest it takes all columns there are
	for _, c := range curves {
		if c.Flow != item.History {
			continue
		}
		how := "Messages were counted"
		if c.Sample != nil {
			how = "Messages are an estimate from " + extent(*c.Sample)
		}
		wrap(b, "  ", how+"; their size is that of their JSON at the mean of all events.")
	}
	wrap(b, "  ", "Messages by receipt, local media by upload, remote media by last access, previews by fetch. Media without thumbnails. "+
		"Nothing is taken off here for what is protected or has no safe cut.")
}

func writeUsageMedia(b *bytes.Buffer, what, owner, owners string, m *UsageMedia) {
	if m == nil {
		return
	}
	words := []string{number(m.Items, "item", "items"), bytesOf(m.Bytes)}
	if owner != "" {
		words = append(words, number(cmp.Or(m.Users, m.Origins), owner, owners))
	}
	fmt.Fprintf(b, "\n%s: %s\n", what, strings.Join(words, ", "))
	var stays []string
	for _, s := range []struct {
		what string
		ItemsBytes
	}{{"quarantined", m.Quarantined}, {"protected by an admin", m.Protected}, {"not uploaded yet", m.Uploading}} {
		if s.Items > 0 {
			stays = append(stays, fmt.Sprintf("%s %s (%s)", humanize.Comma(s.Items), s.what, bytesOf(s.Bytes)))
		}
	}
	if len(stays) > 0 {
		wrap(b, "  never deleted: ", strings.Join(stays, ", "))
	}
	between := ""
	for _, list := range []struct {
		of     string
		shares []Share
	}{{owner, m.ByUser}, {owner, m.ByOrigin}, {"type", m.ByType}} {
		if len(list.shares) == 0 {
			continue
		}
		rows := [][]string{{"size", "items", list.of}}
		for _, s := range list.shares {
			rows = append(rows, []string{bytesOf(s.Bytes), humanize.Comma(s.Items), clip(quoted(cut(s.Key)), planWidth-30)})
		}
		b.WriteString(between)
		between = "\n"
		align(b, "  ", rows, 2)
	}
}

func writeTables(b *bytes.Buffer, t *UsageTables) {
	if t == nil {
		return
	}
	fmt.Fprint(b, "\nTables\n")
	rows := [][]string{{"size", "indexes", "TOAST", "rows", "dead", "vacuumed", "table"}}
	for _, one := range t.Largest {
		rows = append(rows, []string{
			bytesOf(one.Bytes), bytesOf(one.IndexBytes), bytesOf(one.ToastBytes), humanize.Comma(one.LiveRows), humanize.Comma(one.DeadRows),
			date(one.LastVacuum), clip(quoted(cut(one.Name)), planWidth/2),
		})
	}
	align(b, "  ", rows, 6)
	more := ""
	if t.NotNamed > 0 {
		more = " " + number(t.NotNamed, "smaller table is", "smaller tables are") + " not named."
	}
	wrap(b, "  ", "Rows and dead rows are what PostgreSQL believes; vacuumed is the last VACUUM, automatic or not (UTC)."+more)
}

func date(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format("2006-01-02 15:04")
}

func writeLeftovers(b *bytes.Buffer, l *UsageLeftovers) {
	if l == nil || l.PendingStateGroups+l.PartialRooms == 0 && len(l.Tasks) == 0 {
		return
	}
	fmt.Fprint(b, "\nNot finished\n")
	if l.PendingStateGroups > 0 {
		wrap(b, "  ", fmt.Sprintf("%s, the oldest since %s UTC (Synapse needs some ten minutes after a purge)",
			number(l.PendingStateGroups, "state group waits to be deleted", "state groups wait to be deleted"), date(l.OldestPending)))
	}
	for _, t := range l.Tasks {
		wrap(b, "  ", fmt.Sprintf("%s %s %s, the oldest of %s UTC", number(t.Number, "task", "tasks"), quoted(cut(t.Action)), line(t.Status), date(t.Oldest)))
	}
	if l.PartialRooms > 0 {
		wrap(b, "  ", number(l.PartialRooms, "room is", "rooms are")+" still being joined: nothing can be purged there")
	}
}

func usageVerdict(u Usage) string {
	switch {
	case len(u.Causes) == 0:
		return "Nothing has been changed. What a cut-off would really delete, and what would stay and why, says\n  synupkeep plan --delta 90d"
	case u.Causes[0] == item.CauseInterrupt, u.Causes[0] == item.CauseTerminated:
		return fmt.Sprintf("usage: stopped by a signal, not everything was read (exit code %d)", u.ExitCode)
	case u.Database == nil:
		return fmt.Sprintf("usage: could not do its work (exit code %d)", u.ExitCode)
	}
	return fmt.Sprintf("usage: %s, see above; everything else is shown (exit code %d)",
		number(int64(len(u.Errors)), "part could not be read", "parts could not be read"), u.ExitCode)
}
