package pipeline

import (
	"context"

	"synupkeep/internal/flow"
	"synupkeep/internal/item"
	"synupkeep/sources"
	"synupkeep/stages"
)

// localMedia deletes what users of this server uploaded before the cut-off and what is not shown any more.
func (r *run) localMedia(ctx context.Context) error {
	shown, news, err := r.shown(r.feed)
	if shown == nil {
		return err
	}
	p := flow.New(ctx, r.feed)
	s := r.mediaStages(p, item.LocalMedia)
	r.keepShown(s.choose.Protect, shown)

	old := flow.From(p, gently(p, s.stillThere(r.localSource().Each)))
	deletable, kept := s.deletable(old)
	gone, rest := s.rowsThenFiles(deletable, func(d stages.DeleteRows) *stages.DeleteRows {
		return stages.NewDeleteLocal(d, r.cutOffs[item.LocalMedia], news)
	})
	flow.Drain(p, flow.Merge(p, kept, rest, gone), r.report)

	return r.wait(p)
}

func (r *run) localSource() sources.LocalMedia {
	return sources.LocalMedia{
		DB: r.db.Reader, CutOff: r.cutOffs[item.LocalMedia], ServerName: r.serverName, Page: pageSize, Retry: r.retry,
	}
}

// keepShown tells a stage what stays although it is old.
func (r *run) keepShown(protect *stages.Protect, shown *stages.Shown) {
	protect.Shown, protect.LetEventsGo = shown, !r.cfg.Media.KeepShown
	protect.Users = stages.NewGlobs(r.cfg.Media.KeepUsers)
	if r.cfg.Media.KeepBridged {
		protect.Bridged = func(user string) bool { return r.cfg.BridgeOf(user, r.serverName) != "" }
	}
	protect.IDs = stages.NewGlobs(r.cfg.Media.KeepMedia)
	protect.Types = stages.NewGlobs(r.cfg.Media.KeepTypes)
}
