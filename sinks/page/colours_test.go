package page_test

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"synupkeep/sinks/page"
)

// Texts have the contrast that WCAG 2.2 asks of texts (4.5), lines and bars that of graphics (3), light and dark.
func TestColoursHaveContrast(t *testing.T) {
	style := one(t, parsed(t, render(t, page.Page{})), tag("style")).text()
	light, rest, _ := strings.Cut(style, "prefers-color-scheme: dark")
	dark, _, _ := strings.Cut(rest, "box-sizing")
	for scheme, rules := range map[string]string{"light": light, "dark": dark} {
		colours := map[string]float64{}
		for _, c := range regexp.MustCompile(`--([a-z]+): #([0-9a-f]{6})`).FindAllStringSubmatch(rules, -1) {
			colours[c[1]] = luminance(t, c[2])
		}
		for least, names := range map[float64][]string{4.5: {"ink", "quiet", "mark", "good", "fair", "bad"}, 3: {"first", "second"}} {
			for _, name := range names {
				for _, behind := range []string{"card", "page"} {
					if c := contrast(colours[name], colours[behind]); c < least || colours[behind] == 0 {
						t.Errorf("%s: %s on %s has a contrast of %.1f, want %.1f", scheme, name, behind, c, least)
					}
				}
			}
		}
		// Before and after are told apart by dashes and marks as well.
		if len(colours) < 11 {
			t.Errorf("%s: only %d colours", scheme, len(colours))
		}
	}
}

// luminance is the relative one of WCAG.
func luminance(t *testing.T, hex string) (l float64) {
	t.Helper()
	for i, part := range []float64{.2126, .7152, .0722} {
		n, err := strconv.ParseUint(hex[2*i:2*i+2], 16, 8)
		if err != nil {
			t.Fatal(err)
		}
		c := float64(n) / 255
		if c <= .04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+.055)/1.055, 2.4)
		}
		l += part * c
	}
	return l
}

func contrast(a, b float64) float64 { return (math.Max(a, b) + .05) / (math.Min(a, b) + .05) }
