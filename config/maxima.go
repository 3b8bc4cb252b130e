package config

import (
	"errors"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"
)

const (
	acceptedShare = "or a percentage above 0% and up to 100% such as 10% or 2.5%"
	acceptedMax   = "a whole number, 0 for no limit, " + acceptedShare
	acceptedBytes = "bytes, or a size such as 50GiB or 50GB, 1.5TiB, 0 for no limit, " + acceptedShare
)

// What a limit may not be.
var (
	errNotNumber  = errors.New("is not such a number")
	errNotSize    = errors.New("is not a size")
	errNotPercent = errors.New("is not such a percentage")
	errNoLimit    = errors.New("would be no limit")
	errTooLarge   = errors.New("is too large")
)

func (r *reader) maxima() Maxima {
	return Maxima{
		Rooms: r.max("max-rooms", parseCount, acceptedMax),
		Media: r.max("max-media", parseCount, acceptedMax),
		Bytes: r.max("max-bytes", parseBytes, acceptedBytes),
	}
}

func (r *reader) max(name string, number func(string) (int64, error), accepted string) (limit Max) {
	value, source, given := r.single(name)
	if !given {
		return Max{}
	}
	var err error
	if share, isShare := strings.CutSuffix(value, "%"); isShare {
		limit.Percent, err = parsePercent(share)
	} else {
		limit.Count, err = number(value)
	}
	if err != nil {
		r.problem(source, value, err.Error(), accepted)
		return Max{}
	}
	return limit
}

func parseCount(text string) (int64, error) {
	if !regexp.MustCompile(`^[0-9]+$`).MatchString(text) {
		return 0, errNotNumber
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, errTooLarge
	}
	return n, nil
}

// parseBytes reads bytes, or a size with its unit: of 1000 (kB, MB, GB, TB, PB, and the letter alone) or of 1024 (KiB, MiB
// and so on). A comma is refused: 1,5T is one and a half to some and fifteen to others.
func parseBytes(text string) (int64, error) {
	if !regexp.MustCompile(`^[0-9]+(\.[0-9]+)? ?[A-Za-z]*$`).MatchString(text) {
		return 0, errNotSize
	}
	n, err := humanize.ParseBytes(text)
	switch {
	case err != nil && strings.Contains(err.Error(), "too large"), n > math.MaxInt64:
		return 0, errTooLarge
	case err != nil:
		return 0, errNotSize
	case n == 0 && strings.ContainsAny(text, "123456789"):
		return 0, errNoLimit // 0.5B is less than the smallest limit, and 0 is none
	}
	return int64(n), nil
}

// parsePercent reads a share without its sign. 0% is refused: whoever writes it means nothing at all, where 0 means no limit.
func parsePercent(text string) (float64, error) {
	if !regexp.MustCompile(`^[0-9]+(\.[0-9]+)?$`).MatchString(text) {
		return 0, errNotPercent
	}
	share, err := strconv.ParseFloat(text, 64)
	switch {
	case err != nil || share > 100:
		return 0, errNotPercent
	case share == 0:
		return 0, errNoLimit
	}
	return share, nil
}
