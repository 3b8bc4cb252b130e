package sources

import (
	"context"
	"fmt"

	"synupkeep/internal/postgres"
)

// What is counted here is for people who look on: how much there is to come. It is no more than that, as rows come and go
// meanwhile. None of it is tried again.

// Count says how many rows Each would yield. It reads an index, or the table.
func (s LocalMedia) Count(ctx context.Context) (int64, error) {
	return count(ctx, s.DB, "local media", `
		SELECT count(*) FROM local_media_repository
		WHERE created_ts < $1 AND url_cache IS NULL AND media_id IS NOT NULL`, s.CutOff.UnixMilli())
}

// Count says how many rows Each would yield. It reads an index.
func (s Previews) Count(ctx context.Context) (int64, error) {
	return count(ctx, s.DB, "previews", `
		SELECT count(*) FROM local_media_repository
		WHERE created_ts < $1 AND url_cache IS NOT NULL AND media_id IS NOT NULL`, s.CutOff.UnixMilli())
}

// Count says how many rows Each would yield. It reads the whole table.
func (s RemoteMedia) Count(ctx context.Context) (int64, error) {
	return count(ctx, s.DB, "remote media", `SELECT count(*) FROM remote_media_cache WHERE `+remoteOld, s.CutOff.UnixMilli())
}

func count(ctx context.Context, db postgres.Querier, what, query string, cutOff int64) (rows int64, err error) {
	if err := db.QueryRow(ctx, query, cutOff).Scan(&rows); err != nil {
		return 0, fmt.Errorf("count %s past the cut-off: %w", what, err)
	}
	return rows, nil
}
