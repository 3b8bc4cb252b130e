package stages

import (
	"context"
	"fmt"
	"time"

	"synupkeep/internal/item"
	"synupkeep/internal/journal"
	"synupkeep/internal/postgres"
	"synupkeep/internal/retry"
)

// Finish deletes the files of rows that an earlier run had deleted when it ended early.
type Finish struct {
	DB      Transactor
	Store   Remover
	Journal Journal
	// Retry is for the database, FileRetry for the disk.
	Retry, FileRetry retry.Policy
	// Stopping says that what is not begun is to be left to the next run.
	Stopping func() bool
}

// Do finishes the rows of one batch of the journal and gives the outcome of each of its media that needed something. A
// file goes only if no row has its key any more: then its deletion was committed. What could not be deleted, or was not
// come to, stays in the journal.
func (f *Finish) Do(ctx context.Context, batch journal.Batch, rows []journal.Row, report func(item.Outcome) error) error {
	media := mediaOf(batch.Flow, rows)
	var there map[key]bool
	_, err := f.Retry.Do(ctx, func() (err error) {
		there, err = stillThere(ctx, f.DB, media, true)
		return err
	}, postgres.Again)
	if err != nil {
		return fmt.Errorf("look whether the rows of the journal are gone: %w", err)
	}
	var left []journal.Row
	for i, m := range media {
		if there[keyOf(m)] {
			continue
		}
		if f.Stopping() || ctx.Err() != nil {
			left = append(left, rows[i])
			continue
		}
		out := f.remove(ctx, m)
		if out.Status != item.Done {
			left = append(left, rows[i])
		}
		if out.Files == 0 && out.Status == item.Done {
			continue // the earlier run came to it
		}
		if err := report(out); err != nil {
			return err
		}
	}
	return f.Journal.End(batch.ID, left)
}

func mediaOf(f item.Flow, rows []journal.Row) []item.Media {
	media := make([]item.Media, len(rows))
	for i, row := range rows {
		media[i] = item.Media{Flow: f, Origin: row.Origin, ID: row.ID, FileID: row.FileID}
	}
	return media
}

// stillThere returns the media whose row still names these files, and waits, if it is to, for a transaction that has it
// locked: that of a run which was killed goes on for as long as the server is at it. Remote media that was fetched again
// has its row back, with other files.
func stillThere(ctx context.Context, db postgres.Querier, media []item.Media, wait bool) (map[key]bool, error) {
	var origins, ids, files []string
	for _, m := range media {
		origins, ids, files = append(origins, m.Origin), append(ids, m.ID), append(files, m.FileID)
	}
	lock := ""
	if wait {
		lock = ` FOR UPDATE OF m`
	}
	if len(media) > 0 && media[0].Flow == item.RemoteMedia {
		return selectKeys(ctx, db, `
			SELECT m.media_origin, m.media_id FROM remote_media_cache m
			JOIN unnest($1::text[], $2::text[], $3::text[]) k (origin, id, file)
			  ON m.media_origin = k.origin AND m.media_id = k.id AND m.filesystem_id = k.file
			ORDER BY m.media_origin, m.media_id`+lock, origins, ids, files)
	}
	return selectKeys(ctx, db, `
		SELECT k.origin, m.media_id FROM local_media_repository m
		JOIN unnest($1::text[], $2::text[]) k (origin, id) ON m.media_id = k.id
		ORDER BY m.media_id`+lock, origins, ids)
}

func (f *Finish) remove(ctx context.Context, m item.Media) item.Outcome {
	out := ofMedia(m, item.Done, "")
	out.Finished = true
	began := time.Now()
	removed, tries, err := removeFiles(ctx, f.Store, f.FileRetry, f.Stopping, m)
	// What the earlier run deleted before it ended is not missing.
	out.Files, out.Bytes, out.Tries = removed.Files, removed.Bytes, tries
	out.Took = time.Since(began)
	switch {
	case err != nil && ctx.Err() != nil:
		out.Status, out.Reason = item.Left, item.FilesLeft
	case err != nil:
		out.Status, out.Err = item.Failed, fmt.Errorf("its row was deleted by an earlier run, its files are not all gone: %w", err)
	}
	return out
}
