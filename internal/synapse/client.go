// Package synapse speaks to a Synapse homeserver: its admin API, and what its database and version tell of it.
package synapse

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// TokenSource gives the admin's access token. Renew is asked once when the server no longer knows the token: it returns
// false when there is no other.
type TokenSource interface {
	Token() string
	Renew() bool
}

// Client calls the admin API of one server. It makes each call once: whether to try again is for the caller to know.
type Client struct {
	base  string
	shown string // base as errors name it
	http  *http.Client
	token TokenSource
	renew sync.Mutex
	date  atomic.Pointer[time.Time]
	looks bool
}

// callTimeout bounds one call. Every call but those of the media API is answered from the database in milliseconds; a
// server that needs longer is in trouble.
const callTimeout = 30 * time.Second

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 1 << 20

// NewClient returns a client for the API at base, with or without a trailing slash; unix:///run/synapse/main.sock is a
// listener of Synapse that is a Unix socket.
func NewClient(base string, token TokenSource) *Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 8
	transport.Proxy = proxy
	base = strings.TrimRight(base, "/")
	shown := withoutUser(base)
	if socket, isSocket := strings.CutPrefix(base, "unix://"); isSocket {
		var dialer net.Dialer
		transport.Proxy = nil
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", socket)
		}
		base, shown = "http://localhost", base
	}
	return &Client{
		base:  base,
		shown: shown,
		http:  &http.Client{Transport: transport, CheckRedirect: noRedirect},
		token: token,
	}
}

// NewLooker returns a client that can only look: it refuses, before anything is sent, every call that is no GET.
func NewLooker(base string, token TokenSource) *Client {
	c := NewClient(base, token)
	c.looks = true
	return c
}

// ErrLooks is the error of a call that would change something, of a client that can only look.
var ErrLooks = errors.New("this program only looks: it was about to ask for a change, which is a mistake in it; nothing was asked")

// proxy is the proxy that the environment names. Of one that cannot be used net/http would show all, its password
// included.
func proxy(req *http.Request) (*url.URL, error) {
	u, err := http.ProxyFromEnvironment(req)
	if err != nil {
		return nil, errors.New("HTTP_PROXY or HTTPS_PROXY is not a URL")
	}
	return u, nil
}

// withoutUser drops what may be a password from a URL.
func withoutUser(base string) string {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" {
		return "the API's address, which is not a URL"
	}
	u.User = nil
	return u.String()
}

// noRedirect keeps the token with the server it was given for.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// Date is the clock of the server, or of the proxy before it, at its latest answer, in whole seconds. ok is false as long as
// none has told the time.
func (c *Client) Date() (at time.Time, ok bool) {
	if date := c.date.Load(); date != nil {
		return *date, true
	}
	return time.Time{}, false
}

// Close lets go of idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// ServerVersion returns the server's version, such as "1.163.2". The call needs no token and proves none.
func (c *Client) ServerVersion(ctx context.Context) (string, error) {
	var answer struct {
		ServerVersion string `json:"server_version"`
	}
	const path = "/_synapse/admin/v1/server_version"
	if err := c.call(ctx, http.MethodGet, path, nil, &answer); err != nil {
		return "", err
	}
	if answer.ServerVersion == "" {
		return "", c.foreign(http.MethodGet, path)
	}
	return answer.ServerVersion, nil
}

// CheckAdmin proves that the token is an admin's.
func (c *Client) CheckAdmin(ctx context.Context) error {
	return c.call(ctx, http.MethodGet, "/_synapse/admin/v1/background_updates/status", nil, &struct{}{})
}

// whoAmI is no part of the admin API, which has no such call.
const whoAmI = "/_matrix/client/v3/account/whoami"

// WhoAmI returns the user id that the token belongs to.
func (c *Client) WhoAmI(ctx context.Context) (string, error) {
	var answer struct {
		UserID string `json:"user_id"`
	}
	if err := c.call(ctx, http.MethodGet, whoAmI, nil, &answer); err != nil {
		return "", err
	}
	if answer.UserID == "" {
		return "", c.foreign(http.MethodGet, whoAmI)
	}
	return answer.UserID, nil
}

// StartPurge asks the server to delete the history of a room below an event and returns the id of the purge. Local
// messages go as well: for Synapse the alternative is to keep their bytes and show them to nobody.
func (c *Client) StartPurge(ctx context.Context, roomID, upToEventID string) (string, error) {
	// The event id goes into the body: those of room version 3 may hold a slash.
	body := map[string]any{"purge_up_to_event_id": upToEventID, "delete_local_events": true}
	var answer struct {
		PurgeID string `json:"purge_id"`
	}
	path := "/_synapse/admin/v1/purge_history/" + url.PathEscape(roomID)
	if err := c.call(ctx, http.MethodPost, path, body, &answer); err != nil {
		return "", err
	}
	if answer.PurgeID == "" {
		return "", c.foreign(http.MethodPost, path)
	}
	return answer.PurgeID, nil
}

// PurgeState is how far a purge is.
type PurgeState struct {
	// Status is active, complete or failed. Synapse also says active for purges that wait and that were cancelled.
	Status string `json:"status"`
	Error  string `json:"error"`
}

// The words of Synapse for PurgeState.Status.
const (
	PurgeActive   = "active"
	PurgeComplete = "complete"
	PurgeFailed   = "failed"
)

// PurgeStatus asks how far a purge is. A purge that the server does not know (any more) is an error of class [NotFound].
func (c *Client) PurgeStatus(ctx context.Context, purgeID string) (PurgeState, error) {
	var state PurgeState
	path := "/_synapse/admin/v1/purge_history_status/" + url.PathEscape(purgeID)
	if err := c.call(ctx, http.MethodGet, path, nil, &state); err != nil {
		return PurgeState{}, err
	}
	switch state.Status {
	case "":
		return PurgeState{}, c.foreign(http.MethodGet, path)
	case "scheduled": // what 1.163.2 calls active may one day be called by its name
		state.Status = PurgeActive
	}
	return state, nil
}

// foreign is the error of an answer that is JSON and not what Synapse says.
func (c *Client) foreign(method, path string) error {
	return &Error{Method: method, URL: c.shown + path, Status: http.StatusOK, Foreign: true}
}

func (c *Client) call(ctx context.Context, method, path string, body, answer any) error {
	return c.callWithin(ctx, callTimeout, method, path, body, answer)
}

func (c *Client) callWithin(ctx context.Context, timeout time.Duration, method, path string, body, answer any) error {
	used := c.token.Token()
	err := c.once(ctx, timeout, used, method, path, body, answer)
	var refused *Error
	if !errors.As(err, &refused) || refused.Status != http.StatusUnauthorized || refused.Code != "M_UNKNOWN_TOKEN" {
		return err
	}
	if !c.renewed(used) {
		return err
	}
	return c.once(ctx, timeout, c.token.Token(), method, path, body, answer)
}

// renewed sees to it that of several calls that were refused the same token only one renews it.
func (c *Client) renewed(used string) bool {
	c.renew.Lock()
	defer c.renew.Unlock()
	return c.token.Token() != used || c.token.Renew()
}

func (c *Client) once(ctx context.Context, timeout time.Duration, token, method, path string, body, answer any) error {
	if c.looks && method != http.MethodGet {
		return fmt.Errorf("%s %s: %w", method, c.shown+path, ErrLooks)
	}
	bounded, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var content io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("%s %s: %w", method, path, err)
		}
		content = bytes.NewReader(encoded)
	}
	req, err := http.NewRequestWithContext(bounded, method, c.base+path, content)
	if err != nil {
		return fmt.Errorf("%s %s: no request can be made of this address", method, c.shown+path) // err shows all of it
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	req.Header.Set("User-Agent", "synupkeep")
	status, header, text, err := c.exchange(req)
	switch {
	case err != nil && bounded.Err() != nil && ctx.Err() == nil:
		return &TransportError{Method: method, URL: c.shown + path, Err: fmt.Errorf("no answer within %v", timeout)}
	case err != nil:
		return &TransportError{Method: method, URL: c.shown + path, Err: unwrapURL(err)}
	case status != http.StatusOK:
		refused := newError(method, c.shown+path, status, header, text)
		if token != "" {
			refused.Message = strings.ReplaceAll(refused.Message, token, "***")
		}
		return refused
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return c.foreign(method, path)
	}
	return nil
}

// exchange sends a request and reads the answer up to maxAnswer bytes: a longer one is none of Synapse's, and its torn
// end makes it no JSON.
func (c *Client) exchange(req *http.Request) (status int, header http.Header, text []byte, err error) {
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, nil, nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // it was read
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		c.date.Store(&date)
	}
	text, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return resp.StatusCode, resp.Header, text, err
}

// unwrapURL drops the method and URL that net/http puts before its errors: ours name them already.
func unwrapURL(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}
