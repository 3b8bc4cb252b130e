package page

import (
	"math"
	"strconv"

	"github.com/dustin/go-humanize"
)

// A plot is as wide as a phone. Where there is more place, several stand beside each other.
const (
	plotWidth  = 340
	plotHeight = 200
	// margin is free around a plot, labelHeight below it: with the reader's font the labels may be wider than with ours.
	margin      = 8
	labelHeight = 20
)

// tick is a label at an axis.
type tick struct {
	at    float64
	label string
}

// plot is a drawing with axes: of a grid along y only, since what is read is the height.
type plot struct {
	*drawing
	left, right, top, bottom float64
	least, most, high        float64 // x from least to most, y up to high
}

// newPlot has x from least to most and y from 0 to at least high. Texts at x are no wider than what there is for each.
func newPlot(says string, least, most float64, ticks []tick, s scale, high int64) *plot {
	p := &plot{drawing: newDrawing(plotHeight, says), top: margin, right: plotWidth - margin, bottom: plotHeight - labelHeight, least: least, most: most}
	heights, end := s.ticks(math.Max(1, float64(high)))
	p.high = end
	for _, t := range heights {
		p.left = max(p.left, widthOf(t.label))
	}
	p.left += margin + 6
	for _, t := range heights {
		y := p.at(least, t.at).y
		p.line(stroke{colour: gridColour, width: 1}, point{p.left, y}, point{p.right, y})
		p.words(quietColour, atEnd, point{p.left - 6, y + 4}, t.label)
	}
	for _, t := range ticks {
		// A label in the middle below the first or the last place would stand out at the side.
		half := widthOf(t.label) / 2
		x := min(max(p.at(t.at, 0).x, half+margin), plotWidth-half-margin)
		p.words(quietColour, atMiddle, point{x, plotHeight - 5}, t.label)
	}
	return p
}

// at is where a value stands.
func (p *plot) at(x, y float64) point {
	return point{
		p.left + (x-p.least)/(p.most-p.least)*(p.right-p.left),
		p.bottom - y/p.high*(p.bottom-p.top),
	}
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
func (s scale) ticks(most float64) (ticks []tick, end float64) {
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
		ticks = append(ticks, tick{end, s.label(end)})
	}
	return append(ticks, tick{end, s.label(end)}), end
}
