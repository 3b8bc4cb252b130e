// Package item holds what flows through synupkeep: rooms and media on their way in, one [Outcome] for each of them on
// its way out. It knows no database, no server and no disk; every other package may import it.
package item

import "time"

// Flow names one of the flows. The words are those of --only, --skip, the report and the log.
type Flow string

// The flows, in the order in which a run does them.
const (
	History     Flow = "history"
	LocalMedia  Flow = "local-media"
	RemoteMedia Flow = "remote-media"
	Previews    Flow = "previews"
	// Drift runs when it is named, after History and before the others.
	Drift Flow = "drift"
)

// Flows returns the flows that run unless others are named, in the order of a run.
func Flows() []Flow { return []Flow{History, LocalMedia, RemoteMedia, Previews} }

// AllFlows returns every flow in the order of the report.
func AllFlows() []Flow { return append(Flows(), Drift) }

// Room is a room whose history may have to go.
type Room struct {
	ID string
	// Old is how many events of the room are older than the cut-off by their sender's clock, counted up to a limit.
	// It orders rooms, small first, and decides nothing.
	Old int64
	// Verdict is set when the source already knows that nothing is to be done in this room: then it is Kept for this
	// reason and never reaches a purge.
	Verdict Reason
}

// Cut is where the history of a room can safely end: everything below Depth goes.
type Cut struct {
	RoomID string
	// Depth is T: events with a smaller depth go, those at it and above stay.
	Depth int64
	// EventID is a non-rejected event at Depth; Synapse is given this id.
	EventID string
	// HeldBy is the term that binds Depth.
	HeldBy Reason
	// Messages counts the events that the purge deletes (those that are not state).
	Messages int64
	// Pinned counts those among them that are pinned in the room.
	Pinned int64
	// TakenAt is when the cut was taken, by our own monotonic clock: it only tells how old the cut is.
	TakenAt time.Time
	// Pending is the id of a purge of this room that is under way already; then it is waited for, and none is begun.
	Pending string
}

// Media is one media item past its cut-off.
type Media struct {
	Flow Flow
	// Origin is the server name in the mxc URI: our own for local media and previews.
	Origin string
	// ID is the media id in the mxc URI. It comes from the database and may hold anything.
	ID string
	// FileID names the files: the filesystem_id of remote media, else the ID. It may hold anything as well.
	FileID string
	UserID string
	Type   string
	// Bytes is media_length as the database has it.
	Bytes int64
	// Created is when this server got it (created_ts), in ms.
	Created int64
	// LastAccess is last_access_ts, in ms, where a flow goes by its order; 0 elsewhere.
	LastAccess int64
	// ShownByEvent says that a kept event shows it, and that this is not to keep it.
	ShownByEvent bool
	// Keep is what the row itself says against deleting it; "" when nothing does.
	Keep Reason
}

// Key is the mxc URI of the media.
func (m Media) Key() string { return "mxc://" + m.Origin + "/" + m.ID }

// Outcome is what became of one item. Every item that a source yields ends in exactly one.
type Outcome struct {
	Flow Flow
	// Key is the room id or the mxc URI; of drift that is no row, its path in the media store.
	Key    string
	Status Status
	// Cut is how far history goes, where one was taken; Media is what a media flow is at. Either may be nil.
	Cut   *Cut
	Media *Media
	// Reason is set with Kept, Skipped and Left, and with Done in history, where it is the term that held the cut.
	Reason Reason
	// Finding says, in drift, what was found, whatever became of it.
	Finding Reason
	// Err is set with Failed.
	Err error
	// Rows counts deleted messages in history, deleted media rows elsewhere.
	Rows int64
	// Pinned counts, in history, the deleted messages that were pinned.
	Pinned int64
	// Files counts deleted files, thumbnails included; Missing counts content files that were not there any more.
	Files, Missing int64
	// ShownByEvent says that it was deleted although a kept event shows it.
	ShownByEvent bool
	// Finished says that an earlier run had deleted its row and ended before all its files were gone.
	Finished bool
	// Bytes is what was freed on disk, thumbnails included. History frees nothing that can be counted at once.
	Bytes int64
	// Length is the size of deleted media in bytes as the database has it, without thumbnails: what a plan can know.
	Length int64
	// Tries is how often the deciding call was made, 1 without a retry.
	Tries int
	Took  time.Duration
	// PurgeID names the purge on the server, in history, when there was one.
	PurgeID string
}
