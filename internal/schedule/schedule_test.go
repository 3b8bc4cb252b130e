package schedule_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"synupkeep/internal/schedule"
)

func zone(t interface{ Fatal(args ...any) }, name string) *time.Location {
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

func TestNextThroughTheChangesOfTheClock(t *testing.T) {
	const layout = "2006-01-02 15:04 -0700"
	tests := []struct {
		name, zone, expr, after string
		want                    []string
	}{
		{
			"every night", "Europe/Berlin", "0 4 * * *", "2026-03-27 12:00 +0100",
			[]string{"2026-03-28 04:00 +0100", "2026-03-29 04:00 +0200", "2026-03-30 04:00 +0200"},
		},
		{
			"the hour that is left out", "Europe/Berlin", "30 2 * * *", "2026-03-28 12:00 +0100",
			[]string{"2026-03-29 03:00 +0200", "2026-03-30 02:30 +0200"},
		},
		{
			"several in the hour that is left out are one", "Europe/Berlin", "10,30,50 2 * * *", "2026-03-28 12:00 +0100",
			[]string{"2026-03-29 03:00 +0200", "2026-03-30 02:10 +0200"},
		},
		{
			"the hour that comes twice", "Europe/Berlin", "30 2 * * *", "2026-10-24 12:00 +0200",
			[]string{"2026-10-25 02:30 +0200", "2026-10-26 02:30 +0100"},
		},
		{
			"begun in the hour that comes for the second time", "Europe/Berlin", "30 2 * * *", "2026-10-25 02:10 +0100",
			[]string{"2026-10-26 02:30 +0100"},
		},
		{
			"each hour, forward", "Europe/Berlin", "15 * * * *", "2026-03-29 00:30 +0100",
			[]string{"2026-03-29 01:15 +0100", "2026-03-29 03:15 +0200", "2026-03-29 04:15 +0200"},
		},
		{
			"each hour, back", "Europe/Berlin", "15 * * * *", "2026-10-25 01:30 +0200",
			[]string{"2026-10-25 02:15 +0200", "2026-10-25 02:15 +0100", "2026-10-25 03:15 +0100"},
		},
		{
			"on the hour, forward", "Europe/Berlin", "@hourly", "2026-03-29 01:00 +0100",
			[]string{"2026-03-29 03:00 +0200", "2026-03-29 04:00 +0200"},
		},
		{
			"on the hour, back", "Europe/Berlin", "0 * * * *", "2026-10-25 02:00 +0200",
			[]string{"2026-10-25 02:00 +0100", "2026-10-25 03:00 +0100"},
		},
		{
			"half an hour only", "Australia/Lord_Howe", "15 2 * * *", "2026-10-03 12:00 +1030",
			[]string{"2026-10-04 02:30 +1100", "2026-10-05 02:15 +1100"},
		},
		{
			"a day that is left out", "Pacific/Apia", "0 4 * * *", "2011-12-29 03:00 -1000",
			[]string{"2011-12-29 04:00 -1000", "2011-12-31 00:00 +1400", "2011-12-31 04:00 +1400"},
		},
		{
			"names", "UTC", "30 22 * jan-mar MON,wed", "2026-03-30 12:00 +0000",
			[]string{"2026-03-30 22:30 +0000", "2027-01-04 22:30 +0000"},
		},
		{
			"either day", "UTC", "0 0 13 * 5", "2026-11-12 12:00 +0000",
			[]string{"2026-11-13 00:00 +0000", "2026-11-20 00:00 +0000", "2026-11-27 00:00 +0000", "2026-12-04 00:00 +0000", "2026-12-11 00:00 +0000", "2026-12-13 00:00 +0000"},
		},
		{"leap day", "UTC", "0 0 29 2 *", "2026-11-12 12:00 +0000", []string{"2028-02-29 00:00 +0000", "2032-02-29 00:00 +0000"}},
		{"Sunday is 7 as well", "UTC", "0 0 * * 7", "2026-11-21 12:00 +0000", []string{"2026-11-22 00:00 +0000"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, err := schedule.Parse(test.expr, zone(t, test.zone))
			if err != nil {
				t.Fatal(err)
			}
			at, err := time.Parse(layout, test.after)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for range test.want {
				at = s.Next(at)
				got = append(got, at.Format(layout))
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWhatIsNoSchedule(t *testing.T) {
	for _, expr := range []string{
		"", "4", "0 4 * *", "0 0 4 * * *", "0 4 * * * 2026", "60 4 * * *", "0 24 * * *", "0 4 32 * *", "0 4 * 13 *", "0 4 * * 8", "0 4 L * *",
		"0 4 * * 5L", "0 4 15W * *", "0 4 * * MON#2", "0 4 ? * *", "0 4 * MON *", "a b c d e", "@every 5m", "@reboot", "0 4 31 2 *", "*/0 * * * *",
	} {
		if _, err := schedule.Parse(expr, time.UTC); err == nil {
			t.Errorf("%q is taken for a schedule", expr)
		}
	}
}

// On each day of a year a schedule for certain hours is due as often as its fields say, less what falls together in
// an hour that is left out.
func TestNothingIsSkippedOrDoubled(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		loc := zone(t, rapid.SampledFrom([]string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "America/Santiago", "UTC"}).Draw(t, "zone"))
		hour, minute := rapid.IntRange(0, 23).Draw(t, "hour"), rapid.IntRange(0, 59).Draw(t, "minute")
		s, err := schedule.Parse(fmt.Sprintf("%d %d * * *", minute, hour), loc)
		if err != nil {
			t.Fatal(err)
		}
		at := time.Date(2025, time.December, 31, 12, 0, 0, 0, loc)
		day := at.YearDay()
		for range 370 {
			next := s.Next(at)
			if gone := next.Sub(at); gone <= 0 || gone > 49*time.Hour {
				t.Fatalf("after %v it is due %v", at, next)
			}
			if at.Year() > 2025 && next.YearDay() == day {
				t.Fatalf("due twice on %v", next)
			}
			if want := time.Date(at.Year(), at.Month(), at.Day()+1, 12, 0, 0, 0, loc).YearDay(); at.Year() > 2025 && next.YearDay() != want {
				t.Fatalf("nothing due between %v and %v", at, next)
			}
			at, day = next, next.YearDay()
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, expr := range []string{"0 4 * * *", "*/5 1-3 1,15 JAN-DEC mon-fri", "@daily", "0 0 30 2 *", "59 23 31 12 7"} {
		f.Add(expr)
	}
	f.Fuzz(func(t *testing.T, expr string) {
		s, err := schedule.Parse(expr, time.UTC)
		if err != nil {
			return
		}
		if !strings.HasPrefix(expr, "@") && len(strings.Fields(expr)) > 1 && len(strings.Fields(expr)) != 5 {
			t.Errorf("%q is taken", expr)
		}
		from := time.Date(2026, time.November, 22, 23, 30, 0, 0, time.UTC)
		if next := s.Next(from); !next.After(from) {
			t.Errorf("%q: due %v after %v", expr, next, from)
		}
	})
}
