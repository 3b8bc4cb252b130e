package stages

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"synupkeep/internal/item"
	"synupkeep/internal/mediastore"
	"synupkeep/internal/postgres"
	"synupkeep/internal/retry"
)

// known says of files that were found without a row which of them have one now, by the paths of their contents.
func (d *Drift) known(ctx context.Context, suspects []item.Suspect) (map[string]bool, error) {
	paths := map[string]string{} // of the ids of uploads and previews
	var ids, origins, files []string
	for _, s := range suspects {
		loc, err := mediastore.Locate(kindOf(s.Flow), s.Origin, s.FileID)
		switch {
		case err != nil || s.Path != "" || s.ID != "":
		case s.Flow == item.RemoteMedia:
			origins, files = append(origins, s.Origin), append(files, s.FileID)
		case s.Flow == item.Previews:
			for _, id := range mediastore.PreviewIDs(s.FileID) {
				ids, paths[id] = append(ids, id), loc.Content()
			}
		default:
			ids, paths[s.FileID] = append(ids, s.FileID), loc.Content()
		}
	}
	known := map[string]bool{}
	_, err := d.Retry.Do(ctx, func() error {
		// Whatever kind of row it is: a file that any row of that id could mean stays.
		named, err := selectKeys(ctx, d.DB, `SELECT '', media_id FROM local_media_repository WHERE media_id = ANY ($1)`, ids)
		if err != nil {
			return err
		}
		for k := range named {
			known[paths[k.id]] = true
		}
		// There is no index by filesystem_id: one look for all of them.
		named, err = selectKeys(ctx, d.DB, `SELECT m.media_origin, m.filesystem_id FROM remote_media_cache m
			JOIN unnest($1::text[], $2::text[]) k (origin, file) ON m.media_origin = k.origin AND m.filesystem_id = k.file`, origins, files)
		if err != nil {
			return err
		}
		for k := range named {
			if loc, err := mediastore.Locate(mediastore.Remote, k.origin, k.id); err == nil {
				known[loc.Content()] = true
			}
		}
		return nil
	}, postgres.Again)
	if err != nil {
		return nil, fmt.Errorf("look up whether a row names it: %w", err)
	}
	return known, nil
}

// driftRow is a row as it is now.
type driftRow struct {
	item.Media
	undated, unfinished, preview, quarantined, protected bool
}

// madeBefore says whether the row was there before a time; one without a date counts as young.
func (r driftRow) madeBefore(t time.Time) bool { return !r.undated && r.Created < t.UnixMilli() }

const (
	driftLocal = `
		SELECT media_id, COALESCE(user_id, ''), COALESCE(media_type, ''), COALESCE(media_length, 0), created_ts,
			media_length IS NULL, url_cache IS NOT NULL, quarantined_by IS NOT NULL, safe_from_quarantine
		FROM local_media_repository WHERE media_id = $1`
	driftRemote = `
		SELECT COALESCE(filesystem_id, ''), '', COALESCE(media_type, ''), COALESCE(media_length, 0), created_ts,
			false, false, quarantined_by IS NOT NULL, false
		FROM remote_media_cache WHERE media_id = $1 AND media_origin = $2`
	// Synapse updates times of access in batches: without SKIP LOCKED we would wait for each other in circles.
	driftLock = ` FOR UPDATE SKIP LOCKED`
)

// readRow looks a row up; found is false when there is none any more, or none that the lock could be had of.
func (d *Drift) readRow(ctx context.Context, db postgres.Querier, s item.Suspect, lock string) (row driftRow, found bool, err error) {
	query, args := driftLocal, []any{s.ID}
	row.Media = item.Media{Flow: item.Drift, Origin: d.ServerName, ID: s.ID}
	if s.Flow == item.RemoteMedia {
		query, args = driftRemote, []any{s.ID, s.Origin}
		row.Origin = s.Origin
	}
	var created *int64
	err = db.QueryRow(ctx, query+lock, args...).Scan(&row.FileID, &row.UserID, &row.Type, &row.Bytes, &created,
		&row.unfinished, &row.preview, &row.quarantined, &row.protected)
	if errors.Is(err, pgx.ErrNoRows) {
		return row, false, nil
	}
	if row.undated = created == nil; !row.undated {
		row.Created = *created
	}
	return row, err == nil, err
}

// judge says what a row with these files is, "" if there is nothing to say of it.
func (d *Drift) judge(s item.Suspect, row driftRow, seen mediastore.Contents) item.Reason {
	switch {
	case row.FileID != s.FileID, row.preview != (s.Flow == item.Previews):
		return "" // it has come to mean other files
	case !row.madeBefore(d.Before), seen.Files > 0 && !seen.Newest.Before(d.Before):
		return ""
	case row.unfinished && !row.preview:
		if row.quarantined || !row.madeBefore(d.Uploads) {
			return ""
		}
		return item.UnfinishedUploads
	case seen.Content:
		return ""
	case row.quarantined:
		return item.QuarantinedWithoutFile
	case s.Flow == item.RemoteMedia:
		return item.RemoteWithoutFile
	case !row.preview && seen.Files > 0:
		return item.LostOriginals
	case !row.preview:
		return item.Lost
	case row.madeBefore(d.Previews):
		return item.PreviewsWithoutFile
	}
	return ""
}

// row looks at a row without a file, or to which nobody has uploaded.
func (d *Drift) row(ctx context.Context, s item.Suspect) (out item.Outcome, found bool) {
	if s.Flow != item.RemoteMedia {
		s.Origin = d.ServerName
	}
	var row driftRow
	_, err := d.Retry.Do(ctx, func() (err error) {
		row, found, err = d.readRow(ctx, d.DB, s, "")
		return err
	}, postgres.Again)
	if err != nil {
		return d.failedRow(ctx, s, "", fmt.Errorf("look its row up: %w", err))
	}
	if !found {
		return out, false
	}
	seen, err := d.inspect(ctx, s)
	if err != nil {
		return d.unseen(s, err)
	}
	finding := d.judge(s, row, seen)
	if finding == "" {
		return out, false
	}
	if err := d.deletable(s, finding); err != nil {
		return failedDrift(s, finding, err), true
	}
	out = ofDrift(s, finding, "", "")
	out.Media, out.Rows, out.Files, out.Bytes = &row.Media, 1, seen.Files, seen.Bytes
	if row.protected && d.Delete[finding] {
		out.Status, out.Reason, out.Rows, out.Files, out.Bytes = item.Kept, item.Protected, 0, 0, 0
		return out, true
	}
	out, ok, found := d.may(ctx, out)
	if found && out.Status == item.Done && d.Note != nil {
		d.Note(out.Key)
	}
	if !ok {
		return out, found
	}
	return d.deleteRow(ctx, s, out)
}

func (d *Drift) failedRow(ctx context.Context, s item.Suspect, finding item.Reason, err error) (out item.Outcome, found bool) {
	if ctx.Err() != nil {
		return out, false
	}
	d.stopWhenAway(err)
	return failedDrift(s, finding, err), true
}

// deleteRow deletes a row and then what is left of its files. A run that is killed in between leaves files without a row, which
// are drift themselves: no journal is needed.
func (d *Drift) deleteRow(ctx context.Context, s item.Suspect, out item.Outcome) (item.Outcome, bool) {
	if !d.sure() {
		d.giveBack(out)
		return out, false
	}
	var deleted, unsure bool
	tries, err := d.Retry.Do(ctx, func() (err error) {
		if unsure { // the lock makes it wait for a transaction that the server has not ended yet
			_, there, err := d.readRow(ctx, d.Writer, s, ` FOR UPDATE`)
			if err != nil {
				return err
			}
			unsure, deleted = false, !there
		}
		if deleted {
			return nil
		}
		if err := d.begin(ctx); err != nil {
			return err
		}
		deleted, unsure, err = d.transact(ctx, s, out.Finding)
		return err
	}, func(err error) (bool, time.Duration) {
		if unsure {
			return true, 0
		}
		return postgres.Again(err)
	})
	out.Tries = tries
	switch {
	case deleted:
		return d.remove(ctx, s, out), true
	case errors.Is(err, errStopping):
		d.giveBack(out)
		return out, false
	case err != nil:
		d.giveBack(out)
		if unsure {
			err = fmt.Errorf("whether its row was deleted is not known: %w", err)
		}
		return d.failedRow(ctx, s, out.Finding, err)
	}
	d.giveBack(out) // it is locked by the server, or none any more
	row, there, err := d.readRow(ctx, d.DB, s, "")
	if err != nil || !there || row.FileID != s.FileID {
		return out, false
	}
	out.Status, out.Reason, out.Rows, out.Files, out.Bytes = item.Skipped, item.InUse, 0, 0, 0
	return out, true
}

// transact deletes a row if it still is what it was found to be, and its files as well: looked at while the row is locked.
func (d *Drift) transact(ctx context.Context, s item.Suspect, finding item.Reason) (deleted, unsure bool, err error) {
	longer, cancel := outlast(ctx, stopGrace)
	defer cancel()
	tx, err := d.Writer.Begin(longer)
	if err != nil {
		return false, false, err
	}
	defer func() { _ = tx.Rollback(longer) }() // nothing to roll back after a commit
	row, found, err := d.readRow(longer, tx, s, driftLock)
	if err != nil || !found {
		return false, false, err
	}
	seen, err := d.inspect(longer, s)
	if err != nil || row.protected || d.judge(s, row, seen) != finding {
		return false, false, err
	}
	statements, args := []string{
		`DELETE FROM local_media_repository_thumbnails WHERE media_id = $1`,
		`DELETE FROM local_media_repository WHERE media_id = $1 AND quarantined_by IS NULL`,
	}, []any{s.ID}
	switch s.Flow {
	case item.RemoteMedia:
		statements, args = []string{
			`DELETE FROM remote_media_cache_thumbnails WHERE media_id = $1 AND media_origin = $2`,
			`DELETE FROM remote_media_cache WHERE media_id = $1 AND media_origin = $2 AND quarantined_by IS NULL`,
		}, []any{s.ID, s.Origin}
	case item.Previews:
		statements = append([]string{`DELETE FROM local_media_repository_url_cache WHERE media_id = $1`}, statements...)
	case item.LocalMedia, item.History, item.Drift:
	}
	for _, statement := range statements {
		if _, err := tx.Exec(longer, statement, args...); err != nil {
			return false, false, err
		}
	}
	if err := tx.Commit(longer); err != nil {
		return false, !rolledBack(err), err
	}
	return true, false, nil
}

// sure asks now and then whether it is still the server's store: rows without files are what a wrong one has.
func (d *Drift) sure() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.rows%doubtEvery == 0 && d.Doubt != nil {
		if err := d.Doubt(); err != nil {
			d.Flow.StopFeeding(err)
			return false
		}
	}
	d.rows++
	return true
}

// stopWhenAway begins nothing more when the database is away.
func (d *Drift) stopWhenAway(err error) {
	var away *retry.UnavailableError
	if errors.As(err, &away) {
		d.Flow.StopFeeding(&item.RunError{
			Cause: item.CauseFailed, Doing: "look up media rows", Err: err,
			Hint: "Is PostgreSQL running? The next run begins anew.",
		})
	}
}
