package synapse_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"synupkeep/internal/sandbox"
	"synupkeep/internal/synapse"
)

func TestMediaRequests(t *testing.T) {
	var got, body string
	base := fake(t, func(w http.ResponseWriter, r *http.Request) {
		content, _ := io.ReadAll(r.Body)
		got, body = r.Method+" "+r.URL.EscapedPath()+"?"+r.URL.RawQuery, string(content)
		_, _ = io.WriteString(w, `{"deleted_media":["x"],"total":1,"deleted":7}`)
	})
	c, _ := newClient(t, base, secret)
	for id, path := range map[string]string{
		"AbCdEf": "AbCdEf", "a/../b?c#d%2Fe": "a%2F..%2Fb%3Fc%23d%252Fe", "2020-01-01_x": "2020-01-01_x",
	} {
		deleted, err := c.DeleteMedia(t.Context(), "[::1]:8448", id)
		if want := "DELETE /_synapse/admin/v1/media/%5B::1%5D:8448/" + path + "?"; got != want || body != "" || err != nil || !deleted {
			t.Errorf("%s %q, want %s (%v)", got, body, want, err)
		}
	}
	n, err := c.PurgeMediaCache(t.Context(), time.UnixMilli(1_600_000_000_123))
	if want := "POST /_synapse/admin/v1/purge_media_cache?before_ts=1600000000123"; got != want || body != "" || n != 7 || err != nil {
		t.Errorf("%s %q, want %s; %d, %v", got, body, want, n, err)
	}
}

func TestAnswersThatAreNotTheMediaAPIs(t *testing.T) {
	for _, answer := range []string{"", "null", "{}", `{"total":null}`, `{"deleted":"x"}`, "[]", html} {
		base := fake(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, answer) })
		c, _ := newClient(t, base, secret)
		_, err := c.DeleteMedia(t.Context(), "hs", "abcdef")
		_, purgeErr := c.PurgeMediaCache(t.Context(), time.Now())
		for _, err := range []error{err, purgeErr} {
			if refused := refusal(t, err); !refused.Foreign || !synapse.MayRun(err, 0) {
				t.Errorf("%q: %+v", answer, refused)
			}
		}
	}
}

func TestWhetherTheServerMayStillBeAtIt(t *testing.T) {
	own := func(code int) error { return &synapse.Error{Status: code, Code: "M_UNKNOWN"} }
	proxy := func(code int) error { return &synapse.Error{Status: code, Foreign: true} }
	for name, test := range map[string]struct {
		err  error
		took time.Duration
		may  bool
	}{
		"refused by the system":              {&synapse.TransportError{Err: &net.OpError{Op: "dial", Err: errors.New("refused")}}, 0, false},
		"reset":                              {&synapse.TransportError{Err: &net.OpError{Op: "read", Err: errors.New("reset")}}, 0, true},
		"no answer":                          {&synapse.TransportError{Err: errors.New("no answer within 10m0s")}, 0, true},
		"Synapse's own error":                {own(500), time.Hour, false},
		"Synapse is shutting down":           {own(503), time.Hour, false},
		"not found":                          {own(404), 0, false},
		"a proxy's timeout":                  {proxy(504), 0, true},
		"a proxy's own error":                {proxy(500), 0, true},
		"timeout of a content network":       {proxy(524), 0, true},
		"a proxy reaches nothing, at once":   {proxy(502), time.Second, false},
		"a proxy's bad gateway after a time": {proxy(502), time.Minute, true},
		"unavailable, at once":               {proxy(503), time.Second, false},
		"unavailable, after a time":          {proxy(503), time.Minute, true},
		"too many":                           {proxy(429), 0, false},
		"not found by a proxy":               {proxy(404), 0, false},
		"another error":                      {errors.New("of the database"), 0, false},
	} {
		if got := synapse.MayRun(test.err, test.took); got != test.may {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestTheMediaAPIOfARealServer(t *testing.T) {
	s := sandbox.Shared(t)
	c := admin(t, s)
	mxc, err := s.As("alice").Upload(t.Context(), "text/plain", []byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	server, id, err := sandbox.SplitMXC(mxc)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Quarantine(t.Context(), mxc); err != nil {
		t.Fatal(err)
	}
	// That it heeds no quarantine is why we look ourselves.
	if deleted, err := c.DeleteMedia(t.Context(), server, id); err != nil || !deleted {
		t.Errorf("%t, %v", deleted, err)
	}
	if _, err := c.DeleteMedia(t.Context(), server, id); synapse.Classify(err) != synapse.NotFound || refusal(t, err).Message != "Unknown media" {
		t.Errorf("a second time: %v", err)
	}
	if _, err := c.DeleteMedia(t.Context(), "elsewhere.example", id); refusal(t, err).Status != http.StatusBadRequest {
		t.Errorf("of another server: %v", err)
	}
	if n, err := c.PurgeMediaCache(t.Context(), synapse.OldestPurge()); n != 0 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := c.PurgeMediaCache(t.Context(), synapse.OldestPurge().Add(-time.Millisecond)); refusal(t, err).Code != "M_INVALID_PARAM" {
		t.Errorf("before the earliest time: %v", err)
	}
	for _, user := range []string{s.As("alice").UserID(), "@nobody:" + s.ServerName()} {
		if err := c.CheckMediaAPI(t.Context(), user); err != nil {
			t.Errorf("%s: %v", user, err)
		}
	}
}

func TestTheMediaAPIElsewhereHasItsOwnAdvice(t *testing.T) {
	base := fake(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"errcode":"M_UNRECOGNIZED","error":"Unrecognized request"}`)
	})
	c, _ := newClient(t, base, secret)
	err := c.CheckMediaAPI(t.Context(), "@a:hs")
	if err == nil || !strings.Contains(synapse.MediaAdvice(err), "enable_media_repo") {
		t.Errorf("%v: %s", err, synapse.MediaAdvice(err))
	}
	if other := (&synapse.Error{Status: 403, Code: "M_FORBIDDEN"}); synapse.MediaAdvice(other) != synapse.Advice(other) {
		t.Error(synapse.MediaAdvice(other))
	}
}
