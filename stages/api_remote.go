package stages

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"synupkeep/internal/item"
	"synupkeep/internal/synapse"
)

// PurgeCache deletes cached remote media through the admin API. That call takes a time of last access and deletes all
// that is older and not quarantined, whoever chose it. So the steps come in order, and when one is not made, none of
// those after it is.
type PurgeCache struct {
	APICalls
	Pace   *Pace
	CutOff time.Time
	// DownSince is the point in time before which a server must have stopped answering for its media to stay; the zero
	// time means that it goes all the same.
	DownSince time.Time
	// Planned is the media of the plan that is carried out; nil without one.
	Planned *PlannedMedia

	over   item.Reason     // why no step is made any more; "" while they are
	spared []item.Media    // what is not in the plan and stayed in earlier steps, because it was quarantined
	behind map[string]bool // the servers of what earlier steps left, which every further step would delete as well
	proven bool            // the database shows what the server does
	stuck  int             // media since the last one that went that the server could not delete
}

// Do deletes one step. What goes wrong with the server ends the flow gently. It returns no error but that of emit. Once
// ctx is done nothing is asked for. It is called for one step at a time.
func (c *PurgeCache) Do(ctx context.Context, step []item.Media, emit func(item.Outcome) error) error {
	began := time.Now()
	tries, fate := c.do(ctx, step)
	for _, m := range step {
		out := fate(m)
		out = c.Planned.unplanned(m, out)
		if out.Status == item.Left && out.Reason == item.NotPlanned {
			c.Flow.StopFeeding(unplannedBefore(m.Key()))
		}
		out.Flow, out.Key, out.Media, out.Tries, out.Took = m.Flow, m.Key(), &m, tries, time.Since(began)
		tries = min(tries, 1) // it was one call, not one for each
		if out.Status == item.Done {
			out.Rows, out.Bytes, out.Length = 1, m.Bytes, m.Bytes
		}
		if err := emit(out); err != nil {
			return err
		}
	}
	return nil
}

// fates give the status and the reason of each media of a step.
type fates func(item.Media) item.Outcome

// unmade is the fate of a step that is not made.
func unmade(why item.Reason) fates {
	return func(m item.Media) item.Outcome {
		if m.Keep != "" {
			return item.Outcome{Status: item.Kept, Reason: m.Keep}
		}
		return item.Outcome{Status: item.Left, Reason: why}
	}
}

func (c *PurgeCache) do(ctx context.Context, step []item.Media) (tries int, _ fates) {
	if c.over == "" && (c.Flow.Stopping() || ctx.Err() != nil) {
		c.over = item.Stopped
	}
	if c.over != "" {
		return 0, unmade(c.over)
	}
	planned := c.Planned.part(step)
	if odd := odd(planned, c.Flow); odd != nil {
		c.over = item.Stopped
		return 0, odd
	}
	part, granted := afford(c.Budget, planned)
	c.over = overAfter(part, planned, step)
	c.spare(part)
	if granted == 0 {
		c.leaveBehind(part)
		return 0, unmade(cmp.Or(c.over, item.Limit)) // or all of it is kept
	}
	if c.Turn.take(ctx) != nil {
		c.Budget.GiveBack(granted)
		c.over = item.Stopped
		return 0, unmade(item.Stopped)
	}
	defer c.Turn.give()
	tries, fate, done := c.purge(ctx, part)
	c.Budget.GiveBack(granted - done)
	within := part[len(part)-1].LastAccess
	return tries, func(m item.Media) item.Outcome {
		if m.LastAccess > within {
			return unmade(c.over)(m)
		}
		return fate(m)
	}
}

// overAfter says why no step comes after one of which only a part is planned, and of that only a part is made; "" if one
// may.
func overAfter(part, planned, step []item.Media) item.Reason {
	switch {
	case len(part) < len(planned):
		return item.Limit
	case len(planned) < len(step):
		return item.NotPlanned
	}
	return ""
}

// afford takes of a step what the budget is enough for: never a part of what was last looked at together.
func afford(b *Budget, step []item.Media) (part []item.Media, granted int) {
	wanted := func(media []item.Media) (n int) {
		for _, m := range media {
			if m.Keep == "" {
				n++
			}
		}
		return n
	}
	granted = b.TakeUpTo(wanted(step))
	for part = step; wanted(part) > granted; {
		last := part[len(part)-1].LastAccess
		part = part[:slices.IndexFunc(part, func(m item.Media) bool { return m.LastAccess == last })]
	}
	b.GiveBack(granted - wanted(part))
	return part, wanted(part)
}

// odd looks for media whose file Synapse refuses to look for, at which its purge ends with a 500, in this step and in all
// that come after it (_validate_path_component in media/filepath.py:137-152, 1.163.2). It ends the flow then.
func odd(step []item.Media, flow Stopper) fates {
	for _, bad := range step {
		failed, ok := CheckName(bad)
		if ok || bad.Keep != "" {
			continue
		}
		err := failed.Err
		flow.StopFeeding(&item.RunError{
			Cause: item.CauseFailed, Doing: "purge the cache of remote media", Err: err,
			Hint: "Synapse's purge ends with an error at such a row, and cannot leave it out. Delete the row from remote_media_cache, " +
				"or delete remote media from the disk (--media-via disk), where it fails alone.",
		})
		return func(m item.Media) item.Outcome {
			if m == bad {
				return item.Outcome{Status: item.Failed, Err: err}
			}
			return unmade(item.Stopped)(m)
		}
	}
	return nil
}

// purge makes the call for a step and says what became of each media, and of how many the rows are gone.
func (c *PurgeCache) purge(ctx context.Context, step []item.Media) (tries int, _ fates, done int) {
	before := time.UnixMilli(step[len(step)-1].LastAccess + 1)
	if before.After(c.CutOff) {
		c.end(fmt.Errorf("a step reaches beyond the cut-off: %v", before))
		return 0, unmade(item.Stopped), 0
	}
	asked := c.ask(ctx, func(ctx context.Context) error {
		if err := c.refuseDown(ctx, step, before); err != nil {
			return err
		}
		return c.refuseUnplanned(ctx, before)
	}, func(ctx context.Context) (int64, error) {
		return c.API.PurgeMediaCache(ctx, before)
	})
	if errors.Is(asked.err, errStopping) {
		c.over = item.Stopped
		return asked.tries, unmade(item.Stopped), 0
	}
	longer, cancel := outlast(ctx, stopGrace)
	defer cancel()
	call := fmt.Sprintf("purge_media_cache with before_ts %d", before.UnixMilli())
	answered := asked.err == nil
	if asked.mayRun {
		answered = c.await(ctx, func(ctx context.Context) (int, error) { return c.still(ctx, step, before) })
		if !answered {
			c.stillRuns(fmt.Sprintf("%s (%d media)", call, len(step)))
		}
	}
	if !answered && ctx.Err() == nil {
		c.end(asked.err)
	}
	rows, err := c.look(longer, step, before)
	if err != nil {
		err = fmt.Errorf("the server was asked to delete it, but whether its row is gone could not be looked up: %w", err)
		c.end(err)
		return asked.tries, func(item.Media) item.Outcome { return item.Outcome{Status: item.Failed, Err: err} }, 0
	}
	fate, done := c.judge(step, rows, answered, asked.deleted)
	return asked.tries, fate, done
}

// end lets no further step be made, for this reason.
func (c *PurgeCache) end(err error) {
	c.over = item.Stopped
	if err == nil || c.stop(err) {
		return
	}
	c.Flow.StopFeeding(&item.RunError{
		Cause: item.CauseFailed, Doing: "purge the cache of remote media", Err: err, Hint: synapse.MediaAdvice(err),
	})
}

// leaveBehind keeps the servers of what is still there after a step: every further call would delete it as well.
func (c *PurgeCache) leaveBehind(media []item.Media) {
	if c.behind == nil {
		c.behind = map[string]bool{}
	}
	for _, m := range media {
		c.behind[m.Origin] = true
	}
}

// refuseDown gives the error that ends the flow when media of the step, or of what is left before it, could not be fetched
// again. The call cannot spare it.
func (c *PurgeCache) refuseDown(ctx context.Context, step []item.Media, before time.Time) error {
	if c.DownSince.IsZero() {
		return nil
	}
	servers := map[string]bool{}
	maps.Copy(servers, c.behind)
	for _, m := range step {
		servers[m.Origin] = true
	}
	// The media of one server is found by the key of the table.
	rows, err := c.DB.Query(ctx, `SELECT d.destination FROM destinations d
		WHERE d.failure_ts < $1 AND d.destination = ANY ($2) AND EXISTS (
			SELECT 1 FROM remote_media_cache m
			WHERE m.media_origin = d.destination AND m.quarantined_by IS NULL AND m.last_access_ts < $3)
		ORDER BY 1`, c.DownSince.UnixMilli(), slices.Collect(maps.Keys(servers)), before.UnixMilli())
	if err != nil {
		return err
	}
	down, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err == nil && len(down) > 0 {
		err = OriginsDown(int64(len(down)), down[0])
	}
	return err
}

// OriginsDown is the error of media that could not be fetched again, and that the call cannot leave out.
func OriginsDown(servers int64, example string) error {
	whose := example + ", which has not answered for a week"
	if servers > 1 {
		whose = fmt.Sprintf("%d servers that have not answered for a week, such as %s", servers, example)
	}
	return &item.RunError{
		Cause: item.CauseRefused, Doing: "purge the cache of remote media",
		Err:  fmt.Errorf("some of the media past the cut-off came from %s: it could not be fetched again, and Synapse's purge cannot leave it out", whose),
		Hint: "--remote-dead delete lets it go; --media-via disk keeps it and deletes the rest; --skip remote-media leaves all of it.",
	}
}
