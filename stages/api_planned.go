package stages

import (
	"context"
	"errors"
	"fmt"
	"time"

	"synupkeep/internal/item"
)

// spare remembers what of a step stays because it is quarantined, and is in no plan: should somebody lift that, every
// further call would delete it. A plan that is carried out costs as much memory as there is such media.
func (c *PurgeCache) spare(step []item.Media) {
	if c.Planned == nil {
		return
	}
	for _, m := range step {
		if m.Keep != "" && !c.Planned.see(m) {
			c.spared = append(c.spared, m)
		}
	}
}

// refuseUnplanned gives the error that ends the flow when the call would delete what is not in the plan.
func (c *PurgeCache) refuseUnplanned(ctx context.Context, before time.Time) error {
	if len(c.spared) == 0 {
		return nil
	}
	origins, ids := make([]string, len(c.spared)), make([]string, len(c.spared))
	for i, m := range c.spared {
		origins[i], ids[i] = m.Origin, m.ID
	}
	const quarantineLifted = `SELECT m.media_origin, m.media_id FROM remote_media_cache m
		JOIN unnest($1::text[], $2::text[]) k (origin, id) ON m.media_origin = k.origin AND m.media_id = k.id
		WHERE m.quarantined_by IS NULL AND m.last_access_ts < $3`
	found, err := selectKeys(ctx, c.DB, quarantineLifted, origins, ids, before.UnixMilli())
	if err != nil {
		return fmt.Errorf("look once more whether all that would go is in the plan: %w", err)
	}
	for k := range found {
		return unplannedAmong(item.Media{Origin: k.origin, ID: k.id}.Key())
	}
	return nil
}

func unplannedAmong(key string) error {
	return notInThePlan(fmt.Sprintf("%s is past the cut-off and not in the plan", key))
}

// unplannedBefore is the error of planned media that cannot be deleted by itself.
func unplannedBefore(key string) error {
	return notInThePlan(fmt.Sprintf("%s is in the plan, and what was last looked at before it, or with it, is not all in the plan", key))
}

func notInThePlan(text string) error {
	return &item.RunError{
		Cause: item.CauseRefused, Doing: "purge the cache of remote media", Err: errors.New(text + ": Synapse's purge cannot leave anything out"),
		Hint: "Make a new plan, or delete remote media from the disk (--media-via disk), with a plan made so.",
	}
}
