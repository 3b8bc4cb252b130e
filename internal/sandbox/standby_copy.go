package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// StandbyOfNow calls f with the connection string, of its superuser, of another PostgreSQL that is in recovery and holds what
// the server's database holds now. Both servers are stopped for the copy and started again.
func (s *Server) StandbyOfNow(ctx context.Context, f func(context.Context, string) error) (err error) {
	dir := filepath.Join(s.dir, "standby-of-now")
	c := &cluster{
		bin: s.cluster.bin, data: filepath.Join(dir, "pgdata"), socket: s.socketDir() + "-now",
		log: filepath.Join(s.dir, "standby-of-now.log"), lock: s.lock, mode: s.cluster.mode,
		more: []string{"wal_level=replica", "max_wal_senders=10"}, // a standby does not begin with what was written without
	}
	clean := context.WithoutCancel(ctx)
	defer func() {
		if c.running() {
			err = errors.Join(err, c.stop(clean))
		}
		err = errors.Join(err, os.RemoveAll(dir), os.RemoveAll(c.socket))
	}()
	if err := s.copyCluster(ctx, c.data); err != nil {
		return fmt.Errorf("standby: %w", err)
	}
	// As a primary once, so that its own log says how it is written.
	if err := c.start(ctx); err != nil {
		return fmt.Errorf("standby: %w", err)
	}
	if err := c.stop(ctx); err != nil {
		return fmt.Errorf("standby: %w", err)
	}
	if err := os.WriteFile(filepath.Join(c.data, "standby.signal"), nil, 0o600); err != nil {
		return fmt.Errorf("standby: %w", err)
	}
	if err := c.start(ctx); err != nil {
		return fmt.Errorf("standby: %w", err)
	}
	return f(ctx, c.superuser(databaseName))
}

func (s *Server) copyCluster(ctx context.Context, to string) (err error) {
	if err := s.StopSynapse(ctx); err != nil {
		return err
	}
	if err := s.StopPostgres(ctx); err != nil {
		return err
	}
	defer func() {
		clean := context.WithoutCancel(ctx)
		err = errors.Join(err, s.StartPostgres(clean))
		if err == nil {
			err = s.StartSynapse(clean)
		}
	}()
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	return copyTree(ctx, s.cluster.data, to)
}
