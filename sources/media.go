package sources

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/jackc/pgx/v5"

	"synupkeep/internal/item"
	"synupkeep/internal/postgres"
	"synupkeep/internal/retry"
)

// LocalMedia enumerates the media that users of this server uploaded before the cut-off. Previews are not among them.
type LocalMedia struct {
	DB         postgres.Querier
	CutOff     time.Time
	ServerName string
	Page       int
	Retry      retry.Policy
}

// local reads along the index users_have_local_media (user_id, created_ts): rows that are younger than the cut-off are
// passed over in the index and never read. A row whose created_ts is NULL counts as young. The schema allows a NULL for
// the media id too; such a row names no media.
const local = `
	SELECT media_id, COALESCE(user_id, ''), COALESCE(media_type, ''), COALESCE(media_length, 0), created_ts,
		quarantined_by IS NOT NULL, safe_from_quarantine, media_length IS NULL
	FROM local_media_repository
	WHERE (user_id, created_ts, media_id) > ($1, $2, $3) AND created_ts < $4 AND url_cache IS NULL AND media_id IS NOT NULL
	ORDER BY user_id, created_ts, media_id LIMIT $5`

// localOfNobody reads the rows without a user, which the order by user leaves out.
const localOfNobody = `
	SELECT media_id, '', COALESCE(media_type, ''), COALESCE(media_length, 0), created_ts,
		quarantined_by IS NOT NULL, safe_from_quarantine, media_length IS NULL
	FROM local_media_repository
	WHERE user_id IS NULL AND $1 = '' AND (created_ts, media_id) > ($2, $3) AND created_ts < $4 AND url_cache IS NULL
		AND media_id IS NOT NULL
	ORDER BY created_ts, media_id LIMIT $5`

// position is where the next page begins.
type position struct {
	user    string
	created int64
	id      string
}

// Each yields every such row once.
func (s LocalMedia) Each(ctx context.Context) iter.Seq2[item.Media, error] {
	return func(yield func(item.Media, error) bool) {
		for _, query := range []string{local, localOfNobody} {
			if !s.each(ctx, query, yield) {
				return
			}
		}
	}
}

// anyLocal looks at the oldest rows of each user, who is found by hopping along users_have_local_media.
const anyLocal = `
	WITH RECURSIVE users AS (
		(SELECT user_id FROM local_media_repository WHERE user_id IS NOT NULL ORDER BY user_id LIMIT 1)
		UNION ALL
		SELECT (SELECT m.user_id FROM local_media_repository m WHERE m.user_id > u.user_id ORDER BY m.user_id LIMIT 1)
		FROM users u WHERE u.user_id IS NOT NULL
	)
	SELECT EXISTS (SELECT FROM users u WHERE EXISTS (SELECT FROM local_media_repository m
			WHERE m.user_id = u.user_id AND m.created_ts < $1 AND m.url_cache IS NULL AND m.media_id IS NOT NULL OFFSET 0))
		OR EXISTS (SELECT FROM local_media_repository m
			WHERE m.user_id IS NULL AND m.created_ts < $1 AND m.url_cache IS NULL AND m.media_id IS NOT NULL)`

// Any says whether there is any such row, without reading those that are younger.
func (s LocalMedia) Any(ctx context.Context) (found bool, err error) {
	_, err = s.Retry.Do(ctx, func() error {
		return s.DB.QueryRow(ctx, anyLocal, s.CutOff.UnixMilli()).Scan(&found)
	}, postgres.Again)
	if err != nil {
		return false, fmt.Errorf("look for local media past the cut-off: %w", err)
	}
	return found, nil
}

func (s LocalMedia) each(ctx context.Context, query string, yield func(item.Media, error) bool) bool {
	at := position{created: -1 << 62}
	for {
		page, next, err := s.read(ctx, query, at)
		if err != nil {
			yield(item.Media{}, err)
			return false
		}
		for _, m := range page {
			if !yield(m, nil) {
				return false
			}
		}
		if len(page) < s.Page {
			return true
		}
		at = next
	}
}

func (s LocalMedia) read(ctx context.Context, query string, at position) (page []item.Media, next position, err error) {
	_, err = s.Retry.Do(ctx, func() error {
		rows, err := s.DB.Query(ctx, query, at.user, at.created, at.id, s.CutOff.UnixMilli(), s.Page)
		if err != nil {
			return err
		}
		page, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (item.Media, error) {
			m := item.Media{Flow: item.LocalMedia, Origin: s.ServerName}
			var quarantined, safe, uploading bool
			err := row.Scan(&m.ID, &m.UserID, &m.Type, &m.Bytes, &m.Created, &quarantined, &safe, &uploading)
			next.user, next.created, next.id, m.FileID = m.UserID, m.Created, m.ID, m.ID
			m.Keep = kept(quarantined, safe, uploading)
			return m, err
		})
		return err
	}, postgres.Again)
	if err != nil {
		return nil, at, fmt.Errorf("read local media after %q: %w", at.id, err)
	}
	return page, next, nil
}

func kept(quarantined, safe, uploading bool) item.Reason {
	switch {
	case quarantined:
		return item.Quarantined
	case safe:
		return item.Protected
	case uploading:
		return item.Uploading
	}
	return ""
}

// previews reads along the index local_media_repository_url_idx (created_ts).
const previews = `
	SELECT media_id, COALESCE(media_type, ''), COALESCE(media_length, 0), created_ts,
		quarantined_by IS NOT NULL, safe_from_quarantine
	FROM local_media_repository
	WHERE url_cache IS NOT NULL AND (created_ts, media_id) > ($1, $2) AND created_ts < $3 AND media_id IS NOT NULL
	ORDER BY created_ts, media_id LIMIT $4`

// Previews enumerates what was fetched for URL previews before the cut-off.
type Previews struct {
	DB         postgres.Querier
	CutOff     time.Time
	ServerName string
	Page       int
	Retry      retry.Policy
}

// Each yields every such row once.
func (s Previews) Each(ctx context.Context) iter.Seq2[item.Media, error] {
	return func(yield func(item.Media, error) bool) {
		created, id := int64(-1<<62), ""
		for {
			page, last, err := s.read(ctx, created, id)
			if err != nil {
				yield(item.Media{}, err)
				return
			}
			for _, m := range page {
				if !yield(m, nil) {
					return
				}
			}
			if len(page) < s.Page {
				return
			}
			created, id = last, page[len(page)-1].ID
		}
	}
}

func (s Previews) read(ctx context.Context, created int64, id string) (page []item.Media, last int64, err error) {
	_, err = s.Retry.Do(ctx, func() error {
		rows, err := s.DB.Query(ctx, previews, created, id, s.CutOff.UnixMilli(), s.Page)
		if err != nil {
			return err
		}
		page, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (item.Media, error) {
			m := item.Media{Flow: item.Previews, Origin: s.ServerName}
			var quarantined, safe bool
			err := row.Scan(&m.ID, &m.Type, &m.Bytes, &m.Created, &quarantined, &safe)
			last, m.FileID, m.Keep = m.Created, m.ID, kept(quarantined, safe, false)
			return m, err
		})
		return err
	}, postgres.Again)
	if err != nil {
		return nil, 0, fmt.Errorf("read previews after %q: %w", id, err)
	}
	return page, last, nil
}
