package pipeline

import (
	"context"

	"synupkeep/internal/flow"
	"synupkeep/internal/item"
	"synupkeep/sources"
	"synupkeep/stages"
)

// previews deletes what was fetched for URL previews before the cut-off, at its own paths, with the cached answers.
func (r *run) previews(ctx context.Context) error {
	p := flow.New(ctx, r.feed)
	s := r.mediaStages(p, item.Previews)
	rows := stages.NewDeletePreviews(s.rows, r.cutOffs[item.Previews])

	old := flow.From(p, gently(p, sources.Previews{
		DB: r.db.Reader, CutOff: r.cutOffs[item.Previews], ServerName: r.serverName, Page: pageSize, Retry: r.retry,
	}.Each))
	unwanted, kept := flow.Fork(p, 1, old, protecting(s.protect))
	deletable, stuck := flow.Fork(p, r.cfg.Media.DeleteConcurrency, unwanted, unless(s.check.Do))
	gone, rest := r.rowsThenFiles(p, s, rows, deletable)
	flow.Drain(p, flow.Merge(p, kept, stuck, rest, gone), r.report)

	return r.wait(p)
}
