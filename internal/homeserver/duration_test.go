package homeserver

import (
	"math"
	"testing"
	"time"
)

func TestDurationsReadAsInSynapse(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"86400000": 24 * time.Hour, "90s": 90 * time.Second, "5m": 5 * time.Minute, "7d": 7 * 24 * time.Hour, "2w": 14 * 24 * time.Hour,
		"1y": 365 * 24 * time.Hour, "36h": 36 * time.Hour, "": 0, "h": 0, "-5h": 0, "1.5h": 0, "99999999999y": math.MaxInt64,
	} {
		if got := duration(text); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}
