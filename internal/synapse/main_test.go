package synapse_test

import (
	"os"
	"sync"
	"testing"

	"synupkeep/internal/sandbox"
	"synupkeep/internal/synapse"
)

func TestMain(m *testing.M) { os.Exit(sandbox.TestMain(m)) }

// tokens gives one token after the other, each after a renewal.
type tokens struct {
	mu       sync.Mutex
	list     []string
	renewals int
}

func (t *tokens) Token() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.list[0]
}

func (t *tokens) Renew() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.renewals++
	if len(t.list) == 1 {
		return false
	}
	t.list = t.list[1:]
	return true
}

// newClient calls the API at base with these tokens.
func newClient(t testing.TB, base string, list ...string) (*synapse.Client, *tokens) {
	t.Helper()
	source := &tokens{list: list}
	c := synapse.NewClient(base, source)
	t.Cleanup(c.Close)
	return c, source
}
