package sinks

import (
	"slices"
	"strings"
	"time"

	"synupkeep/internal/item"
)

// Ending says when and how a command ended. ExitCode follows from Causes and nothing else.
type Ending struct {
	Started   time.Time    `json:"started,omitzero"`
	Ended     time.Time    `json:"ended,omitzero"`
	DurationS float64      `json:"duration_s"` // from Started to Ended if both are set
	ExitCode  int          `json:"exit_code"`
	Causes    []item.Cause `json:"causes"`
	Errors    []RunFailure `json:"errors"`
	// Warnings are what the reader should know.
	Warnings []string `json:"warnings"`

	// Redact takes secrets out of a text. It sees every text before that is cut to its length, and once more before
	// anything is written; keys, which are ids of the database, are told as they are.
	Redact Redact `json:"-"`
}

// Redact takes secrets out of a text. nil takes nothing.
type Redact func(string) string

func (r Redact) text(text string) string {
	if r == nil {
		return text
	}
	return r(text)
}

// line makes one line of a text, without what is secret in it.
func (r Redact) line(text string) string { return line(r.text(text)) }

// RunFailure is an error that ended the run or a flow, each part of it in one line.
type RunFailure struct {
	Cause item.Cause `json:"cause"`
	Doing string     `json:"doing"`
	Error string     `json:"error"`
	Hint  string     `json:"hint"`
}

// AddCause adds a reason for an exit code other than 0. One that is not known counts as CauseFailed, so that no mistake
// makes the exit code 0.
func (e *Ending) AddCause(c item.Cause) {
	e.Causes = item.SortCauses(append(slices.Clone(e.Causes), known(c)))
	e.ExitCode = item.ExitCode(e.Causes)
}

// AddError adds an error that ended the command or a part of it, and its cause: that of the item.RunError in its chain, else
// CauseFailed. Joined errors are added one by one. An error that is there already is not added again, since one lost
// server ends several flows. nil adds nothing.
func (e *Ending) AddError(err error) {
	for _, part := range parts(err) {
		failure := runFailure(part, e.Redact)
		if !slices.Contains(e.Errors, failure) {
			e.Errors = append(e.Errors, failure)
		}
		e.AddCause(failure.Cause)
	}
}

// normal returns a copy as it is written: exit code and duration follow from what they depend on, times are UTC, lists are
// not nil.
func (e Ending) normal() Ending {
	causes := make([]item.Cause, 0, len(e.Causes))
	for _, c := range e.Causes {
		causes = append(causes, known(c))
	}
	e.Causes = item.SortCauses(causes)
	e.ExitCode = item.ExitCode(e.Causes)
	if !e.Started.IsZero() && !e.Ended.IsZero() {
		e.DurationS = seconds(e.Ended.Sub(e.Started))
	}
	e.Started, e.Ended = utc(e.Started), utc(e.Ended)
	e.Errors = append([]RunFailure{}, e.Errors...)
	for i, f := range e.Errors {
		e.Errors[i].Doing, e.Errors[i].Error, e.Errors[i].Hint = e.Redact.text(f.Doing), e.Redact.text(f.Error), e.Redact.text(f.Hint)
	}
	e.Warnings = append([]string{}, e.Warnings...)
	for i, w := range e.Warnings {
		e.Warnings[i] = e.Redact.text(w)
	}
	return e
}

func known(c item.Cause) item.Cause {
	if len(item.SortCauses([]item.Cause{c})) == 0 {
		return item.CauseFailed
	}
	return c
}

// parts takes joined errors apart. What a RunError holds stays together: it is one thing that went wrong.
func parts(err error) []error {
	if err == nil {
		return nil
	}
	// Only the outermost error is asked: errors.As would look into a RunError.
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	var texts []string
	for _, e := range joined.Unwrap() {
		all = append(all, parts(e)...)
		texts = append(texts, e.Error())
	}
	// fmt.Errorf with two %w makes one error, whose text is more than that of its parts.
	if err.Error() != strings.Join(texts, "\n") {
		return []error{err}
	}
	return all
}

func runFailure(err error, hide Redact) RunFailure {
	run, ok := runError(err)
	if !ok {
		return RunFailure{Cause: item.CauseFailed, Error: hide.line(err.Error())}
	}
	failure := RunFailure{Cause: known(run.Cause), Doing: hide.line(run.Doing), Hint: hide.line(run.Hint)}
	if run.Err != nil {
		failure.Error = hide.line(run.Err.Error())
	}
	// What wraps the RunError says on what the work was being done.
	if around, ok := strings.CutSuffix(err.Error(), run.Error()); ok && around != "" {
		failure.Doing = hide.line(around + run.Doing)
	}
	return failure
}
