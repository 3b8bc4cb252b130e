package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"synupkeep/internal/item"
	"synupkeep/internal/sandbox"
)

const uploads = 20_000

func localMediaRows(ctx context.Context, s *sandbox.Server, runs, slow int) ([]comparison, func(context.Context) error, error) {
	err := s.Plant(ctx, func(ctx context.Context, p *sandbox.Plant) error {
		at := time.Now().Add(-90 * 24 * time.Hour)
		_, err := p.LocalMedia(ctx, uploads, sandbox.Media{Thumbnails: 3, Created: at, LastAccess: at, Data: make([]byte, 4<<10)}, time.Second)
		return err
	})
	if err == nil {
		err = s.Snapshot(ctx, "media")
	}
	if err != nil {
		return nil, nil, err
	}
	reset := func(ctx context.Context) error {
		if err := s.Reset(ctx, "media"); err != nil {
			return err
		}
		return exec.CommandContext(ctx, "sync").Run()
	}
	name := fmt.Sprintf("local media, %d with three thumbnails", uploads)
	ours := synupkeep(s, item.LocalMedia, 3)
	return []comparison{
		{name: name, runs: slow, faster: true, target: "10 times faster", ours: ours, baseline: contender{
			name: "POST /_synapse/admin/v1/media/delete",
			run:  func(ctx context.Context) error { return deleteByAPI(ctx, s) },
		}},
		{name: name, runs: runs, target: "at most 1.5", ours: ours, baseline: contender{
			name: "rm -rf of the trees and one SQL DELETE",
			run:  func(ctx context.Context) error { return deleteByHand(ctx, s) },
		}},
	}, reset, nil
}

func deleteByAPI(ctx context.Context, s *sandbox.Server) error {
	query := url.Values{"before_ts": {strconv.FormatInt(time.Now().Add(-cutOffAge).UnixMilli(), 10)}, "keep_profiles": {"true"}}
	err := s.Admin().Do(ctx, http.MethodPost, "/_synapse/admin/v1/media/delete", query, map[string]any{}, nil)
	if err != nil {
		return err
	}
	return left(ctx, s, item.LocalMedia)
}

func deleteByHand(ctx context.Context, s *sandbox.Server) error {
	for _, tree := range []string{"local_content", "local_thumbnails"} {
		if err := exec.CommandContext(ctx, "rm", "-rf", filepath.Join(s.MediaStore(), tree)).Run(); err != nil {
			return err
		}
	}
	return s.WithDB(ctx, func(ctx context.Context, db *pgx.Conn) error {
		_, err := db.Exec(ctx, `
			WITH gone AS (DELETE FROM local_media_repository RETURNING media_id)
			DELETE FROM local_media_repository_thumbnails t USING gone WHERE t.media_id = gone.media_id`)
		return err
	})
}

// left fails unless everything that was planted is gone: a contender that does less is not compared.
func left(ctx context.Context, s *sandbox.Server, flow item.Flow) error {
	query := `SELECT count(*) FROM local_media_repository`
	if flow == item.History {
		query = fmt.Sprintf(`SELECT count(*) FROM events e LEFT JOIN state_events USING (event_id)
			WHERE state_events.event_id IS NULL AND received_ts < %d`, time.Now().Add(-cutOffAge).UnixMilli())
	}
	return s.WithDB(ctx, func(ctx context.Context, db *pgx.Conn) error {
		var n int
		if err := db.QueryRow(ctx, query).Scan(&n); err != nil {
			return err
		}
		if n > 0 {
			return fmt.Errorf("%d old items of %s are still there", n, flow)
		}
		return nil
	})
}
