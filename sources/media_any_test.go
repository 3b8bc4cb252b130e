package sources

import (
	"testing"
)

// TestWhetherThereIsAnyOldMedia takes one row away after the other, until none is left that is past the cut-off.
func TestWhetherThereIsAnyOldMedia(t *testing.T) {
	db := emptyTables(t, "local_media_repository")
	source := LocalMedia{DB: db, CutOff: cutOff()}
	want := func(want bool, what string) {
		t.Helper()
		if found, err := source.Any(t.Context()); err != nil || found != want {
			t.Errorf("%s: %v, %v", what, found, err)
		}
	}
	want(false, "an empty table")
	local, _ := uploads(t, db, 200)
	for _, m := range local {
		want(true, m.ID)
		run(t, db, `DELETE FROM local_media_repository WHERE media_id = $1`, m.ID)
	}
	want(false, "young rows, previews, one without an id")
	copyIn(t, db, "local_media_repository", []string{"media_id", "created_ts", "safe_from_quarantine"},
		[][]any{{"nobody's", cutOff().UnixMilli() - 1, false}})
	want(true, "one without a user")
}
