package page

import (
	"fmt"
	"time"

	"synupkeep/internal/item"
	"synupkeep/sinks"
)

// Stock is how much there was at one time.
type Stock struct {
	Read   time.Time
	Curves []item.AgeCurve
	// Free and Space are those of the file system that the media store is on, in bytes; both are 0 where that is not known.
	Free, Space int64
}

func (s *Stock) curve(f item.Flow) *item.AgeCurve {
	if s == nil {
		return nil
	}
	for i := range s.Curves {
		if s.Curves[i].Flow == f {
			return &s.Curves[i]
		}
	}
	return nil
}

// Page is what a run or a plan has to say.
type Page struct {
	Summary sinks.Summary
	// Before is from before the first delete, After from the end; either may be nil. A plan has no After.
	Before, After *Stock
}

// stockSections are before and after, and the age curves.
func (p Page) stockSections() (all []section) {
	if p.Before == nil {
		return nil
	}
	all = append(all, p.beforeAndAfter())
	s := section{
		ID: "ages", Heading: "What another cut-off would give",
		Text: "Each curve says how much is older than an age: what a cut-off there would let go at most. " +
			"What is protected, shown or has no safe cut is not taken off; that only a plan can say.",
	}
	if p.After != nil {
		s.Text += " The solid blue line with dots is before the run, the dashed orange one with squares after it."
	}
	for i := range p.Before.Curves {
		c := curves{before: &p.Before.Curves[i], after: p.After.curve(p.Before.Curves[i].Flow), read: p.Before.Read}
		for _, f := range p.Summary.Flows {
			if f.Flow == c.before.Flow {
				c.cutOff = f.CutOff
			}
		}
		if f, ok := c.figure(); ok {
			s.Figures = append(s.Figures, f)
		}
	}
	if len(s.Figures) > 0 {
		all = append(all, s)
	}
	return all
}

// beforeAndAfter compares. Where nobody read what is left, as after a plan, it is what was less what went.
func (p Page) beforeAndAfter() section {
	s := section{
		ID: "stock", Heading: "Before and after",
		Text: "Bytes are as the database has them: without thumbnails, and of history the JSON of the messages alone.",
	}
	after := "after"
	if p.Summary.Plan() {
		s.Heading, after = "Before and after such a run", "after (planned)"
	} else if p.After == nil {
		after = "after (computed)"
		s.Text += " What is left was not read, since the run was stopped or could not read it: it is what was there less what was deleted."
	}
	t := table{Caption: "What there is", Key: "stock", Head: []cell{text("what"), head("before"), head(after)}}
	for i := range p.Before.Curves {
		c := &p.Before.Curves[i]
		names := flowWords(c.Flow)
		items, bytes := p.left(c)
		estimated := ""
		if c.Sample != nil {
			estimated = "estimated"
			s.Text += fmt.Sprintf(" Messages are estimated from %s of %s blocks of the table: before and after may differ by a little more or less than what was deleted.",
				count(c.Sample.BlocksRead).Text, count(c.Sample.Blocks).Text)
		}
		first := text(names.title + ", " + names.items)
		first.Sub = estimated
		t.Rows = append(t.Rows,
			row{Key: string(c.Flow) + "-items", Cells: []cell{first, count(c.Items), items}},
			row{Key: string(c.Flow) + "-bytes", Cells: []cell{text(names.title + ", size"), size(c.Bytes), bytes}})
	}
	if p.Before.Space > 0 {
		free := none()
		switch {
		case p.After != nil && p.After.Space > 0:
			free = size(p.After.Free)
		case p.After == nil:
			free = size(p.Before.Free + p.freed())
		}
		first := text("Free space")
		first.Sub = "of " + ibytes(p.Before.Space) + ", the file system of the media store"
		t.Rows = append(t.Rows, row{Key: "free", Cells: []cell{first, size(p.Before.Free), free}})
	}
	s.Tables = []table{t}
	return s
}

// left is how much of a flow there is at the end.
func (p Page) left(before *item.AgeCurve) (items, bytes cell) {
	if c := p.After.curve(before.Flow); c != nil {
		return count(c.Items), size(c.Bytes)
	}
	if p.After != nil {
		return none(), none()
	}
	for _, f := range p.Summary.Flows {
		if f.Flow != before.Flow {
			continue
		}
		gone := f.Sizes[item.Done]
		if f.Flow == item.History { // of which no bytes are counted: as much as that many take on average
			gone = int64(float64(before.Bytes) * float64(f.Rows) / float64(max(1, before.Items)))
		}
		return count(max(0, before.Items-f.Rows)), size(max(0, before.Bytes-gone))
	}
	return count(before.Items), size(before.Bytes) // nothing of it would be deleted
}

func (p Page) freed() (bytes int64) {
	for _, f := range p.Summary.Flows {
		bytes += f.Bytes
	}
	return bytes
}
