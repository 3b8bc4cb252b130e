package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"synupkeep/config"
	"synupkeep/internal/item"
	"synupkeep/internal/logging"
	"synupkeep/internal/sandbox"
	"synupkeep/pipeline"
)

// driftSizes are how many files there are, content and a thumbnail each: the memory of both is compared.
func driftSizes(files int) []int { return []int{files / 10, files} }

// driftRows walks stores without drift: what is found beside costs what it costs.
func driftRows(ctx context.Context, s *sandbox.Server, runs, _ int) ([]comparison, func(context.Context) error, error) {
	if err := noMedia(ctx, s); err != nil {
		return nil, nil, err
	}
	var rows []comparison
	planted := 0
	for _, files := range driftSizes(*driftFiles) {
		var heap atomic.Int64
		rows = append(rows, comparison{
			name: fmt.Sprintf("drift, %d files", files), runs: runs, target: "at most 1.5",
			before: func(ctx context.Context) error {
				err := plantFiles(ctx, s, files/2-planted)
				planted = files / 2
				return err
			},
			ours: contender{name: "synupkeep", run: func(ctx context.Context) error { return compareDrift(ctx, s, &heap) }},
			baseline: contender{name: "find and COPY of the ids", run: func(ctx context.Context) error {
				return findAndCopy(ctx, s)
			}},
			after: func() string { return fmt.Sprintf("heap at most %d MiB", heap.Load()>>20) },
		})
	}
	return rows, func(context.Context) error { return nil }, nil
}

func noMedia(ctx context.Context, s *sandbox.Server) error {
	for _, tree := range []string{"local_content", "local_thumbnails", "remote_content", "remote_thumbnail", "url_cache", "url_cache_thumbnails"} {
		if err := exec.CommandContext(ctx, "rm", "-rf", filepath.Join(s.MediaStore(), tree)).Run(); err != nil {
			return err
		}
	}
	return s.WithDB(ctx, func(ctx context.Context, db *pgx.Conn) error {
		_, err := db.Exec(ctx, `TRUNCATE local_media_repository, local_media_repository_thumbnails, remote_media_cache`)
		return err
	})
}

// plantFiles makes uploads with random ids as those of Synapse, each with a thumbnail, and their rows.
func plantFiles(ctx context.Context, s *sandbox.Server, n int) error {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	ids := make([][]any, n)
	at := time.Now().Add(-90 * 24 * time.Hour)
	for i := range ids {
		id := make([]byte, 24)
		for j := range id {
			id[j] = letters[rand.IntN(len(letters))]
		}
		ids[i] = []any{string(id), "image/png", 1, at.UnixMilli(), "@admin:localhost", false}
	}
	var g errgroup.Group
	g.SetLimit(runtime.NumCPU())
	const part = 1000
	for from := 0; from < n; from += part {
		g.Go(func() error {
			for _, row := range ids[from:min(n, from+part)] {
				id := row[0].(string)
				shard := filepath.Join(id[:2], id[2:4], id[4:])
				for _, file := range []string{filepath.Join("local_content", shard), filepath.Join("local_thumbnails", shard, "32-32-image-png-crop")} {
					full := filepath.Join(s.MediaStore(), file)
					if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
						return err
					}
					if err := os.WriteFile(full, []byte("x"), 0o600); err != nil {
						return err
					}
				}
			}
			return ctx.Err()
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return s.WithDB(ctx, func(ctx context.Context, db *pgx.Conn) error {
		columns := []string{"media_id", "media_type", "media_length", "created_ts", "user_id", "safe_from_quarantine"}
		_, err := db.CopyFrom(ctx, pgx.Identifier{"local_media_repository"}, columns, pgx.CopyFromRows(ids))
		if err == nil {
			_, err = db.Exec(ctx, `VACUUM ANALYZE local_media_repository`)
		}
		return err
	})
}

func findAndCopy(ctx context.Context, s *sandbox.Server) error {
	if err := exec.CommandContext(ctx, "find", s.MediaStore()).Run(); err != nil { // its output goes nowhere
		return err
	}
	return s.WithDB(ctx, func(ctx context.Context, db *pgx.Conn) error {
		_, err := db.PgConn().CopyTo(ctx, io.Discard, `COPY (SELECT media_id FROM local_media_repository) TO STDOUT`)
		return err
	})
}

// compareDrift is a whole run, and notes the most memory of its heap.
func compareDrift(ctx context.Context, s *sandbox.Server, most *atomic.Int64) error {
	debug.FreeOSMemory()
	watched, end := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			metrics.Read(sample)
			most.Store(max(most.Load(), int64(sample[0].Value.Uint64())))
			select {
			case <-tick.C:
			case <-watched.Done():
				return
			}
		}
	}()
	defer func() { end(); <-ended }()
	cfg := &config.Config{
		Command: config.CommandRun, Postgres: config.NewSecret(s.ConnString()), APIURL: s.APIURL(),
		Token:      config.Token{Given: config.NewSecret(s.AdminToken())},
		MediaStore: s.MediaStore(), StateDir: filepath.Join(s.Dir(), "state"), Flows: []item.Flow{item.Drift}, Quiet: true,
		Ages:     map[item.Flow]config.Age{item.Drift: {Delta: 24 * time.Hour}},
		Drift:    config.Drift{Delete: item.Deletable(), UploadLifetime: 24 * time.Hour},
		Media:    config.Media{DeleteConcurrency: 4, BatchSize: 1000, Via: config.ViaDisk},
		RetryFor: time.Minute,
	}
	if causes := pipeline.Run(ctx, ctx, cfg, logging.New(os.Stderr, logging.LevelError, logging.Text), io.Discard); len(causes) > 0 {
		return fmt.Errorf("the run ended with %v", causes)
	}
	return nil
}
