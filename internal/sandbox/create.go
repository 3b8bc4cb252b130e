package sandbox

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/jackc/pgx/v5"
)

// templateVersion changes when a cluster made by createCluster is no longer what this code expects.
const templateVersion = "1"

// create makes the sandbox anew in its directory: cluster, roles with fresh passwords, media store, admin.
func (s *Server) create(ctx context.Context, serverName string) error {
	for _, name := range []string{s.statePath(), s.cluster.data, s.MediaStore(), s.snapshotDir(), s.seedMarker()} {
		if err := os.RemoveAll(name); err != nil {
			return err
		}
	}
	s.state = newState(serverName)
	if err := os.MkdirAll(s.MediaStore(), 0o755); err != nil {
		return err
	}
	if s.options.FreshCluster {
		if err := s.createCluster(ctx); err != nil {
			return err
		}
	} else {
		template, err := s.template(ctx)
		if err != nil {
			return err
		}
		if err := copyTree(ctx, template, s.cluster.data); err != nil {
			return fmt.Errorf("copy of the cluster template: %w", err)
		}
		if err := s.cluster.start(ctx); err != nil {
			return err
		}
	}
	if err := s.withDatabase(ctx, "postgres", s.setPasswords); err != nil {
		return err
	}
	return s.WithDB(ctx, s.createAdmin)
}

// template returns the data directory of a stopped cluster with Synapse's schema and no user; it is made once. Copying
// it takes 0.1 s, initdb and the schema 2 s.
func (s *Server) template(ctx context.Context) (string, error) {
	path := s.templatePath()
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	lock, err := lockFile(ctx, path+".lock")
	if err != nil {
		return "", err
	}
	defer func() { _ = lock.Close() }()
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	say(s.options.Log, "making the cluster template %s (once)", path)
	if err := s.createCluster(ctx); err != nil {
		return "", err
	}
	if err := s.StopPostgres(ctx); err != nil {
		return "", err
	}
	// It becomes visible whole or not at all.
	part := path + ".part"
	if err := os.RemoveAll(part); err != nil {
		return "", err
	}
	if err := copyTree(ctx, s.cluster.data, part); err != nil {
		return "", fmt.Errorf("keep the cluster template: %w", err)
	}
	if err := os.Rename(part, path); err != nil {
		return "", err
	}
	return path, os.RemoveAll(s.cluster.data)
}

// templatePath tells environments of Synapse, majors of PostgreSQL and their builds apart.
func (s *Server) templatePath() string {
	sum := sha256.Sum256([]byte(templateVersion + hba + "\x00" + s.programs.bin))
	return filepath.Join(s.cache, "cluster-"+s.env.key+"-pg"+s.programs.major+"-"+hex.EncodeToString(sum[:4]))
}

// createCluster runs initdb and lets Synapse make its schema and finish all background updates. PostgreSQL runs
// afterwards.
func (s *Server) createCluster(ctx context.Context) error {
	if err := s.cluster.initialise(ctx); err != nil {
		return err
	}
	if err := s.cluster.start(ctx); err != nil {
		return err
	}
	err := s.withDatabase(ctx, "postgres", func(ctx context.Context, conn *pgx.Conn) error {
		for _, sql := range []string{
			"CREATE ROLE " + roleSynapse + " LOGIN",
			"CREATE ROLE " + roleOutsider + " LOGIN",
			"CREATE DATABASE " + databaseName + " OWNER " + roleSynapse + " TEMPLATE template0 ENCODING UTF8 LOCALE 'C'",
		} {
			if _, err := conn.Exec(ctx, sql); err != nil {
				return fmt.Errorf("%s: %w", sql, err)
			}
		}
		return s.setPasswords(ctx, conn)
	})
	if err != nil {
		return err
	}
	if err := s.writeConfig(0, databaseName); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, s.env.python(), "-m", "synapse._scripts.update_synapse_database",
		"--database-config", filepath.Join(s.dir, "homeserver.yaml"), "--run-background-updates")
	cmd.Dir = s.dir
	cmd.Env = s.synapseEnv()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("schema of synapse: %w\n%s", err, tail(out, 6000))
	}
	return s.WithDB(ctx, s.createMissingIndex)
}

// createMissingIndex does on Synapse 1.115 to 1.127 what synupkeep tells their operator to do: it purges nothing without
// this index.
func (s *Server) createMissingIndex(ctx context.Context, conn *pgx.Conn) error {
	if s.Before("1.115.0") || !s.Before("1.128.0") {
		return nil
	}
	_, err := conn.Exec(ctx, `CREATE INDEX sliding_sync_membership_snapshots_membership_event_id_idx
		ON sliding_sync_membership_snapshots (membership_event_id)`)
	return err
}

// setPasswords gives the roles this sandbox's password.
func (s *Server) setPasswords(ctx context.Context, conn *pgx.Conn) error {
	for _, role := range []string{roleSynapse, roleOutsider} {
		if _, err := conn.Exec(ctx, fmt.Sprintf("ALTER ROLE %s PASSWORD '%s'", role, s.state.Password)); err != nil {
			return fmt.Errorf("password of role %s: %w", role, err)
		}
	}
	return nil
}

// createAdmin makes @admin a server admin with a token. Synapse must not run, or not know the user yet.
func (s *Server) createAdmin(ctx context.Context, conn *pgx.Conn) error {
	admin := "@admin:" + s.state.ServerName
	batch := &pgx.Batch{}
	batch.Queue(`INSERT INTO users (name, password_hash, creation_ts, admin, is_guest, deactivated)
		VALUES ($1, '', extract(epoch FROM now())::bigint, 1, 0, 0)`, admin)
	batch.Queue(`INSERT INTO profiles (user_id, displayname, full_user_id) VALUES ('admin', 'admin', $1)`, admin)
	batch.Queue(`INSERT INTO access_tokens (id, user_id, device_id, token)
		VALUES ((SELECT coalesce(max(id), 0) + 1 FROM access_tokens), $1, NULL, $2)`, admin, s.state.AdminToken)
	if err := conn.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("create %s: %w", admin, err)
	}
	return nil
}
