package sources

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"synupkeep/internal/item"
	"synupkeep/internal/postgres"
)

// MediaSpace is what the media of one flow takes, in bytes as the database has their lengths: without thumbnails.
type MediaSpace struct {
	// Curve has the totals as well.
	Curve item.AgeCurve
	// Quarantined and Protected media is never deleted, and neither is what is still uploading; each counts once.
	Quarantined, Protected, Uploading Amount
	// Owners are those with the most bytes: users of local media, servers of remote media. Types are MIME types without their
	// parameters. AllOwners and AllTypes are how many there are.
	Owners, Types       []OwnAmount
	AllOwners, AllTypes int64
}

// Amount is how much there is of something.
type Amount struct{ Items, Bytes int64 }

// OwnAmount is how much there is of what has one key. Strangers make up servers and types.
type OwnAmount struct {
	Key string
	Amount
}

// space groups what media of its table, by kind, owner, type and age at once: the table is read once. The placeholders are
// the bounds and how many owners and types are named.
const space = `
	WITH media AS (%s), grouped AS (
		SELECT kind, grouping(owner, type, bucket) AS what, owner, type, bucket, count(*) AS n, sum(bytes)::bigint AS bytes,
			count(*) FILTER (WHERE mark = 1) AS n1, COALESCE(sum(bytes) FILTER (WHERE mark = 1), 0)::bigint AS bytes1,
			count(*) FILTER (WHERE mark = 2) AS n2, COALESCE(sum(bytes) FILTER (WHERE mark = 2), 0)::bigint AS bytes2,
			count(*) FILTER (WHERE mark = 3) AS n3, COALESCE(sum(bytes) FILTER (WHERE mark = 3), 0)::bigint AS bytes3
		FROM media GROUP BY GROUPING SETS ((kind), (kind, owner), (kind, type), (kind, bucket))
	), ranked AS (
		SELECT *, row_number() OVER (PARTITION BY kind, what ORDER BY bytes DESC, n DESC, owner COLLATE "C", type COLLATE "C") AS rank,
			count(*) OVER (PARTITION BY kind, what) AS all_of_them
		FROM grouped
	)
	SELECT kind, what, COALESCE(owner, type, ''), bucket, n, bytes, n1, bytes1, n2, bytes2, n3, bytes3, all_of_them
	FROM ranked WHERE what IN (6, 7) OR rank <= $2 ORDER BY kind, what, rank`

// What the function grouping says of each of the sets.
const (
	ofOwner  = 0b011
	ofType   = 0b101
	ofBucket = 0b110
	ofAll    = 0b111
)

// A row without an id names no media, and one without a time counts as young, as when they are deleted. The key of a type has
// at most 500 characters: strangers write it.
const (
	ownType = `CASE WHEN $2 > 0 THEN left(lower(btrim(split_part(media_type, ';', 1))), 500) END`

	localSpace = `
		SELECT CASE WHEN url_cache IS NULL THEN 0 ELSE 1 END AS kind,
			COALESCE(CASE WHEN $2 > 0 AND url_cache IS NULL THEN user_id END, '') AS owner, COALESCE(` + ownType + `, '') AS type,
			width_bucket(created_ts, $1::bigint[]) AS bucket, GREATEST(COALESCE(media_length, 0), 0)::bigint AS bytes,
			CASE WHEN quarantined_by IS NOT NULL THEN 1 WHEN safe_from_quarantine THEN 2
				WHEN media_length IS NULL AND url_cache IS NULL THEN 3 ELSE 0 END AS mark
		FROM local_media_repository WHERE media_id IS NOT NULL`

	remoteSpace = `
		SELECT 0 AS kind, CASE WHEN $2 > 0 THEN left(media_origin, 500) ELSE '' END AS owner, COALESCE(` + ownType + `, '') AS type,
			width_bucket(last_access_ts, $1::bigint[]) AS bucket, GREATEST(COALESCE(media_length, 0), 0)::bigint AS bytes,
			CASE WHEN quarantined_by IS NOT NULL THEN 1 ELSE 0 END AS mark
		FROM remote_media_cache WHERE media_origin IS NOT NULL AND media_id IS NOT NULL`
)

// LocalMedia reads local_media_repository, which holds what users uploaded and what was fetched for previews.
func (s Space) LocalMedia(ctx context.Context) (uploads, previews MediaSpace, err error) {
	kinds, err := s.media(ctx, localSpace)
	if err != nil {
		return uploads, previews, fmt.Errorf("read local_media_repository: %w", err)
	}
	return kinds[0].space(s, item.LocalMedia, byUpload), kinds[1].space(s, item.Previews, byFetch), nil
}

// RemoteMedia reads remote_media_cache.
func (s Space) RemoteMedia(ctx context.Context) (MediaSpace, error) {
	kinds, err := s.media(ctx, remoteSpace)
	if err != nil {
		return MediaSpace{}, fmt.Errorf("read remote_media_cache: %w", err)
	}
	return kinds[0].space(s, item.RemoteMedia, byLastAccess), nil
}

// kindOfMedia is what was read of one kind.
type kindOfMedia struct {
	MediaSpace
	all          Amount
	items, bytes map[int]int64 // by bucket
}

func (s Space) media(ctx context.Context, rows string) (kinds [2]kindOfMedia, err error) {
	_, err = s.Retry.Do(ctx, func() error {
		kinds = [2]kindOfMedia{}
		for i := range kinds {
			kinds[i].items, kinds[i].bytes = map[int]int64{}, map[int]int64{}
		}
		found, err := s.DB.Query(ctx, fmt.Sprintf(space, rows), s.bounds(), s.Top)
		if err != nil {
			return err
		}
		var kind, what int
		var own OwnAmount
		var bucket *int
		var marked [3]Amount
		var all int64
		_, err = pgx.ForEachRow(found, []any{
			&kind, &what, &own.Key, &bucket, &own.Items, &own.Bytes, &marked[0].Items, &marked[0].Bytes,
			&marked[1].Items, &marked[1].Bytes, &marked[2].Items, &marked[2].Bytes, &all,
		}, func() error {
			kinds[kind].take(what, own, bucket, marked, all)
			return nil
		})
		return err
	}, postgres.Again)
	return kinds, err
}

func (k *kindOfMedia) take(what int, own OwnAmount, bucket *int, marked [3]Amount, all int64) {
	switch what {
	case ofAll:
		k.all = own.Amount
		k.Quarantined, k.Protected, k.Uploading = marked[0], marked[1], marked[2]
	case ofBucket:
		if bucket != nil { // without a time it counts as young
			k.items[*bucket], k.bytes[*bucket] = own.Items, own.Bytes
		}
	case ofOwner:
		k.Owners, k.AllOwners = append(k.Owners, own), all
	case ofType:
		k.Types, k.AllTypes = append(k.Types, own), all
	}
}

func (k kindOfMedia) space(s Space, f item.Flow, byTime string) MediaSpace {
	m := k.MediaSpace
	m.Curve = s.curve(f, byTime, k.items, k.bytes)
	m.Curve.Items, m.Curve.Bytes = k.all.Items, k.all.Bytes
	return m
}
