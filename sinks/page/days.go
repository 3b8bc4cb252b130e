package page

import (
	"fmt"
	"html/template"
	"time"

	"synupkeep/sinks"
)

// maxBins is how many bars of a time there may be: so many can be told apart on a phone.
const maxBins = 62

// bin is a span of days.
type bin struct {
	Begin        time.Time
	Items, Bytes int64
}

// span is how many days stand together.
type span struct {
	name  string // such as month
	begin func(time.Time) time.Time
	next  func(time.Time) time.Time
	short func(time.Time) string // at the axis
	whole func(time.Time) string // in the table
}

func spans() []span {
	format := func(layout string) func(time.Time) string {
		return func(t time.Time) string { return t.Format(layout) }
	}
	add := func(years, months, days int) func(time.Time) time.Time {
		return func(t time.Time) time.Time { return t.AddDate(years, months, days) }
	}
	month := func(t time.Time) time.Time { return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC) }
	year := func(t time.Time) time.Time { return time.Date(t.Year(), 1, 1, 0, 0, 0, 0, time.UTC) }
	quarter := func(t time.Time) time.Time { return time.Date(t.Year(), (t.Month()-1)/3*3+1, 1, 0, 0, 0, 0, time.UTC) }
	monday := func(t time.Time) time.Time { return t.AddDate(0, 0, -(int(t.Weekday())+6)%7) }
	named := func(t time.Time) string { return fmt.Sprintf("%d Q%d", t.Year(), (t.Month()+2)/3) }
	decade := func(t time.Time) time.Time { return time.Date(t.Year()/10*10, 1, 1, 0, 0, 0, 0, time.UTC) }
	return []span{
		{"day", func(t time.Time) time.Time { return t }, add(0, 0, 1), format("2 Jan"), format(time.DateOnly)},
		{"week", monday, add(0, 0, 7), format("2 Jan 06"), func(t time.Time) string { return "week of " + t.Format(time.DateOnly) }},
		{"month", month, add(0, 1, 0), format("Jan 2006"), format("2006-01")},
		{"quarter", quarter, add(0, 3, 0), named, named},
		{"year", year, add(1, 0, 0), format("2006"), format("2006")},
		{"decade", decade, add(10, 0, 0), format("2006s"), format("2006s")},
	}
}

// binned puts days together, so that there are not too many of them. The bins follow each other without a gap.
func binned(days []sinks.DayShare) (bins []bin, by span) {
	var first, last time.Time
	at := make([]time.Time, len(days))
	for i, d := range days {
		t, err := time.Parse(time.DateOnly, d.Day)
		if err != nil {
			t = time.Unix(0, 0).UTC() // as what has no time
		}
		at[i] = t
		if i == 0 || t.Before(first) {
			first = t
		}
		if i == 0 || t.After(last) {
			last = t
		}
	}
	for _, by = range spans() {
		bins = bins[:0]
		for t := by.begin(first); !t.After(last) && len(bins) <= maxBins; t = by.next(t) {
			bins = append(bins, bin{Begin: t})
		}
		if len(bins) <= maxBins {
			break
		}
	}
	where := map[time.Time]int{}
	for i, b := range bins {
		where[b.Begin] = i
	}
	for i, d := range days {
		if n, ok := where[by.begin(at[i])]; ok {
			bins[n].Items += d.Items
			bins[n].Bytes += d.Bytes
		}
	}
	return bins, by
}

// byDay draws how much went of what is of each time.
func byDay(bins []bin, by span, value func(bin) int64, s scale, says string) template.HTML {
	most := int64(0)
	for _, b := range bins {
		most = max(most, value(b))
	}
	p := newPlot(says, -0.5, float64(len(bins))-0.5, binTicks(bins, by), s, most)
	width := max(1.5, min(40, 0.8*(p.right-p.left)/float64(len(bins))))
	for i, b := range bins {
		if v := value(b); v > 0 {
			foot, head := p.at(float64(i), 0), p.at(float64(i), float64(v))
			p.box(firstColour, point{foot.x - width/2, foot.y}, width, foot.y-head.y)
		}
	}
	return p.svg()
}

// binTicks names at most four bins: their names are as wide as that.
func binTicks(bins []bin, by span) (ticks []tick) {
	const named = 4
	every := (len(bins) + named - 1) / named
	for i := every / 2; i < len(bins); i += every {
		ticks = append(ticks, tick{float64(i), by.short(bins[i].Begin)})
	}
	return ticks
}

// dayFigure is what a flow did by the day on which this server got what went.
func dayFigure(days []sinks.DayShare, what string) (figure, bool) {
	bins, by := binned(days)
	value, s := func(b bin) int64 { return b.Bytes }, byBytes()
	var items, bytes int64
	most := bin{Bytes: -1}
	for _, b := range bins {
		items, bytes = items+b.Items, bytes+b.Bytes
	}
	if items == 0 {
		return figure{}, false
	}
	if bytes == 0 {
		value, s = func(b bin) int64 { return b.Items }, byItems()
	}
	f := figure{Caption: what + " by the " + by.name + " on which this server got it", Table: table{
		Caption: "Numbers by " + by.name + " (UTC)", Head: []cell{text(by.name), head("media"), head("size")},
	}}
	for _, b := range bins {
		if most.Bytes < 0 || value(b) > value(most) {
			most = b
		}
		if b.Items != 0 || b.Bytes != 0 {
			f.Table.Rows = append(f.Table.Rows, row{Cells: []cell{text(by.whole(b.Begin)), count(b.Items), size(b.Bytes)}})
		}
	}
	says := fmt.Sprintf("%s, from %s to %s; the most is %s in %s.", f.Caption, by.whole(bins[0].Begin),
		by.whole(bins[len(bins)-1].Begin), s.tell(value(most)), by.whole(most.Begin))
	f.SVG = byDay(bins, by, value, s, says)
	return f, true
}
