package page

import "html/template"

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
func ranking(bars []bar, says string) template.HTML {
	bars = bars[:min(len(bars), maxBars)]
	most := int64(1)
	for _, b := range bars {
		most = max(most, b.Value)
	}
	d := newDrawing(float64(barSpace*len(bars)), says)
	const left, right = margin, plotWidth - margin
	for i, b := range bars {
		bottom := float64(barSpace*(i+1)) - 6
		width := max(1, float64(max(0, b.Value))/float64(most)*(right-left))
		d.box(firstColour, point{left, bottom}, width, barHeight)
		above := bottom - barHeight - 5
		d.words(inkColour, atStart, point{left, above}, fitting(b.Name, barName, plotWidth-20-widthOf(b.Tells)))
		d.words(quietColour, atEnd, point{right, above}, b.Tells)
	}
	return d.svg()
}
