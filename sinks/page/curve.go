package page

import (
	"fmt"
	"html/template"
	"math"
	"time"

	"synupkeep/internal/item"
)

const day = 24 * time.Hour

// curves are the age curves of one flow: how much is older than each age, before and, if there is one, after.
type curves struct {
	before, after *item.AgeCurve // after may be nil
	read          time.Time      // when before was
	cutOff        time.Time      // of the flow, if it has one
}

// measure is what is drawn: messages by their number, media by bytes, as long as it has any.
func (c curves) measure() (value func(item.AgePoint) int64, s scale, all int64) {
	if c.before.Flow == item.History || c.before.Bytes == 0 {
		return func(p item.AgePoint) int64 { return p.Items }, byItems(), c.before.Items
	}
	return func(p item.AgePoint) int64 { return p.Bytes }, byBytes(), c.before.Bytes
}

// along is where an age stands: each age is so many times the one before it.
func along(age time.Duration) float64 { return math.Log(max(1, age.Hours()/day.Hours())) }

func (c curves) draw(says string) template.HTML {
	ages := map[string]time.Duration{}
	for _, a := range item.CurveAges() {
		ages[a.Name] = a.Age
	}
	value, s, _ := c.measure()
	most := int64(0)
	for _, curve := range []*item.AgeCurve{c.before, c.after} {
		if curve != nil {
			for _, p := range curve.Points {
				most = max(most, value(p))
			}
		}
	}
	var ticks []tick
	for _, name := range []string{"1d", "1w", "30d", "90d", "1y", "5y"} {
		ticks = append(ticks, tick{along(ages[name]), name})
	}
	p := newPlot(says, 0, along(5*365*day), ticks, s, most)
	points := func(curve *item.AgeCurve) (points []point) {
		for _, older := range curve.Points {
			if age, ok := ages[older.Age]; ok {
				points = append(points, p.at(along(age), float64(max(0, value(older)))))
			}
		}
		return points
	}
	const dot = 2.5
	p.line(stroke{colour: firstColour, width: 2}, points(c.before)...)
	for _, at := range points(c.before) {
		p.disc(firstColour, at, dot)
	}
	if c.after != nil {
		p.line(stroke{colour: secondColour, width: 2, dashes: "5 3"}, points(c.after)...)
		for _, at := range points(c.after) {
			p.box(secondColour, point{at.x - dot, at.y + dot}, 2*dot, 2*dot)
		}
	}
	c.drawCutOff(p)
	return p.svg()
}

// drawCutOff draws where the cut-off of the flow stands.
func (c curves) drawCutOff(p *plot) {
	if c.cutOff.IsZero() || c.read.IsZero() {
		return
	}
	foot := p.at(min(along(c.read.Sub(c.cutOff)), p.most), 0)
	p.line(stroke{colour: markColour, width: 1.5, dashes: "2 2"}, foot, point{foot.x, p.top})
	anchor, x := atStart, foot.x+4
	if foot.x > (p.left+p.right)/2 {
		anchor, x = atEnd, foot.x-4
	}
	p.words(markColour, anchor, point{x, p.top + 10}, "cut-off")
}

// curveFigure is the plot of a flow's age curves with its numbers.
func (c curves) figure() (figure, bool) {
	value, s, all := c.measure()
	if len(c.before.Points) == 0 || all <= 0 {
		return figure{}, false
	}
	names := flowWords(c.before.Flow)
	f := figure{Caption: fmt.Sprintf("%s: how much is older than each age (%s)", names.title, byTimeWords(c.before.ByTime)), Table: c.table(names)}
	says := f.Caption + ". "
	for _, p := range c.before.Points {
		switch p.Age {
		case "30d", "90d", "1y":
			says += fmt.Sprintf("Older than %s: %s. ", p.Age, s.tell(value(p)))
		}
	}
	f.SVG = c.draw(says + fmt.Sprintf("Of %s in all.", s.tell(all)))
	return f, true
}

func (c curves) table(names flowText) table {
	t := table{
		Caption: "A cut-off there would let go at most", Key: "curve-" + string(c.before.Flow),
		Head: []cell{text("older than"), head(names.items), head("size")},
	}
	if c.after != nil {
		t.Head = append(t.Head, head(names.items+" after"), head("size after"))
	}
	margin := func(number cell, p item.AgePoint) cell {
		if p.Margin > 0 {
			return number.about(count(p.Margin).Text)
		}
		return number
	}
	for i, p := range c.before.Points {
		cells := []cell{text(p.Age), margin(count(p.Items), p), size(p.Bytes)}
		cells[0].Sub = p.CutOff.UTC().Format(time.DateOnly)
		if c.after != nil && i < len(c.after.Points) {
			cells = append(cells, margin(count(c.after.Points[i].Items), c.after.Points[i]), size(c.after.Points[i].Bytes))
		}
		t.Rows = append(t.Rows, row{Key: p.Age, Cells: cells})
	}
	all := []cell{text("all there is"), count(c.before.Items), size(c.before.Bytes)}
	if c.after != nil {
		all = append(all, count(c.after.Items), size(c.after.Bytes))
	}
	t.Rows = append(t.Rows, row{Key: "all", Cells: all})
	return t
}
