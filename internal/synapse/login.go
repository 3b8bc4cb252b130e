package synapse

import (
	"context"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // Synapse asks for it: rest/admin/users.py:616-633, 1.163.2
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
)

// anonymous is the token source of who has none yet.
type anonymous struct{}

func (anonymous) Token() string { return "" }
func (anonymous) Renew() bool   { return false }

// NewVisitor returns a client without a token, for Login and Register.
func NewVisitor(base string) *Client { return NewClient(base, anonymous{}) }

// deviceName is what a session of ours is called among the devices of its user.
const deviceName = "synupkeep"

// DelegatesLogin says whether the server leaves logging in to Matrix Authentication Service: then it has metadata of that
// (rest/client/auth_metadata.py, 1.163.2; before it had a name of its own, the path was that of MSC 2965).
func (c *Client) DelegatesLogin(ctx context.Context) (bool, error) {
	for _, path := range []string{"/_matrix/client/v1/auth_metadata", "/_matrix/client/unstable/org.matrix.msc2965/auth_metadata"} {
		var answer struct {
			Issuer string `json:"issuer"`
		}
		err := c.call(ctx, http.MethodGet, path, nil, &answer)
		var refused *Error
		switch {
		case err == nil:
			return answer.Issuer != "", nil
		case !errors.As(err, &refused):
			return false, err
		}
	}
	return false, nil
}

// LogsInByPassword says whether the server takes a user's password (m.login.password).
func (c *Client) LogsInByPassword(ctx context.Context) (bool, error) {
	var answer struct {
		Flows []struct {
			Type string `json:"type"`
		} `json:"flows"`
	}
	if err := c.call(ctx, http.MethodGet, "/_matrix/client/v3/login", nil, &answer); err != nil {
		return false, err
	}
	return slices.ContainsFunc(answer.Flows, func(f struct {
		Type string `json:"type"`
	},
	) bool {
		return f.Type == "m.login.password"
	}), nil
}

// Login begins a session and returns its access token, which is one without an end unless the server says otherwise.
func (c *Client) Login(ctx context.Context, user, password string) (token string, err error) {
	body := map[string]any{
		"type": "m.login.password", "password": password, "initial_device_display_name": deviceName,
		"identifier": map[string]string{"type": "m.id.user", "user": user},
	}
	return c.tokenFrom(ctx, "/_matrix/client/v3/login", body)
}

// Register makes a user who is a server admin and returns an access token. secret is the server's
// registration_shared_secret.
func (c *Client) Register(ctx context.Context, secret, user, password string) (token string, err error) {
	const path = "/_synapse/admin/v1/register"
	var answer struct {
		Nonce string `json:"nonce"`
	}
	if err := c.call(ctx, http.MethodGet, path, nil, &answer); err != nil {
		return "", err
	}
	mac := hmac.New(sha1.New, []byte(secret))
	_, _ = mac.Write([]byte(answer.Nonce + "\x00" + user + "\x00" + password + "\x00admin")) // it never fails
	return c.tokenFrom(ctx, path, map[string]any{
		"nonce": answer.Nonce, "username": user, "password": password, "admin": true, "mac": hex.EncodeToString(mac.Sum(nil)),
	})
}

func (c *Client) tokenFrom(ctx context.Context, path string, body any) (string, error) {
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	if err := c.call(ctx, http.MethodPost, path, body, &answer); err != nil {
		return "", err
	}
	if answer.AccessToken == "" {
		return "", c.foreign(http.MethodPost, path)
	}
	return answer.AccessToken, nil
}

// Logout ends the session of the token.
func (c *Client) Logout(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, "/_matrix/client/v3/logout", map[string]any{}, &json.RawMessage{})
}
