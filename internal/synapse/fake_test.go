package synapse_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"synupkeep/internal/synapse"
)

// What a real Synapse cannot be made to give, or only what stands before it does.

func fake(t testing.TB, handle http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(handle)
	t.Cleanup(s.Close)
	return s.URL
}

const (
	secret = "syt_verysecret"
	html   = "<html><head><title>Oops</title></head><body>nginx</body></html>"
)

func TestClassOfEachAnswer(t *testing.T) {
	tests := []struct {
		name      string
		status    int
		body      string
		class     synapse.Class
		ambiguous bool
		foreign   bool
		advice    string
	}{
		{"too many", 429, `{"errcode":"M_LIMIT_EXCEEDED","error":"Too Many Requests"}`, synapse.Unavailable, false, false, ""},
		{"too many, of a proxy", 429, html, synapse.Unavailable, false, true, ""},
		{"bad gateway", 502, html, synapse.Unavailable, true, true, "is Synapse running?"},
		{"service unavailable", 503, html, synapse.Unavailable, true, true, "is Synapse running?"},
		{"gateway timeout", 504, html, synapse.Unavailable, true, true, "is Synapse running?"},
		{"timeout of a content network", 524, "", synapse.Unavailable, true, true, ""},
		{"shutting down", 503, `{"errcode":"M_UNKNOWN","error":"shutting down"}`, synapse.Unavailable, true, false, ""},
		{"internal error", 500, `{"errcode":"M_UNKNOWN","error":"Internal server error"}`, synapse.Hiccup, true, false, ""},
		{"internal error of a proxy", 500, html, synapse.Hiccup, true, true, ""},
		{"bad request", 400, `{"errcode":"M_BAD_JSON","error":"no"}`, synapse.Permanent, false, false, ""},
		{"too large", 413, `{"errcode":"M_TOO_LARGE","error":"no"}`, synapse.Permanent, false, false, ""},
		{"not found", 404, `{"errcode":"M_NOT_FOUND","error":"no"}`, synapse.NotFound, false, false, ""},
		{"a worker", 404, `{"errcode":"M_UNRECOGNIZED","error":"Unrecognized request"}`, synapse.Misrouted, false, false, "main process"},
		{"wrong method", 405, `{"errcode":"M_UNRECOGNIZED","error":"Unrecognized request"}`, synapse.Misrouted, false, false, "main process"},
		{"not found by a proxy", 404, html, synapse.Misrouted, false, true, "does not pass /_synapse/admin"},
		{"not found, JSON of another program", 404, `{"error":"nope"}`, synapse.Misrouted, false, true, "does not pass"},
		{"not found, empty", 404, "", synapse.Misrouted, false, true, "does not pass"},
		{"forbidden by a proxy", 403, html, synapse.Misrouted, false, true, "does not pass /_synapse/admin"},
		{"forbidden", 403, `{"errcode":"M_FORBIDDEN","error":"You are not a server admin"}`, synapse.Unauthorized, false, false, "not an admin's"},
		{"no token", 401, `{"errcode":"M_MISSING_TOKEN","error":"Missing access token"}`, synapse.Unauthorized, false, false, "--token-file"},
		{"basic auth of a proxy", 401, html, synapse.Misrouted, false, true, "does not pass"},
		{"moved", 301, html, synapse.Misrouted, false, true, "redirects"},
		{"redirect that keeps the method", 307, "", synapse.Misrouted, false, true, "redirects"},
		{"created", 201, `{"purge_id":"x"}`, synapse.Misrouted, false, true, ""},
		{"login page", 200, html, synapse.Misrouted, true, true, "Something other"},
		{"empty", 200, "", synapse.Misrouted, true, true, "Something other"},
		{"null", 200, "null", synapse.Misrouted, true, true, "Something other"},
		{"other JSON", 200, `{"ok":true}`, synapse.Misrouted, true, true, "Something other"},
		{"a list", 200, `[]`, synapse.Misrouted, true, true, "Something other"},
		{"wrong type", 200, `{"purge_id":1,"status":1}`, synapse.Misrouted, true, true, "Something other"},
		{"torn", 200, `{"purge_id":"abc`, synapse.Misrouted, true, true, "Something other"},
		{"without end", 200, `{"purge_id":"` + strings.Repeat("a", 3<<20) + `"}`, synapse.Misrouted, true, true, "Something other"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var calls atomic.Int32
			base := fake(t, func(w http.ResponseWriter, r *http.Request) {
				calls.Add(1)
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(test.status)
				_, _ = io.WriteString(w, test.body)
			})
			c, _ := newClient(t, base, secret)
			_, postErr := c.StartPurge(t.Context(), "!r:s", "$e")
			_, pollErr := c.PurgeStatus(t.Context(), "id")
			for _, err := range []error{postErr, pollErr} {
				if refused := refusal(t, err); refused.Status != test.status || refused.Foreign != test.foreign {
					t.Errorf("%+v", refused)
				}
				if got := synapse.Classify(err); got != test.class {
					t.Errorf("class %d, want %d: %v", got, test.class, err)
				}
				if got := synapse.IsAmbiguous(err); got != test.ambiguous {
					t.Errorf("ambiguous: %v, want %v: %v", got, test.ambiguous, err)
				}
				if !strings.Contains(synapse.Advice(err), test.advice) {
					t.Errorf("advice %q, want %q", synapse.Advice(err), test.advice)
				}
				if len(err.Error()) > 300 || strings.Contains(err.Error(), "<html") {
					t.Errorf("text %q", err)
				}
			}
			if calls.Load() != 2 {
				t.Errorf("%d calls for two: a client that repeats or follows by itself", calls.Load())
			}
		})
	}
}

func TestPurgeRequest(t *testing.T) {
	var method, path, query, body, auth string
	base := fake(t, func(w http.ResponseWriter, r *http.Request) {
		content, _ := io.ReadAll(r.Body)
		method, path, query, body, auth = r.Method, r.URL.Path, r.URL.RawQuery, string(content), r.Header.Get("Authorization")
		_, _ = io.WriteString(w, `{"purge_id":"abc"}`)
	})
	c, _ := newClient(t, base+"/", secret)
	for _, room := range []string{"!plain:s", "!a/b:s", "!a?b=c&d:s", "!a%2Fb%:s", "!a#b c+d:s", "!ü☃:s", "!31hneApxJ_1o-63DmFrpeqnkFfWppnzWso1JvH3ogLM"} {
		for _, event := range []string{"$e", "$a/b+c", `$"\`, "$ü"} {
			id, err := c.StartPurge(t.Context(), room, event)
			if err != nil || id != "abc" {
				t.Fatalf("%q, %v", id, err)
			}
			if path != "/_synapse/admin/v1/purge_history/"+room || query != "" || method != "POST" {
				t.Errorf("room %q: %s %s?%s", room, method, path, query)
			}
			escaped := strings.NewReplacer(`"`, `\"`, `\`, `\\`).Replace(event)
			if want := `{"delete_local_events":true,"purge_up_to_event_id":"` + escaped + `"}`; body != want {
				t.Errorf("body %s, want %s", body, want)
			}
			if auth != "Bearer "+secret {
				t.Errorf("authorization %q", auth)
			}
		}
	}
}

func TestServerThatAsksForTime(t *testing.T) {
	limited := `{"errcode":"M_LIMIT_EXCEEDED","error":"Too Many Requests","retry_after_ms":1500}`
	tests := []struct {
		name   string
		header http.Header
		body   string
		want   time.Duration
	}{
		{"nothing", nil, `{"errcode":"M_LIMIT_EXCEEDED"}`, 0},
		{"in the body", nil, limited, 1500 * time.Millisecond},
		{"seconds", http.Header{"Retry-After": {"7"}}, html, 7 * time.Second},
		{"the header wins", http.Header{"Retry-After": {"2"}}, limited, 2 * time.Second},
		{"date", http.Header{
			"Retry-After": {"Wed, 21 Oct 2015 07:28:30 GMT"}, "Date": {"Wed, 21 Oct 2015 07:28:00 GMT"},
		}, html, 30 * time.Second},
		{"date that is past", http.Header{
			"Retry-After": {"Wed, 21 Oct 2015 07:28:00 GMT"}, "Date": {"Wed, 21 Oct 2015 07:28:30 GMT"},
		}, html, 0},
		{"nonsense", http.Header{"Retry-After": {"soon"}}, limited, 1500 * time.Millisecond},
		{"negative", http.Header{"Retry-After": {"-5"}}, html, 0},
		{"for ever", http.Header{"Retry-After": {"99999999999999999999999"}}, html, 24 * time.Hour},
		{"for ever, in the body", nil, `{"errcode":"M_LIMIT_EXCEEDED","retry_after_ms":1e300}`, 24 * time.Hour},
		{"before now, in the body", nil, `{"errcode":"M_LIMIT_EXCEEDED","retry_after_ms":-1e300}`, 0},
		{"not a number", http.Header{"Retry-After": {"NaN"}}, html, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			base := fake(t, func(w http.ResponseWriter, _ *http.Request) {
				for k, v := range test.header {
					w.Header()[k] = v
				}
				w.WriteHeader(http.StatusTooManyRequests)
				_, _ = io.WriteString(w, test.body)
			})
			c, _ := newClient(t, base, secret)
			err := c.CheckAdmin(t.Context())
			if got := synapse.RetryAfter(err); got != test.want {
				t.Errorf("%v, want %v", got, test.want)
			}
			if again, wait := synapse.Again()(err); !again || wait != test.want {
				t.Errorf("again: %v, wait %v", again, wait)
			}
		})
	}
}

func TestDateToRetryAfterByOurOwnClock(t *testing.T) {
	base := fake(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Date"] = nil // no clock of the server's
		w.Header().Set("Retry-After", time.Now().Add(time.Minute).UTC().Format(http.TimeFormat))
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	c, _ := newClient(t, base, secret)
	if got := synapse.RetryAfter(c.CheckAdmin(t.Context())); got < 55*time.Second || got > time.Minute {
		t.Errorf("%v", got)
	}
}

func TestRedirectDoesNotTakeTheTokenAlong(t *testing.T) {
	elsewhere := fake(t, func(http.ResponseWriter, *http.Request) { t.Error("followed") })
	base := fake(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere, http.StatusPermanentRedirect)
	})
	c, _ := newClient(t, base, secret)
	if err := c.CheckAdmin(t.Context()); synapse.Classify(err) != synapse.Misrouted {
		t.Error(err)
	}
}

// connection serves raw connections: what they do is up to the test.
func connections(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	served.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			served.Go(func() {
				defer c.Close() //nolint:errcheck // the test is over
				serve(c)
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); served.Wait() })
	return "http://" + l.Addr().String()
}

func readRequest(c net.Conn) { _, _ = c.Read(make([]byte, 64<<10)) }

func TestCallsWithoutAnAnswer(t *testing.T) {
	tests := map[string]func(net.Conn){
		"closed at once":       func(net.Conn) {},
		"closed after reading": readRequest,
		"reset":                func(c net.Conn) { readRequest(c); _ = c.(*net.TCPConn).SetLinger(0) },
		"torn header":          func(c net.Conn) { readRequest(c); _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Le") },
		"torn body": func(c net.Conn) {
			readRequest(c)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"purge_id\":\"a\"")
		},
		"torn error": func(c net.Conn) {
			readRequest(c)
			_, _ = io.WriteString(c, "HTTP/1.1 400 No\r\nContent-Length: 99\r\n\r\n{")
		},
		"not HTTP":                func(c net.Conn) { readRequest(c); _, _ = io.WriteString(c, "SSH-2.0-OpenSSH_9.2\r\n") },
		"another protocol at all": func(c net.Conn) { readRequest(c); _, _ = c.Write([]byte{0x15, 3, 1, 0, 2, 2, 22}) },
	}
	for name, serve := range tests {
		t.Run(name, func(t *testing.T) {
			c, _ := newClient(t, connections(t, serve), secret)
			_, err := c.StartPurge(t.Context(), "!r:s", "$e")
			var lost *synapse.TransportError
			if !errors.As(err, &lost) || synapse.Classify(err) != synapse.Unavailable || !synapse.IsAmbiguous(err) {
				t.Errorf("%v", err)
			}
			if !strings.HasPrefix(err.Error(), "POST http://127.0.0.1:") || strings.Count(err.Error(), "http://") != 1 {
				t.Errorf("text %q", err)
			}
			if strings.Contains(err.Error(), secret) {
				t.Error("the token shows")
			}
		})
	}
}

func TestTokenIsRenewedOnceForAllCallers(t *testing.T) {
	base := fake(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer fresh" {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"errcode":"M_UNKNOWN_TOKEN","error":"Token is not active"}`)
			return
		}
		_, _ = io.WriteString(w, `{"enabled":true}`)
	})
	c, source := newClient(t, base, "old", "fresh", "never asked for")
	var callers sync.WaitGroup
	for range 16 {
		callers.Go(func() {
			if err := c.CheckAdmin(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	callers.Wait()
	if source.renewals != 1 || source.Token() != "fresh" {
		t.Errorf("%d renewals, token %q", source.renewals, source.Token())
	}
}

func TestTokenIsRenewedOnceForACall(t *testing.T) {
	var calls atomic.Int32
	base := fake(t, func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"errcode":"M_UNKNOWN_TOKEN","error":"no"}`)
	})
	c, source := newClient(t, base, "one", "two", "three")
	if err := c.CheckAdmin(t.Context()); synapse.Classify(err) != synapse.Unauthorized {
		t.Error(err)
	}
	if calls.Load() != 2 || source.renewals != 1 {
		t.Errorf("%d calls, %d renewals", calls.Load(), source.renewals)
	}
}

// Only M_UNKNOWN_TOKEN says that another token of the file may do.
func TestOtherRefusalsRenewNothing(t *testing.T) {
	for _, body := range []string{`{"errcode":"M_MISSING_TOKEN","error":"no"}`, `{"errcode":"M_USER_LOCKED","error":"no"}`, html} {
		base := fake(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, body)
		})
		c, source := newClient(t, base, "one", "two")
		if err := c.CheckAdmin(t.Context()); err == nil || source.renewals != 0 {
			t.Errorf("%s: %v, %d renewals", body, err, source.renewals)
		}
	}
}

func TestNoErrorHoldsASecret(t *testing.T) {
	echo := fake(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"errcode":"M_UNKNOWN","error":"bad header `+r.Header.Get("Authorization")+`"}`)
	})
	host := strings.TrimPrefix(echo, "http://")
	for _, base := range []string{
		echo,
		"http://user:hunter2@" + host,
		"http://user:hunter2@127.0.0.1:1",
		"http://user:hunter2@[::1", "http://user:hun ter2@" + host, "http://user:hunter2@" + host + ":x", "ftp://user:hunter2@" + host,
		"http://user:hunter2@no-such-host.invalid", "https://user:hunter2@" + host, "user:hunter2@" + host, "://hunter2",
		"http://%zzhunter2", "http://user:hunter2%zz@" + host,
	} {
		c, _ := newClient(t, base, secret)
		_, err := c.StartPurge(t.Context(), "!r:s", "$e")
		if err == nil {
			t.Fatalf("%s: no error", base)
		}
		for _, hidden := range []string{secret, "hunter2", "hun ter2", "ter2"} {
			if strings.Contains(err.Error(), hidden) {
				t.Errorf("%s: %v", base, err)
			}
		}
	}
	for _, token := range []string{secret + "\n", secret + "\x00"} {
		c, _ := newClient(t, echo, token)
		if err := c.CheckAdmin(t.Context()); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%v", err)
		}
	}
}

func TestProxyPasswordIsInNoError(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://user:hunter2@%zz")
	t.Setenv("http_proxy", "http://user:hunter2@%zz")
	c, _ := newClient(t, "http://synapse.invalid", secret)
	err := c.CheckAdmin(t.Context())
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%v", err)
	}
}

func TestMessageOfTheServerIsOneLine(t *testing.T) {
	base := fake(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"errcode":"M_\u001b[31mRED","error":"one\ntwo\u0007 `+strings.Repeat("long ", 10_000)+`"}`)
	})
	c, _ := newClient(t, base, secret)
	err := c.CheckAdmin(t.Context())
	if len(err.Error()) > 800 || strings.ContainsAny(err.Error(), "\n\x1b\x07") || !strings.Contains(err.Error(), "one two long") {
		t.Errorf("%q", err)
	}
}
