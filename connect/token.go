package connect

import (
	"sync"

	"synupkeep/config"
	"synupkeep/internal/logging"
)

// Token gives the admin's access token. Tokens of the Matrix Authentication Service live for minutes: when the server
// no longer knows ours, the file may hold a newer one.
type Token struct {
	source config.Token
	log    *logging.Logger

	mu      sync.Mutex
	current config.Secret
}

// NewToken reads the token and has the log hide it.
func NewToken(source config.Token, log *logging.Logger) (*Token, error) {
	current, err := source.Read()
	if err != nil {
		return nil, err
	}
	log.Hide(current.Reveal())
	return &Token{source: source, log: log, current: current}, nil
}

// Token implements synapse.TokenSource.
func (t *Token) Token() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.current.Reveal()
}

// Renew implements synapse.TokenSource.
func (t *Token) Renew() bool {
	fresh, err := t.source.Read()
	if err != nil {
		t.log.WithError(err).Warn("the token file could not be read again")
		return false
	}
	t.log.Hide(fresh.Reveal())
	t.mu.Lock()
	defer t.mu.Unlock()
	if fresh.Reveal() == t.current.Reveal() {
		return false
	}
	t.current = fresh
	t.log.Info("the server no longer knew the token: it was read again from its file")
	return true
}
