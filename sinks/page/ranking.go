package page

import (
	"html/template"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

const (
	// maxBars is how many bars a plot has. The table beside it has them all.
	maxBars = 10
	// Each bar stands below its name.
	barSpace  = 34
	barHeight = 10
	// barName is how many columns of a terminal a name may take: about what there is place for.
	barName = 34
)

// bar is one of a ranking.
type bar struct {
	Name  string
	Value int64
	Tells string // the value in words
}

// ranking draws bars, the largest first, with names above them: they may be long, and in any script.
func ranking(bars []bar, says string) (template.HTML, error) {
	bars = bars[:min(len(bars), maxBars)]
	most := int64(1)
	for _, b := range bars {
		most = max(most, b.Value)
	}
	height := vg.Length(barSpace * len(bars))
	return drawn(height, says, func(c draw.Canvas) {
		name := draw.TextStyle{Color: inkColour(), Font: sans(fontSize), Handler: plot.DefaultTextHandler, XAlign: draw.XLeft, YAlign: draw.YBottom}
		value := name
		value.XAlign, value.Color = draw.XRight, end(quietColour())
		for i, b := range bars {
			bottom := c.Max.Y - vg.Length(barSpace*(i+1)) + 6
			width := max(1, vg.Length(float64(max(0, b.Value))/float64(most))*(c.Max.X-c.Min.X))
			c.FillPolygon(firstColour(), []vg.Point{
				{X: c.Min.X, Y: bottom},
				{X: c.Min.X + width, Y: bottom},
				{X: c.Min.X + width, Y: bottom + barHeight},
				{X: c.Min.X, Y: bottom + barHeight},
			})
			c.FillText(name, vg.Point{X: c.Min.X, Y: bottom + barHeight + 2}, fitting(b.Name, barName, plotWidth-20-widthOf(b.Tells)))
			c.FillText(value, vg.Point{X: c.Max.X, Y: bottom + barHeight + 2}, b.Tells)
		}
	})
}
