package sandbox

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Client acts for one user through the client-server API.
type Client struct {
	server *Server
	user   string // localpart
	token  string // the user's own; empty means the appservice's
}

// APIError is an answer other than 2xx.
type APIError struct {
	Method, Path string
	Status       int
	ErrCode      string `json:"errcode"`
	Message      string `json:"error"`
}

func (e *APIError) Error() string {
	return fmt.Sprintf("%s %s: HTTP %d %s: %s", e.Method, e.Path, e.Status, e.ErrCode, e.Message)
}

// As acts for a user, named by localpart or in full, who is registered with the first call.
func (s *Server) As(user string) *Client {
	user = strings.TrimPrefix(user, "@")
	user = strings.TrimSuffix(user, ":"+s.state.ServerName)
	return &Client{server: s, user: user}
}

// Admin acts for the server admin with its own token.
func (s *Server) Admin() *Client {
	return &Client{server: s, user: "admin", token: s.state.AdminToken}
}

// UserID is the user's full id.
func (c *Client) UserID() string { return "@" + c.user + ":" + c.server.state.ServerName }

// register makes the user known to Synapse, once.
func (s *Server) register(ctx context.Context, user string) error {
	s.users.Lock()
	known := s.known[user]
	s.users.Unlock()
	if known || user == "admin" {
		return nil
	}
	body := map[string]any{"type": "m.login.application_service", "username": user, "inhibit_login": true}
	_, err := s.call(ctx, http.MethodPost, "/_matrix/client/v3/register", nil, s.state.ASToken, "", asJSON(body))
	var api *APIError
	if errors.As(err, &api) && api.ErrCode == "M_USER_IN_USE" {
		err = nil
	}
	if err != nil {
		return fmt.Errorf("register %s: %w", user, err)
	}
	s.users.Lock()
	s.known[user] = true
	s.users.Unlock()
	return nil
}

// forgetUsers makes As register users again, as after a reset.
func (s *Server) forgetUsers() {
	s.users.Lock()
	defer s.users.Unlock()
	clear(s.known)
}

// Do sends a request with a JSON body (nil for none) and decodes the answer into out unless that is nil. The path is
// escaped already.
func (c *Client) Do(ctx context.Context, method, path string, query url.Values, body, out any) error {
	var b []byte
	if body != nil {
		b = asJSON(body)
	}
	answer, err := c.raw(ctx, method, path, query, "application/json", b)
	if err != nil || out == nil {
		return err
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("%s %s: answer: %w", method, path, err)
	}
	return nil
}

func (c *Client) raw(ctx context.Context, method, path string, query url.Values, contentType string, body []byte) ([]byte, error) {
	token := c.token
	if token == "" {
		if err := c.server.register(ctx, c.user); err != nil {
			return nil, err
		}
		token = c.server.state.ASToken
		q := url.Values{"user_id": {c.UserID()}}
		for k, v := range query {
			q[k] = v
		}
		query = q
	}
	return c.server.call(ctx, method, path, query, token, contentType, body)
}

func (s *Server) call(ctx context.Context, method, path string, query url.Values, token, contentType string, body []byte) ([]byte, error) {
	target := s.APIURL() + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	if resp.StatusCode/100 == 2 {
		return b, nil
	}
	api := &APIError{Method: method, Path: path, Status: resp.StatusCode}
	if json.Unmarshal(b, api) != nil {
		api.Message = tail(b, 500)
	}
	return nil, api
}

// asJSON encodes what the sandbox itself built.
func asJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("sandbox: %T does not encode: %v", v, err))
	}
	return b
}

// transaction is a transaction id that was never used: Synapse answers a known one with the old event.
func transaction() string { return rand.Text() }

func atTime(ts time.Time) url.Values {
	if ts.IsZero() {
		return nil
	}
	return url.Values{"ts": {strconv.FormatInt(ts.UnixMilli(), 10)}}
}

func roomPath(room string, parts ...string) string {
	path := "/_matrix/client/v3/rooms/" + url.PathEscape(room)
	for _, p := range parts {
		path += "/" + url.PathEscape(p)
	}
	return path
}
