package pipeline

import (
	"context"
	"sync"
	"time"

	"synupkeep/connect"
	"synupkeep/internal/item"
	"synupkeep/internal/postgres"
	"synupkeep/internal/references"
	"synupkeep/sources"
	"synupkeep/stages"
)

// references enumerates the local media that is still shown. What events name is remembered between the nights.
func (r *run) references() sources.References {
	refs := sources.References{
		DB: r.db.Reader, ServerName: r.serverName, CutOff: r.cutOffs[item.LocalMedia],
		ReportsSince: r.now.Add(-r.cfg.History.ReportHold), Retry: r.retry, Say: func(text string) { r.log.Info(text) },
	}
	if r.cfg.StateDir != "" {
		refs.Memory = references.In(r.cfg.StateDir, r.serverName)
	}
	if r.plan != nil {
		refs.Going = r.plan.goes
		if r.plan.only && refs.Memory != nil {
			refs.Memory = refs.Memory.ReadOnly()
		}
	}
	return refs
}

// shown reads what must stay although it is old, and what tells of later changes. Without the whole of it no local media
// is deleted. It is nil when there is an error, when the run has been told to stop, and when no media is old at all.
func (r *run) shown(ctx context.Context) (*stages.Shown, *news, error) {
	shown, news, err := r.readShown(ctx)
	r.board.Flow(item.LocalMedia).At("")
	switch {
	case r.stopped():
		return nil, nil, nil
	case err != nil:
		return nil, nil, connect.Failed("read which local media is still shown", err, connect.DatabaseHint(err))
	}
	return shown, news, nil
}

func (r *run) readShown(ctx context.Context) (*stages.Shown, *news, error) {
	if old, err := r.localSource().Any(ctx); err != nil || !old {
		return nil, nil, err // what is shown need not be known
	}
	refs := r.references()
	position, err := refs.Here(ctx) // before the set is read, so that nothing falls between
	if err != nil {
		return nil, nil, err
	}
	shown := stages.NewShown()
	if err := refs.Each(ctx, shown.Add); err != nil {
		return nil, nil, err
	}
	shown.Seal()
	r.log.WithField("media", shown.Len()).Debug("protected set read")
	return shown, newNews(refs, position, !r.cfg.Media.KeepShown), nil
}

// mostAccountDataAge is how long new account data may go unnoticed. It has no index by time: on a server of many users
// looking for it takes a while, and is done a twentieth of the time, but at least so often.
const mostAccountDataAge = 5 * time.Second

// news tells what has come to be shown since the protected set was read. Each time it reads on from where it was.
type news struct {
	refs        sources.References
	letEventsGo bool
	// pause is how long nothing is read again.
	pause time.Duration

	mu          sync.Mutex
	at          sources.Position
	read        time.Time
	accountData struct {
		at   sources.Position
		read time.Time
		took time.Duration
	}
	since map[uint64]item.Reason
}

func newNews(refs sources.References, at sources.Position, letEventsGo bool) *news {
	n := &news{refs: refs, letEventsGo: letEventsGo, at: at, since: map[uint64]item.Reason{}}
	n.accountData.at = at
	return n
}

// Shown implements stages.News.
func (n *news) Shown(ctx context.Context, q postgres.Querier, mediaIDs []string) (map[string]item.Reason, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.read.IsZero() || time.Since(n.read) >= n.pause {
		if err := n.readOn(ctx, q); err != nil {
			return nil, err
		}
	}
	shown := map[string]item.Reason{}
	for _, id := range mediaIDs {
		if why, ok := n.since[references.Hash(id)]; ok {
			shown[id] = why
		}
	}
	return shown, nil
}

func (n *news) readOn(ctx context.Context, q postgres.Querier) error {
	began := time.Now()
	next, err := n.refs.Here(ctx)
	if err != nil {
		return err
	}
	add := func(hash uint64, why item.Reason) {
		if why != item.Event || !n.letEventsGo {
			n.since[hash] = why
		}
	}
	if err := n.refs.Since(ctx, q, n.at, add); err != nil {
		return err
	}
	n.at = next
	if a := &n.accountData; a.read.IsZero() || time.Since(a.read) >= min(20*a.took, mostAccountDataAge) {
		asked := time.Now()
		if err := n.refs.AccountDataSince(ctx, q, a.at, add); err != nil {
			return err
		}
		a.at, a.read, a.took = next, asked, time.Since(asked)
	}
	n.read = began
	return nil
}
