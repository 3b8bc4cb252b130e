package sources

import (
	"context"
	"fmt"
	"iter"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"synupkeep/internal/item"
)

// TestWhatIsCountedIsWhatComes: young media, media of the other flows and rows that name no media are not among it.
func TestWhatIsCountedIsWhatComes(t *testing.T) {
	db := emptyTables(t, "local_media_repository", "remote_media_cache", "destinations")
	cutOff := time.UnixMilli(1_000_000)
	var local, remote [][]any
	for i, created := range []any{int64(1), int64(999_999), int64(1_000_000), int64(2_000_000), nil} {
		for j, id := range []any{fmt.Sprint("id", i), nil} {
			for k, url := range []any{nil, "https://example.org/"} {
				for l, user := range []any{"@a:hs", nil} {
					if id != nil {
						id = fmt.Sprint("id", i, j, k, l)
					}
					local = append(local, []any{id, user, created, url, "image/png", int64(5), false})
				}
			}
			if id != nil { // part of the primary key's name, but may be NULL
				remote = append(remote, []any{"origin", id, created, created, "image/png", int64(5), "file"})
			}
		}
	}
	copyIn(t, db, "local_media_repository", []string{"media_id", "user_id", "created_ts", "url_cache", "media_type", "media_length", "safe_from_quarantine"}, local)
	copyIn(t, db, "remote_media_cache", []string{"media_origin", "media_id", "created_ts", "last_access_ts", "media_type", "media_length", "filesystem_id"}, remote)
	for name, source := range map[string]struct {
		count func(context.Context) (int64, error)
		each  func(context.Context) iter.Seq2[item.Media, error]
		want  int64
	}{
		"local":    {LocalMedia{DB: db, CutOff: cutOff}.Count, LocalMedia{DB: db, CutOff: cutOff, Page: 3}.Each, 4},
		"previews": {Previews{DB: db, CutOff: cutOff}.Count, Previews{DB: db, CutOff: cutOff, Page: 3}.Each, 4},
		"remote":   {RemoteMedia{DB: db, CutOff: cutOff}.Count, RemoteMedia{DB: db, CutOff: cutOff, Page: 3}.Each, 2},
	} {
		rows, err := source.count(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if come := int64(len(all(t, source.each(t.Context())))); rows != come || rows != source.want {
			t.Errorf("%s: %d are counted, %d come, want %d", name, rows, come, source.want)
		}
	}
}

func TestRoomsAreNamedAsFarAsTheyHaveNames(t *testing.T) {
	db := emptyTables(t, "room_stats_state")
	copyIn(t, db, "room_stats_state", []string{"room_id", "name", "canonical_alias"}, [][]any{
		{"!both", "Both", "#both:hs"}, {"!name", "Name", nil}, {"!none", nil, nil}, {"!other", "Other", nil},
	})
	names, err := NameRooms(t.Context(), db, []string{"!both", "!name", "!none", "!unknown"})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]RoomFacts{"!both": {Name: "Both", Alias: "#both:hs"}, "!name": {Name: "Name"}, "!none": {}, "!unknown": {}}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Error(diff)
	}
}
