package page

import (
	"bytes"
	"fmt"
	"html/template"
	"math"
	"strconv"

	"github.com/dustin/go-humanize"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// A plot is as wide as a phone. Where there is more place, several stand beside each other.
const (
	plotWidth  = 340
	plotHeight = 200
	fontSize   = 12
)

// newPlot has axes without lines, ticks without marks, and a grid along y only: what is read is the height.
func newPlot() *plot.Plot {
	p := plot.New()
	p.BackgroundColor = nil
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.Width = 0
		axis.Tick.Width = 0
		axis.Tick.Length = 0
		axis.Padding = 3
		axis.Tick.Label.Font = sans(fontSize)
	}
	p.X.Tick.Label.Color, p.Y.Tick.Label.Color = middle(quietColour()), end(quietColour())
	grid := plotter.NewGrid()
	grid.Vertical.Color = nil
	grid.Horizontal = draw.LineStyle{Color: gridColour(), Width: 1}
	p.Add(grid)
	return p
}

// sans is drawn with the widths of Arial, which every system has or replaces by one as wide.
func sans(size vg.Length) font.Font {
	return font.Font{Typeface: "Liberation", Variant: "Sans", Size: size}
}

// widthOf is how wide a text is in that font.
func widthOf(words string) float64 {
	width, _, _ := plot.DefaultTextHandler.Box(words, sans(fontSize))
	return width.Points()
}

// drawn draws, and returns what may stand in a page. What draws panics when it gets something that it cannot draw: a page
// without a plot is better than a run that cannot tell what it did.
func drawn(height vg.Length, says string, on func(draw.Canvas)) (svg template.HTML, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			svg, err = "", fmt.Errorf("draw a plot: %v", cause)
		}
	}()
	canvas := vgsvg.NewWith(vgsvg.UseWH(plotWidth, height))
	on(draw.New(canvas))
	var b bytes.Buffer
	if _, err := canvas.WriteTo(&b); err != nil {
		return "", err
	}
	return drawing(b.Bytes(), says)
}

// scale says how a number is told at an axis and in a text, and which steps are round.
type scale struct {
	base   float64 // of its units
	rounds []float64
	units  []string
	tell   func(int64) string
}

func byBytes() scale {
	return scale{
		base: 1024, rounds: []float64{1, 2, 4, 8, 16, 32, 64, 128, 256, 512},
		units: []string{" B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB"}, tell: ibytes,
	}
}

func byItems() scale {
	return scale{
		base: 1000, rounds: []float64{1, 2, 5, 10, 20, 50, 100, 200, 500},
		units: []string{"", " k", " M", " G", " T", " P", " E"}, tell: humanize.Comma,
	}
}

// label is a number at an axis.
func (s scale) label(v float64) string {
	unit := 0
	for v >= s.base && unit < len(s.units)-1 {
		v /= s.base
		unit++
	}
	return strconv.FormatFloat(v, 'g', 4, 64) + s.units[unit]
}

// ticks are round numbers from 0 to at least most: three to six.
func (s scale) ticks(most float64) (ticks plot.ConstantTicks, end float64) {
	const steps = 5
	unit := 1.0
	for unit*s.base <= most {
		unit *= s.base
	}
	step := unit * s.base
	for _, round := range s.rounds {
		if unit*round*steps >= most {
			step = unit * round
			break
		}
	}
	for end = 0; end < most; end += step {
		ticks = append(ticks, plot.Tick{Value: end, Label: s.label(end)})
	}
	return append(ticks, plot.Tick{Value: end, Label: s.label(end)}), end
}

// inside leaves some place around: with the reader's font the labels may be wider than with ours.
func inside(c draw.Canvas) draw.Canvas { return draw.Crop(c, 8, -8, 0, 0) }

// heights sets the axis of y for numbers up to most.
func heights(p *plot.Plot, s scale, most int64) {
	p.Y.Min = 0
	p.Y.Tick.Marker, p.Y.Max = s.ticks(math.Max(1, float64(most)))
}
