package stages

import (
	"context"

	"synupkeep/internal/item"
)

// CountSteps stands where PurgeCache does, in a plan.
type CountSteps struct {
	Count
	over bool // the limit is used up
}

// Do counts one step.
func (c *CountSteps) Do(ctx context.Context, step []item.Media, emit func(item.Outcome) error) error {
	part := step[:0]
	if !c.over {
		var granted int
		part, granted = afford(c.Budget, step)
		c.Budget.GiveBack(granted) // Media takes it
	}
	c.over = c.over || len(part) < len(step)
	for i, m := range step {
		out := unmade(item.Limit)(m)
		out.Flow, out.Key = m.Flow, m.Key()
		if m.Keep == "" && i < len(part) {
			out, _ = c.Media(ctx, m)
		}
		if err := emit(out); err != nil {
			return err
		}
	}
	return nil
}
