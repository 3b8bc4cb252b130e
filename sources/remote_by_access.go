package sources

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"synupkeep/internal/item"
	"synupkeep/internal/postgres"
	"synupkeep/internal/retry"
	"synupkeep/internal/synapse"
)

// RemoteByAccess enumerates what RemoteMedia does, the longest unseen first, in steps that one call of Synapse's
// purge_media_cache can delete: that call knows nothing but a time of last access.
type RemoteByAccess struct {
	DB     postgres.Querier
	CutOff time.Time
	// Page is how many rows a query reads. There is no index on last_access_ts: each query reads the whole table.
	Page int
	// Size is how many rows a step should have. It has more when they were all last looked at in the same millisecond:
	// Synapse writes these times down once a minute, with one time for all.
	Size  func() int
	Retry retry.Policy
}

// Steps yields every such row once. What was last looked at in the same millisecond is in the same step, and so is all
// that lies before the earliest time that Synapse accepts.
func (s RemoteByAccess) Steps(ctx context.Context) iter.Seq2[[]item.Media, error] {
	return func(yield func([]item.Media, error) bool) {
		from := int64(-1 << 62)
		for {
			page, next, err := s.read(ctx, from)
			if err != nil {
				yield(nil, err)
				return
			}
			for len(page) > 0 {
				n := stepEnd(page, s.Size())
				if !yield(page[:n:n], nil) {
					return
				}
				page = page[n:]
			}
			if next == from {
				return
			}
			from = next
		}
	}
}

// stepEnd is the length of the first step of a page: as many rows that may go as size says, and never a part of those
// that were last looked at together.
func stepEnd(page []item.Media, size int) int {
	end, goes := 0, 0
	for end < len(page) {
		next, more := end, 0
		for ; next < len(page) && page[next].LastAccess == page[end].LastAccess; next++ {
			if page[next].Keep == "" {
				more++
			}
		}
		if goes > 0 && goes+more > size {
			break
		}
		end, goes = next, goes+more
	}
	return end
}

// read returns the rows from that time of access on, and where the next page begins; the same when there is none.
func (s RemoteByAccess) read(ctx context.Context, from int64) (page []item.Media, next int64, err error) {
	_, err = s.Retry.Do(ctx, func() error {
		rows, err := s.DB.Query(ctx, `SELECT `+remoteColumns+`, GREATEST(last_access_ts, $4) FROM remote_media_cache
			WHERE last_access_ts >= $2 AND `+remoteOld+`
			ORDER BY last_access_ts, media_origin, media_id LIMIT $3`,
			s.CutOff.UnixMilli(), from, s.Page, synapse.OldestPurge().UnixMilli()-1)
		if err != nil {
			return err
		}
		page, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (item.Media, error) {
			m := item.Media{Flow: item.RemoteMedia}
			var quarantined bool
			err := row.Scan(&m.Origin, &m.ID, &m.FileID, &m.Type, &m.Bytes, &m.Created, &quarantined, &m.LastAccess)
			m.Keep = kept(quarantined, false, false)
			return m, err
		})
		return err
	}, postgres.Again)
	if err != nil {
		return nil, from, fmt.Errorf("read remote media in the order of access: %w", err)
	}
	if len(page) < s.Page {
		return page, from, nil
	}
	// Of those that were last looked at together with the last one there may be more than the page holds.
	next = page[len(page)-1].LastAccess
	whole := slices.IndexFunc(page, func(m item.Media) bool { return m.LastAccess == next })
	if whole == 0 {
		return nil, from, &item.RunError{
			Cause: item.CauseRefused, Doing: "divide remote media into steps",
			Err:  fmt.Errorf("%d or more media were last looked at in the same millisecond (last_access_ts %d)", s.Page, next),
			Hint: "Synapse would delete them all in one call, which nobody can bound. Delete remote media from the disk (--media-via disk).",
		}
	}
	return page[:whole], next, nil
}

// Down is media of servers that have not answered since that time, among what a purge would delete.
type Down struct {
	Servers, Media int64
	Example        string // one of the servers
}

// DownIn looks for such media. It reads the whole table.
func (s RemoteByAccess) DownIn(ctx context.Context, since time.Time) (d Down, err error) {
	_, err = s.Retry.Do(ctx, func() error {
		return s.DB.QueryRow(ctx, `SELECT count(DISTINCT m.media_origin), count(*), COALESCE(min(m.media_origin), '')
			FROM remote_media_cache m JOIN destinations d ON d.destination = m.media_origin
			WHERE d.failure_ts < $2 AND m.quarantined_by IS NULL AND m.last_access_ts < $1`,
			s.CutOff.UnixMilli(), since.UnixMilli()).Scan(&d.Servers, &d.Media, &d.Example)
	}, postgres.Again)
	if err != nil {
		err = fmt.Errorf("read which servers are down: %w", err)
	}
	return d, err
}
