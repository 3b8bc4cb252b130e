package page

import (
	"fmt"
	"html"
	"html/template"
	"math"
	"strconv"
	"strings"

	"github.com/mattn/go-runewidth"
)

// What is drawn has one of these colours, each of which is a class of the style sheet.
const (
	inkColour    = "ink"
	quietColour  = "quiet"
	gridColour   = "grid"
	firstColour  = "first"
	secondColour = "second"
	markColour   = "mark"
)

// A text stands with its beginning, its middle or its end where it is drawn, whatever font the reader has.
const (
	atStart  = ""
	atMiddle = "middle"
	atEnd    = "end"
)

const fontSize = 12

type point struct{ x, y float64 }

// stroke is how a line is drawn; dashes may be empty.
type stroke struct {
	colour string
	width  float64
	dashes string
}

// drawing is an SVG under way. It writes nothing but lines, areas and texts: numbers are formatted here, texts escaped, and
// everything else is a constant.
type drawing struct {
	says          string
	width, height float64
	b             strings.Builder
}

func newDrawing(height float64, says string) *drawing {
	return &drawing{says: says, width: plotWidth, height: height}
}

// decimal is a coordinate: a hundredth of a unit is less than anybody sees.
func decimal(v float64) string { return strconv.FormatFloat(math.Round(v*100)/100, 'f', -1, 64) }

// trace is the d of a path along points.
func trace(points []point) string {
	var b strings.Builder
	for i, p := range points {
		b.WriteString(map[bool]string{true: "M", false: "L"}[i == 0] + decimal(p.x) + "," + decimal(p.y))
	}
	return b.String()
}

func (d *drawing) line(s stroke, points ...point) {
	fmt.Fprintf(&d.b, `<path d="%s" class="fill-none stroke-%s" stroke-width="%s"`, trace(points), s.colour, decimal(s.width))
	if s.dashes != "" {
		fmt.Fprintf(&d.b, ` stroke-dasharray="%s"`, s.dashes)
	}
	d.b.WriteString("/>")
}

func (d *drawing) area(colour string, points ...point) {
	fmt.Fprintf(&d.b, `<path d="%sZ" class="fill-%s"/>`, trace(points), colour)
}

// box is an area from its lower left corner.
func (d *drawing) box(colour string, at point, width, height float64) {
	d.area(colour, at, point{at.x, at.y - height}, point{at.x + width, at.y - height}, point{at.x + width, at.y})
}

func (d *drawing) disc(colour string, at point, radius float64) {
	r := decimal(radius)
	fmt.Fprintf(&d.b, `<path d="M%s,%sa%s,%s 0 1 0 %s,0a%s,%s 0 1 0 -%s,0Z" class="fill-%s"/>`,
		decimal(at.x-radius), decimal(at.y), r, r, decimal(2*radius), r, r, decimal(2*radius), colour)
}

// words stand on the line through at.
func (d *drawing) words(colour, anchor string, at point, words string) {
	fmt.Fprintf(&d.b, `<text x="%s" y="%s" font-size="%d" class="fill-%s"`, decimal(at.x), decimal(at.y), fontSize, colour)
	if anchor != atStart {
		fmt.Fprintf(&d.b, ` text-anchor="%s"`, anchor)
	}
	d.b.WriteString(">" + html.EscapeString(words) + "</text>")
}

// svg is the drawing, as wide as there is place for it, with what it says to whoever does not see it.
func (d *drawing) svg() template.HTML {
	says := html.EscapeString(d.says)
	return template.HTML(fmt.Sprintf(`<svg viewBox="0 0 %s %s" role="img" aria-label="%s"><title>%s</title>%s</svg>`, //nolint:gosec // see drawing
		decimal(d.width), decimal(d.height), says, says, d.b.String()))
}

// widthsOfASCII are the widths of Arial from space to ~, in thousandths of the font size. Liberation Sans, Helvetica and what
// else systems put in its place are as wide.
func widthsOfASCII() [95]int {
	return [...]int{
		278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556, 556, 556, 556, 556, 556, 556, 556, 278, 278, 584, 584, 584, 556,
		1015, 667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667, 556, 833, 722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469, 556,
		333, 556, 556, 500, 556, 556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556, 556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334, 260, 334, 584,
	}
}

// widthOf is how wide a text is, about: what Arial has no width for counts as an M, and twice where a terminal gives it two columns.
func widthOf(words string) float64 {
	var columns runewidth.Condition // and not that of our locale
	widths, sum := widthsOfASCII(), 0
	for _, r := range words {
		if i := int(r) - ' '; i >= 0 && i < len(widths) {
			sum += widths[i]
		} else {
			sum += []int{0, 833, 1000}[min(2, columns.RuneWidth(r))]
		}
	}
	return float64(sum) * fontSize / 1000
}
