package stages

import (
	"context"

	"synupkeep/internal/item"
)

// Count stands where a stage acts, in a plan: it says what that stage would do, and does nothing.
type Count struct {
	Budget *Budget
	Flow   Stopper
}

// Cut counts a purge.
func (c *Count) Cut(_ context.Context, cut item.Cut) (item.Outcome, error) {
	why := item.Reason("")
	if cut.Pending == "" {
		why = c.refuses()
	} else if c.Flow.Stopping() { // the budget is not for what is under way already
		why = item.Stopped
	}
	if why != "" {
		return left(item.History, cut.RoomID, why), nil
	}
	return item.Outcome{
		Flow: item.History, Key: cut.RoomID, Status: item.Done, Reason: cut.HeldBy, Rows: cut.Messages, Pinned: cut.Pinned,
	}, nil
}

// Media counts a deletion. Its bytes are those that the database tells, without thumbnails.
func (c *Count) Media(_ context.Context, m item.Media) (item.Outcome, error) {
	if why := c.refuses(); why != "" {
		return left(m.Flow, m.Key(), why), nil
	}
	return item.Outcome{
		Flow: m.Flow, Key: m.Key(), Status: item.Done, Rows: 1, Bytes: m.Bytes, Length: m.Bytes, ShownByEvent: m.ShownByEvent,
	}, nil
}

func (c *Count) refuses() item.Reason {
	switch {
	case c.Flow.Stopping():
		return item.Stopped
	case !c.Budget.Take():
		return item.Limit
	}
	return ""
}
