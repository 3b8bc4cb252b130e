package pipeline

import (
	"context"

	"synupkeep/connect"
	"synupkeep/internal/flow"
	"synupkeep/internal/item"
	"synupkeep/sources"
	"synupkeep/stages"
)

// remoteMediaAPI is remoteMedia for want of the disk: Synapse deletes all that was last looked at before a time, and that
// time moves on in steps. Media of servers that are down cannot be left out, so there must be none.
func (r *run) remoteMediaAPI(ctx context.Context) error {
	pace := &stages.Pace{Most: r.cfg.Media.BatchSize}
	source := sources.RemoteByAccess{
		DB: r.db.Reader, CutOff: r.cutOffs[item.RemoteMedia], Page: accessPage, Size: pace.Size, Retry: r.retry,
	}
	if err := r.refuseDown(r.feed, source); err != nil {
		return err
	}
	p := flow.New(ctx, r.feed)

	steps := flow.From(p, gently(p, source.Steps))
	ended := flow.Expand(p, 1, steps, r.cachePurger(p, pace))
	flow.Drain(p, ended, r.report)

	return r.wait(p)
}

// refuseDown ends the flow before its first call when media of servers that are down would go.
func (r *run) refuseDown(ctx context.Context, source sources.RemoteByAccess) error {
	if r.cfg.Media.DeleteOfDeadServers {
		return nil
	}
	down, err := source.DownIn(ctx, sources.DownSince(r.now))
	switch {
	case r.stopped():
		return nil
	case err != nil:
		return connect.Failed("read which servers are down", err, connect.DatabaseHint(err))
	case down.Servers > 0:
		return stages.OriginsDown(down.Servers, down.Example)
	}
	return nil
}

// cachePurger purges, or counts in a plan.
func (r *run) cachePurger(p *flow.Pipeline, pace *stages.Pace) func(context.Context, []item.Media, func(item.Outcome) error) error {
	budget := stages.NewBudget(r.cfg.Media.Limit)
	if r.plan != nil {
		count := stages.CountSteps{Budget: budget, Flow: p, Planned: r.approved.mediaOf(item.RemoteMedia)}
		return count.Do
	}
	purge := stages.PurgeCache{APICalls: r.apiCalls(p, budget), Pace: pace, CutOff: r.cutOffs[item.RemoteMedia], Planned: r.approved.mediaOf(item.RemoteMedia)}
	if !r.cfg.Media.DeleteOfDeadServers {
		purge.DownSince = sources.DownSince(r.now)
	}
	return purge.Do
}
