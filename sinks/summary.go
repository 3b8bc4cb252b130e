package sinks

import (
	"maps"
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
	Command       string `json:"command"`
	ServerName    string `json:"server_name"`
	ServerVersion string `json:"server_version"`
	// Approved is the plan that a run carried out, nil if there was none.
	Approved *PlanMade `json:"plan,omitempty"`
	Ending
	Flows []FlowSummary `json:"flows"`

	// Failures are the failed items that are named, FailuresNotNamed counts the others.
	Failures         []Failure `json:"failures"`
	FailuresNotNamed int64     `json:"failures_not_named"`

	// LeftPurges are the purges that the server still works on.
	LeftPurges         []LeftPurge `json:"left_purges"`
	LeftPurgesNotNamed int64       `json:"left_purges_not_named"`
}

// PlanMade names a plan.
type PlanMade struct {
	File string `json:"file"`
	// Made is the database's clock when the plan was made.
	Made time.Time `json:"made"`
}

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

	// Findings are what drift found, by kind; no other flow has any.
	Findings []Finding `json:"findings,omitempty"`

	// Shares are of what was deleted, and would be in a plan.
	Shares
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

// normal returns a copy as it is written: its ending is normal, times are UTC, lists and maps are not nil.
func (s Summary) normal() Summary {
	s.Schema, s.Ending = summarySchema, s.Ending.normal()
	if s.Approved != nil {
		s.Approved = &PlanMade{File: s.Approved.File, Made: utc(s.Approved.Made)}
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
	f.Findings = cloneFindings(f.Findings)
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
