package pipeline

import (
	"context"

	"synupkeep/internal/flow"
	"synupkeep/internal/item"
	"synupkeep/internal/references"
	"synupkeep/sources"
	"synupkeep/stages"
)

// localMedia deletes what users of this server uploaded before the cut-off and what is not shown any more.
func (r *run) localMedia(ctx context.Context) error {
	shown, _, err := r.shown(r.feed)
	if r.stopped() {
		return nil
	}
	if err != nil {
		return err
	}
	p := flow.New(ctx, r.feed)
	s := r.mediaStages(p, item.LocalMedia)
	r.keepShown(s.protect, shown)
	rows := stages.NewDeleteLocal(s.rows, r.cutOffs[item.LocalMedia], nil)

	old := flow.From(p, gently(p, sources.LocalMedia{
		DB: r.db.Reader, CutOff: r.cutOffs[item.LocalMedia], ServerName: r.serverName, Page: pageSize, Retry: r.retry,
	}.Each))
	unshown, kept := flow.Fork(p, 1, old, protecting(s.protect))
	deletable, stuck := flow.Fork(p, r.cfg.Media.DeleteConcurrency, unshown, unless(s.check.Do))
	gone, rest := r.rowsThenFiles(p, s, rows, deletable)
	flow.Drain(p, flow.Merge(p, kept, stuck, rest, gone), r.report)

	return r.wait(p)
}

// keepShown tells a stage what stays although it is old.
func (r *run) keepShown(protect *stages.Protect, shown *stages.Shown) *stages.Protect {
	protect.Shown = shown
	protect.Users = stages.NewGlobs(r.cfg.Media.KeepUsers)
	protect.IDs = stages.NewGlobs(r.cfg.Media.KeepMedia)
	protect.Types = stages.NewGlobs(r.cfg.Media.KeepTypes)
	return protect
}

// shown reads what must stay although it is old, and the position up to which that is known. Without the whole of it no
// local media is deleted.
func (r *run) shown(ctx context.Context) (*stages.Shown, sources.Position, error) {
	avatars := sources.Avatars{
		DB: r.db.Reader, ServerName: r.serverName, CutOff: r.cutOffs[item.LocalMedia], Retry: r.retry,
	}
	shown := stages.NewShown()
	position, err := avatars.Here(ctx)
	if err == nil {
		err = avatars.Each(ctx, func(id string) { shown.Add(references.Hash(id), item.Avatar) })
	}
	if err != nil {
		return nil, position, failed("read which local media is still shown", err, databaseHint(err))
	}
	shown.Seal()
	r.log.WithField("media", shown.Len()).Debug("protected set read")
	return shown, position, nil
}
