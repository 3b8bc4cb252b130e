package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"github.com/jackc/pgx/v5"
)

func (s *Server) snapshotDir() string { return filepath.Join(s.dir, "snapshots") }

// snapshotNames becomes part of a database's and a directory's name.
var snapshotNames = regexp.MustCompile(`^[a-z0-9_]{1,40}$`)

// Snapshot keeps database and media store under a name of small letters, digits and underscores. Synapse is restarted
// (about 1.2 s). A snapshot of that name is replaced.
func (s *Server) Snapshot(ctx context.Context, name string) error {
	if !snapshotNames.MatchString(name) {
		return fmt.Errorf("snapshot %q: want small letters, digits and underscores", name)
	}
	if err := s.copyState(ctx, databaseName, "snapshot_"+name, s.MediaStore(), filepath.Join(s.snapshotDir(), name)); err != nil {
		return fmt.Errorf("snapshot %s: %w", name, err)
	}
	return nil
}

// Reset brings back what Snapshot kept. Synapse is restarted (about 1.2 s).
func (s *Server) Reset(ctx context.Context, name string) error {
	from := filepath.Join(s.snapshotDir(), name)
	if _, err := os.Stat(from); !snapshotNames.MatchString(name) || err != nil {
		return fmt.Errorf("reset to %q: no such snapshot", name)
	}
	if err := s.copyState(ctx, "snapshot_"+name, databaseName, from, s.MediaStore()); err != nil {
		return fmt.Errorf("reset to %s: %w", name, err)
	}
	s.forgetUsers()
	return nil
}

// copyState replaces one database and one media directory by copies of others, while Synapse is down.
func (s *Server) copyState(ctx context.Context, fromDB, toDB, fromMedia, toMedia string) error {
	if err := s.StopSynapse(ctx); err != nil {
		return err
	}
	err := s.withDatabase(ctx, "postgres", func(ctx context.Context, conn *pgx.Conn) error {
		// A template must have no session; a test may have left one open.
		for _, sql := range []string{
			"DROP DATABASE IF EXISTS " + toDB + " WITH (FORCE)",
			"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '" + fromDB + "'",
			"CREATE DATABASE " + toDB + " TEMPLATE " + fromDB + " OWNER " + roleSynapse + " STRATEGY file_copy",
		} {
			if _, err := conn.Exec(ctx, sql); err != nil {
				return fmt.Errorf("%s: %w", sql, err)
			}
		}
		return nil
	})
	if err == nil {
		err = mirrorTree(ctx, fromMedia, toMedia)
	}
	return errors.Join(err, s.StartSynapse(ctx))
}
