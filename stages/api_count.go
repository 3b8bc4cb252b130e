package stages

import (
	"cmp"
	"context"

	"synupkeep/internal/item"
)

// CountSteps stands where PurgeCache does, in a plan.
type CountSteps struct {
	Planned *PlannedMedia // nil without a plan that is carried out
	Budget  *Budget
	Flow    Stopper

	over item.Reason // why no step is counted any more; "" while they are
}

// Do counts one step.
func (c *CountSteps) Do(ctx context.Context, step []item.Media, emit func(item.Outcome) error) error {
	fate := c.fates(step)
	for _, m := range step {
		out := fate(m)
		if out.Status == item.Done {
			counter := Count{Flow: c.Flow}
			out, _ = counter.Media(ctx, m)
		}
		out.Flow, out.Key, out.Media = m.Flow, m.Key(), &m
		out = c.Planned.unplanned(m, out)
		if err := emit(out); err != nil {
			return err
		}
	}
	return nil
}

func (c *CountSteps) fates(step []item.Media) fates {
	if c.over == "" && c.Flow.Stopping() {
		c.over = item.Stopped
	}
	if c.over != "" {
		return unmade(c.over)
	}
	planned := c.Planned.part(step)
	if odd := odd(planned, c.Flow); odd != nil {
		c.over = item.Stopped
		return odd
	}
	part, granted := afford(c.Budget, planned)
	c.over = overAfter(part, planned, step)
	if granted == 0 {
		return unmade(cmp.Or(c.over, item.Limit))
	}
	within := part[len(part)-1].LastAccess
	return func(m item.Media) item.Outcome {
		if m.LastAccess > within || m.Keep != "" {
			return unmade(c.over)(m)
		}
		return item.Outcome{Status: item.Done}
	}
}
