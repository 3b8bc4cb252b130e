package pipeline

import (
	"context"
	"sync"
	"time"

	"synupkeep/internal/flow"
	"synupkeep/internal/item"
	"synupkeep/internal/synapse"
	"synupkeep/stages"
)

const (
	// apiQuiet and apiLongest are how long a call of the media API without an answer is waited for: while media goes,
	// and at most.
	apiQuiet   = 2 * time.Minute
	apiLongest = 10 * time.Minute
	// accessPage is how many rows are read at once where every query reads the whole table, and so how many media may
	// have the same time of last access.
	accessPage = 50_000
)

// mediaAPI is what the flows share that delete media through Synapse.
type mediaAPI struct {
	turn *stages.Turn

	mu         sync.Mutex
	unanswered []string
}

func newMediaAPI() *mediaAPI { return &mediaAPI{turn: stages.NewTurn()} }

// warnings name the calls of which it is not known whether the server is still at them.
func (m *mediaAPI) warnings() (texts []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, call := range m.unanswered {
		texts = append(texts, "the server may still be deleting media: "+call+" was asked for and not answered")
	}
	return texts
}

// left notes such a call; of very many the first.
func (m *mediaAPI) left(call string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.unanswered) < 20 {
		m.unanswered = append(m.unanswered, call)
	}
}

func (r *run) apiCalls(p *flow.Pipeline, budget *stages.Budget) stages.APICalls {
	return stages.APICalls{
		DB: r.db.Writer, API: r.api, Turn: r.media.turn, Budget: budget, Retry: r.retry, Flow: p, Held: r.held,
		Quiet: apiQuiet, Longest: apiLongest, Unanswered: func(call string) {
			r.log.Warn(call + ": no answer, the server may still be at it")
			r.media.left(call)
		},
	}
}

// checkMediaAPI finds out before the first delete that --api-url leads to the media API as well.
func (r *run) checkMediaAPI(ctx context.Context) error {
	if err := r.api.CheckMediaAPI(ctx, "@synupkeep:"+r.serverName); err != nil {
		return &item.RunError{
			Cause: item.CauseFailed, Doing: "look for the media API", Err: err, Hint: synapse.MediaAdvice(err),
		}
	}
	return nil
}
