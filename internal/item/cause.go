package item

import "slices"

// Cause is a reason for an exit code other than 0.
type Cause string

// The causes, most telling first: of several, the first decides the exit code.
const (
	CauseUsage      Cause = "usage"
	CauseToken      Cause = "token"
	CauseLocked     Cause = "locked"
	CauseRefused    Cause = "refused"
	CauseFailed     Cause = "failed"
	CauseInterrupt  Cause = "interrupted"
	CauseTerminated Cause = "terminated"
	CauseItems      Cause = "items failed"
	CauseLeft       Cause = "work left"
)

// ExitCode is the exit code of a run with these causes; 0 without any. A cause that is not known, such as that of a
// RunError in which nobody set one, must not pass for success: it counts as CauseFailed.
func ExitCode(causes []Cause) int {
	for _, c := range ranked() {
		if slices.Contains(causes, c) {
			return c.exitCode()
		}
	}
	if len(causes) > 0 {
		return CauseFailed.exitCode()
	}
	return 0
}

// SortCauses returns each cause once, the deciding one first.
func SortCauses(causes []Cause) []Cause {
	sorted := []Cause{}
	for _, c := range ranked() {
		if slices.Contains(causes, c) {
			sorted = append(sorted, c)
		}
	}
	return sorted
}

// Causes returns every cause, the most telling first.
func Causes() []Cause { return ranked() }

func ranked() []Cause {
	return []Cause{
		CauseUsage, CauseToken, CauseLocked, CauseRefused, CauseFailed,
		CauseInterrupt, CauseTerminated, CauseItems, CauseLeft,
	}
}

func (c Cause) exitCode() int {
	switch c {
	case CauseUsage:
		return 2
	case CauseToken:
		return 12
	case CauseLocked:
		return 11
	case CauseRefused:
		return 13
	case CauseFailed:
		return 1
	case CauseInterrupt:
		return 130
	case CauseTerminated:
		return 143
	case CauseItems:
		return 3
	case CauseLeft:
		return 10
	}
	return 1
}

// RunError ends a run or a flow. It carries the cause that decides the exit code and what the operator can do.
type RunError struct {
	Cause Cause
	// Doing says what was being done, on what.
	Doing string
	Err   error
	// Hint says what to do about it; it may be empty.
	Hint string
}

func (e *RunError) Error() string {
	text := e.Doing
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

func (e *RunError) Unwrap() error { return e.Err }
