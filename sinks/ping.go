package sinks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"synupkeep/internal/item"
	"synupkeep/internal/retry"
)

const (
	// pingTimeout is how long one try may take, pingFor how long there is another one.
	pingTimeout = 10 * time.Second
	pingFor     = 20 * time.Second
)

// Ping tells somebody who waits for it that a run begins and how it ends, as healthchecks.io and its like take it: a POST to
// the URL with /start behind its path, then to the URL itself after exit code 0, and with /fail behind it after any other.
//
// The URL is a secret: whoever knows it can say that all is well. No error of this type holds it.
type Ping struct {
	url    *url.URL
	client *http.Client
	retry  retry.Policy
}

// NewPing takes the URL, which may have a query.
func NewPing(text, version string) (*Ping, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("the URL of --ping is none")
	}
	return &Ping{
		url: u, retry: retry.Policy{For: pingFor, First: 500 * time.Millisecond, Most: 5 * time.Second},
		client: &http.Client{
			Timeout:   pingTimeout,
			Transport: named{agent: "synupkeep/" + version, RoundTripper: ownTransport()},
			// Whoever takes pings answers them. A redirect, as of a portal or of a name that is parked, is no answer.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// named says in each request which program it comes from.
type named struct {
	http.RoundTripper

	agent string
}

// ownTransport is one whose connections are nobody else's.
func ownTransport() http.RoundTripper {
	if t, ok := http.DefaultTransport.(*http.Transport); ok {
		return t.Clone()
	}
	return http.DefaultTransport
}

// CloseIdleConnections is what http.Client looks for.
func (n named) CloseIdleConnections() {
	if t, ok := n.RoundTripper.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

// RoundTrip implements http.RoundTripper.
func (n named) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("User-Agent", n.agent)
	return n.RoundTripper.RoundTrip(r)
}

// Start says that a run begins.
func (p *Ping) Start(ctx context.Context) error { return p.post(ctx, "start", "") }

// End says how it ended: in a few lines, of which none names a room, a user or media that is not in the verdict.
func (p *Ping) End(ctx context.Context, s Summary) error {
	s = s.normal()
	var b bytes.Buffer
	writeHead(&b, s)
	for _, f := range s.Flows {
		if f.Ran {
			fmt.Fprintf(&b, "%s: %s done, %s kept, %s skipped, %s left, %s failed, %s freed, took %s\n", line(string(f.Flow)),
				humanize.Comma(f.Done), humanize.Comma(f.KeptTotal), humanize.Comma(f.SkippedTotal), humanize.Comma(f.LeftTotal),
				humanize.Comma(f.Failed), bytesOf(f.Bytes), took(f.DurationS))
		}
	}
	fmt.Fprintln(&b, verdict(s))
	last := "fail"
	if len(s.Causes) == 0 && item.ExitCode(s.Causes) == 0 {
		last = ""
	}
	return p.post(ctx, last, s.Redact.text(b.String()))
}

// statusError is an answer that is not 2xx.
type statusError int

func (e statusError) Error() string { return fmt.Sprintf("it answers with status %d", int(e)) }

func (p *Ping) post(ctx context.Context, last, body string) error {
	u := *p.url
	if last != "" {
		u = *p.url.JoinPath(last)
	}
	_, err := p.retry.Do(ctx, func() error { return p.try(ctx, u.String(), body) }, func(err error) (bool, time.Duration) {
		var status statusError
		if !errors.As(err, &status) {
			return true, 0
		}
		return status >= http.StatusInternalServerError || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout, 0
	})
	return err
}

func (p *Ping) try(ctx context.Context, to, body string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, to, strings.NewReader(body))
	if err != nil {
		return nameless(err)
	}
	request.Header.Set("Content-Type", "text/plain; charset=utf-8")
	answer, err := p.client.Do(request)
	if err != nil {
		return nameless(err)
	}
	defer func() { _ = answer.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 64<<10)) // the connection can be used again
	if answer.StatusCode/100 != 2 {
		return statusError(answer.StatusCode)
	}
	return nil
}

// nameless takes the URL out of an error of net/http.
func nameless(err error) error {
	var with *url.Error
	if errors.As(err, &with) {
		return with.Err
	}
	return err
}

// Close lets go of connections.
func (p *Ping) Close() { p.client.CloseIdleConnections() }
