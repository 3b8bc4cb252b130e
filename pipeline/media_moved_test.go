package pipeline

import (
	"context"
	"testing"
	"time"

	"synupkeep/internal/item"
	"synupkeep/internal/journal"
	"synupkeep/internal/sandbox"
	"synupkeep/internal/sandbox/stock"
)

// TestAStoreWhoseOldFilesWereMovedElsewhereIsRefused: what moves uploads to S3 moves the old ones, and those are what
// would be deleted. Most of the store is there all the same.
func TestAStoreWhoseOldFilesWereMovedElsewhereIsRefused(t *testing.T) {
	for name, f := range map[string]item.Flow{"uploads": item.LocalMedia, "cached": item.RemoteMedia} {
		t.Run(name, func(t *testing.T) {
			s := emptied(t)
			old := time.Now().Add(-longAgo)
			plantMedia(t, s, func(ctx context.Context, p *sandbox.Plant) error {
				for i := range 100 {
					m := sandbox.Media{Data: []byte("x"), Created: time.Now(), LastAccess: time.Now()}
					if i < 30 {
						m.Created, m.LastAccess, m.NoFile = old, old, true
					}
					var err error
					if f == item.LocalMedia {
						_, err = p.LocalMedia(ctx, 1, m, 0)
					} else {
						m.Origin = "elsewhere"
						_, err = p.RemoteMedia(ctx, m)
					}
					if err != nil {
						return err
					}
				}
				return nil
			})
			before := stock.OfMedia(t, s)
			r := do(t, settings(s, f))
			wantCauses(t, r, item.CauseRefused)
			stock.Exactly(t, s, before)
		})
	}
}

// TestAnotherFlowsJournalIsNotTouched: nobody has looked whether the trees of a flow that does not run are there, and what
// is not there would count as deleted.
func TestAnotherFlowsJournalIsNotTouched(t *testing.T) {
	s := emptied(t)
	cfg := settings(s, item.Previews)
	cfg.StateDir = t.TempDir()
	name := "journal-" + s.ServerName() + ".jsonl"
	j, _, err := journal.Open(cfg.StateDir, name)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []item.Flow{item.LocalMedia, item.Previews} {
		if _, err := j.Begin(f, []journal.Row{{Origin: s.ServerName(), ID: "aaaabbbbccccdddd", FileID: "aaaabbbbccccdddd"}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	wantCauses(t, do(t, cfg))
	j, _, err = journal.Open(cfg.StateDir, name)
	if err != nil {
		t.Fatal(err)
	}
	if unfinished := j.Batches(); len(unfinished) != 1 || unfinished[0].Flow != item.LocalMedia {
		t.Errorf("left in the journal: %+v", unfinished)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}
