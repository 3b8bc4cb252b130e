package stages

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"synupkeep/internal/item"
	"synupkeep/internal/postgres"
)

// Between the last look at what is shown and the commit lies a moment. What comes to be shown in it is put back: the rows are
// gone by then, the files are not.

// bringBack looks once more after the commit and puts the rows of what is shown back as they were. When it cannot look, what
// the transaction saw has to do.
func (d *DeleteRows) bringBack(ctx context.Context, f *fate) {
	if d.news == nil || len(f.gone) == 0 {
		return
	}
	longer, cancel := outlast(ctx, stopGrace)
	defer cancel()
	shown, err := d.shown(longer, d.DB, f.gone)
	if err != nil || len(shown) == 0 {
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
	if _, err := d.Retry.Do(longer, func() error { return d.insert(longer, back) }, postgres.Again); err != nil {
		f.lost = lost
		f.lostTo = fmt.Errorf("it came to be shown while it was deleted, and its row could not be put back; its files stay: %w", err)
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
	return item.Outcome{Flow: m.Flow, Key: m.Key(), Status: item.Failed, Err: f.lostTo, Tries: f.tries}, true
}
