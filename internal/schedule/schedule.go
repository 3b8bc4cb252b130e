// Package schedule tells when something that is to happen every so often is due next: five fields as cron has them, in a
// time zone, through the changes of its clock.
package schedule

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/adhocore/gronx"
)

// Schedule is a cron expression in a time zone.
//
// When the clock is put forward, what was due in the hour that is left out is due once, right after it. When it is put
// back, what is due in the hour that comes twice is due the first time only. An expression for every hour of the day goes
// by the time that passes instead: it is due as often as its minutes come.
type Schedule struct {
	fields    string
	zone      *time.Location
	everyHour bool
}

var errFields = errors.New("five fields are needed: minute, hour, day of the month, month, day of the week, " +
	"such as 0 4 * * * for every day at four; or @hourly, @daily, @weekly, @monthly, @yearly")

// Parse reads an expression of five fields, or one of @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually.
// Fields take numbers, names such as MON and JAN, lists, ranges and steps. An expression that is never due is an error.
func Parse(expr string, zone *time.Location) (*Schedule, error) {
	words := strings.Fields(expr)
	if len(words) == 1 {
		named := map[string]string{
			"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0",
			"@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *",
		}
		words = strings.Fields(named[strings.ToLower(words[0])])
	}
	if len(words) != 5 {
		return nil, errFields
	}
	s := &Schedule{fields: strings.Join(words, " "), zone: zone, everyHour: words[1] == "*" || words[1] == "*/1"}
	for i, field := range words {
		if !accepted(i).MatchString(field) {
			return nil, errFields
		}
	}
	if !gronx.IsValid(s.fields) {
		return nil, errFields
	}
	if _, err := gronx.NextTickAfter(s.fields, time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC), false); err != nil {
		return nil, fmt.Errorf("%q is never due", expr)
	}
	return s, nil
}

// accepted leaves out what gronx knows beyond cron: L, W, # and ?.
func accepted(field int) *regexp.Regexp {
	const number, month, weekday = `\d{1,2}`, `jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec`, `sun|mon|tue|wed|thu|fri|sat`
	value := number
	switch field {
	case 3:
		value += "|" + month
	case 4:
		value += "|" + weekday
	}
	part := `(\*|(` + value + `)(-(` + value + `))?)(/` + number + `)?`
	return regexp.MustCompile(`(?i)^` + part + `(,` + part + `)*$`)
}

// Next is the first time after that one at which it is due, in the schedule's zone.
func (s *Schedule) Next(after time.Time) time.Time {
	after = after.In(s.zone)
	if s.everyHour {
		return s.nextAsTimePasses(after)
	}
	for shown := clock(after); ; {
		shown = s.tick(shown)
		if at := s.first(shown); at.After(after) {
			return at // else the clock was put back, and it is past already
		}
	}
}

// nextAsTimePasses takes one stretch of the zone after the other in which its clock is not changed.
func (s *Schedule) nextAsTimePasses(after time.Time) time.Time {
	shown := clock(after)
	for {
		next := s.tick(shown)
		at := after.Add(next.Sub(clock(after)))
		_, change := after.ZoneBounds()
		if change.IsZero() || at.Before(change) {
			return at
		}
		after = change.In(s.zone)
		shown = clock(after).Add(-time.Second) // the moment of the change may be due
	}
}

// first is the first moment at which a clock on the wall shows at least that.
func (s *Schedule) first(shown time.Time) time.Time {
	at := shown.AddDate(0, 0, -1).In(s.zone) // no clock is a day ahead
	for {
		start, change := at.ZoneBounds()
		_, offset := at.Zone()
		due := shown.Add(-time.Duration(offset) * time.Second)
		switch {
		case due.Before(start):
			return start.In(s.zone) // this hour was left out
		case change.IsZero() || due.Before(change):
			return due.In(s.zone)
		}
		at = change.In(s.zone)
	}
}

// clock is what a clock on the wall shows, as if it were UTC.
func clock(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
}

// tick is the first time after shown that the fields stand for, on a clock that is never changed. Parse has seen to it
// that there is one.
func (s *Schedule) tick(shown time.Time) time.Time {
	next, err := gronx.NextTickAfter(s.fields, shown, false)
	if err != nil {
		panic(fmt.Sprintf("no time fits %q after %v: %v", s.fields, shown, err))
	}
	return next
}
