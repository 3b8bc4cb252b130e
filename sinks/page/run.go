package page

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"synupkeep/internal/item"
	"synupkeep/sinks"
)

// document says what a run did or a plan would do. What went wrong comes first.
func (p Page) document() document {
	p.Summary = p.Summary.Shown()
	s := p.Summary
	d := document{Heading: "Run", Server: clean(s.ServerName, maxName), Badge: "Finished", State: good, Verdict: s.Verdict()}
	if s.Plan() {
		d.Heading, d.Badge = "Plan", "Planned"
	}
	if len(s.Causes) > 0 {
		d.Badge, d.State = causeWords(s.Causes[0])
	}
	d.Title = title(d.Heading, d.Server, s.Started)
	d.Facts = p.facts()
	d.add(messages(s.Errors, s.Warnings))
	d.add(p.flowsSection())
	d.Sections = append(d.Sections, p.stockSections()...)
	for _, f := range s.Flows {
		d.add(p.flowSection(f))
	}
	d.add(failures(s))
	d.add(leftPurges(s))
	d.Foot = "Times are in UTC. Sizes are in units of 1024. " +
		"Items are rooms of history, and media elsewhere. What was deleted on disk has its thumbnails with it."
	return d
}

// add adds a section that has something in it.
func (d *document) add(s section) {
	if len(s.Notes)+len(s.Tables)+len(s.Figures)+len(s.Entries.Open) > 0 || s.Text != "" {
		d.Sections = append(d.Sections, s)
	}
}

func (p Page) facts() []fact {
	s := p.Summary
	code := cell{Key: "exit_code", Text: fmt.Sprint(s.ExitCode), Value: fmt.Sprint(s.ExitCode)}
	facts := []fact{
		{"Exit code", code},
		{"Server", foreign(s.ServerName, "not known")},
		{"Began", moment(s.Started)},
		{"Ended", moment(s.Ended)},
		{"Took", text(sinks.Took(s.DurationS))},
		{"Synapse", foreign(s.ServerVersion, "not known")},
		{"synupkeep", foreign(s.Version, "not known")},
	}
	if s.Approved != nil {
		facts = slices.Insert(facts, 2, fact{"Plan", foreign(s.Approved.File, "")}, fact{"Plan made", moment(s.Approved.Made)})
	}
	return facts
}

// messages are what ended the run or a flow, and what the operator should know.
func messages(errors []sinks.RunFailure, warnings []string) section {
	s := section{ID: "messages", Heading: "Errors and warnings"}
	errors, _ = first(errors)
	for _, e := range errors {
		n := note{State: bad, Label: "Error", Text: sinks.Line(e.Text()), Hint: sinks.Line(e.Hint)}
		if e.Wanted() {
			n.State, n.Label = fair, "Note"
		}
		s.Notes = append(s.Notes, n)
	}
	warnings, more := first(warnings)
	for _, w := range warnings {
		s.Notes = append(s.Notes, note{State: fair, Label: "Warning", Text: sinks.Line(w)})
	}
	s.Text = more
	return s
}

// flowsSection is the table of the flows: a column for each, so that it fits on a phone.
func (p Page) flowsSection() section {
	s := section{ID: "flows", Heading: "What happened"}
	did := map[string]string{"done": "done", "kept": "kept", "failed": "failed", "freed": "freed on disk", "rows": "rows deleted", "files": "files deleted"}
	if p.Summary.Plan() {
		s.Heading, s.Text = "What would happen", "Nothing has been deleted."
		did = map[string]string{
			"done": "would go", "kept": "would stay", "failed": "cannot go", "freed": "would free on disk", "rows": "rows that would go",
			"files": "files that would go",
		}
	}
	t := table{Caption: "Items by flow", Key: "flows", Wide: true, Head: []cell{text("what")}}
	rows := []struct {
		key, name string
		cell      func(sinks.FlowSummary) cell
	}{
		{"cut_off", "older than", func(f sinks.FlowSummary) cell { return cutOff(f) }},
		{"examined", "examined", func(f sinks.FlowSummary) cell { return count(f.Examined) }},
		{"done", did["done"], func(f sinks.FlowSummary) cell { return count(f.Done) }},
		{"kept", did["kept"], func(f sinks.FlowSummary) cell { return count(f.KeptTotal) }},
		{"skipped", "skipped", func(f sinks.FlowSummary) cell { return count(f.SkippedTotal) }},
		{"left", "left for later", func(f sinks.FlowSummary) cell { return count(f.LeftTotal) }},
		{"failed", did["failed"], func(f sinks.FlowSummary) cell { return count(f.Failed) }},
		{"rows_deleted", did["rows"], func(f sinks.FlowSummary) cell { return count(f.Rows) }},
		{"files_deleted", did["files"], func(f sinks.FlowSummary) cell { return count(f.Files) }},
		{"files_missing", "files missing", func(f sinks.FlowSummary) cell { return count(f.Missing) }},
		{"bytes_freed", did["freed"], freed},
		{"retries", "retries", func(f sinks.FlowSummary) cell { return count(f.Retries) }},
		{"duration_s", "took", duration},
	}
	for _, f := range p.Summary.Flows {
		t.Head = append(t.Head, head(flowWords(f.Flow).title))
	}
	for _, r := range rows {
		cells := []cell{text(r.name)}
		for _, f := range p.Summary.Flows {
			c := r.cell(f)
			c.Key, c.Number = string(f.Flow), true
			cells = append(cells, c)
		}
		t.Rows = append(t.Rows, row{Key: r.key, Cells: cells})
	}
	if len(p.Summary.Flows) == 0 {
		s.Text = "No flow was begun."
		return s
	}
	s.Tables = []table{t}
	return s
}

func cutOff(f sinks.FlowSummary) cell {
	if f.CutOff.IsZero() {
		return none()
	}
	c := moment(f.CutOff)
	c.Text, c.Sub = f.CutOff.Format("2006-01-02"), f.CutOff.Format("15:04 UTC")
	return c
}

// freed is nothing that can be told of history: PostgreSQL keeps the space for itself.
func freed(f sinks.FlowSummary) cell {
	if f.Flow == item.History {
		return none()
	}
	return size(f.Bytes)
}

func duration(f sinks.FlowSummary) cell {
	if !f.Ran {
		return text("not run")
	}
	return cell{Text: sinks.Took(f.DurationS), Value: fmt.Sprint(f.DurationS)}
}

// flowSection is one flow: what went, what stays and why, and who had the most.
func (p Page) flowSection(f sinks.FlowSummary) section {
	names := flowWords(f.Flow)
	s := section{ID: "flow-" + clean(string(f.Flow), maxName), Heading: names.title}
	if f.Examined == 0 && f.Error == "" {
		return section{} // the table says it
	}
	what := names.done
	if p.Summary.Plan() {
		what = names.would
	}
	if deleted := p.Summary.Deleted(f); deleted != "" {
		s.Text = what + ": " + sinks.Line(deleted) + "."
	}
	if f.Error != "" {
		s.Notes = append(s.Notes, note{State: bad, Label: "Ended early", Text: sinks.Line(f.Error)})
	}
	for _, t := range []table{stays(f), held(f)} {
		if len(t.Rows) > 0 {
			s.Tables = append(s.Tables, t)
		}
	}
	if figure, ok := dayFigure(f.ByDay, what); ok {
		s.Figures = append(s.Figures, figure)
	}
	s.Figures = append(s.Figures, roomFigure(f.ByRoom, what)...)
	s.Figures = append(s.Figures, shareFigure(f.ByUser, what+" by user", "user", "nobody")...)
	s.Figures = append(s.Figures, shareFigure(f.ByOrigin, what+" by server", "server", "not known")...)
	s.Figures = append(s.Figures, shareFigure(f.ByType, what+" by type", "type", "not known")...)
	if f.Uncertain > 0 {
		s.Text += " There are very many users, servers or types: one may have up to " + ibytes(f.Uncertain) + " more than is told here."
	}
	return s
}

// stays is what stays and why, the most frequent first.
func stays(f sinks.FlowSummary) table {
	t := table{Caption: "What stays, and why", Key: "stays-" + string(f.Flow), Head: []cell{text("why"), text("what"), head("items")}}
	for _, list := range []struct {
		what   string
		counts map[item.Reason]int64
	}{{"kept", f.Kept}, {"skipped", f.Skipped}, {"left", f.Left}} {
		reasons, note := first(sorted(list.counts))
		t.Note = cmp.Or(t.Note, note)
		for _, r := range reasons {
			t.Rows = append(t.Rows, row{
				Key: list.what + " " + clean(string(r), maxName), Cells: []cell{because(r), text(list.what), count(list.counts[r])},
			})
		}
	}
	return t
}

// held is where the cuts of the rooms that were purged stand, and so why not more of them went.
func held(f sinks.FlowSummary) table {
	t := table{Caption: "What held the cuts", Key: "held-" + string(f.Flow), Head: []cell{text("what"), head("rooms")}}
	reasons, note := first(sorted(f.HeldBy))
	t.Note = note
	for _, r := range reasons {
		t.Rows = append(t.Rows, row{Key: clean(string(r), maxName), Cells: []cell{because(r), count(f.HeldBy[r])}})
	}
	return t
}

func sorted(counts map[item.Reason]int64) []item.Reason {
	return slices.SortedFunc(maps.Keys(counts), func(a, b item.Reason) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(a, b))
	})
}

func because(r item.Reason) cell {
	c := foreign(string(r), "no reason")
	c.Sub = why(r)
	return c
}

// first are as many as somebody reads, and what says how many more there are.
func first[T any](all []T) (some []T, note string) {
	if more := len(all) - maxRows; more > 0 {
		return all[:maxRows], number(int64(more), "more is", "more are") + " in the JSON."
	}
	return all, ""
}

func failures(s sinks.Summary) section {
	var all []entry
	for _, f := range s.Failures {
		e := entry{Label: flowWords(f.Flow).title, Key: clean(f.Key, maxText), Text: sinks.Line(f.Cause), Hint: sinks.Line(f.Hint)}
		if f.PurgeID != "" {
			e.Extra = "purge " + clean(f.PurgeID, maxName)
		}
		all = append(all, e)
	}
	heading := "Failed items"
	if s.Plan() {
		heading = "Items that cannot be deleted"
	}
	return named("failures", heading, "items", all, s.FailuresNotNamed)
}

func leftPurges(s sinks.Summary) section {
	var all []entry
	for _, p := range s.LeftPurges {
		all = append(all, entry{Key: clean(p.RoomID, maxText), Extra: "purge " + clean(p.PurgeID, maxName)})
	}
	return named("left-purges", "Purges that the server still works on", "purges", all, s.LeftPurgesNotNamed)
}

// named is a section of items. The first of them are open.
func named(id, heading, what string, all []entry, notNamed int64) section {
	if len(all) == 0 {
		return section{}
	}
	s := section{ID: id, Heading: heading + " (" + count(int64(len(all))+notNamed).Text + ")"}
	all = all[:min(len(all), maxRows)]
	open := min(len(all), maxOpen)
	s.Entries.Open, s.Entries.More = all[:open], all[open:]
	s.Entries.What = fmt.Sprintf("%s more %s", count(int64(len(all)-open)).Text, what)
	if notNamed > 0 {
		s.Entries.Rest = fmt.Sprintf("%s more are not named.", count(notNamed).Text)
	}
	return s
}
