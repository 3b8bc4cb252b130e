package page

import (
	"math"
	"strings"
	"testing"
)

// Whatever a name holds, it is text in a drawing.
func TestADrawingEscapesItsTexts(t *testing.T) {
	d := newDrawing(10, `"says" <b>`)
	d.words(inkColour, atEnd, point{1, 2.005}, `<script>&"`)
	want := `<svg viewBox="0 0 340 10" role="img" aria-label="&#34;says&#34; &lt;b&gt;"><title>&#34;says&#34; &lt;b&gt;</title>` +
		`<text x="1" y="2.01" font-size="12" class="fill-ink" text-anchor="end">&lt;script&gt;&amp;&#34;</text></svg>`
	if got := string(d.svg()); got != want {
		t.Error(got)
	}
}

// A value stands where its number says, and the largest is as high as the plot.
func TestValuesStandInTheirPlace(t *testing.T) {
	p := newPlot("", 0, 10, nil, byItems(), 500)
	for _, test := range []struct {
		x, y float64
		want point
	}{{0, 0, point{p.left, p.bottom}}, {10, 500, point{p.right, p.top}}, {5, 250, point{(p.left + p.right) / 2, (p.top + p.bottom) / 2}}} {
		if got := p.at(test.x, test.y); math.Hypot(got.x-test.want.x, got.y-test.want.y) > 0.001 {
			t.Errorf("%v, %v is at %v, want %v", test.x, test.y, got, test.want)
		}
	}
}

// The ticks of an axis are round, few, and reach as far as the numbers.
func TestTicks(t *testing.T) {
	for most, want := range map[float64]string{1: "0 B, 1 B", 1000: "0 B, 256 B, 512 B, 768 B, 1 KiB", 5000: "0 B, 1 KiB, 2 KiB, 3 KiB, 4 KiB, 5 KiB", 1 << 62: "0 B, 1 EiB, 2 EiB, 3 EiB, 4 EiB"} {
		ticks, end := byBytes().ticks(most)
		var got []string
		for _, tick := range ticks {
			got = append(got, tick.label)
		}
		if strings.Join(got, ", ") != want || end < most {
			t.Errorf("up to %v: %q, the last is %v", most, got, end)
		}
	}
	if ticks, _ := byItems().ticks(2_345_678); ticks[len(ticks)-1].label != "2.5 M" && ticks[len(ticks)-1].label != "3 M" {
		t.Errorf("%+v", ticks)
	}
}

// A name is shortened to what there is place for, in any script.
func TestFitting(t *testing.T) {
	for name, want := range map[string]string{
		"short": "short", strings.Repeat("a", 40): strings.Repeat("a", 33) + "…", "日本語日本語日本語日本語日本語日本語": "日本語日本語日本語日本語日本語日…", "": "", "a\nb": `a\nb`,
	} {
		if got := fitting(name, 34, 1000); got != want {
			t.Errorf("%q became %q", name, got)
		}
	}
	if got := fitting(strings.Repeat("W", 30), 34, 100); widthOf(got) > 100 || !strings.HasSuffix(got, "W…") {
		t.Errorf("%q is %v wide", got, widthOf(got))
	}
}
