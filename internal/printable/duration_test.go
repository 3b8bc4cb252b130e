package printable_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"synupkeep/internal/printable"
)

func TestDurationsEndWithoutZeros(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", time.Second: "1s", 10 * time.Second: "10s", time.Minute: "1m", 95 * time.Second: "1m35s", time.Hour: "1h",
		90 * time.Minute: "1h30m", time.Hour + time.Second: "1h0m1s", 47 * time.Hour: "47h", 48 * time.Hour: "2d", 721*time.Hour + time.Minute: "30d1h1m", -2 * time.Hour: "-2h", 10 * time.Minute: "10m",
		1500 * time.Millisecond: "1.5s",
	} {
		if got := printable.Duration(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64().Draw(t, "d"))
		text, again := printable.Duration(d), time.Duration(0)
		if days, rest, ok := strings.Cut(text, "d"); ok {
			n, err := strconv.Atoi(days)
			if err != nil {
				t.Fatal(err)
			}
			text, again = rest, time.Duration(n)*24*time.Hour
		}
		if rest, err := time.ParseDuration(text); text != "" && err != nil || again+rest != d {
			t.Fatalf("%v is written as %q (%v)", d, printable.Duration(d), err)
		}
	})
}
