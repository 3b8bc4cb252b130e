package sinks

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"synupkeep/internal/item"
	"synupkeep/internal/retry"
)

// watcher takes pings as healthchecks.io does.
type watcher struct {
	*httptest.Server

	mu     sync.Mutex
	got    []string
	bodies []string
	answer func(n int, w http.ResponseWriter)
}

func newWatcher(t *testing.T, answer func(n int, w http.ResponseWriter)) *watcher {
	t.Helper()
	w := &watcher{answer: answer}
	w.Server = httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.got = append(w.got, r.Method+" "+r.URL.String()+" "+r.UserAgent())
		w.bodies = append(w.bodies, string(body))
		if w.answer != nil {
			w.answer(len(w.got), out)
		}
	}))
	t.Cleanup(w.Close)
	return w
}

func (w *watcher) ping(t *testing.T, path string) *Ping {
	t.Helper()
	p, err := NewPing(w.URL+path, "2.0.0")
	if err != nil {
		t.Fatal(err)
	}
	p.retry = retry.Policy{For: time.Minute, First: time.Millisecond, Most: time.Millisecond}
	t.Cleanup(p.Close)
	return p
}

func withCauses(causes ...item.Cause) Summary {
	s := Summary{Version: "2.0.0", Flows: []FlowSummary{{Flow: item.LocalMedia, Ran: true, Done: 1234, Failed: 1, Bytes: 2048}, {Flow: item.Previews}}}
	for _, c := range causes {
		s.AddCause(c)
	}
	return s
}

func TestPingsGoWhereTheyAreTaken(t *testing.T) {
	for path, want := range map[string][]string{
		"/ping/uuid":       {"/ping/uuid/start", "/ping/uuid", "/ping/uuid/fail"},
		"/ping/uuid/":      {"/ping/uuid/start", "/ping/uuid/", "/ping/uuid/fail"},
		"/p/s?rid=1&a=%2F": {"/p/s/start?rid=1&a=%2F", "/p/s?rid=1&a=%2F", "/p/s/fail?rid=1&a=%2F"},
		"":                 {"/start", "/", "/fail"},
		"/a%2Fb?create=1":  {"/a%2Fb/start?create=1", "/a%2Fb?create=1", "/a%2Fb/fail?create=1"},
	} {
		w := newWatcher(t, nil)
		p := w.ping(t, path)
		if err := errors.Join(p.Start(t.Context()), p.End(t.Context(), withCauses()), p.End(t.Context(), withCauses(item.CauseItems))); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		for i := range want {
			want[i] = "POST " + want[i] + " synupkeep/2.0.0"
		}
		if diff := cmp.Diff(want, w.got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
}

func TestEveryExitCodeButZeroIsAFailure(t *testing.T) {
	w := newWatcher(t, nil)
	p := w.ping(t, "/u")
	for _, c := range append(item.Causes(), "unknown") {
		w.got = nil
		if err := p.End(t.Context(), withCauses(c)); err != nil || len(w.got) != 1 || !strings.HasPrefix(w.got[0], "POST /u/fail ") {
			t.Errorf("%s: %v, %v", c, w.got, err)
		}
	}
}

func TestTheBodySaysHowItEnded(t *testing.T) {
	w := newWatcher(t, nil)
	s := withCauses(item.CauseItems)
	s.ServerName = "s3cret.example.org" // what no other part of the summary hides
	s.AddError(&item.RunError{Cause: item.CauseFailed, Doing: "open the database", Err: errors.New("password s3cret is wrong")})
	s.Failures = []Failure{{Flow: item.LocalMedia, Key: "mxc://example.org/private", Cause: "private"}}
	s.Redact = func(text string) string { return strings.ReplaceAll(text, "s3cret", "***") }
	if err := w.ping(t, "/u").End(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	want := `synupkeep 2.0.0, ***.example.org
local-media: 1,234 done, 0 kept, 0 skipped, 0 left, 1 failed, 2.0 KiB freed, took 0s
could not do its work: open the database: password *** is wrong; 1,234 local media items deleted so far; 1 item failed (exit code 1)
`
	if diff := cmp.Diff(want, w.bodies[0]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAPingIsTriedAgainWhereThatMayHelp(t *testing.T) {
	for _, test := range []struct {
		status, tries int
		again         bool
	}{{503, 3, true}, {429, 3, true}, {500, 3, true}, {404, 1, false}, {400, 1, false}, {302, 1, false}} {
		w := newWatcher(t, func(n int, w http.ResponseWriter) {
			if n < 3 {
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(test.status)
			}
		})
		err := w.ping(t, "/secret").Start(t.Context())
		if (err == nil) != test.again || len(w.got) != test.tries {
			t.Errorf("%d: %v after %v", test.status, err, w.got)
		}
	}
}

// Whoever knows the URL can say that all is well: it is in no error.
func TestNoErrorHoldsTheURL(t *testing.T) {
	w := newWatcher(t, func(_ int, w http.ResponseWriter) {
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, "no /secret here")
	})
	away := httptest.NewServer(nil)
	away.Close()
	late, cancel := context.WithCancel(t.Context())
	cancel()
	for name, p := range map[string]*Ping{"refused": w.ping(t, "/secret"), "away": (&watcher{Server: away}).ping(t, "/secret")} {
		p.retry = retry.Policy{}
		for _, ctx := range []context.Context{t.Context(), late} {
			if err := p.Start(ctx); err == nil || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "http://") {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if _, err := NewPing("http://a b/secret\x7f", ""); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("%v", err)
	}
}

func TestAPingEndsWithItsContext(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	arrived, release := make(chan struct{}, 1), make(chan struct{})
	w := newWatcher(t, func(int, http.ResponseWriter) {
		arrived <- struct{}{}
		<-release
	})
	p := w.ping(t, "/u")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Start(ctx) }()
	<-arrived
	cancel()
	if err := <-ended; err == nil {
		t.Error("no error")
	}
	close(release)
	p.Close()
	w.Close()
}

// silent takes requests and never answers.
type silent struct{ tries *int }

func (s silent) RoundTrip(r *http.Request) (*http.Response, error) {
	*s.tries++
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestAURLThatNeverAnswersIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, err := NewPing("http://127.0.0.1/u", "")
		if err != nil {
			t.Fatal(err)
		}
		tries := 0
		p.client.Transport = silent{&tries}
		began := time.Now()
		if err := p.Start(t.Context()); err == nil || tries < 2 || time.Since(began) > 45*time.Second {
			t.Errorf("%v after %d tries and %v", err, tries, time.Since(began))
		}
	})
}
