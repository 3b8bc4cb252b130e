package synapse_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"synupkeep/internal/synapse"
)

type letter struct{}

func (letter) Token() string { return "t" }
func (letter) Renew() bool   { return false }

func TestALookerSendsNothingThatChangesAnything(t *testing.T) {
	var methods []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		methods = append(methods, r.Method)
		_, _ = w.Write([]byte(`{"server_version": "1.163.2"}`))
	}))
	defer server.Close()
	c := synapse.NewLooker(server.URL, letter{})
	defer c.Close()
	if _, err := c.ServerVersion(t.Context()); err != nil {
		t.Errorf("it cannot even look: %v", err)
	}
	_, purge := c.StartPurge(t.Context(), "!r", "$e")
	_, media := c.DeleteMedia(t.Context(), "x", "y")
	_, cache := c.PurgeMediaCache(t.Context(), time.Now())
	for what, err := range map[string]error{"purge": purge, "delete media": media, "purge the cache": cache} {
		if !errors.Is(err, synapse.ErrLooks) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if len(methods) != 1 || methods[0] != http.MethodGet {
		t.Errorf("it sent %v", methods)
	}
}
