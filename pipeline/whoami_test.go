package pipeline

import (
	"net/http"
	"strings"
	"testing"

	"synupkeep/internal/item"
	"synupkeep/internal/sandbox"
)

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
