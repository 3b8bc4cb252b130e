package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// signingKeyID names the server's only signing key.
const signingKeyID = "ed25519:a_test"

const logConfig = `version: 1
formatters: {f: {format: '%(asctime)s %(levelname)s %(name)s %(message)s'}}
handlers: {c: {class: logging.StreamHandler, formatter: f, stream: ext://sys.stderr}}
root: {level: WARNING, handlers: [c]}
disable_existing_loggers: false
`

// homeserver is the configuration of Synapse; JSON is YAML. Every rate limit is lifted.
func (s *Server) homeserver(port int, database string) map[string]any {
	unlimited := map[string]any{"per_second": 100000, "burst_count": 100000}
	return map[string]any{
		"server_name":         s.state.ServerName,
		"report_stats":        false,
		"signing_key":         strings.Replace(signingKeyID, ":", " ", 1) + " " + s.state.SigningKey,
		"macaroon_secret_key": s.state.Secret,
		"form_secret":         s.state.Secret,
		"trusted_key_servers": []string{},
		// No connection leaves the machine; another server is given up at once.
		"ip_range_blacklist": []string{"0.0.0.0/0", "::/0"},
		"ip_range_whitelist": []string{"127.0.0.0/8", "::1/128"},
		"federation": map[string]any{
			"client_timeout": "5s", "max_short_retries": 0, "max_long_retries": 0, "destination_min_retry_interval": "1h",
		},
		"log_config":       filepath.Join(s.dir, "log.yaml"),
		"media_store_path": s.MediaStore(),
		"bcrypt_rounds":    4,
		"presence":         map[string]any{"enabled": false},
		"push":             map[string]any{"enabled": false},
		"user_directory":   map[string]any{"enabled": false},
		"stats":            map[string]any{"enabled": true},
		// Without this the updates of a new database take a minute.
		"background_updates": map[string]any{"sleep_enabled": false},
		"max_upload_size":    "100M",
		"dynamic_thumbnails": false,
		// Synapse would remove old previews ten seconds after its start, before synupkeep can: the job is left to a
		// worker that does not exist.
		"media_instance_running_background_jobs": "none",
		// A page on the loopback interface can be previewed, no other.
		"url_preview_enabled":            true,
		"url_preview_ip_range_blacklist": []string{"0.0.0.0/0", "::/0"},
		"url_preview_ip_range_whitelist": []string{"127.0.0.0/8", "::1/128"},
		"database": map[string]any{
			"name": "psycopg2",
			"args": map[string]any{
				"user": roleSynapse, "password": s.state.Password, "host": "127.0.0.1", "port": s.cluster.port,
				"dbname": database, "cp_min": 1, "cp_max": 10,
			},
		},
		"listeners": []any{map[string]any{
			"port": port, "type": "http", "bind_addresses": []string{"127.0.0.1"},
			"resources": []any{map[string]any{"names": s.resources()}},
		}},
		"app_service_config_files": []string{filepath.Join(s.dir, "appservice.yaml")},
		"rc_message":               unlimited,
		"rc_registration":          unlimited,
		"rc_login":                 map[string]any{"address": unlimited, "account": unlimited, "failed_attempts": unlimited},
		"rc_admin_redaction":       unlimited,
		"rc_joins":                 map[string]any{"local": unlimited, "remote": unlimited},
		"rc_joins_per_room":        unlimited,
		"rc_invites":               map[string]any{"per_room": unlimited, "per_user": unlimited, "per_issuer": unlimited},
		"rc_media_create":          unlimited,
		"rc_room_creation":         unlimited,
		"rc_profile":               unlimited,
		"rc_reports":               unlimited,
		// Uploads that were announced and never made count against their user.
		"max_pending_media_uploads": 1000000,
	}
}

// appservice lets the sandbox act for every user, without rate limits, and set origin_server_ts.
func (s *Server) appservice() map[string]any {
	return map[string]any{
		"id": "sandbox", "url": nil, "as_token": s.state.ASToken, "hs_token": s.state.Secret,
		"sender_localpart": "sandbox", "rate_limited": false,
		"namespaces": map[string]any{"users": []any{map[string]any{"regex": "@.*", "exclusive": false}}},
	}
}

// writeConfig writes the files that Synapse is started with.
func (s *Server) writeConfig(port int, database string) error {
	config := s.homeserver(port, database)
	s.options.member.configure(s, config)
	if err := s.writeHasty(); err != nil {
		return err
	}
	for name, v := range map[string]any{
		"homeserver.yaml": config, "appservice.yaml": s.appservice(),
		"log.yaml": logConfig, "extra.yaml": s.options.ExtraConfig, authorityFile: s.options.member.authorityPEM(),
	} {
		var b []byte
		switch v := v.(type) {
		case string:
			b = []byte(v)
		default:
			var err error
			if b, err = json.MarshalIndent(v, "", "  "); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		if err := os.WriteFile(filepath.Join(s.dir, name), b, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) configArgs() []string {
	args := []string{"-c", filepath.Join(s.dir, "homeserver.yaml")}
	if strings.TrimSpace(s.options.ExtraConfig) != "" {
		args = append(args, "-c", filepath.Join(s.dir, "extra.yaml"))
	}
	return args
}

func (s *Server) synapseEnv() []string {
	env := []string{"PATH=/usr/bin:/bin", "HOME=" + s.dir, "LANG=C.UTF-8", "TZ=UTC", "PYTHONUNBUFFERED=1"}
	if s.options.Hasty {
		env = append(env, "PYTHONPATH="+s.hastyDir())
	}
	return append(env, s.options.Env...)
}

// StartSynapse starts Synapse and waits until it answers and no background update is left (about 1 s).
func (s *Server) StartSynapse(ctx context.Context) error {
	if s.synapse != nil && !s.synapse.ended() {
		return nil
	}
	return s.withEveryReceipt(ctx, func() error {
		return retryPorts(s.apiPort, func(port int) error {
			s.apiPort = port
			return s.startSynapseOnPort(ctx)
		})
	})
}

// withEveryReceipt calls start while no event is without received_ts. Synapse does not start when its search for the
// events of the last month meets one (storage/databases/main/event_push_actions.py:1337, 1.163.2), and which events it
// meets depends on how many there are.
func (s *Server) withEveryReceipt(ctx context.Context, start func() error) error {
	return s.WithDB(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, `UPDATE events SET received_ts = 0 WHERE received_ts IS NULL RETURNING event_id`)
		if err != nil {
			return err
		}
		without, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil || len(without) == 0 {
			return errors.Join(err, start())
		}
		started := start()
		_, err = conn.Exec(context.WithoutCancel(ctx), `UPDATE events SET received_ts = NULL WHERE event_id = ANY ($1)`, without)
		return errors.Join(started, err)
	})
}

func (s *Server) startSynapseOnPort(ctx context.Context) error {
	if err := s.writeConfig(s.apiPort, databaseName); err != nil {
		return fmt.Errorf("configure synapse: %w", err)
	}
	args := append([]string{"-m", "synapse.app.homeserver"}, s.configArgs()...)
	// The server outlives the start and its context.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), s.env.python(), args...)
	cmd.Dir = s.dir
	cmd.Env = s.synapseEnv()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.ExtraFiles = []*os.File{s.lock}
	proc, err := startProcess("synapse", cmd, filepath.Join(s.dir, "synapse.log"))
	if err != nil {
		return err
	}
	err = s.awaitSynapse(ctx, proc)
	if err != nil {
		if !proc.ended() {
			err = fmt.Errorf("%w\n%s", err, proc.logTail())
			proc.end(syscall.SIGKILL)
		}
		return err
	}
	s.synapse = proc
	return nil
}

// awaitSynapse waits for the health endpoint, then for the background updates.
func (s *Server) awaitSynapse(ctx context.Context, proc *process) error {
	err := poll(ctx, 20*time.Millisecond, func() (bool, error) {
		if proc.ended() {
			text := proc.logTail()
			if strings.Contains(text, "Address already in use") {
				return false, fmt.Errorf("start synapse on port %d: %w", s.apiPort, errPortTaken)
			}
			return false, fmt.Errorf("start synapse: it ended: %w\n%s", proc.err, text)
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.APIURL()+"/health", http.NoBody)
		if err != nil {
			return false, err
		}
		resp, err := s.http.Do(req)
		if err != nil {
			return false, nil //nolint:nilerr // not listening yet
		}
		return resp.StatusCode == http.StatusOK, resp.Body.Close()
	})
	if err != nil {
		return fmt.Errorf("wait for synapse on port %d: %w", s.apiPort, err)
	}
	return s.awaitBackgroundUpdates(ctx)
}

// awaitBackgroundUpdates waits until Synapse has no update left; the index on which synupkeep relies is made by one.
func (s *Server) awaitBackgroundUpdates(ctx context.Context) error {
	conn, err := s.DB(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	var left int
	var index bool
	err = poll(ctx, 20*time.Millisecond, func() (bool, error) {
		err := conn.QueryRow(ctx, `SELECT (SELECT count(*) FROM background_updates),
			EXISTS (SELECT 1 FROM pg_indexes WHERE indexname = 'events_jump_to_date_idx')`).Scan(&left, &index)
		return left == 0 && index, err
	})
	if err != nil {
		return fmt.Errorf("wait for background updates (%d left): %w", left, err)
	}
	return nil
}

// StopSynapse stops Synapse; PostgreSQL goes on.
func (s *Server) StopSynapse(ctx context.Context) error {
	if s.synapse == nil {
		return nil
	}
	proc := s.synapse
	s.synapse = nil
	s.http.CloseIdleConnections()
	if proc.ended() {
		return nil
	}
	return proc.stop(ctx, syscall.SIGTERM)
}

// SynapsePID is the process id of Synapse, 0 while it is down.
func (s *Server) SynapsePID() int {
	if s.synapse == nil || s.synapse.ended() {
		return 0
	}
	return s.synapse.cmd.Process.Pid
}

// APIURL is the base of the client and admin API, such as http://127.0.0.1:8008.
func (s *Server) APIURL() string { return "http://127.0.0.1:" + strconv.Itoa(s.apiPort) }
