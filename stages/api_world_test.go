package stages

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"synupkeep/internal/item"
	"synupkeep/internal/retry"
	"synupkeep/internal/synapse"
)

// memAPI is the media API. What it answers comes from its functions; n counts the calls from 1.
type memAPI struct {
	delete  func(n int, mediaID string) (bool, error)
	purge   func(n int, before time.Time) (int64, error)
	calls   []string
	befores []int64
	inside  atomic.Int32
	overlap atomic.Bool
}

func (a *memAPI) enter() func() {
	if a.inside.Add(1) > 1 {
		a.overlap.Store(true)
	}
	return func() { a.inside.Add(-1) }
}

func (a *memAPI) DeleteMedia(_ context.Context, _, mediaID string) (bool, error) {
	defer a.enter()()
	a.calls = append(a.calls, mediaID)
	return a.delete(len(a.calls), mediaID)
}

func (a *memAPI) PurgeMediaCache(_ context.Context, before time.Time) (int64, error) {
	defer a.enter()()
	a.befores = append(a.befores, before.UnixMilli())
	return a.purge(len(a.befores), before)
}

// apiRig is what the stages work with, on empty tables of Synapse's.
type apiRig struct {
	db         *pgxpool.Pool
	api        *memAPI
	flow       *memFlow
	budget     *Budget
	unanswered []string
	held       error
}

func newAPIRig(t *testing.T) *apiRig {
	t.Helper()
	return &apiRig{db: copies(t), api: &memAPI{}, flow: &memFlow{}, budget: NewBudget(0)}
}

func (r *apiRig) calls() APICalls {
	return APICalls{
		DB: r.db, API: r.api, Turn: NewTurn(), Budget: r.budget, Flow: r.flow,
		Retry: retry.Policy{For: time.Minute, First: time.Millisecond, Most: time.Millisecond},
		Held:  func(context.Context) error { return r.held },
		Quiet: 100 * time.Millisecond, Longest: time.Minute,
		Unanswered: func(call string) { r.unanswered = append(r.unanswered, call) },
	}
}

func (r *apiRig) gone(t *testing.T, mediaID string) {
	t.Helper()
	sql(t, r.db, `DELETE FROM local_media_repository WHERE media_id = $1`, mediaID)
	sql(t, r.db, `DELETE FROM remote_media_cache WHERE media_id = $1`, mediaID)
}

// What a server or a proxy answers.
var (
	errUnknownMedia = refusal(http.StatusNotFound, "M_NOT_FOUND")
	errElsewhere    = refusal(http.StatusNotFound, "M_UNRECOGNIZED")
	errGateway      = &synapse.Error{Status: http.StatusGatewayTimeout, Foreign: true}
	errLost         = &synapse.TransportError{Err: &net.OpError{Op: "read", Err: errors.New("connection reset")}}
	errNotReached   = &synapse.TransportError{Err: &net.OpError{Op: "dial", Err: errors.New("refused")}}
)

func says(o item.Outcome) string { return string(o.Status) + " " + string(o.Reason) }
