package pipeline

import (
	"context"
	"time"

	"synupkeep/internal/flow"
	"synupkeep/internal/item"
	"synupkeep/stages"
)

// localMediaAPI is localMedia for want of the disk: Synapse deletes, one upload at a time.
func (r *run) localMediaAPI(ctx context.Context) error {
	shown, news, err := r.shown(r.feed)
	if shown == nil {
		return err
	}
	news.pause = time.Second // one call deletes one upload
	p := flow.New(ctx, r.feed)
	calls := r.apiCalls(p)
	protect := r.keepShown(&stages.Protect{Budget: calls.Budget, Flow: p}, shown)
	remove := stages.DeleteMedia{APICalls: calls, CutOff: r.cutOffs[item.LocalMedia], News: news}

	old := flow.From(p, gently(p, r.localSource().Each))
	unshown, kept := flow.Fork(p, 1, old, protecting(protect))
	ended := flow.Map(p, 1, unshown, r.mediaDeleter(p, &remove))
	flow.Drain(p, flow.Merge(p, kept, ended), r.report)

	return r.wait(p)
}

// mediaDeleter deletes, or counts in a plan.
func (r *run) mediaDeleter(p *flow.Pipeline, remove *stages.DeleteMedia) func(context.Context, item.Media) (item.Outcome, error) {
	if r.plan == nil {
		return remove.Do
	}
	count := stages.Count{Budget: remove.Budget, Flow: p}
	return count.Media
}
