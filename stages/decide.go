package stages

import (
	"context"
	"errors"

	"synupkeep/internal/item"
	"synupkeep/internal/retry"
)

// Decide turns rooms into cuts. A room that is not to be purged goes left with its outcome. Each cut has used up one of the
// budget, but for those of purges that are under way already: asked one room after the other, a plan and a run take the
// same ones.
type Decide struct {
	Cutter *Cutter
	Tasks  Tasks
	Budget *Budget
	Flow   Stopper
}

// Rest is the outcome of a room that the source has found to have nothing to purge.
func Rest(room item.Room) item.Outcome {
	return ofRoom(room.ID, item.Kept, room.Verdict)
}

// Do looks at one room. It gives either a cut or an outcome; ok says that it is a cut.
func (d *Decide) Do(ctx context.Context, room item.Room) (cut item.Cut, out item.Outcome, ok bool) {
	switch {
	case d.Flow.Stopping(), ctx.Err() != nil:
		return cut, leftRoom(room.ID, item.Stopped), false
	case d.Budget.Spent():
		return cut, leftRoom(room.ID, item.Limit), false
	}
	out = ofRoom(room.ID, "", "")
	task, pending, err := d.Tasks.OfRoom(ctx, room.ID)
	switch {
	case err != nil:
		return cut, d.failed(ctx, out, err), false
	case pending && task.DeletesRoom():
		out.Status, out.Reason = item.Skipped, item.BeingDeleted
		return cut, out, false
	case pending && !d.Cutter.Planned.awaits(room.ID):
		out.Status, out.Reason = item.Kept, item.NotPlanned
		return cut, out, false
	case pending:
		return item.Cut{RoomID: room.ID, Pending: task.ID}, out, true
	}
	v, err := d.Cutter.Take(ctx, room.ID)
	if err != nil {
		return cut, d.failed(ctx, out, err), false
	}
	if v.Status != item.Done {
		return cut, ofCut(v.Cut, v.Status, v.Reason), false
	}
	if !d.Budget.Take() {
		return cut, leftRoom(room.ID, item.Limit), false
	}
	return v.Cut, out, true
}

func (d *Decide) failed(ctx context.Context, out item.Outcome, err error) item.Outcome {
	if ctx.Err() != nil {
		return interrupted(out)
	}
	out.Status, out.Err = item.Failed, err
	var away *retry.UnavailableError
	if errors.As(err, &away) {
		d.Flow.StopFeeding(&item.RunError{
			Cause: item.CauseFailed, Doing: "decide where to cut", Err: err,
			Hint: "Is PostgreSQL running? The next run goes on where this one ended.",
		})
	}
	return out
}
