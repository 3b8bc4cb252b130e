package pipeline

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"synupkeep/internal/item"
	"synupkeep/internal/sandbox"
)

// TestTheFirstCallsOutlastTheErrorsOfLostConnections: after PostgreSQL was restarted Synapse answers 500 once for each of its
// connections, to whatever call comes first.
func TestTheFirstCallsOutlastTheErrorsOfLostConnections(t *testing.T) {
	s := sandbox.Shared(t)
	for _, path := range []string{"/_synapse/admin/v1/background_updates/status", "/_matrix/client/v3/account/whoami"} {
		t.Run(path, func(t *testing.T) {
			for errors, want := range map[int64][]item.Cause{10: nil, 1000: {item.CauseFailed}} {
				var asked atomic.Int64
				cfg := settings(s, item.History)
				if want != nil {
					cfg.RetryFor = 3 * time.Second
				}
				cfg.APIURL = altering(t, s, func(p string, w http.ResponseWriter) bool {
					if p != path || asked.Add(1) > errors {
						return false
					}
					w.WriteHeader(http.StatusInternalServerError)
					_, _ = w.Write([]byte(`{"errcode":"M_UNKNOWN","error":"Internal server error"}`))
					return true
				})
				wantCauses(t, do(t, cfg), want...)
				if n := asked.Load(); n > 30 {
					t.Errorf("asked %d times", n)
				}
			}
		})
	}
}

// TestAProxyThatPassesOnlyTheAdminAPI: the hint is about the one path that it lacks.
func TestAProxyThatPassesOnlyTheAdminAPI(t *testing.T) {
	const missing, wrong = "let the reverse proxy pass that path on as well", "does not pass /_synapse/admin on"
	s := sandbox.Shared(t)
	for name, test := range map[string]struct {
		status       int
		answer, hint string
	}{
		"not found by the proxy": {http.StatusNotFound, "<html>", missing},
		"forbidden by the proxy": {http.StatusForbidden, "<html>", missing},
		"a page of its own":      {http.StatusOK, "<html>", missing},
		"another program":        {http.StatusOK, "{}", missing},
		"not Synapse's":          {http.StatusNotFound, `{"errcode":"M_UNRECOGNIZED","error":"Unrecognized request"}`, missing},
		"nothing there":          {http.StatusNotFound, `{"errcode":"M_NOT_FOUND","error":"no"}`, missing},
		"Synapse is down":        {http.StatusBadGateway, "<html>", "is Synapse running?"},
		"the token is refused":   {http.StatusUnauthorized, `{"errcode":"M_UNKNOWN_TOKEN","error":"no"}`, "Give the access token"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := settings(s, item.History)
			cfg.APIURL = altering(t, s, func(path string, w http.ResponseWriter) bool {
				if strings.HasPrefix(path, "/_synapse/admin/") {
					return false
				}
				w.WriteHeader(test.status)
				_, _ = w.Write([]byte(test.answer))
				return true
			})
			cause := item.CauseFailed
			if test.status == http.StatusUnauthorized {
				cause = item.CauseToken
			}
			r := do(t, cfg)
			wantCauses(t, r, cause)
			if !strings.Contains(r.out, test.hint) || strings.Contains(r.out, wrong) ||
				strings.Contains(r.out, missing) != (test.hint == missing) {
				t.Error(r.out)
			}
		})
	}
}
