package page

import (
	"strings"

	"github.com/mattn/go-runewidth"

	"synupkeep/internal/item"
)

// flowText is how a flow is spoken of.
type flowText struct {
	title string
	items string // what its rows are
	done  string // the heading of what it did, and what it would do
	would string
}

func flowWords(f item.Flow) flowText {
	switch f {
	case item.History:
		return flowText{"History", "messages", "Messages deleted", "Messages that would go"}
	case item.LocalMedia:
		return flowText{"Local media", "media", "Local media deleted", "Local media that would go"}
	case item.RemoteMedia:
		return flowText{"Remote media", "media", "Remote media deleted", "Remote media that would go"}
	case item.Previews:
		return flowText{"URL previews", "media", "URL previews deleted", "URL previews that would go"}
	case item.Drift:
		return flowText{"Drift", "findings", "Drift deleted", "Drift that would go"}
	}
	return flowText{clean(string(f), maxName), "items", "Items deleted", "Items that would go"}
}

func byTimeWords(by string) string {
	switch by {
	case "received":
		return "from when this server got it"
	case "uploaded":
		return "from its upload"
	case "last access":
		return "from its last access"
	case "fetched":
		return "from when it was fetched"
	}
	return "from " + clean(by, maxName)
}

func causeWords(c item.Cause) (badge string, s state) {
	switch c {
	case item.CauseUsage:
		return "Wrong usage", bad
	case item.CauseToken:
		return "Token not accepted", bad
	case item.CauseLocked:
		return "Another run is at work", fair
	case item.CauseRefused:
		return "Refused", bad
	case item.CauseFailed:
		return "Failed", bad
	case item.CauseInterrupt, item.CauseTerminated:
		return "Stopped", fair
	case item.CauseItems:
		return "Items failed", bad
	case item.CauseLeft:
		return "Work is left", fair
	}
	return "Failed", bad
}

// why explains a reason to somebody who did not read the documentation.
func why(r item.Reason) string {
	if kind, ok := strings.CutPrefix(string(r), "state:"); ok {
		return "the current state of a room names it, in an event of the type " + clean(kind, maxName)
	}
	if r == "state" {
		return "the current state of a room names it"
	}
	return map[item.Reason]string{
		item.NothingOld:             "the room has no event past the cut-off that a purge could reach",
		item.NothingToPurge:         "old events are left, but none of them is a message below the cut",
		item.NotSelected:            "left out by --room or --not-room",
		item.NotYetWorthIt:          "a purge would cost more than it gives; it is done when more has become old",
		item.Gap:                    "the room has messages that were never fetched, and could not be fetched any more",
		item.Reported:               "a young abuse report needs it",
		item.YoungEvent:             "the cut stands at the first event that is younger than the cut-off",
		item.StateExtremity:         "the cut stands at a state event that is the newest end of the room",
		item.Extremity:              "the cut stands at the newest end of the room",
		item.NewestEvent:            "the cut stands at the newest event of the room",
		item.Redaction:              "a redaction is needed whose target Synapse has not censored yet",
		item.Pinned:                 "a pinned message needs it (--keep-pinned)",
		item.PartialState:           "the server is still joining the room",
		item.NoExtremity:            "nobody is left in the room: there is nothing to cut at",
		item.BeingDeleted:           "the server is deleting the whole room",
		item.Planned:                "the plan that was carried out went no further",
		item.NoEventAtTheCut:        "there is no event at the cut that the server could be given",
		item.Avatar:                 "it is the avatar of a user, a member or a room",
		item.Profile:                "a user's profile names it",
		item.AccountData:            "a user's account data names it, such as stickers of one's own",
		item.Invite:                 "it belongs to a room that a user is invited to",
		item.DelayedEvent:           "an event that is still to be sent names it",
		item.Event:                  "an event that is kept shows it",
		item.Quarantined:            "it is quarantined: deleting its row would lift the block",
		item.Protected:              "an admin protected it",
		item.Uploading:              "its upload is under way",
		item.Admin:                  "kept by --keep-user, --keep-media or --keep-type",
		item.FilesWithoutRow:        "files that no row of the database names",
		item.ThumbnailsWithoutRow:   "thumbnails that no row names, of a file that is gone",
		item.RemoteWithoutFile:      "rows of remote media whose file is gone: 404 until the row goes",
		item.PreviewsWithoutFile:    "rows of URL previews whose file is gone",
		item.UnfinishedUploads:      "ids that nobody uploaded to before they expired",
		item.EmptyDirectories:       "directories that became empty long ago",
		item.Lost:                   "uploads of which the database has the row, and the disk nothing",
		item.LostOriginals:          "uploads of which the disk has nothing but thumbnails",
		item.QuarantinedWithoutFile: "quarantined, without a file: the row is what blocks it",
		item.NotSynapses:            "names in the media store that Synapse does not make",
		item.OriginDown:             "its server does not answer: it could not be fetched again",
		item.InUse:                  "the server was working on it",
		item.Changed:                "it had changed since it was found",
		item.NotPlanned:             "it could go, and is not in the plan that was carried out",
		item.Limit:                  "--limit-rooms or --limit-media was reached",
		item.Stopped:                "the run or the flow was stopped first",
		item.FilesLeft:              "its row is deleted and not all of its files; the next run deletes them",
	}[r]
}

// fitting shortens a name to so many columns of a terminal, in which what is wide takes two, and to so many units of a plot.
func fitting(name string, columns int, units float64) string {
	var c runewidth.Condition // and not that of our locale
	name = c.Truncate(clean(name, maxName), columns, "…")
	for columns > 1 && widthOf(name) > units {
		columns--
		name = c.Truncate(strings.TrimSuffix(name, "…"), columns, "") + "…"
	}
	return name
}
