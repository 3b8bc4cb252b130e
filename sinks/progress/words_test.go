package progress

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestDurationsAndRatesAreInWords(t *testing.T) {
	const day = 24 * time.Hour
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 999 * time.Millisecond: "0s", 4 * time.Second: "4s", time.Minute: "1m", 723 * time.Second: "12m 3s",
		time.Hour: "1h", 200 * time.Minute: "3h 20m", day: "1d", 52*time.Hour + time.Minute: "2d 4h",
	} {
		if got := span(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		42 * time.Second: "42s", 94 * time.Second: "1m 30s", 723 * time.Second: "12m", 59*time.Minute + 40*time.Second: "1h",
		3*time.Hour + 100*time.Second: "3h 2m",
	} {
		if got := about(d); got != want {
			t.Errorf("about %v: %q, want %q", d, got, want)
		}
	}
	for rate, want := range map[float64]string{
		12345.6: "12,346/s", 10: "10/s", 3.14: "3.1/s", 0.5: "30/min", 0.1: "6.0/min", 1.0 / 60: "1.0/min", 1.0 / 1200: "3.0/h",
	} {
		if got := perTime(rate); got != want {
			t.Errorf("%v: %q, want %q", rate, got, want)
		}
	}
}

func TestAHundredPercentSaysThatAllIsDone(t *testing.T) {
	got := []int64{percent(0, 0), percent(0, 3), percent(1, 3), percent(999_999, 1_000_000), percent(1_000_000, 1_000_000)}
	if diff := cmp.Diff([]int64{100, 0, 33, 99, 100}, got); diff != "" {
		t.Error(diff)
	}
}
