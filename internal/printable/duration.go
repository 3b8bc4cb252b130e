package printable

import (
	"strconv"
	"strings"
	"time"
)

// Duration is a duration as Go writes it, but without the zeros at its end, and with days from two days on: 1h, 40d, 3d2h.
func Duration(d time.Duration) string {
	const day = 24 * time.Hour
	days := ""
	if d >= 2*day {
		days = strconv.FormatInt(int64(d/day), 10) + "d"
		if d %= day; d == 0 {
			return days
		}
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return days + text
}
