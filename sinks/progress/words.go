package progress

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/dustin/go-humanize"
)

// span is a duration as people say it, in at most two units: 4s, 12m 3s, 3h 20m, 2d 4h.
func span(d time.Duration) string {
	d = max(0, d).Truncate(time.Second)
	const day = 24 * time.Hour
	two := func(large, small int64, units string) string {
		if small == 0 {
			return fmt.Sprintf("%d%c", large, units[0])
		}
		return fmt.Sprintf("%d%c %d%c", large, units[0], small, units[1])
	}
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return two(int64(d/time.Minute), int64(d%time.Minute/time.Second), "ms")
	case d < day:
		return two(int64(d/time.Hour), int64(d%time.Hour/time.Minute), "hm")
	}
	return two(int64(d/day), int64(d%day/time.Hour), "dh")
}

// about is a duration that is an estimate: nobody knows its seconds.
func about(d time.Duration) string {
	switch {
	case d >= 10*time.Minute:
		d = d.Round(time.Minute)
	case d >= time.Minute:
		d = d.Round(10 * time.Second)
	}
	return span(d)
}

// perTime is a rate in the largest unit of time that makes it a number that says something.
func perTime(perSecond float64) string {
	switch {
	case perSecond >= 10:
		return humanize.Comma(int64(math.Round(perSecond))) + "/s"
	case perSecond >= 1:
		return strconv.FormatFloat(perSecond, 'f', 1, 64) + "/s"
	case perSecond*60 >= 10:
		return strconv.FormatFloat(perSecond*60, 'f', 0, 64) + "/min"
	case perSecond*60 >= 1:
		return strconv.FormatFloat(perSecond*60, 'f', 1, 64) + "/min"
	}
	return strconv.FormatFloat(perSecond*3600, 'f', 1, 64) + "/h"
}

// percent is rounded down: 100 says that all is done.
func percent(done, total int64) int64 {
	if total <= 0 {
		return 100
	}
	return int64(float64(done) / float64(total) * 100)
}
