package homeserver

import (
	"math"
	"strconv"
	"time"
)

// duration reads a duration as Synapse does: milliseconds, or a number with s, m, h, d, w or y (config/_base.py:209-260,
// 1.163.2). What is none reads as 0; Synapse would not have started with it.
func duration(text string) time.Duration {
	units := map[byte]time.Duration{
		's': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour, 'y': 365 * 24 * time.Hour,
	}
	unit := time.Millisecond
	if text != "" {
		if of, ok := units[text[len(text)-1]]; ok {
			unit, text = of, text[:len(text)-1]
		}
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	if n > int64(math.MaxInt64/unit) {
		return math.MaxInt64
	}
	return time.Duration(n) * unit
}
