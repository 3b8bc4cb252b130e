package item

// Status says what became of an item. The words are the same in code, log, report and metrics.
type Status string

// Every Outcome has one of these.
const (
	Done    Status = "done"    // deleted now
	Kept    Status = "kept"    // a rule keeps it; Reason says which
	Skipped Status = "skipped" // nothing was done because somebody else is at it or it changed; Reason says what
	Failed  Status = "failed"  // Err says why
	Left    Status = "left"    // the run ended first; the next one takes it. Reason says what ended it
)

// Statuses returns every status, in the order of the report.
func Statuses() []Status { return []Status{Done, Kept, Skipped, Failed, Left} }

// Reason is a stable word: it stands in the report and in JSON.
type Reason string

// Reasons to keep the history of a room as it is, or to cut it lower than the cut-off alone would.
const (
	NothingOld      Reason = "nothing old"      // no event past the cut-off that a purge could reach
	NothingToPurge  Reason = "nothing to purge" // old events are left, none of them a message below the cut
	NotSelected     Reason = "not selected"     // --room, --not-room
	NotYetWorthIt   Reason = "not yet worth it" // a purge would cost more than it gives
	Gap             Reason = "gap"              // messages that were never fetched could not be fetched any more
	Reported        Reason = "reported"         // a young abuse report needs the event
	YoungEvent      Reason = "young event"      // held by the first event younger than the cut-off
	StateExtremity  Reason = "state extremity"  // held by a state event that is a forward extremity
	Extremity       Reason = "extremity"        // held by the newest end of the room
	NewestEvent     Reason = "newest event"     // held by the room's newest event by stream order
	Redaction       Reason = "redaction"        // held by a redaction whose target Synapse has not censored yet
	Pinned          Reason = "pinned"           // held by a pinned message, with --keep-pinned; also media that one shows
	PartialState    Reason = "partial state"    // the room is still being joined
	NoExtremity     Reason = "no extremity"     // nobody is left in the room: nothing to cut at
	BeingDeleted    Reason = "being deleted"    // the server deletes the whole room
	Planned         Reason = "plan"             // held by the plan that is carried out, which went no further
	NoEventAtTheCut Reason = "no event at cut"  // nothing at the cut that the server could be given
)

// Reasons to keep or skip media. Beside these there are those that StateEvent makes; Reported and Pinned are among them, too.
const (
	Avatar       Reason = "avatar"        // of a user, a member or a room
	Profile      Reason = "profile"       // named by another field of a user's profile
	AccountData  Reason = "account data"  // named by a user's account data, such as stickers of one's own
	Invite       Reason = "invite"        // of a room that a user is invited to
	DelayedEvent Reason = "delayed event" // named by an event that is still to be sent
	Event        Reason = "event"         // shown by an event that is kept

	Quarantined Reason = "quarantined" // deleting the row would lift the block
	Protected   Reason = "protected"   // marked as protected from quarantine
	Uploading   Reason = "uploading"   // an upload under way
	Admin       Reason = "admin"       // --keep-user, --keep-media, --keep-type
	OriginDown  Reason = "origin down" // could not be fetched again
	InUse       Reason = "in use"      // its row is locked by the server
	Changed     Reason = "changed"     // no longer what it was when it was found
)

// NotPlanned is what could go, and is not in the plan that is carried out.
const NotPlanned Reason = "not in the plan"

// Reasons to leave an item to the next run.
const (
	Limit   Reason = "limit"   // --limit-rooms, --limit-media
	Stopped Reason = "stopped" // a signal, or the flow was stopped
	// FilesLeft is media whose row is deleted and whose files are not all: the journal names them.
	FilesLeft Reason = "files left"
)

// Reasons returns every reason but those that StateEvent makes.
func Reasons() []Reason {
	return []Reason{
		NothingOld, NothingToPurge, NotSelected, NotYetWorthIt, Gap, Reported, YoungEvent, StateExtremity, Extremity, NewestEvent,
		Redaction, Pinned, PartialState, NoExtremity, BeingDeleted, Planned, NoEventAtTheCut,
		Avatar, Profile, AccountData, Invite, DelayedEvent, Event, Quarantined, Protected, Uploading, Admin, OriginDown, InUse, Changed,
		NotPlanned, Limit, Stopped, FilesLeft,
		FilesWithoutRow, ThumbnailsWithoutRow, RemoteWithoutFile, PreviewsWithoutFile, UnfinishedUploads, EmptyDirectories,
		Lost, LostOriginals, QuarantinedWithoutFile, NotSynapses,
	}
}

// StateEvent is the reason to keep media that a current state event of this type names: state:im.ponies.room_emotes. The
// type may come from anybody; what is no plain word of letters, digits, dots, dashes and underscores is "state" alone.
func StateEvent(eventType string) Reason {
	const longest = 64
	if eventType == "" || len(eventType) > longest {
		return "state"
	}
	for _, c := range eventType {
		plain := c == '.' || c == '_' || c == '-' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !plain {
			return "state"
		}
	}
	return Reason("state:" + eventType)
}
