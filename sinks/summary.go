package sinks

import (
	"maps"
	"slices"
	"strings"
	"time"

	"synupkeep/internal/item"
)

// summarySchema is that of docs/report.schema.json.
const summarySchema = 1

// commandPlan is Summary.Command of a plan.
const commandPlan = "plan"

// Summary says what a run did. The package comment documents its JSON.
//
// A Tally fills in what it knows; whoever runs the flows sets the version, the server, Started, Ended and Warnings and
// adds what ended the run with AddError or AddCause. ExitCode follows from Causes and nothing else.
type Summary struct {
	// Schema is the version of this JSON: it changes when the meaning of a key does, and not when one is added.
	Schema  int    `json:"schema"`
	Version string `json:"version"`
	// Command is run, or plan: then everything is what a run would have done.
	Command       string        `json:"command"`
	ServerName    string        `json:"server_name"`
	ServerVersion string        `json:"server_version"`
	Started       time.Time     `json:"started,omitzero"`
	Ended         time.Time     `json:"ended,omitzero"`
	DurationS     float64       `json:"duration_s"` // from Started to Ended if both are set
	ExitCode      int           `json:"exit_code"`
	Causes        []item.Cause  `json:"causes"`
	Errors        []RunFailure  `json:"errors"`
	Warnings      []string      `json:"warnings"`
	Flows         []FlowSummary `json:"flows"`

	// Failures are the failed items that are named, FailuresNotNamed counts the others.
	Failures         []Failure `json:"failures"`
	FailuresNotNamed int64     `json:"failures_not_named"`

	// LeftPurges are the purges that the server still works on.
	LeftPurges         []LeftPurge `json:"left_purges"`
	LeftPurgesNotNamed int64       `json:"left_purges_not_named"`

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

// FlowSummary says what became of the items of one flow.
// Examined = Done + KeptTotal + SkippedTotal + LeftTotal + Failed, at any time.
type FlowSummary struct {
	Flow      item.Flow `json:"flow"`
	CutOff    time.Time `json:"cut_off,omitzero"`
	Ran       bool      `json:"ran"`
	DurationS float64   `json:"duration_s"`

	Examined     int64                 `json:"examined"`
	Done         int64                 `json:"done"`
	KeptTotal    int64                 `json:"kept"`
	Kept         map[item.Reason]int64 `json:"kept_by_reason"`
	SkippedTotal int64                 `json:"skipped"`
	Skipped      map[item.Reason]int64 `json:"skipped_by_reason"`
	LeftTotal    int64                 `json:"left"`
	Left         map[item.Reason]int64 `json:"left_by_reason"`
	Failed       int64                 `json:"failed"`
	// Sizes are bytes of media by what became of them, as the database has their lengths: without thumbnails.
	Sizes map[item.Status]int64 `json:"bytes_by_status"`
	// HeldBy counts the rooms that were purged by the term that held their cut.
	HeldBy map[item.Reason]int64 `json:"held_by"`

	// Rows counts deleted messages in history, deleted media rows elsewhere, whatever became of their item in the end.
	Rows int64 `json:"rows_deleted"`
	// Pinned counts those of them, in history, that were pinned.
	Pinned int64 `json:"pinned_deleted"`
	// Shown and ShownBytes count what was deleted, in local media, although a kept event shows it.
	Shown      int64 `json:"shown_deleted"`
	ShownBytes int64 `json:"shown_bytes_freed"`

	// Finished counts the media of which an earlier run had deleted the row, and this one files.
	Finished int64 `json:"finished"`

	Files   int64 `json:"files_deleted"`
	Missing int64 `json:"files_missing"`
	Bytes   int64 `json:"bytes_freed"`
	Retries int64 `json:"retries"`

	// Error says in one line why the flow could not do its work.
	Error string `json:"error"`

	// Shares are of what was deleted, and would be in a plan.
	Shares
}

// RunFailure is an error that ended the run or a flow, each part of it in one line.
type RunFailure struct {
	Cause item.Cause `json:"cause"`
	Doing string     `json:"doing"`
	Error string     `json:"error"`
	Hint  string     `json:"hint"`
}

// Failure names an item that failed.
type Failure struct {
	Flow item.Flow `json:"flow"`
	// Key is the room id or the mxc URI as the database has it: quote it before it reaches a terminal.
	Key     string `json:"key"`
	Cause   string `json:"cause"`
	Hint    string `json:"hint,omitempty"`
	PurgeID string `json:"purge_id,omitempty"`
}

// LeftPurge names a purge that the server still works on.
type LeftPurge struct {
	RoomID  string `json:"room_id"`
	PurgeID string `json:"purge_id"`
}

// AddCause adds a reason for an exit code other than 0. One that is not known counts as CauseFailed, so that no mistake
// makes the exit code 0.
func (s *Summary) AddCause(c item.Cause) {
	s.Causes = item.SortCauses(append(slices.Clone(s.Causes), known(c)))
	s.ExitCode = item.ExitCode(s.Causes)
}

// AddError adds an error that ended the run or a flow, and its cause: that of the item.RunError in its chain, else
// CauseFailed. Joined errors are added one by one. An error that is there already is not added again, since one lost
// server ends several flows. nil adds nothing.
func (s *Summary) AddError(err error) {
	for _, e := range parts(err) {
		failure := runFailure(e, s.Redact)
		if !slices.Contains(s.Errors, failure) {
			s.Errors = append(s.Errors, failure)
		}
		s.AddCause(failure.Cause)
	}
}

// normal returns a copy as it is written: exit code and duration follow from what they depend on, times are UTC,
// lists and maps are not nil.
func (s Summary) normal() Summary {
	causes := make([]item.Cause, 0, len(s.Causes))
	for _, c := range s.Causes {
		causes = append(causes, known(c))
	}
	s.Causes = item.SortCauses(causes)
	s.ExitCode = item.ExitCode(s.Causes)
	if !s.Started.IsZero() && !s.Ended.IsZero() {
		s.DurationS = seconds(s.Ended.Sub(s.Started))
	}
	s.Schema = summarySchema
	s.Started, s.Ended = utc(s.Started), utc(s.Ended)
	s.Errors = append([]RunFailure{}, s.Errors...)
	for i, e := range s.Errors {
		s.Errors[i].Doing, s.Errors[i].Error, s.Errors[i].Hint = s.Redact.text(e.Doing), s.Redact.text(e.Error), s.Redact.text(e.Hint)
	}
	s.Warnings = append([]string{}, s.Warnings...)
	for i, w := range s.Warnings {
		s.Warnings[i] = s.Redact.text(w)
	}
	s.Failures = append([]Failure{}, s.Failures...)
	for i, f := range s.Failures {
		s.Failures[i].Cause, s.Failures[i].Hint = s.Redact.text(f.Cause), s.Redact.text(f.Hint)
	}
	s.LeftPurges = append([]LeftPurge{}, s.LeftPurges...)
	s.Flows = append([]FlowSummary{}, s.Flows...)
	for i := range s.Flows {
		s.Flows[i] = s.Flows[i].normal()
		s.Flows[i].Error = s.Redact.text(s.Flows[i].Error)
	}
	return s
}

func (f FlowSummary) normal() FlowSummary {
	f.CutOff = utc(f.CutOff)
	f.Shares = f.Shares.normal()
	for _, m := range []*map[item.Reason]int64{&f.Kept, &f.Skipped, &f.Left, &f.HeldBy} {
		if *m = maps.Clone(*m); *m == nil {
			*m = map[item.Reason]int64{}
		}
	}
	sizes := map[item.Status]int64{}
	for _, status := range item.Statuses() {
		sizes[status] = f.Sizes[status]
	}
	f.Sizes = sizes
	return f
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

func utc(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.Round(0).UTC()
}

// seconds rounds to milliseconds. A clock that was set back makes 0 of what would be negative.
func seconds(d time.Duration) float64 {
	return max(0, float64(d.Round(time.Millisecond).Milliseconds())/1000)
}
