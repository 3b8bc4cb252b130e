package pipeline

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"synupkeep/config"
	"synupkeep/internal/item"
	"synupkeep/internal/journal"
	"synupkeep/internal/sandbox"
	"synupkeep/internal/sandbox/stock"
)

// rowsWereDeleted plants media whose rows an earlier run deleted before it was killed. It returns the journal, open.
func rowsWereDeleted(t *testing.T, s *sandbox.Server, cfg *config.Config, mxcs ...string) *journal.Journal {
	t.Helper()
	cfg.StateDir = t.TempDir()
	j, _, err := journal.Open(cfg.StateDir, "journal-"+s.ServerName()+".jsonl")
	if err != nil {
		t.Fatal(err)
	}
	for _, mxc := range mxcs {
		if _, err := j.Begin(item.LocalMedia, []journal.Row{{Origin: s.ServerName(), ID: idOf(mxc), FileID: idOf(mxc)}}); err != nil {
			t.Fatal(err)
		}
		execSQL(t, s, `DELETE FROM local_media_repository WHERE media_id = $1`, idOf(mxc))
		execSQL(t, s, `DELETE FROM local_media_repository_thumbnails WHERE media_id = $1`, idOf(mxc))
	}
	return j
}

// TestWhatIsFinishedIsNotComparedWithTheLimits: no plan could know of it.
func TestWhatIsFinishedIsNotComparedWithTheLimits(t *testing.T) {
	s := emptied(t)
	mxcs := plenty(t, s, 4)
	before := stock.OfMedia(t, s)
	cfg := settings(s, item.LocalMedia)
	cfg.Max.Media.Count = 1
	j := rowsWereDeleted(t, s, cfg, mxcs[:3]...)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	r := do(t, cfg)
	wantCauses(t, r)
	wantCounts(t, r, item.LocalMedia, map[string]int64{"done": 4})
	if sum := r.flow(t, item.LocalMedia); sum.Finished != 3 || sum.Rows != 1 {
		t.Errorf("%+v", sum)
	}
	stock.Exactly(t, s, before.Without(t, mxcs...))
}

func TestADamagedJournalIsFinishedAsFarAsItCanBeReadAndTold(t *testing.T) {
	s := emptied(t)
	mxcs := plenty(t, s, 3)
	before := stock.OfMedia(t, s)
	cfg := settings(s, item.LocalMedia)
	j := rowsWereDeleted(t, s, cfg, mxcs...)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(cfg.StateDir, "journal-"+s.ServerName()+".jsonl")
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	spoilt := strings.Replace(string(content), idOf(mxcs[1]), idOf(mxcs[0]), 1) + "\n0123"
	if err := os.WriteFile(name, []byte(spoilt), 0o600); err != nil {
		t.Fatal(err)
	}
	r := do(t, cfg)
	wantCauses(t, r)
	wantCounts(t, r, item.LocalMedia, map[string]int64{"done": 2})
	after := before.Without(t, mxcs...)
	for file, size := range before.Without(t, mxcs[0], mxcs[2]).Files {
		after.Files[file] = size // of the one whose line is damaged
	}
	if got := stock.OfMedia(t, s); len(got.Files) != len(after.Files) {
		t.Errorf("files: %v, want %v", got.Files, after.Files)
	}
	warnings := strings.Join(r.summary.Warnings, "\n")
	for _, want := range []string{"damaged and are passed over: 1.", "was cut short", name} {
		if !strings.Contains(warnings, want) {
			t.Errorf("the warnings do not say %q: %s", want, warnings)
		}
	}
}

// TestAJournalThatAnotherRunHasOpenIsLeftAlone, as when the state directory of a server is that of its copy as well.
func TestAJournalThatAnotherRunHasOpenIsLeftAlone(t *testing.T) {
	s := emptied(t)
	mxcs := plenty(t, s, 2)
	cfg := settings(s, item.LocalMedia)
	j := rowsWereDeleted(t, s, cfg, mxcs[0])
	before := stock.OfMedia(t, s)
	wantCauses(t, do(t, cfg), item.CauseLocked)
	stock.Exactly(t, s, before)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	wantCauses(t, do(t, cfg))
	nothingLeft(t, s)
}
