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

	old := flow.From(p, gently(p, s.stillThere(sources.Previews{
		DB: r.db.Reader, CutOff: r.cutOffs[item.Previews], ServerName: r.serverName, Page: pageSize, Retry: r.retry,
	}.Each)))
	deletable, kept := s.deletable(old)
	gone, rest := s.rowsThenFiles(deletable, func(d stages.DeleteRows) *stages.DeleteRows {
		return stages.NewDeletePreviews(d, r.cutOffs[item.Previews])
	})
	flow.Drain(p, flow.Merge(p, kept, rest, gone), r.report)

	return r.wait(p)
}
