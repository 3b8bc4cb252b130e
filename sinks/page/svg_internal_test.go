package page

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"gonum.org/v1/plot/vg/draw"
)

const plain = `<svg width="1pt" height="1pt" viewBox="0 0 1 1" xmlns="http://www.w3.org/2000/svg"><g transform="scale(1, -1) translate(0, -1)">%s</g></svg>`

// What no plot has is in no page, whoever wrote the library that draws.
func TestADrawingIsNothingButAPlot(t *testing.T) {
	for _, inside := range []string{
		`<script>alert(1)</script>`, `<image href="x"/>`, `<a href="#"><path d="M0,0"/></a>`, `<foreignObject/>`, `<use href="#x"/>`, `<style>*{}</style>`,
		`<path onload="alert(1)" d="M0,0"/>`, `<path d="M0,0" style="fill:url(#x)"/>`, `<path d="url(x)"/>`, `<path style="filter:url(x)"/>`,
		`<path style="fill:#123456"/>`, `<path style="stroke-width:1;background:red"/>`, `<g transform="matrix(1)"/>`, `<g transform="url(x)"/>`,
		`<text x="1" href="x">a</text>`, `<svg/>`, `words`, `<path d="M0,0" id="x"/>`, `<path d="M0,0" onload="1"/>`,
	} {
		if drawn, err := drawing(fmt.Appendf(nil, plain, inside), "says"); err == nil {
			t.Errorf("%s became %s", inside, drawn)
		}
	}
	for inside, want := range map[string]string{
		`<path d="M0,0L1,1Z" style="fill:none;stroke:#040000;stroke-width:2"/>`:       `<path d="M0,0L1,1Z" stroke-width="2" class="fill-none stroke-first"></path>`,
		`<text x="1" y="2" style="font-size:12px;fill:#010000">&lt;b&gt;&amp;</text>`: `<text x="1" y="2" font-size="12" class="fill-ink">&lt;b&gt;&amp;</text>`,
		`<text x="1" y="2" style="fill:#020200">a</text>`:                             fmt.Sprintf(`<text x="%.2f" y="2" text-anchor="end" class="fill-quiet">a</text>`, 1+widthOf("a")),
		`<text x="1" y="2" style="fill:#020000"></text>`:                              `translate(0, -1)"></g>`,
	} {
		if drawn, err := drawing(fmt.Appendf(nil, plain, inside), `"says" <`); err != nil || !strings.Contains(string(drawn), want) {
			t.Errorf("%s became %s, %v", inside, drawn, err)
		}
	}
	if drawn, err := drawing(fmt.Appendf(nil, plain, ""), `"says" <`); err != nil || !strings.Contains(string(drawn), `aria-label="&#34;says&#34; &lt;"><title>&#34;says&#34; &lt;</title>`) {
		t.Errorf("%s, %v", drawn, err)
	}
	if _, err := drawing([]byte(`<svg>`), ""); err == nil {
		t.Error("half a drawing passes for one")
	}
}

// A plot that cannot be drawn is an error, and nothing that ends the run.
func TestAPanicOfWhatDrawsIsAnError(t *testing.T) {
	svg, err := drawn(10, "says", func(draw.Canvas) { panic(errors.New("no such number")) })
	if svg != "" || err == nil || !strings.Contains(err.Error(), "no such number") {
		t.Errorf("%q, %v", svg, err)
	}
}

// The ticks of an axis are round, few, and reach as far as the numbers.
func TestTicks(t *testing.T) {
	for most, want := range map[float64]string{1: "0 B, 1 B", 1000: "0 B, 256 B, 512 B, 768 B, 1 KiB", 5000: "0 B, 1 KiB, 2 KiB, 3 KiB, 4 KiB, 5 KiB", 1 << 62: "0 B, 1 EiB, 2 EiB, 3 EiB, 4 EiB"} {
		ticks, end := byBytes().ticks(most)
		var got []string
		for _, tick := range ticks {
			got = append(got, tick.Label)
		}
		if strings.Join(got, ", ") != want || end < most {
			t.Errorf("up to %v: %q, the last is %v", most, got, end)
		}
	}
	if ticks, _ := byItems().ticks(2_345_678); ticks[len(ticks)-1].Label != "2.5 M" && ticks[len(ticks)-1].Label != "3 M" {
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
