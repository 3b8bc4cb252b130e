package stages

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"synupkeep/internal/item"
	"synupkeep/internal/postgres"
)

// Between the last look at what is shown and the commit lies a moment. What comes to be shown in it is put back: the rows are
// gone by then, the files are not.

// backGrace is how long that may go on after a hard stop, beside stopGrace of the transaction before it.
const backGrace = 3 * time.Second

// bringBack looks once more after the commit and puts the rows of what is shown back as they were. When PostgreSQL cannot be
// asked, what the transaction saw has to do, and the flow ends.
func (d *DeleteRows) bringBack(ctx context.Context, f *fate) {
	if d.news == nil || len(f.gone) == 0 {
		return
	}
	longer, cancel := outlast(ctx, backGrace)
	defer cancel()
	var shown map[string]item.Reason
	_, err := d.Retry.Do(longer, func() (err error) {
		shown, err = d.shown(longer, d.DB, f.gone)
		return err
	}, postgres.Again)
	if err != nil {
		f.afterwards = fmt.Errorf("look at what came to be shown while %d media were deleted: %w", len(f.gone), err)
		return
	}
	var back []string
	lost := map[key]bool{}
	for k := range f.gone {
		if shown[k.id] != "" {
			back = append(back, f.saved[k])
			lost[k] = true
			delete(f.gone, k) // in any case its files stay
		}
	}
	if len(back) == 0 {
		return
	}
	if _, err := d.Retry.Do(longer, func() error { return d.insert(longer, back) }, postgres.Again); err != nil {
		f.lost = lost
		f.afterwards = fmt.Errorf("it came to be shown while it was deleted, and whether its row could be put back is not known; its files stay: %w", err)
		d.settle(*f, journalRows(f.gone)) // or the next run would take the files
		return
	}
	f.keep(shown)
}

// insert puts rows back. A row that is there already was put back by an attempt of which we never heard.
func (d *DeleteRows) insert(ctx context.Context, saved []string) error {
	return pgx.BeginFunc(ctx, d.DB, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `
			INSERT INTO local_media_repository SELECT r.* FROM unnest($1::text[]) s,
				jsonb_populate_record(NULL::local_media_repository, s::jsonb -> 'media') r
			ON CONFLICT DO NOTHING`, saved); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `
			INSERT INTO local_media_repository_thumbnails SELECT r.* FROM unnest($1::text[]) s,
				jsonb_array_elements(s::jsonb -> 'thumbnails') t, jsonb_populate_record(NULL::local_media_repository_thumbnails, t) r
			ON CONFLICT DO NOTHING`, saved)
		return err
	})
}

// lostRow is the outcome of media whose row could not be put back.
func (f fate) lostRow(m item.Media) (item.Outcome, bool) {
	if !f.lost[keyOf(m)] {
		return item.Outcome{}, false
	}
	out := failedMedia(m, f.afterwards)
	out.Tries = f.tries
	return out, true
}
