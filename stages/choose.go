package stages

import (
	"context"

	"synupkeep/internal/item"
)

// Choose decides which media is deleted: what nothing protects and whose files can be deleted, as far as the limit goes.
// What it chose has been taken of the budget; whoever does not delete it gives it back.
type Choose struct {
	Protect *Protect
	// Check gives the outcome of media that could not be deleted.
	Check  func(item.Media) (out item.Outcome, ok bool)
	Budget *Budget
}

// Unprotected forks on what is to stay.
func (c *Choose) Unprotected(_ context.Context, m item.Media, pass func(item.Media) error, keep func(item.Outcome) error) error {
	if out, ok := c.Protect.Do(&m); !ok {
		return keep(out)
	}
	return pass(m)
}

// Deletable forks on what could not be deleted, and takes the rest of the budget.
func (c *Choose) Deletable(ctx context.Context, m item.Media, pass func(item.Media) error, keep func(item.Outcome) error) error {
	if ctx.Err() == nil { // else what follows leaves it to the next run
		if out, ok := c.Check(m); !ok {
			return keep(out)
		}
	}
	if !c.Budget.Take() {
		return keep(leftMedia(m, item.Limit))
	}
	return pass(m)
}

// InOrder does both, one item after the other: so a plan and a run choose the same as long as there is a limit.
func (c *Choose) InOrder(ctx context.Context, m item.Media, pass func(item.Media) error, keep func(item.Outcome) error) error {
	return c.Unprotected(ctx, m, func(m item.Media) error { return c.Deletable(ctx, m, pass, keep) }, keep)
}
