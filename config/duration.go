package config

import (
	"errors"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const (
	day  = 24 * time.Hour
	week = 7 * day
	year = 365 * day

	acceptedDuration = "seconds as in 2592000, or a number with h, d, w or y (365 days) as in 12h, 30d, 2w, 1y, 1w2d"
)

// What ParseDuration refuses.
var (
	errEmpty       = errors.New("is empty")
	errNegative    = errors.New("is negative")
	errTooLong     = errors.New("is longer than 292 years")
	errMinutes     = errors.New("m is not accepted: minutes or months?")
	errNotDuration = errors.New("is not a duration")
)

// ParseDuration reads whole seconds, as in 1.0.0, or numbers with units, the longest unit first and each at most once:
// y (365 days), w, d, h, s. It refuses m, which could be minutes or months.
func ParseDuration(text string) (time.Duration, error) {
	switch {
	case text == "":
		return 0, errEmpty
	case regexp.MustCompile(`^-[0-9]`).MatchString(text):
		return 0, errNegative
	case regexp.MustCompile(`^[0-9]+$`).MatchString(text):
		return times(text, time.Second)
	case regexp.MustCompile(`^[0-9ywdhs]*[0-9][mM]`).MatchString(text):
		return 0, errMinutes
	}
	parts := regexp.MustCompile(`^(?:([0-9]+)y)?(?:([0-9]+)w)?(?:([0-9]+)d)?(?:([0-9]+)h)?(?:([0-9]+)s)?$`).FindStringSubmatch(text)
	if parts == nil {
		return 0, errNotDuration
	}
	var sum time.Duration
	for i, unit := range []time.Duration{year, week, day, time.Hour, time.Second} {
		if parts[i+1] == "" {
			continue
		}
		part, err := times(parts[i+1], unit)
		if err != nil {
			return 0, err
		}
		if part > math.MaxInt64-sum {
			return 0, errTooLong
		}
		sum += part
	}
	return sum, nil
}

func times(digits string, unit time.Duration) (time.Duration, error) {
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n > math.MaxInt64/int64(unit) {
		return 0, errTooLong
	}
	return time.Duration(n) * unit, nil
}

// formatDuration writes a duration in the units that ParseDuration reads.
func formatDuration(d time.Duration) string {
	if d == 0 {
		return "0s"
	}
	var text strings.Builder
	for _, unit := range []struct {
		length time.Duration
		letter string
	}{{day, "d"}, {time.Hour, "h"}, {time.Second, "s"}} {
		if n := d / unit.length; n > 0 {
			text.WriteString(strconv.FormatInt(int64(n), 10) + unit.letter)
			d -= n * unit.length
		}
	}
	return text.String()
}

// parseBefore reads a date, meaning its first moment in UTC, or an RFC 3339 time.
func parseBefore(text string) (time.Time, error) {
	if at, err := time.Parse(time.DateOnly, text); err == nil {
		return at, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	return at.UTC(), err
}
