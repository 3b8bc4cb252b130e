package stages

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"synupkeep/internal/item"
)

// fate is what became of the rows of a batch.
type fate struct {
	gone map[key]string // the names of the files of the rows that are gone
	// shown are those that have come to be shown since they were found.
	shown map[string]item.Reason
	// unsure are rows deleted in a transaction of which we never learnt whether it was committed.
	unsure map[key]string
	// saved are the rows as they were, where they may have to be put back, as JSON.
	saved map[key]string
	// lost are those that should have been put back and were not, as far as is known; afterwards is what failed after the commit.
	lost       map[key]bool
	afterwards error
	entries    []uint64 // in the journal
	failure    error
	tries      int
}

// keep notes what is shown after all.
func (f *fate) keep(shown map[string]item.Reason) {
	if f.shown == nil {
		f.shown = map[string]item.Reason{}
	}
	maps.Copy(f.shown, shown)
}

// reasons says why the rows that were not deleted were not: locked by the server, no longer what they were, or failed.
func (d *DeleteRows) reasons(ctx context.Context, media []item.Media, f fate) func(item.Media) item.Outcome {
	var locked map[key]bool
	if f.failure == nil && len(f.gone) < len(media) {
		// An error only leaves it open which of the two it was.
		locked, _ = d.keys(ctx, d.sql.eligible, without(media, f.gone), true)
	}
	return func(m item.Media) item.Outcome {
		if out, lost := f.lostRow(m); lost {
			return out
		}
		out := ofMedia(m, item.Skipped, item.Changed)
		out.Tries = f.tries
		_, unsure := f.unsure[keyOf(m)]
		why, shown := f.shown[m.ID]
		switch {
		case unsure:
			out.Status, out.Reason = item.Failed, ""
			out.Err = fmt.Errorf("whether its row was deleted is not known, its files stay: %w", f.failure)
		case shown:
			out.Status, out.Reason = item.Kept, why
		case errors.Is(f.failure, errStopping), f.failure != nil && ctx.Err() != nil:
			out.Status, out.Reason = item.Left, item.Stopped
		case f.failure != nil:
			out.Status, out.Reason, out.Err = item.Failed, "", f.failure
		case locked[keyOf(m)]:
			out.Reason = item.InUse
		}
		return out
	}
}
