package pipeline

import (
	"context"

	"synupkeep/internal/flow"
	"synupkeep/internal/item"
	"synupkeep/sources"
	"synupkeep/stages"
)

// remoteMedia deletes the cached media of other servers that nobody has looked at since the cut-off. It can be fetched
// again from where it came.
func (r *run) remoteMedia(ctx context.Context) error {
	p := flow.New(ctx, r.feed)
	s := r.mediaStages(p, item.RemoteMedia)

	old := flow.From(p, gently(p, s.stillThere(r.remoteSource().Each)))
	deletable, kept := s.deletable(old)
	gone, rest := s.rowsThenFiles(deletable, func(d stages.DeleteRows) *stages.DeleteRows {
		return stages.NewDeleteRemote(d, r.cutOffs[item.RemoteMedia])
	})
	flow.Drain(p, flow.Merge(p, kept, rest, gone), r.report)

	return r.wait(p)
}

func (r *run) remoteSource() sources.RemoteMedia {
	source := sources.RemoteMedia{
		DB: r.db.Reader, CutOff: r.cutOffs[item.RemoteMedia], Page: pageSize, Retry: r.retry,
		ByKey: !r.features.TIDRange,
	}
	if !r.cfg.Media.DeleteOfDeadServers {
		source.DownSince = sources.DownSince(r.now)
	}
	return source
}
