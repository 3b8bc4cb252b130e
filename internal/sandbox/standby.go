package sandbox

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// StartStandby starts another PostgreSQL that is in recovery, as one is that replays what another sends it; it is empty.
// It returns the connection string of its superuser, and what stops it and removes its files.
func (s *Server) StartStandby(ctx context.Context) (connString string, stop func(context.Context) error, err error) {
	dir := filepath.Join(s.dir, "standby")
	c := &cluster{
		bin: s.cluster.bin, data: filepath.Join(dir, "pgdata"), socket: s.socketDir() + "-standby",
		log: filepath.Join(s.dir, "standby.log"), lock: s.lock, mode: s.cluster.mode,
		more: []string{"wal_level=replica", "max_wal_senders=10"}, // as initdb has noted of the primary
	}
	stop = func(ctx context.Context) error {
		if err := c.stop(ctx); err != nil {
			return err
		}
		for _, d := range []string{dir, c.socket} {
			if err := os.RemoveAll(d); err != nil {
				return err
			}
		}
		return nil
	}
	if err := c.initialise(ctx); err != nil {
		return "", nil, fmt.Errorf("standby: %w", err)
	}
	if err := os.WriteFile(filepath.Join(c.data, "standby.signal"), nil, 0o600); err != nil {
		return "", nil, fmt.Errorf("standby: %w", err)
	}
	if err := c.start(ctx); err != nil {
		return "", nil, fmt.Errorf("standby: %w", err)
	}
	return c.superuser("postgres"), stop, nil
}
