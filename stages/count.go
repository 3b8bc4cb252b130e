package stages

import (
	"context"

	"synupkeep/internal/item"
)

// Count stands where a stage acts, in a plan: it says what that stage would do, and does nothing. What it counts has been
// taken of the budget, as what a run does.
type Count struct {
	Flow Stopper
}

// Cut counts a purge.
func (c *Count) Cut(_ context.Context, cut item.Cut) (item.Outcome, error) {
	if c.Flow.Stopping() {
		return interrupted(ofCut(cut, "", "")), nil
	}
	out := ofCut(cut, item.Done, cut.HeldBy)
	out.Rows, out.Pinned = cut.Messages, cut.Pinned
	return out, nil
}

// Media counts a deletion. Its bytes are those that the database tells, without thumbnails.
func (c *Count) Media(_ context.Context, m item.Media) (item.Outcome, error) {
	if c.Flow.Stopping() {
		return leftMedia(m, item.Stopped), nil
	}
	out := ofMedia(m, item.Done, "")
	out.Rows, out.Bytes, out.Length, out.ShownByEvent = 1, m.Bytes, m.Bytes, m.ShownByEvent
	return out, nil
}
