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
	s := r.mediaStages(p, item.LocalMedia)
	r.keepShown(s.choose.Protect, shown)

	old := flow.From(p, gently(p, r.localSource().Each))
	unshown, kept := s.deletable(old)
	ended := flow.Map(p, 1, unshown, r.mediaDeleter(s, news))
	flow.Drain(p, flow.Merge(p, kept, ended), r.report)

	return r.wait(p)
}

// mediaDeleter deletes, or counts in a plan.
func (r *run) mediaDeleter(s mediaStages, news *news) func(context.Context, item.Media) (item.Outcome, error) {
	if r.plan != nil {
		return r.plan.mediaCounter(s.p)
	}
	remove := stages.DeleteMedia{APICalls: r.apiCalls(s.p, s.choose.Budget), CutOff: r.cutOffs[item.LocalMedia], News: news}
	return remove.Do
}
