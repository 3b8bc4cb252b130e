package wire

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"synupkeep/internal/sandbox"
)

// Call is a call of Synapse's API.
type Call struct {
	Method, Path string
	// Answer says that Synapse has answered, and with which status.
	Answer bool
	Status int
}

// AsksForAPurge says whether the call asks for a purge of history.
func (c Call) AsksForAPurge() bool {
	return c.Method == http.MethodPost && strings.Contains(c.Path, "/admin/v1/purge_history/")
}

// AsksHowFar says whether the call asks how far a purge is.
func (c Call) AsksHowFar() bool { return strings.Contains(c.Path, "/admin/v1/purge_history_status/") }

// ToSynapse passes on what is asked of the sandbox's Synapse, until the test ends, and returns its address. hear is called for
// each call before it is passed on, and before its answer is, by several goroutines; with false the connection ends instead.
func ToSynapse(t testing.TB, s *sandbox.Server, hear func(Call) bool) string {
	t.Helper()
	target, err := url.Parse(s.APIURL())
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ErrorLog = log.New(io.Discard, "", 0)
	proxy.Transport = &http.Transport{MaxIdleConnsPerHost: 16}
	proxy.ModifyResponse = func(r *http.Response) error {
		if !hear(Call{Method: r.Request.Method, Path: r.Request.URL.Path, Answer: true, Status: r.StatusCode}) {
			return errSilenced
		}
		return nil
	}
	proxy.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !hear(Call{Method: r.Method, Path: r.URL.Path}) {
			panic(http.ErrAbortHandler)
		}
		proxy.ServeHTTP(w, r)
	}))
	server.Config.ErrorLog = proxy.ErrorLog
	server.Start()
	t.Cleanup(server.Close)
	return server.URL
}
