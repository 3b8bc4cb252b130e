package page

import (
	"fmt"
	"strings"

	"synupkeep/internal/item"
	"synupkeep/sinks"
)

// usageDocument says what uses the space, and what each cut-off would give.
func usageDocument(u sinks.Usage) document {
	verdict := u.Verdict()
	u = u.Shown()
	d := document{Heading: "Usage", Server: clean(u.ServerName, maxName), Badge: "Read", State: good, Verdict: verdict}
	if len(u.Causes) > 0 {
		d.Badge, d.State = causeWords(u.Causes[0])
	}
	d.Title = title(d.Heading, d.Server, u.Started)
	d.Facts = usageFacts(u)
	d.add(messages(u.Errors, u.Warnings))
	d.add(usageCurves(u))
	d.add(historyUsage(u.History))
	d.add(stateUsage(u.StateGroups))
	d.add(roomMedia(u.RoomMedia))
	d.add(mediaUsage(item.LocalMedia, u.LocalMedia))
	d.add(mediaUsage(item.RemoteMedia, u.RemoteMedia))
	d.add(previewUsage(u.Previews, u.URLCache))
	d.add(tableUsage(u.Tables))
	d.add(leftovers(u.Leftovers))
	d.Foot = "Times are in UTC. Sizes are in units of 1024. Nothing was changed. What follows ± is by how much an estimate may be wrong, in 19 of 20."
	return d
}

func usageFacts(u sinks.Usage) []fact {
	facts := []fact{
		{"Exit code", cell{Key: "exit_code", Text: fmt.Sprint(u.ExitCode), Value: fmt.Sprint(u.ExitCode)}},
		{"Server", foreign(u.ServerName, "not known")},
		{"Began", moment(u.Started)},
		{"Took", text(sinks.Took(u.DurationS))},
		{"synupkeep", foreign(u.Version, "not known")},
	}
	if db := u.Database; db != nil {
		facts = append(facts,
			fact{"Database", foreign(db.Name, "not known")}, fact{"Its size", size(db.Bytes)}, fact{"PostgreSQL", foreign(db.Postgres, "not known")},
			fact{"Schema of Synapse", text(fmt.Sprint(db.Schema))}, fact{"Standby", text(yes(db.Standby))})
	}
	return facts
}

func usageCurves(u sinks.Usage) section {
	s := section{
		ID: "ages", Heading: "What a cut-off would give",
		Text: "Each curve says how much is older than an age: what a cut-off there would let go at most. " +
			"What is protected, shown or has no safe cut is not taken off; that only a plan can say.",
	}
	for i := range u.Curves {
		c := curves{before: &u.Curves[i]}
		if c.before.Sample != nil {
			s.Text += " " + flowWords(c.before.Flow).title + " is an " + estimate([]item.Extent{*c.before.Sample})
		}
		if f, ok := c.figure(); ok {
			s.Figures = append(s.Figures, f)
		}
	}
	if len(s.Figures) == 0 {
		return section{}
	}
	return s
}

// estimate says what numbers were estimated from.
func estimate(samples []item.Extent) string {
	if len(samples) == 0 {
		return ""
	}
	var from []string
	for _, e := range samples {
		from = append(from, fmt.Sprintf("%s of %s blocks of %s", count(e.BlocksRead).Text, count(e.Blocks).Text, clean(e.Table, maxName)))
	}
	return "estimate from " + strings.Join(from, " and ") + "."
}

// estimated is a section's text where its numbers are estimates.
func estimated(samples []item.Extent) string {
	if len(samples) == 0 {
		return ""
	}
	return "The numbers are an " + estimate(samples)
}

func counted(c sinks.Counted) cell { return withMargin(count(c.Number), count(c.Margin), c.Margin) }

func sized(c sinks.Counted) cell { return withMargin(size(c.Number), size(c.Margin), c.Margin) }

func withMargin(number, margin cell, by int64) cell {
	if by > 0 {
		return number.about(margin.Text)
	}
	return number
}

func historyUsage(h *sinks.UsageHistory) section {
	if h == nil {
		return section{}
	}
	s := section{ID: "history", Heading: "History by room", Text: estimated(h.Samples)}
	s.Tables = []table{{
		Caption: "All rooms", Key: "history", Head: []cell{text("what"), head("number")},
		Rows: []row{
			{Key: "events", Cells: []cell{text("events"), counted(h.Events)}},
			{Key: "messages", Cells: []cell{text("of these messages, which a purge can delete"), counted(h.Messages)}},
			{Key: "state_events", Cells: []cell{text("of these state events, which stay"), counted(h.State)}},
			{Key: "json_bytes", Cells: []cell{text("their JSON, without indexes"), sized(h.JSONBytes)}},
		},
	}}
	f := figure{Caption: "JSON of events by room", Table: table{
		Caption: "Rooms with the most", Head: []cell{text("room"), head("JSON"), head("events"), head("state"), head("members"), text("encrypted")},
	}}
	var bars []bar
	rooms, note := first(h.ByRoom)
	f.Table.Note = note
	for _, r := range rooms {
		name := roomCell(r.RoomID, r.Name, r.Alias)
		f.Table.Rows = append(f.Table.Rows, row{Cells: []cell{
			name, sized(r.JSONBytes), counted(r.Events), counted(r.State), count(r.Members), text(yes(r.Encrypted)),
		}})
		bars = append(bars, bar{name.Text, r.JSONBytes.Number, ibytes(r.JSONBytes.Number)})
	}
	s.Figures = f.ifAny(bars)
	return s
}

// ifAny is the figure, if it has anything.
func (f figure) ifAny(bars []bar) []figure {
	if len(bars) == 0 {
		return nil
	}
	return f.ranked(bars)
}

func stateUsage(g *sinks.UsageStateGroups) section {
	if g == nil {
		return section{}
	}
	s := section{ID: "state-groups", Heading: "State groups by room", Text: estimated(g.Samples)}
	s.Tables = []table{{
		Caption: "All rooms", Key: "state_groups", Head: []cell{text("what"), head("number")},
		Rows: []row{
			{Key: "rows", Cells: []cell{text("rows of state_groups_state"), counted(g.Rows)}},
			{Key: "bytes", Cells: []cell{text("the table with its indexes"), size(g.Bytes)}},
		},
	}}
	f := figure{Caption: "State by room", Table: table{
		Caption: "Rooms with the most", Head: []cell{text("room"), head("size"), head("rows"), head("members"), text("encrypted")},
	}}
	var bars []bar
	rooms, note := first(g.ByRoom)
	f.Table.Note = note
	for _, r := range rooms {
		name := roomCell(r.RoomID, r.Name, r.Alias)
		f.Table.Rows = append(f.Table.Rows, row{Cells: []cell{name, size(r.Bytes), counted(r.Rows), count(r.Members), text(yes(r.Encrypted))}})
		bars = append(bars, bar{name.Text, r.Bytes, ibytes(r.Bytes)})
	}
	s.Figures = f.ifAny(bars)
	return s
}

func roomMedia(m *sinks.UsageRoomMedia) section {
	if m == nil || len(m.ByRoom) == 0 {
		return section{}
	}
	s := section{
		ID: "room-media", Heading: "Media by room",
		Text: strings.TrimSpace("What messages name in the clear: nobody but the members sees what a message of an encrypted room names. " + estimated(m.Samples)),
	}
	f := figure{Caption: "Media that messages of a room name", Table: table{
		Caption: "Rooms with the most", Head: []cell{text("room"), head("local"), head("size"), head("remote"), head("size"), head("members"), text("encrypted")},
	}}
	var bars []bar
	rooms, note := first(m.ByRoom)
	f.Table.Note = note
	for _, r := range rooms {
		name := roomCell(r.RoomID, r.Name, r.Alias)
		f.Table.Rows = append(f.Table.Rows, row{Cells: []cell{
			name, count(r.LocalItems), withMargin(size(r.LocalBytes), size(r.Margin), r.Margin), count(r.RemoteItems), size(r.RemoteBytes),
			count(r.Members), text(yes(r.Encrypted)),
		}})
		bars = append(bars, bar{name.Text, r.LocalBytes + r.RemoteBytes, ibytes(r.LocalBytes + r.RemoteBytes)})
	}
	s.Figures = f.ranked(bars)
	return s
}

func mediaUsage(of item.Flow, m *sinks.UsageMedia) section {
	if m == nil {
		return section{}
	}
	title := flowWords(of).title
	s := section{ID: string(of), Heading: title}
	t := table{Caption: "What there is", Key: string(of), Head: []cell{text("what"), head("items"), head("size")}}
	for _, part := range []struct {
		key, name string
		sinks.ItemsBytes
	}{
		{"all", "all", m.ItemsBytes},
		{"quarantined", "quarantined, never deleted", m.Quarantined},
		{"protected", "protected by an admin, never deleted", m.Protected},
		{"uploading", "not uploaded yet", m.Uploading},
	} {
		if part.key == "all" || part.Items > 0 {
			t.Rows = append(t.Rows, row{Key: part.key, Cells: []cell{text(part.name), count(part.Items), size(part.Bytes)}})
		}
	}
	s.Tables = []table{t}
	s.Figures = append(s.Figures, shareFigure(m.ByUser, many(title+" by user", m.Users, len(m.ByUser)), "user", "nobody")...)
	s.Figures = append(s.Figures, shareFigure(m.ByOrigin, many(title+" by server", m.Origins, len(m.ByOrigin)), "server", "not known")...)
	s.Figures = append(s.Figures, shareFigure(m.ByType, many(title+" by type", m.Types, len(m.ByType)), "type", "not known")...)
	return s
}

// many says of how many a list names the first.
func many(caption string, all int64, named int) string {
	if all <= int64(named) {
		return caption
	}
	return fmt.Sprintf("%s, of %s", caption, count(all).Text)
}

func previewUsage(m *sinks.UsageMedia, c *sinks.UsageURLCache) section {
	s := mediaUsage(item.Previews, m)
	if c == nil {
		return s
	}
	s.ID, s.Heading = string(item.Previews), flowWords(item.Previews).title
	s.Tables = append(s.Tables, table{
		Caption: "Answers of pages that were previewed, which Synapse itself forgets", Key: "url_cache", Head: []cell{text("what"), head("number")},
		Rows: []row{
			{Key: "answers", Cells: []cell{text("answers"), count(c.Answers)}},
			{Key: "expired", Cells: []cell{text("of these expired"), count(c.Expired)}},
		},
	})
	return s
}

func tableUsage(all *sinks.UsageTables) section {
	if all == nil || len(all.Largest) == 0 {
		return section{}
	}
	s := section{ID: "tables", Heading: "Tables", Text: "Rows and dead rows are what PostgreSQL believes; vacuumed is the last VACUUM, automatic or not."}
	if all.NotNamed > 0 {
		s.Text += " " + number(all.NotNamed, "smaller table is", "smaller tables are") + " not named."
	}
	t := table{Caption: "The largest tables", Key: "tables", Head: []cell{
		text("table"), head("size"), head("indexes"), head("TOAST"), head("rows"), head("dead"), text("vacuumed"),
	}}
	var bars []bar
	largest, note := first(all.Largest)
	t.Note = note
	for _, one := range largest {
		vacuumed := moment(one.LastVacuum)
		if one.LastVacuum.IsZero() {
			vacuumed.Text = "never"
		}
		name := id(one.Name)
		t.Rows = append(t.Rows, row{Key: name.Text, Cells: []cell{
			name, size(one.Bytes), size(one.IndexBytes), size(one.ToastBytes), count(one.LiveRows), count(one.DeadRows), vacuumed,
		}})
		bars = append(bars, bar{name.Text, one.Bytes, ibytes(one.Bytes)})
	}
	s.Figures = figure{Caption: "Tables with their indexes", Table: t}.ranked(bars)
	return s
}

func leftovers(l *sinks.UsageLeftovers) section {
	if l == nil || l.PendingStateGroups+l.PartialRooms == 0 && len(l.Tasks) == 0 {
		return section{}
	}
	t := table{Caption: "What purges have not finished", Key: "leftovers", Head: []cell{text("what"), head("number"), text("the oldest")}}
	if l.PendingStateGroups > 0 {
		first := text("state groups that wait to be deleted")
		first.Sub = "Synapse needs some ten minutes after a purge"
		t.Rows = append(t.Rows, row{Cells: []cell{first, count(l.PendingStateGroups), moment(l.OldestPending)}})
	}
	for _, task := range l.Tasks {
		first := id(task.Action)
		first.Sub = clean(task.Status, maxName)
		t.Rows = append(t.Rows, row{Cells: []cell{first, count(task.Number), moment(task.Oldest)}})
	}
	if l.PartialRooms > 0 {
		first := text("rooms that are still being joined")
		first.Sub = "nothing can be purged there"
		t.Rows = append(t.Rows, row{Cells: []cell{first, count(l.PartialRooms), text("–")}})
	}
	return section{ID: "leftovers", Heading: "Not finished", Tables: []table{t}}
}
