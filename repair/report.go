package repair

import (
	"errors"
	"slices"
	"time"

	"synupkeep/internal/item"
	"synupkeep/sources"
)

// reportSchema changes when the meaning of a key does, and not when one is added.
const reportSchema = 1

// Report is what --json writes. docs/repair.md documents it.
type Report struct {
	Schema        int          `json:"schema"`
	Command       string       `json:"command"`
	ServerName    string       `json:"server_name"`
	ServerVersion string       `json:"server_version"`
	Started       time.Time    `json:"started"`
	Ended         time.Time    `json:"ended"`
	ExitCode      int          `json:"exit_code"`
	Causes        []item.Cause `json:"causes"`
	Errors        []Trouble    `json:"errors"`
	Warnings      []string     `json:"warnings"`
	// Found is how many rooms were broken at first, of which the first thousand are in Rooms.
	Found int64 `json:"found"`
	// Repaired and StillBroken add up to Found. What was not looked at, or changed by itself, counts as broken.
	Repaired    int64  `json:"repaired"`
	StillBroken int64  `json:"still_broken"`
	Rooms       []Room `json:"rooms"`
}

// Trouble is an error that ended the command.
type Trouble struct {
	Cause item.Cause `json:"cause"`
	Doing string     `json:"doing"`
	Error string     `json:"error"`
	Hint  string     `json:"hint"`
}

// Repair is what can be done about a room. The words stand in JSON.
type Repair string

// The repairs.
const (
	// DropExtremities: Synapse forgets all latest events but the one that came last. Nothing is lost.
	DropExtremities Repair = "drop extremities"
	// NoRepair: nothing that is safe on a running server.
	NoRepair Repair = "none"
)

// Status is what became of a room. The words stand in JSON.
type Status string

// The statuses.
const (
	Repaired   Status = "repaired"    // and it takes messages again
	NotSafe    Status = "not safe"    // nothing was done, see Why and Advice
	Declined   Status = "declined"    // somebody said no
	NotAsked   Status = "not asked"   // there was nobody to ask
	Changed    Status = "changed"     // it was not what was shown any more
	Failed     Status = "failed"      // it should have been mended, and is not, or that cannot be told
	NotReached Status = "not reached" // the command ended before
)

// Room is a broken room, and what became of it.
type Room struct {
	ID           string `json:"room_id"`
	Name         string `json:"name"`
	Alias        string `json:"alias"`
	Version      string `json:"version"`
	Members      int64  `json:"members"`
	LocalMembers int64  `json:"local_members"`
	// Extremities is how many latest events it has, Broken are the first ten that nothing can be sent on.
	Extremities int64    `json:"extremities"`
	Broken      []Broken `json:"broken"`
	// Keeps is the one that Synapse would keep; empty without any.
	Keeps string `json:"keeps"`
	// Loses is how many pieces of the current state are not known at Keeps, LosesNamed the first ten of them.
	Loses      int64              `json:"loses"`
	LosesNamed []sources.StateKey `json:"loses_named"`
	Repair     Repair             `json:"repair"`
	Status     Status             `json:"status"`
	// Why says why it was not repaired, Advice what else can be done, SQL the statements for that.
	Why    string   `json:"why"`
	Advice string   `json:"advice"`
	SQL    []string `json:"sql"`
	// Forgotten is how many latest events Synapse forgot.
	Forgotten int64   `json:"forgotten"`
	TookS     float64 `json:"took_s"`
}

// Broken is a latest event of a room that nothing can be sent on.
type Broken struct {
	EventID string        `json:"event_id"`
	Wrong   sources.Wrong `json:"wrong"`
	// Current says that it is part of the room's current state.
	Current bool `json:"current"`
}

func newReport(now time.Time) Report {
	return Report{Schema: reportSchema, Command: "repair rooms", Started: now.UTC()}
}

func newRoom(from sources.BrokenRoom) Room {
	room := Room{
		ID: from.ID, Version: from.Version, LocalMembers: from.Joined, Extremities: from.Extremities, Keeps: from.Keeps,
		Repair: NoRepair, Status: NotReached,
	}
	for _, extremity := range from.Broken {
		room.Broken = append(room.Broken, Broken{EventID: extremity.EventID, Wrong: extremity.Wrong, Current: extremity.Current})
	}
	return room
}

// hold notes why a room is not repaired.
func (r *Room) hold(why, advice string) { r.Repair, r.Why, r.Advice = NoRepair, why, advice }

func (r *Room) fail(why string, err error) {
	r.Status, r.Why = Failed, why
	if err != nil {
		r.Why += ": " + err.Error()
	}
	r.Advice = "Nothing further was touched. Synapse's own log says more; docs/repair.md says what else can be done."
}

// same says whether two looks at a room saw the same.
func (r Room) same(o Room) bool {
	return r.ID == o.ID && r.Extremities == o.Extremities && r.Keeps == o.Keeps && r.Repair == o.Repair && slices.Equal(r.Broken, o.Broken)
}

// end completes the report. err is what ended the command.
func (r *Report) end(now time.Time, err error, redact func(string) string) {
	r.Ended = now.UTC()
	if r.Found < int64(len(r.Rooms)) {
		r.Found = int64(len(r.Rooms))
	}
	r.Repaired = 0
	for i := range r.Rooms {
		if r.Rooms[i].Status == Repaired {
			r.Repaired++
		}
		r.Rooms[i].Why = redact(r.Rooms[i].Why)
	}
	r.StillBroken = r.Found - r.Repaired
	var causes []item.Cause
	if err != nil {
		trouble := Trouble{Cause: item.CauseFailed, Doing: "repair rooms", Error: redact(err.Error())}
		var known *item.RunError
		if errors.As(err, &known) {
			trouble = Trouble{Cause: known.Cause, Doing: known.Doing, Hint: redact(known.Hint)}
			if known.Err != nil {
				trouble.Error = redact(known.Err.Error())
			}
		}
		causes = append(causes, trouble.Cause)
		r.Errors = append(r.Errors, trouble)
	}
	if r.StillBroken > 0 {
		causes = append(causes, item.CauseItems)
	}
	r.Causes = item.SortCauses(causes)
	r.ExitCode = item.ExitCode(causes)
}
