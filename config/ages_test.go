package config

import (
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"synupkeep/internal/item"
)

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0": 0, "2592000": 30 * day, "12h": 12 * time.Hour, "30d": 30 * day, "2w": 14 * day, "1y": 365 * day, "1w2d": 9 * day,
		"1y1w1d1h1s": 373*day + time.Hour + time.Second, "90s": 90 * time.Second, "007": 7 * time.Second, "9223372036": 9223372036 * time.Second,
	} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("ParseDuration(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
	for text, want := range map[string]error{
		"": errEmpty, "-1": errNegative, "-30d": errNegative, "30m": errMinutes, "5M": errMinutes, "1h30m": errMinutes, "3min": errMinutes,
		"6months": errMinutes, "9223372037": errTooLong, "293y": errTooLong, "292y365d": errTooLong, "99999999999999999999999999": errTooLong,
		"99999999999999999999999999d": errTooLong, "1d1d": errNotDuration, "1d1w": errNotDuration, "1.5d": errNotDuration, "30 d": errNotDuration,
		"30D": errNotDuration, "d": errNotDuration, "+5": errNotDuration, "--5": errNotDuration, "٣d": errNotDuration, "1e3": errNotDuration,
		"30d\n": errNotDuration, "5\n": errNotDuration,
	} {
		if got, err := ParseDuration(text); !errors.Is(err, want) {
			t.Errorf("ParseDuration(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
}

// FuzzDuration compares with exact arithmetic.
func FuzzDuration(f *testing.F) {
	for _, seed := range []string{"0", "86400", "1w2d", "30m", "-5", "9223372036", "292y", "1y1w1d1h1s", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := ParseDuration(text)
		if err != nil {
			if got != 0 {
				t.Fatalf("%q: %v beside %v", text, got, err)
			}
			return
		}
		sum, number := new(big.Int), new(big.Int)
		seconds := map[rune]int64{'y': 365 * 86400, 'w': 7 * 86400, 'd': 86400, 'h': 3600, 's': 1}
		for _, c := range text + "s" {
			if c >= '0' && c <= '9' {
				number.Add(number.Mul(number, big.NewInt(10)), big.NewInt(int64(c-'0')))
				continue
			}
			unit, known := seconds[c]
			if !known {
				t.Fatalf("%q is accepted as %v", text, got)
			}
			sum.Add(sum, number.Mul(number, big.NewInt(unit)))
			number = new(big.Int)
		}
		if sum.Mul(sum, big.NewInt(int64(time.Second))).Cmp(big.NewInt(int64(got))) != 0 {
			t.Fatalf("%q is %v, not %d ns", text, got, sum)
		}
		if back, err := ParseDuration(formatDuration(got)); err != nil || back != got {
			t.Fatalf("%q: %s reads as %v, %v", text, formatDuration(got), back, err)
		}
		if got < 0 {
			t.Fatal(got)
		}
	})
}

func TestAges(t *testing.T) {
	before := "2026-01-31"
	at := time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC)
	for name, test := range map[string]struct {
		env  []string
		args string
		want map[item.Flow]Age
	}{
		"one for all":        {nil, "-d 30d --only history,previews", map[item.Flow]Age{item.History: {Delta: 30 * day}, item.Previews: {Delta: 30 * day}}},
		"a date":             {nil, "--before 2026-01-31 --only history", map[item.Flow]Age{item.History: {Before: at}}},
		"a time with a zone": {nil, "--before 2026-01-31T02:00:00+02:00 --only history", map[item.Flow]Age{item.History: {Before: at}}},
		"a flow's own": {
			nil, "-d 30d --history-delta 60d --skip remote-media,previews",
			map[item.Flow]Age{item.History: {Delta: 60 * day}, item.LocalMedia: {Delta: 30 * day}},
		},
		"each flow's own": {
			nil, "run --history-delta 8d --local-media-delta 9d --remote-media-delta 10d --preview-delta 11d",
			map[item.Flow]Age{item.History: {Delta: 8 * day}, item.LocalMedia: {Delta: 9 * day}, item.RemoteMedia: {Delta: 10 * day}, item.Previews: {Delta: 11 * day}},
		},
		"--before wins over the environment": {
			[]string{"SYNUPKEEP_DELTA", "86400", "SYNUPKEEP_HISTORY_DELTA", "86400"},
			"--before 2026-01-31 --only history",
			map[item.Flow]Age{item.History: {Before: at}},
		},
		"--delta wins over the environment": {
			[]string{"SYNUPKEEP_BEFORE", before, "SYNUPKEEP_DELTA", "5d"},
			"-d 30d --only history",
			map[item.Flow]Age{item.History: {Delta: 30 * day}},
		},
		"a flow's own of the environment is more telling": {
			[]string{"SYNUPKEEP_HISTORY_DELTA", "60d"}, "-d 30d --only history", map[item.Flow]Age{item.History: {Delta: 60 * day}},
		},
		"own by argument, the rest by the environment": {
			[]string{"SYNUPKEEP_BEFORE", before},
			"--history-delta 30d --only history,previews",
			map[item.Flow]Age{item.History: {Delta: 30 * day}, item.Previews: {Before: at}},
		},
		"a rival of a flow that does not run": {
			nil, "--before 2026-01-31 --preview-delta 30d --only history", map[item.Flow]Age{item.History: {Before: at}},
		},
		"the bare form's default fills the rest": {
			nil, "--history-delta 30d --only history,previews", map[item.Flow]Age{item.History: {Delta: 30 * day}, item.Previews: {Delta: day}},
		},
		"the youngest that may be": {
			nil, "--history-delta 86400 --preview-delta 3600 --only history,previews",
			map[item.Flow]Age{item.History: {Delta: day}, item.Previews: {Delta: time.Hour}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := mustParse(t, withToken(test.env...), strings.Fields(test.args)...)
			if fmt.Sprint(cfg.Ages) != fmt.Sprint(test.want) {
				t.Errorf("got %v, want %v", cfg.Ages, test.want)
			}
		})
	}
}

func TestAgesThatAreRefused(t *testing.T) {
	for _, test := range []struct {
		env   []string
		args  string
		flags []string
		says  string
	}{
		{nil, "-d 23h --only history", []string{"--delta"}, "too young for history"},
		{nil, "-d 3599 --only previews", []string{"--delta"}, "too young for previews"},
		{nil, "-d 0", []string{"--delta", "--delta", "--delta", "--delta"}, "at least 1h"},
		{nil, "-d 30m", []string{"--delta"}, "minutes or months"},
		{nil, "--before 2013-12-31 --only history", []string{"--before"}, "before 2014"},
		{nil, "--before 0001-01-01 --only history", []string{"--before"}, "not a time"},
		{nil, "--before 2026-02-30 --only history", []string{"--before"}, "not a time"},
		{nil, "--before 20260130 --only history", []string{"--before"}, "not a time"},
		{nil, "-d 30d --before 2026-01-31", []string{"--before"}, "--delta for history"},
		{nil, "--history-delta 30d --before 2026-01-31", []string{"--before"}, "--history-delta for history"},
		{[]string{"SYNUPKEEP_BEFORE", "2026-01-31", "SYNUPKEEP_DELTA", "30d"}, "run", []string{"SYNUPKEEP_BEFORE"}, "SYNUPKEEP_DELTA"},
		{[]string{"SYNUPKEEP_DELTA", "1d"}, "run --only history --preview-delta x", []string{"--preview-delta"}, "not a duration"},
		{[]string{"SYNUPKEEP_DELTA", "x"}, "run", []string{"SYNUPKEEP_DELTA"}, "not a duration"},
	} {
		problems := wantErrors(t, withToken(test.env...), strings.Fields(test.args), test.flags...)
		if !strings.Contains(problems, test.says) {
			t.Errorf("%s: %q does not say %q", test.args, problems, test.says)
		}
	}
}

func TestAgesThatTheDatabasesClockRefuses(t *testing.T) {
	for args, says := range map[string]string{
		"-d 15y --only history":                         "before 2014",
		"--before 2026-11-21T05:00:00Z --only history":  "too young for history",
		"--before 2026-11-22T03:00:01Z --only previews": "too young for previews",
		"--before 2027-01-01 --only history":            "future",
	} {
		cfg := mustParse(t, withToken(), strings.Fields(args)...)
		if err := cfg.CheckAges(testNow()); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v does not say %q", args, err, says)
		}
	}
}

// TestTheLocalClockRefusesNothing: a machine that thinks it is 1970, or 2100, runs as any other.
func TestTheLocalClockRefusesNothing(t *testing.T) {
	for _, args := range []string{"-d 30d", "--before 2026-01-31", ""} {
		want := mustParse(t, withToken(), strings.Fields(args)...)
		for _, local := range []time.Time{{}, time.Unix(0, 0), time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 1, 31, 1, 0, 0, 0, time.UTC)} {
			in := input(withToken(), strings.Fields(args)...)
			in.Now = local
			cfg, _, err := Parse(in)
			if err != nil || fmt.Sprint(cfg.Ages) != fmt.Sprint(want.Ages) {
				t.Errorf("%q at %v: %v", args, local, err)
			}
		}
	}
}

func TestAgesAreCheckedAgainstAnotherClock(t *testing.T) {
	cfg := mustParse(t, withToken(), "--before", "2026-11-01", "--only", "history")
	if err := cfg.CheckAges(testNow()); err != nil {
		t.Error(err)
	}
	for _, now := range []time.Time{time.Date(2026, 11, 1, 23, 0, 0, 0, time.UTC), time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC)} {
		err := cfg.CheckAges(now)
		var problem *FieldError
		if !errors.As(err, &problem) || problem.Flag != "--before" || problem.Value != "2026-11-01" {
			t.Errorf("at %v: %v", now, err)
		}
	}
	if err := mustParse(t, withToken()).CheckAges(time.Unix(0, 0)); err == nil {
		t.Error("a clock that stands at 1970 is accepted")
	}
}

func TestYoungAgesWarn(t *testing.T) {
	for args, want := range map[string]string{
		"-d 7d": "", "-d 604799 --only history": "redactions", "-d 1h --only previews": "of previews:",
		"--before 2026-11-20 --only remote-media": "of remote-media:", "--before 2026-11-15": "",
	} {
		warnings := mustParse(t, withToken(), strings.Fields(args)...).Warnings
		if text := strings.Join(warnings, "\n"); !strings.Contains(text, want) || want == "" && text != "" {
			t.Errorf("%s: warnings %q, want %q", args, text, want)
		}
	}
}
