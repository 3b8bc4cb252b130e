package stages

import "synupkeep/internal/item"

// ofMedia is what becomes of one media item. Every outcome of a media flow is made here: the report wants to know whose it
// is and what.
func ofMedia(m item.Media, status item.Status, why item.Reason) item.Outcome {
	return item.Outcome{Flow: m.Flow, Key: m.Key(), Status: status, Reason: why, Media: &m}
}

// failedMedia is the outcome of media that could not be deleted.
func failedMedia(m item.Media, err error) item.Outcome {
	out := ofMedia(m, item.Failed, "")
	out.Err = err
	return out
}

// leftMedia is the outcome of media that was not begun.
func leftMedia(m item.Media, why item.Reason) item.Outcome { return ofMedia(m, item.Left, why) }

// ofRoom is what becomes of a room without a cut.
func ofRoom(roomID string, status item.Status, why item.Reason) item.Outcome {
	return item.Outcome{Flow: item.History, Key: roomID, Status: status, Reason: why}
}

// ofCut is what becomes of a room. Of a purge that somebody else began it is not known where it cuts.
func ofCut(cut item.Cut, status item.Status, why item.Reason) item.Outcome {
	out := ofRoom(cut.RoomID, status, why)
	if cut.Pending == "" {
		out.Cut = &cut
	}
	return out
}

// leftRoom is the outcome of a room that was not begun.
func leftRoom(roomID string, why item.Reason) item.Outcome { return ofRoom(roomID, item.Left, why) }
