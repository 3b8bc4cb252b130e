package synapse

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"
)

// mediaTimeout bounds a call of the media API. Synapse answers when the last file is gone, and goes on when nobody waits
// for the answer any more (rest/admin/media.py:383-442, 1.163.2).
const mediaTimeout = 10 * time.Minute

// OldestPurge is the earliest time that PurgeMediaCache accepts: what is before it Synapse takes for seconds
// (rest/admin/media.py:403, 1.163.2).
func OldestPurge() time.Time { return time.UnixMilli(30_000_000_000) }

// DeleteMedia deletes one upload and its thumbnails, whatever protects it: quarantine and protection are for the caller
// to look at (rest/admin/media.py:415-442, 1.163.2). deleted is false when the server could not delete the file; then its
// row stays. Media that the server does not know is an error of class [NotFound].
func (c *Client) DeleteMedia(ctx context.Context, serverName, mediaID string) (deleted bool, err error) {
	var answer struct {
		Total *int64 `json:"total"`
	}
	path := "/_synapse/admin/v1/media/" + url.PathEscape(serverName) + "/" + url.PathEscape(mediaID)
	if err := c.callWithin(ctx, mediaTimeout, http.MethodDelete, path, nil, &answer); err != nil {
		return false, err
	}
	if answer.Total == nil {
		return false, c.foreign(http.MethodDelete, path)
	}
	return *answer.Total > 0, nil
}

// PurgeMediaCache deletes the cached media of other servers that was last looked at before that time, but for what is
// quarantined, and returns how much that was. What the server could not delete keeps its row and is not counted.
func (c *Client) PurgeMediaCache(ctx context.Context, before time.Time) (deleted int64, err error) {
	var answer struct {
		Deleted *int64 `json:"deleted"`
	}
	path := purgePath(before)
	if err := c.callWithin(ctx, mediaTimeout, http.MethodPost, path, nil, &answer); err != nil {
		return 0, err
	}
	if answer.Deleted == nil {
		return 0, c.foreign(http.MethodPost, path)
	}
	return *answer.Deleted, nil
}

func purgePath(before time.Time) string {
	return fmt.Sprintf("/_synapse/admin/v1/purge_media_cache?before_ts=%d", before.UnixMilli())
}

// CheckMediaAPI asks something that changes nothing, to see whether the address serves the media API: that may be another
// process than the one that serves the rest (register_servlets_for_media_repo in rest/admin/__init__.py, 1.163.2).
func (c *Client) CheckMediaAPI(ctx context.Context, userID string) error {
	path := "/_synapse/admin/v1/users/" + url.PathEscape(userID) + "/media?limit=1"
	err := c.call(ctx, http.MethodGet, path, nil, &struct{}{})
	if err != nil && Classify(err) == NotFound {
		return nil // it knows the call, and not the user
	}
	return err
}

// MediaAdvice is Advice for a call of the media API.
func MediaAdvice(err error) string {
	var refused *Error
	if errors.As(err, &refused) && refused.Code == "M_UNRECOGNIZED" {
		return "The process of Synapse at --api-url does not serve the media API: with enable_media_repo: false that is done by the worker " +
			"that has the media resource. There is one --api-url for everything, so it must be a reverse proxy that leads " +
			"/_synapse/admin/v1/media/, /_synapse/admin/v1/purge_media_cache and /_synapse/admin/v1/users/<user>/media to that worker and " +
			"the rest of /_synapse/admin to the main process. Without one: --only history."
	}
	return Advice(err)
}

// proxyPatience is how long a proxy takes at most to say that it reaches no server: it finds that out at once.
const proxyPatience = 5 * time.Second

// MayRun says whether the server may still be at work on a call that ended with this error after that time. It is not
// when it answered itself, when it was never reached, or when a proxy said at once that it could not reach it.
func MayRun(err error, took time.Duration) bool {
	var refused *Error
	if errors.As(err, &refused) {
		switch {
		case !refused.Foreign:
			return refused.Status == http.StatusGatewayTimeout
		case refused.Status == http.StatusBadGateway, refused.Status == http.StatusServiceUnavailable:
			return took > proxyPatience
		}
		return refused.Status == http.StatusOK || refused.Status >= http.StatusInternalServerError
	}
	var lost *TransportError
	if !errors.As(err, &lost) {
		return false
	}
	var network *net.OpError
	return !errors.As(err, &network) || network.Op != "dial"
}
