package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

type contentURI struct {
	URI string `json:"content_uri"`
}

// Upload uploads a file and returns its mxc URI.
func (c *Client) Upload(ctx context.Context, contentType string, data []byte) (string, error) {
	return c.UploadNamed(ctx, contentType, "", data)
}

// UploadNamed is Upload with a file name.
func (c *Client) UploadNamed(ctx context.Context, contentType, name string, data []byte) (string, error) {
	q := url.Values{}
	if name != "" {
		q.Set("filename", name)
	}
	b, err := c.raw(ctx, http.MethodPost, "/_matrix/media/v3/upload", q, contentType, data)
	if err != nil {
		return "", err
	}
	var out contentURI
	if err := json.Unmarshal(b, &out); err != nil {
		return "", fmt.Errorf("upload: answer: %w", err)
	}
	return out.URI, nil
}

// CreateMedia reserves an mxc URI whose content may be uploaded later.
func (c *Client) CreateMedia(ctx context.Context) (string, error) {
	var out contentURI
	err := c.Do(ctx, http.MethodPost, "/_matrix/media/v1/create", nil, nil, &out)
	return out.URI, err
}

// SetAvatar sets the user's avatar in the profile and so in all rooms.
func (c *Client) SetAvatar(ctx context.Context, mxc string) error {
	return c.Do(ctx, http.MethodPut, c.profilePath("avatar_url"), nil, map[string]any{"avatar_url": mxc}, nil)
}

// SetDisplayName sets the user's display name.
func (c *Client) SetDisplayName(ctx context.Context, name string) error {
	return c.Do(ctx, http.MethodPut, c.profilePath("displayname"), nil, map[string]any{"displayname": name}, nil)
}

func (c *Client) profilePath(field string) string {
	return "/_matrix/client/v3/profile/" + url.PathEscape(c.UserID()) + "/" + field
}

// SplitMXC splits mxc://server/id.
func SplitMXC(mxc string) (server, id string, err error) {
	rest, isMXC := strings.CutPrefix(mxc, "mxc://")
	server, id, found := strings.Cut(rest, "/")
	if !isMXC || !found {
		return "", "", fmt.Errorf("%q is not an mxc URI", mxc)
	}
	return server, id, nil
}

func (c *Client) mediaPath(kind, mxc string) (string, error) {
	server, id, err := SplitMXC(mxc)
	if err != nil {
		return "", err
	}
	return c.server.mediaAPI() + kind + "/" + url.PathEscape(server) + "/" + url.PathEscape(id), nil
}

// Download downloads a file. An answer other than 200 is a status, not an error.
func (c *Client) Download(ctx context.Context, mxc string) (status int, data []byte, err error) {
	path, err := c.mediaPath("download", mxc)
	if err != nil {
		return 0, nil, err
	}
	return c.get(ctx, path, nil)
}

// Thumbnail downloads a thumbnail; method is crop or scale. An answer other than 200 is a status, not an error.
func (c *Client) Thumbnail(ctx context.Context, mxc string, width, height int, method string) (status int, data []byte, err error) {
	path, err := c.mediaPath("thumbnail", mxc)
	if err != nil {
		return 0, nil, err
	}
	return c.get(ctx, path, url.Values{"width": {strconv.Itoa(width)}, "height": {strconv.Itoa(height)}, "method": {method}})
}

func (c *Client) get(ctx context.Context, path string, q url.Values) (int, []byte, error) {
	data, err := c.raw(ctx, http.MethodGet, path, q, "", nil)
	var api *APIError
	if errors.As(err, &api) {
		return api.Status, nil, nil
	}
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, data, nil
}

// PreviewURL makes Synapse preview a page, which must be served on 127.0.0.1, and returns the OpenGraph data.
func (c *Client) PreviewURL(ctx context.Context, page string) (map[string]any, error) {
	var out map[string]any
	err := c.Do(ctx, http.MethodGet, c.server.mediaAPI()+"preview_url", url.Values{"url": {page}}, nil, &out)
	return out, err
}

// Quarantine quarantines media through the admin API.
func (s *Server) Quarantine(ctx context.Context, mxc string) error {
	server, id, err := SplitMXC(mxc)
	if err != nil {
		return err
	}
	path := "/_synapse/admin/v1/media/quarantine/" + url.PathEscape(server) + "/" + url.PathEscape(id)
	return s.Admin().Do(ctx, http.MethodPost, path, nil, struct{}{}, nil)
}

// Protect marks local media as safe from quarantine through the admin API.
func (s *Server) Protect(ctx context.Context, mxc string) error {
	_, id, err := SplitMXC(mxc)
	if err != nil {
		return err
	}
	return s.Admin().Do(ctx, http.MethodPost, "/_synapse/admin/v1/media/protect/"+url.PathEscape(id), nil, struct{}{}, nil)
}
