package sources

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"

	"synupkeep/internal/item"
	"synupkeep/internal/postgres"
	"synupkeep/internal/retry"
)

// Sample reads some rows of a flow from all over its table: enough to tell whether a media store is the one that the rows
// speak of.
type Sample struct {
	DB         postgres.Querier
	ServerName string
	// CutOff limits the sample to what is older: a store may have moved just that elsewhere. The zero time means any age.
	CutOff time.Time
	Retry  retry.Policy
}

// window is how many rows of any age a probe reads at most to find some that are old enough.
const window = 200

// probes is how many places of a table are looked at, for two rows each.
const probes = 16

// Of returns rows of media that must have a file, each once; none when there are none. An admin may have removed by hand what is
// quarantined.
func (s Sample) Of(ctx context.Context, f item.Flow) ([]item.Media, error) {
	byID := map[string]item.Media{}
	for range probes {
		var found []item.Media
		var err error
		switch f {
		case item.LocalMedia:
			found, err = s.local(ctx)
		case item.RemoteMedia:
			found, err = s.remote(ctx)
		case item.Previews:
			found, err = s.previews(ctx)
		case item.History, item.Drift:
		}
		if err != nil {
			return nil, fmt.Errorf("read a sample of %s: %w", f, err)
		}
		for _, m := range found {
			byID[m.Key()] = m
		}
	}
	sample := make([]item.Media, 0, len(byID))
	for _, m := range byID {
		sample = append(sample, m)
	}
	return sample, nil
}

// local probes the primary key at a random place. Media ids are 24 letters; ids of previews begin with a digit and sort
// before them: to begin there is the last resort.
func (s Sample) local(ctx context.Context) ([]item.Media, error) {
	const query = `SELECT '', media_id, media_id FROM (
			SELECT media_id, created_ts FROM local_media_repository
			WHERE media_id >= $1 AND url_cache IS NULL AND media_length IS NOT NULL AND quarantined_by IS NULL ORDER BY media_id LIMIT $3
		) w WHERE $2::bigint IS NULL OR created_ts < $2 LIMIT 2`
	for _, from := range []string{letters(), "A", ""} {
		found, err := s.read(ctx, item.LocalMedia, query, from, s.before(), window)
		if err != nil || len(found) > 0 {
			return found, err
		}
	}
	return nil, nil
}

// remote probes for a random server first, then within its media.
func (s Sample) remote(ctx context.Context) ([]item.Media, error) {
	const query = `SELECT media_origin, media_id, COALESCE(filesystem_id, '') FROM (
			SELECT media_origin, media_id, filesystem_id, last_access_ts FROM remote_media_cache
			WHERE (media_origin, media_id) >= ($1, $2) AND media_id IS NOT NULL AND quarantined_by IS NULL
			ORDER BY media_origin, media_id LIMIT $4
		) w WHERE $3::bigint IS NULL OR last_access_ts < $3 LIMIT 2`
	start := string(rune('a' + rand.IntN(26))) //nolint:gosec // no secret
	found, err := s.read(ctx, item.RemoteMedia, query, start, "", s.before(), window)
	if err == nil && len(found) == 0 {
		found, err = s.read(ctx, item.RemoteMedia, query, "", "", s.before(), window)
	}
	if err != nil || len(found) == 0 {
		return nil, err
	}
	within, err := s.read(ctx, item.RemoteMedia, query, found[0].Origin, letters(), s.before(), window)
	return append(found, within...), err
}

// A page whose answer has expired has no file any more, and keeps its row for two days: Synapse takes the file, then the answer
// (media/url_previewer.py:817-853, 1.163.2).
const answered = `EXISTS (SELECT FROM local_media_repository_url_cache c WHERE c.media_id = m.media_id)`

// previews probes at a random time between the oldest and the newest.
func (s Sample) previews(ctx context.Context) ([]item.Media, error) {
	return s.read(ctx, item.Previews, `
		SELECT '', m.media_id, m.media_id FROM local_media_repository m
		WHERE m.url_cache IS NOT NULL AND m.media_id IS NOT NULL AND `+answered+` AND m.created_ts >= (
			SELECT min(created_ts) + ((LEAST(max(created_ts), $2) - min(created_ts)) * $1::float8)::bigint
			FROM local_media_repository WHERE url_cache IS NOT NULL)
		  AND ($2::bigint IS NULL OR m.created_ts < $2)
		ORDER BY m.created_ts LIMIT 2`, rand.Float64(), s.before()) //nolint:gosec // no secret
}

// newest is how many of the newest rows must not all be without their file.
const newest = 3

// Newest returns the newest three rows of media that must have a file, or none if there are fewer: a copy of the store that was
// made some time ago, such as a backup, has the files of all rows but these. Of remote media, which has no index by time, the
// newest are looked for at the end of the table, where PostgreSQL can read that alone (byBlocks); elsewhere they may lie, too.
func (s Sample) Newest(ctx context.Context, f item.Flow, byBlocks bool) (found []item.Media, err error) {
	switch {
	case f == item.LocalMedia:
		found, err = s.read(ctx, f, newestUploads, newest)
	case f == item.Previews:
		found, err = s.read(ctx, f, newestPreviews, newest)
	case f == item.RemoteMedia && byBlocks:
		found, err = s.newestRemote(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("read the newest rows of %s: %w", f, err)
	}
	if len(found) < newest {
		return nil, nil
	}
	return found, nil
}

// Without NULLS LAST the indexes by time are read backwards.
const (
	newestUploads = `
		WITH RECURSIVE users AS (
			(SELECT user_id FROM local_media_repository WHERE user_id IS NOT NULL ORDER BY user_id LIMIT 1)
			UNION ALL
			SELECT (SELECT m.user_id FROM local_media_repository m WHERE m.user_id > u.user_id ORDER BY m.user_id LIMIT 1)
			FROM users u WHERE u.user_id IS NOT NULL
		)
		SELECT '', n.media_id, n.media_id FROM users u CROSS JOIN LATERAL (
			SELECT m.media_id, m.created_ts FROM local_media_repository m
			WHERE m.user_id = u.user_id AND m.created_ts IS NOT NULL AND m.url_cache IS NULL AND m.media_length IS NOT NULL
				AND m.media_id IS NOT NULL AND m.quarantined_by IS NULL
			ORDER BY m.created_ts DESC LIMIT $1
		) n ORDER BY n.created_ts DESC LIMIT $1`
	newestPreviews = `
		SELECT '', m.media_id, m.media_id FROM local_media_repository m
		WHERE m.url_cache IS NOT NULL AND m.media_id IS NOT NULL AND m.created_ts IS NOT NULL AND m.quarantined_by IS NULL AND ` + answered + `
		ORDER BY m.created_ts DESC LIMIT $1`
	newestCached = `
		SELECT media_origin, media_id, COALESCE(filesystem_id, '') FROM remote_media_cache
		WHERE ctid >= $2::text::tid AND media_origin IS NOT NULL AND media_id IS NOT NULL AND created_ts IS NOT NULL AND quarantined_by IS NULL
		ORDER BY created_ts DESC LIMIT $1`
)

func (s Sample) newestRemote(ctx context.Context) ([]item.Media, error) {
	var end int64 // in blocks
	_, err := s.Retry.Do(ctx, func() error {
		return s.DB.QueryRow(ctx, `SELECT pg_relation_size('remote_media_cache') / current_setting('block_size')::bigint`).Scan(&end)
	}, postgres.Again)
	if err != nil {
		return nil, err
	}
	return s.read(ctx, item.RemoteMedia, newestCached, newest, fmt.Sprintf("(%d,0)", max(0, end-blocks)))
}

func (s Sample) before() *int64 {
	if s.CutOff.IsZero() {
		return nil
	}
	ms := s.CutOff.UnixMilli()
	return &ms
}

func letters() string {
	return string([]rune{'A' + rune(rand.IntN(26)), 'A' + rune(rand.IntN(26)), 'a' + rune(rand.IntN(26))}) //nolint:gosec // no secret
}

func (s Sample) read(ctx context.Context, f item.Flow, query string, args ...any) (found []item.Media, err error) {
	_, err = s.Retry.Do(ctx, func() error {
		rows, err := s.DB.Query(ctx, query, args...)
		if err != nil {
			return err
		}
		found, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (item.Media, error) {
			m := item.Media{Flow: f}
			err := row.Scan(&m.Origin, &m.ID, &m.FileID)
			if m.Origin == "" {
				m.Origin = s.ServerName
			}
			return m, err
		})
		return err
	}, postgres.Again)
	return found, err
}

// DownSince is how long a server must not have answered, before now, for its media to count as lost with it.
func DownSince(now time.Time) time.Time { return now.Add(-7 * 24 * time.Hour) }
