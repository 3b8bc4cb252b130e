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

// RemoteMedia enumerates the cached media of other servers that nobody has looked at since the cut-off.
//
// There is no index on last_access_ts: the table is read once, in ranges of blocks, or by its key where PostgreSQL is
// older than 14 and cannot do that.
type RemoteMedia struct {
	DB     postgres.Querier
	CutOff time.Time
	// DownSince is the point in time before which a server must have stopped answering for its media to stay; the zero
	// time means that it goes all the same.
	DownSince time.Time
	// ByKey reads along the primary key.
	ByKey bool
	Page  int
	Retry retry.Policy
}

const (
	// blocks is how much of the table a query reads, of 8 KiB each: some 8,000 rows.
	blocks = 128

	remoteColumns = `media_origin, media_id, COALESCE(filesystem_id, ''), COALESCE(media_type, ''),
		COALESCE(media_length, 0), COALESCE(created_ts, 0), quarantined_by IS NOT NULL`

	// The schema allows NULLs: without a time of access media counts as young, without a key it is none.
	remoteOld = `last_access_ts < $1 AND media_origin IS NOT NULL AND media_id IS NOT NULL`
)

// Each yields every such row; one that the server touches meanwhile may come twice.
func (s RemoteMedia) Each(ctx context.Context) iter.Seq2[item.Media, error] {
	return func(yield func(item.Media, error) bool) {
		down, err := s.down(ctx)
		if err != nil {
			yield(item.Media{}, err)
			return
		}
		pages := s.byBlocks
		if s.ByKey {
			pages = s.byKey
		}
		for page, err := range pages(ctx) {
			if err != nil {
				yield(item.Media{}, err)
				return
			}
			for _, m := range page {
				if down[m.Origin] && m.Keep == "" {
					m.Keep = item.OriginDown
				}
				if !yield(m, nil) {
					return
				}
			}
		}
	}
}

// down lists the servers that have not answered for long: what is cached of them could not be fetched again.
func (s RemoteMedia) down(ctx context.Context) (down map[string]bool, err error) {
	if s.DownSince.IsZero() {
		return nil, nil //nolint:nilnil // no server counts as down
	}
	_, err = s.Retry.Do(ctx, func() error {
		rows, err := s.DB.Query(ctx, `SELECT destination FROM destinations WHERE failure_ts < $1`, s.DownSince.UnixMilli())
		if err != nil {
			return err
		}
		names, err := pgx.CollectRows(rows, pgx.RowTo[string])
		down = make(map[string]bool, len(names))
		for _, name := range names {
			down[name] = true
		}
		return err
	}, postgres.Again)
	if err != nil {
		return nil, fmt.Errorf("read which servers are down: %w", err)
	}
	return down, nil
}

func (s RemoteMedia) byBlocks(ctx context.Context) iter.Seq2[[]item.Media, error] {
	return func(yield func([]item.Media, error) bool) {
		for from := 0; ; from += blocks {
			page, more, err := s.readBlocks(ctx, from)
			if err != nil {
				yield(nil, err)
				return
			}
			if len(page) > 0 && !yield(page, nil) || !more {
				return
			}
		}
	}
}

func (s RemoteMedia) readBlocks(ctx context.Context, from int) (page []item.Media, more bool, err error) {
	_, err = s.Retry.Do(ctx, func() error {
		err := s.DB.QueryRow(ctx, `SELECT pg_relation_size('remote_media_cache') / current_setting('block_size')::bigint > $1`,
			from+blocks).Scan(&more)
		if err != nil {
			return err
		}
		page, err = s.collect(ctx, `SELECT `+remoteColumns+` FROM remote_media_cache
			WHERE ctid >= $2::text::tid AND ctid < $3::text::tid AND `+remoteOld,
			s.CutOff.UnixMilli(), fmt.Sprintf("(%d,0)", from), fmt.Sprintf("(%d,0)", from+blocks))
		return err
	}, postgres.Again)
	if err != nil {
		return nil, false, fmt.Errorf("read remote media from block %d: %w", from, err)
	}
	return page, more, nil
}

func (s RemoteMedia) byKey(ctx context.Context) iter.Seq2[[]item.Media, error] {
	return func(yield func([]item.Media, error) bool) {
		origin, id := "", ""
		for {
			page, err := s.readKeys(ctx, origin, id)
			if err != nil {
				yield(nil, err)
				return
			}
			if len(page) > 0 && !yield(page, nil) || len(page) < s.Page {
				return
			}
			origin, id = page[len(page)-1].Origin, page[len(page)-1].ID
		}
	}
}

func (s RemoteMedia) readKeys(ctx context.Context, origin, id string) (page []item.Media, err error) {
	_, err = s.Retry.Do(ctx, func() error {
		page, err = s.collect(ctx, `SELECT `+remoteColumns+` FROM remote_media_cache
			WHERE (media_origin, media_id) > ($2, $3) AND `+remoteOld+`
			ORDER BY media_origin, media_id LIMIT $4`, s.CutOff.UnixMilli(), origin, id, s.Page)
		return err
	}, postgres.Again)
	if err != nil {
		return nil, fmt.Errorf("read remote media after %q of %q: %w", id, origin, err)
	}
	return page, nil
}

func (s RemoteMedia) collect(ctx context.Context, query string, args ...any) ([]item.Media, error) {
	rows, err := s.DB.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (item.Media, error) {
		m := item.Media{Flow: item.RemoteMedia}
		var quarantined bool
		err := row.Scan(&m.Origin, &m.ID, &m.FileID, &m.Type, &m.Bytes, &m.Created, &quarantined)
		m.Keep = kept(quarantined, false, false)
		return m, err
	})
}
