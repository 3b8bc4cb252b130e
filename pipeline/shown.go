package pipeline

import (
	"context"
	"sync"
	"time"

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
	}
	return refs
}

// shown reads what must stay although it is old, and what tells of later changes. Without the whole of it no local media
// is deleted. It is nil when there is an error, when the run has been told to stop, and when no media is old at all.
func (r *run) shown(ctx context.Context) (*stages.Shown, *news, error) {
	shown, news, err := r.readShown(ctx)
	switch {
	case r.stopped():
		return nil, nil, nil
	case err != nil:
		return nil, nil, failed("read which local media is still shown", err, databaseHint(err))
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

// news tells what has come to be shown since the protected set was read. Each time it reads on from where it was. Account
// data has no index by time: on a server of many users it is read less often, so that the reading takes a twentieth of the
// time at most.
type news struct {
	refs        sources.References
	letEventsGo bool

	mu          sync.Mutex
	at          sources.Position
	accountData struct {
		at   int64
		read time.Time
		took time.Duration
	}
	since map[uint64]item.Reason
}

func newNews(refs sources.References, at sources.Position, letEventsGo bool) *news {
	n := &news{refs: refs, letEventsGo: letEventsGo, at: at, since: map[uint64]item.Reason{}}
	n.accountData.at = at.AccountData
	return n
}

// Shown implements stages.News.
func (n *news) Shown(ctx context.Context, q postgres.Querier, mediaIDs []string) (map[string]item.Reason, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	next, err := n.refs.Here(ctx)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	from := n.at
	from.AccountData = n.accountData.at
	from.NotAccountData = began.Sub(n.accountData.read) < 20*n.accountData.took
	err = n.refs.Since(ctx, q, from, func(hash uint64, why item.Reason) {
		if why != item.Event || !n.letEventsGo {
			n.since[hash] = why
		}
	})
	if err != nil {
		return nil, err
	}
	n.at = next
	if !from.NotAccountData {
		n.accountData.at, n.accountData.read, n.accountData.took = next.AccountData, began, time.Since(began)
	}
	shown := map[string]item.Reason{}
	for _, id := range mediaIDs {
		if why, ok := n.since[references.Hash(id)]; ok {
			shown[id] = why
		}
	}
	return shown, nil
}
