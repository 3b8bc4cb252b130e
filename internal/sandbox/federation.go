package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"
)

// Federation is several servers that federate with each other over the loopback interface, each with its own PostgreSQL.
// Their names are localhost and a port, on which a front of ours takes what the others send: plain Synapse behind it, so
// that they can be separated and joined again without a restart.
//
// Its methods are not to be called at the same time as each other.
type Federation struct {
	// Servers are in the order of their start.
	Servers []*Server

	fronts []*front
}

// member is what a server of a federation is configured with.
type member struct {
	names     []string // of all servers
	authority []byte   // PEM
}

// StartFederation starts n servers side by side (3 s for two). Dir and ServerName of the options must be empty: the names
// hold ports that are free only now.
func StartFederation(ctx context.Context, n int, o Options) (*Federation, error) {
	if o.Dir != "" || o.ServerName != "" {
		return nil, errors.New("sandbox: the servers of a federation have directories and names of their own")
	}
	f := &Federation{Servers: make([]*Server, n)}
	if err := f.start(ctx, o); err != nil {
		return nil, errors.Join(fmt.Errorf("sandbox: federation: %w", err), f.Stop())
	}
	return f, nil
}

func (f *Federation) start(ctx context.Context, o Options) error {
	authority, certificate, err := newCertificates(time.Now())
	if err != nil {
		return err
	}
	shared := &member{authority: authority}
	for range f.Servers {
		front, err := listenFront(ctx, certificate)
		if err != nil {
			return err
		}
		f.fronts = append(f.fronts, front)
		shared.names = append(shared.names, front.name)
	}
	o.member = shared
	started := make(chan error, len(f.Servers))
	for i, name := range shared.names {
		o.ServerName = name
		go func(o Options) {
			s, err := Start(ctx, o)
			f.Servers[i] = s
			started <- err
		}(o)
	}
	var errs []error
	for range f.Servers {
		errs = append(errs, <-started)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for i, front := range f.fronts {
		front.serve(f.Servers[i].federationSocket())
	}
	return nil
}

// Stop ends all servers and removes what they wrote. Stopping twice is allowed.
func (f *Federation) Stop() error {
	var errs []error
	for _, s := range f.Servers {
		if s != nil {
			errs = append(errs, s.Stop())
		}
	}
	for _, front := range f.fronts {
		errs = append(errs, front.close())
	}
	return errors.Join(errs...)
}

// Cut separates all servers from each other: from now on each connection between them is closed without an answer. What
// was on its way is waited for, a server gives up on it after 5 seconds.
func (f *Federation) Cut() {
	for _, front := range f.fronts {
		front.setCut(true)
	}
	for _, front := range f.fronts {
		front.requests.Wait()
	}
}

// Heal joins what [Federation.Cut] separated, and has all servers speak to each other at once. They would wait for a
// minute, or until somebody says something.
func (f *Federation) Heal(ctx context.Context) error {
	for _, front := range f.fronts {
		front.setCut(false)
	}
	return f.wake(ctx)
}

// wake has each server forget that others did not answer and send them what they missed
// (POST .../reset_connection, rest/admin/federation.py, 1.163.2).
func (f *Federation) wake(ctx context.Context) error {
	for _, s := range f.Servers {
		if s.SynapsePID() == 0 {
			continue
		}
		for _, other := range f.Servers {
			if other == s {
				continue
			}
			path := "/_synapse/admin/v1/federation/destinations/" + url.PathEscape(other.ServerName()) + "/reset_connection"
			err := s.Admin().Do(ctx, http.MethodPost, path, nil, struct{}{}, nil)
			var api *APIError
			if errors.As(err, &api) && (api.Status == http.StatusBadRequest || api.Status == http.StatusNotFound) {
				continue // nothing had failed, or it never spoke to that server
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// Await waits until the events have come to every server that runs and no room is still in part on its way. A server whose
// attempt to send failed at the very moment of the healing is woken up again. An error names the first event that is
// missing when ctx ends.
func (f *Federation) Await(ctx context.Context, events ...string) error {
	for _, s := range f.Servers {
		if s.SynapsePID() == 0 {
			continue
		}
		if err := f.await(ctx, s, events); err != nil {
			return err
		}
	}
	return nil
}

func (f *Federation) await(ctx context.Context, s *Server, events []string) error {
	missing, looks := "", 0
	return s.WithDB(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		err := poll(ctx, 20*time.Millisecond, func() (bool, error) {
			err := conn.QueryRow(ctx, `SELECT COALESCE((SELECT id FROM unnest($1::text[]) u (id)
				WHERE NOT EXISTS (SELECT 1 FROM events e WHERE e.event_id = id AND NOT e.outlier) LIMIT 1),
				(SELECT 'the whole of ' || room_id FROM partial_state_rooms LIMIT 1), '')`, events).Scan(&missing)
			if looks++; err == nil && missing != "" && looks%50 == 0 {
				err = f.wake(ctx)
			}
			return missing == "", err
		})
		if err != nil {
			return fmt.Errorf("wait for %s on %s: %w", missing, s.ServerName(), err)
		}
		return nil
	})
}

// JoinVia joins a room of another server, which is named.
func (c *Client) JoinVia(ctx context.Context, room, serverName string) error {
	via := url.Values{"server_name": {serverName}, "via": {serverName}}
	return c.Do(ctx, http.MethodPost, "/_matrix/client/v3/join/"+url.PathEscape(room), via, struct{}{}, nil)
}

// federationSocket is where a member of a federation takes what others send, behind its front.
func (s *Server) federationSocket() string { return filepath.Join(s.socketDir(), "federation") }

// configure makes the server a member of its federation. A server that did not answer is tried again at once, and nobody
// else is asked.
func (m *member) configure(s *Server, config map[string]any) {
	if m == nil {
		return
	}
	listeners, _ := config["listeners"].([]any)
	config["listeners"] = append(listeners, map[string]any{
		"path": s.federationSocket(), "type": "http", "resources": []any{map[string]any{"names": []string{"federation"}}},
	})
	config["federation_custom_ca_list"] = []string{filepath.Join(s.dir, authorityFile)}
	config["federation_domain_whitelist"] = m.names
	config["federation"] = map[string]any{ // whole numbers are ms
		"client_timeout": "5s", "max_short_retries": 1, "max_short_retry_delay": 100, "max_long_retries": 1, "max_long_retry_delay": 200,
		"destination_min_retry_interval": 200, "destination_retry_multiplier": 1, "destination_max_retry_interval": 200,
	}
	config["rc_federation"] = map[string]any{
		"window_size": 1000, "sleep_limit": 100000, "sleep_delay": 0, "reject_limit": 100000, "concurrent": 100,
	}
	config["remote_media_download_per_second"] = "10G"
	config["remote_media_download_burst_count"] = "10G"
}

// authorityFile holds the certificate that every member trusts.
const authorityFile = "authority.pem"

// authorityPEM is empty for a server that federates with nobody.
func (m *member) authorityPEM() string {
	if m == nil {
		return ""
	}
	return string(m.authority)
}
