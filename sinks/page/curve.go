package page

import (
	"fmt"
	"html/template"
	"math"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

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

func (c curves) draw(says string) (template.HTML, error) {
	ages := map[string]time.Duration{}
	for _, a := range item.CurveAges() {
		ages[a.Name] = a.Age
	}
	value, s, _ := c.measure()
	most := int64(0)
	points := func(curve *item.AgeCurve) (xys plotter.XYs) {
		for _, p := range curve.Points {
			if age, ok := ages[p.Age]; ok {
				xys = append(xys, plotter.XY{X: along(age), Y: float64(max(0, value(p)))})
				most = max(most, value(p))
			}
		}
		return xys
	}
	return drawn(plotHeight, says, func(canvas draw.Canvas) {
		p := newPlot()
		p.X.Min, p.X.Max = 0, along(5*365*day)
		for _, name := range []string{"1d", "1w", "30d", "90d", "1y", "5y"} {
			p.X.Tick.Marker = append(ticksOf(p), plot.Tick{Value: along(ages[name]), Label: name})
		}
		add := func(curve *item.AgeCurve, first bool) {
			if curve == nil || len(points(curve)) == 0 {
				return
			}
			line, dots, err := plotter.NewLinePoints(points(curve))
			if err != nil {
				panic(err)
			}
			line.LineStyle = draw.LineStyle{Color: firstColour(), Width: 2}
			dots.GlyphStyle = draw.GlyphStyle{Color: firstColour(), Radius: 2.5, Shape: draw.CircleGlyph{}}
			if !first {
				line.LineStyle = draw.LineStyle{Color: secondColour(), Width: 2, Dashes: []vg.Length{5, 3}}
				dots.GlyphStyle = draw.GlyphStyle{Color: secondColour(), Radius: 2.5, Shape: draw.BoxGlyph{}}
			}
			p.Add(line, dots)
		}
		add(c.before, true)
		add(c.after, false)
		heights(p, s, most)
		if at, ok := c.mark(); ok {
			p.Add(mark(at))
		}
		p.Draw(inside(canvas))
	})
}

func ticksOf(p *plot.Plot) plot.ConstantTicks {
	if ticks, ok := p.X.Tick.Marker.(plot.ConstantTicks); ok {
		return ticks
	}
	return nil
}

// mark is where the cut-off of the flow stands.
func (c curves) mark() (float64, bool) {
	if c.cutOff.IsZero() || c.read.IsZero() {
		return 0, false
	}
	return min(along(c.read.Sub(c.cutOff)), along(5*365*day)), true
}

// mark is the line of a cut-off.
type mark float64

// Plot implements plot.Plotter.
func (m mark) Plot(c draw.Canvas, p *plot.Plot) {
	toX, _ := p.Transforms(&c)
	x := toX(float64(m))
	c.StrokeLine2(draw.LineStyle{Color: markColour(), Width: 1.5, Dashes: []vg.Length{2, 2}}, x, c.Min.Y, x, c.Max.Y)
	style := draw.TextStyle{Color: markColour(), Font: sans(fontSize), Handler: plot.DefaultTextHandler, XAlign: draw.XLeft, YAlign: draw.YTop}
	at := vg.Point{X: x + 4, Y: c.Max.Y}
	if x > (c.Min.X+c.Max.X)/2 {
		style.XAlign, style.Color, at.X = draw.XRight, end(markColour()), x-4
	}
	c.FillText(style, at, "cut-off")
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
	f.SVG, _ = c.draw(says + fmt.Sprintf("Of %s in all.", s.tell(all)))
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
