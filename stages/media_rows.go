package stages

import (
	"time"

	"synupkeep/internal/item"
)

// statements are the SQL of one kind of media. Each takes, as $1 and $2, the origins and the ids of a batch.
type statements struct {
	// remove deletes the rows that are still eligible and not locked, in key order, with what belongs to them, and
	// returns origin, id and the name of the files of each, and of uploads the rows, which may be put back. Synapse updates last-access times in batches of its own:
	// without SKIP LOCKED we would wait for each other in circles.
	remove string
	// eligible returns those that remove would delete if nobody had them locked.
	eligible string
	// there returns those whose row is there at all, and waits for a transaction that has it locked.
	there string
	// args are the values of $3 and on.
	args []any
}

// localRows deletes uploads. What has come to be shown since the protected set was read is left out before (News).
func localRows(cutOff time.Time) statements {
	const eligible = `
		FROM local_media_repository m
		WHERE m.media_id = ANY ($2) AND m.url_cache IS NULL AND m.created_ts < $3
		  AND m.media_length IS NOT NULL AND m.quarantined_by IS NULL AND NOT m.safe_from_quarantine`
	return statements{
		remove: `
			WITH eligible AS MATERIALIZED (
				SELECT m.media_id ` + eligible + ` ORDER BY m.media_id FOR UPDATE OF m SKIP LOCKED
			), thumbnails AS (
				DELETE FROM local_media_repository_thumbnails t USING eligible l WHERE t.media_id = l.media_id
				RETURNING t.media_id, to_jsonb(t) AS row
			), gone AS (
				DELETE FROM local_media_repository m USING eligible l WHERE m.media_id = l.media_id
				RETURNING m.media_id, to_jsonb(m) AS row
			), all_thumbnails AS (
				SELECT media_id, jsonb_agg(row) AS rows FROM thumbnails GROUP BY media_id
			)
			SELECT ($1::text[])[1], media_id, media_id,
				jsonb_build_object('media', g.row, 'thumbnails', COALESCE(t.rows, '[]'))::text
			FROM gone g LEFT JOIN all_thumbnails t USING (media_id)`,
		eligible: `SELECT ($1::text[])[1], m.media_id ` + eligible,
		there:    localThere,
		args:     []any{cutOff.UnixMilli()},
	}
}

const localThere = `SELECT ($1::text[])[1], media_id FROM local_media_repository
	WHERE media_id = ANY ($2) ORDER BY media_id FOR UPDATE`

// previewRows deletes what was fetched for URL previews, and the cached answer that would still name it.
func previewRows(cutOff time.Time) statements {
	const eligible = `
		FROM local_media_repository m
		WHERE m.media_id = ANY ($2) AND m.url_cache IS NOT NULL AND m.created_ts < $3
		  AND m.quarantined_by IS NULL AND NOT m.safe_from_quarantine`
	return statements{
		remove: `
			WITH eligible AS MATERIALIZED (
				SELECT m.media_id ` + eligible + ` ORDER BY m.media_id FOR UPDATE OF m SKIP LOCKED
			), thumbnails AS (
				DELETE FROM local_media_repository_thumbnails t USING eligible l WHERE t.media_id = l.media_id
			), answers AS (
				DELETE FROM local_media_repository_url_cache c USING eligible l WHERE c.media_id = l.media_id
			), gone AS (
				DELETE FROM local_media_repository m USING eligible l WHERE m.media_id = l.media_id RETURNING m.media_id
			)
			SELECT ($1::text[])[1], media_id, media_id, '' FROM gone`,
		eligible: `SELECT ($1::text[])[1], m.media_id ` + eligible,
		there:    localThere,
		args:     []any{cutOff.UnixMilli()},
	}
}

// remoteRows deletes cached media of other servers. That nobody has looked at it since is checked once more here, which
// Synapse's own API does not do.
func remoteRows(cutOff time.Time) statements {
	const eligible = `
		FROM remote_media_cache m
		JOIN unnest($1::text[], $2::text[]) k (origin, id) ON m.media_origin = k.origin AND m.media_id = k.id
		WHERE m.last_access_ts < $3 AND m.quarantined_by IS NULL`
	return statements{
		remove: `
			WITH eligible AS MATERIALIZED (
				SELECT m.media_origin, m.media_id ` + eligible + `
				ORDER BY m.media_origin, m.media_id FOR UPDATE OF m SKIP LOCKED
			), thumbnails AS (
				DELETE FROM remote_media_cache_thumbnails t USING eligible l
				WHERE t.media_origin = l.media_origin AND t.media_id = l.media_id
			), gone AS (
				DELETE FROM remote_media_cache m USING eligible l
				WHERE m.media_origin = l.media_origin AND m.media_id = l.media_id
				RETURNING m.media_origin, m.media_id, COALESCE(m.filesystem_id, '') AS file
			)
			SELECT media_origin, media_id, file, '' FROM gone`,
		eligible: `SELECT m.media_origin, m.media_id ` + eligible,
		there:    remoteThere,
		args:     []any{cutOff.UnixMilli()},
	}
}

const remoteThere = `SELECT m.media_origin, m.media_id FROM remote_media_cache m
			JOIN unnest($1::text[], $2::text[]) k (origin, id) ON m.media_origin = k.origin AND m.media_id = k.id
			ORDER BY m.media_origin, m.media_id FOR UPDATE OF m`

// key identifies a row.
type key struct{ origin, id string }

func keyOf(m item.Media) key { return key{m.Origin, m.ID} }
