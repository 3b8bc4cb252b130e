package synapse_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"synupkeep/internal/sandbox"
)

// A listener of Synapse, or of the proxy before it, may be a Unix socket instead of a port.
func TestTheAPIOnAUnixSocket(t *testing.T) {
	s := sandbox.Shared(t)
	behind, err := url.Parse(s.APIURL())
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(t.TempDir(), "main.sock")
	var listen net.ListenConfig
	listener, err := listen.Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	front := &httptest.Server{Listener: listener, Config: &http.Server{Handler: httputil.NewSingleHostReverseProxy(behind)}}
	front.Start()
	t.Cleanup(front.Close)

	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1") // no proxy stands before a socket
	client, _ := newClient(t, "unix://"+socket, s.AdminToken())
	if err := client.CheckAdmin(t.Context()); err != nil {
		t.Error(err)
	}
	none, _ := newClient(t, "unix://"+socket+".none", s.AdminToken())
	if err := none.CheckAdmin(t.Context()); err == nil || !strings.Contains(fmt.Sprint(err), socket+".none") {
		t.Errorf("%v", err)
	}
}
