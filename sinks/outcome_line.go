package sinks

import (
	"bytes"
	"encoding/json"
	"time"

	"synupkeep/internal/item"
	"synupkeep/internal/printable"
)

// outcomeSchema is the version of the lines that Outcomes writes: it changes when a field does, and not when one is added.
const outcomeSchema = 1

// OutcomeLine is what became of one item, as Outcomes writes it: docs/outcome.schema.json describes it. Texts that come
// from the database are whole, however long: it is a record of what is gone.
type OutcomeLine struct {
	Schema int `json:"schema"`
	// Run is when the run began, as in its summary; Time is when this was written, by this machine's clock.
	Run  time.Time `json:"run"`
	Time time.Time `json:"time"`

	Flow   item.Flow   `json:"flow"`
	Key    string      `json:"key"`
	Status item.Status `json:"status"`
	Reason item.Reason `json:"reason,omitempty"`
	// Finding is what drift found.
	Finding item.Reason `json:"finding,omitempty"`
	Cause   string      `json:"cause,omitempty"`
	Hint    string      `json:"hint,omitempty"`

	Rows     int64   `json:"rows_deleted"`
	Pinned   int64   `json:"pinned_deleted,omitempty"`
	Files    int64   `json:"files_deleted"`
	Missing  int64   `json:"files_missing,omitempty"`
	Bytes    int64   `json:"bytes_freed"`
	Shown    bool    `json:"shown_by_event,omitempty"`
	Finished bool    `json:"finished,omitempty"`
	Retries  int64   `json:"retries,omitempty"`
	TookS    float64 `json:"took_s,omitempty"`
	PurgeID  string  `json:"purge_id,omitempty"`

	Cut   *CutLine   `json:"cut,omitempty"`
	Media *MediaLine `json:"media,omitempty"`
}

// CutLine is up to where the history of a room was to go.
type CutLine struct {
	Depth    int64  `json:"depth"`
	EventID  string `json:"event_id"`
	Messages int64  `json:"messages"`
}

// MediaLine is the media that an outcome is about, as the database had it.
type MediaLine struct {
	Origin   string `json:"origin"`
	ID       string `json:"id"`
	FileID   string `json:"file_id,omitempty"` // where it is not the id
	Uploader string `json:"uploader,omitempty"`
	Type     string `json:"type,omitempty"`
	Length   int64  `json:"length"`
	// Created and LastAccess are left out where the database has none, or none that is a date.
	Created    time.Time `json:"created,omitzero"`
	LastAccess time.Time `json:"last_access,omitzero"`
}

// recorded says whether an outcome gets a line. What is kept gets none: there may be millions, and nothing became of it.
func recorded(o item.Outcome) bool { return o.Status != item.Kept || changed(o) }

// changed says that something is gone, or may be: such a line must not get lost.
func changed(o item.Outcome) bool {
	return o.Status == item.Done || o.Status == item.Failed || o.Rows > 0 || o.Files > 0 || o.PurgeID != ""
}

func outcomeLine(o item.Outcome, run, now time.Time, hide Redact) OutcomeLine {
	l := OutcomeLine{
		Schema: outcomeSchema, Run: utc(run), Time: utc(now).Truncate(time.Millisecond),
		Flow: o.Flow, Key: o.Key, Status: o.Status, Reason: o.Reason, Finding: o.Finding,
		Rows: o.Rows, Pinned: o.Pinned, Files: o.Files, Missing: o.Missing, Bytes: o.Bytes,
		Shown: o.ShownByEvent, Finished: o.Finished, Retries: int64(max(0, o.Tries-1)), TookS: seconds(o.Took), PurgeID: o.PurgeID,
	}
	if o.Err != nil {
		l.Cause = hide.line(o.Err.Error())
		if run, ok := runError(o.Err); ok {
			l.Hint = hide.line(run.Hint)
		}
	}
	if c := o.Cut; c != nil {
		l.Cut = &CutLine{Depth: c.Depth, EventID: c.EventID, Messages: c.Messages}
	}
	if m := o.Media; m != nil {
		l.Media = &MediaLine{
			Origin: m.Origin, ID: m.ID, Uploader: m.UserID, Type: m.Type, Length: m.Bytes,
			Created: dateOf(m.Created), LastAccess: dateOf(m.LastAccess),
		}
		if m.FileID != m.ID {
			l.Media.FileID = m.FileID
		}
	}
	return l
}

// dateOf is the time of ms, or none: the database may hold any number, and RFC 3339 knows four digits of a year.
func dateOf(ms int64) time.Time {
	const year10000 = 253402300800000
	if ms <= 0 || ms >= year10000 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// encode makes one line of it, with a newline at its end and nowhere else.
func (l OutcomeLine) encode() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(l); err != nil {
		return nil, err
	}
	return printable.JSON(b.Bytes()), nil
}
