package sources

import (
	"fmt"
	"testing"

	"synupkeep/internal/item"
)

func TestASampleHasRowsOfEveryPartOfATable(t *testing.T) {
	db := emptyTables(t, "local_media_repository", "remote_media_cache")
	run(t, db, `INSERT INTO local_media_repository (media_id, created_ts, media_length, url_cache)
		SELECT chr(65 + i % 26) || chr(97 + i % 26) || 'xxxxxxx' || i, i * 1000, CASE WHEN i % 10 = 0 THEN NULL ELSE 7 END, NULL
		FROM generate_series(1, 2000) i`)
	run(t, db, `INSERT INTO local_media_repository (media_id, created_ts, media_length, url_cache)
		SELECT '2020-01-01_' || i, i * 1000, 7, 'https://example.org' FROM generate_series(1, 2000) i`)
	run(t, db, `INSERT INTO remote_media_cache (media_origin, media_id, filesystem_id, last_access_ts)
		SELECT chr(97 + i % 26) || '.example', chr(65 + i % 26) || 'xxxxxxx' || i, 'file' || i, i FROM generate_series(1, 2000) i`)
	run(t, db, `INSERT INTO local_media_repository (media_id, created_ts) VALUES (NULL, 1)`)
	run(t, db, `INSERT INTO remote_media_cache (media_origin, media_id) VALUES (NULL, NULL)`)

	s := Sample{DB: db, ServerName: "hs"}
	for _, f := range []item.Flow{item.LocalMedia, item.RemoteMedia, item.Previews} {
		got, err := s.Of(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) < probes || len(got) > 4*probes {
			t.Errorf("%s: %d rows", f, len(got))
		}
		seen := map[string]bool{}
		for _, m := range got {
			if seen[m.Key()] || m.Flow != f || m.ID == "" || m.FileID == "" || m.Origin == "" {
				t.Errorf("%s: %+v", f, m)
			}
			seen[m.Key()] = true
			table, length := "local_media_repository", "media_length IS NOT NULL AND (url_cache IS NULL) = "+fmt.Sprint(f == item.LocalMedia)
			if f == item.RemoteMedia {
				table, length = "remote_media_cache", "filesystem_id = '"+m.FileID+"'"
			}
			var there bool
			if err := db.QueryRow(t.Context(), `SELECT EXISTS (SELECT 1 FROM `+table+` WHERE media_id = $1 AND `+length+`)`, m.ID).Scan(&there); err != nil || !there {
				t.Errorf("%s: %+v must have a file and need not: %v", f, m, err)
			}
		}
	}
}

func TestASampleFindsTheOnlyRow(t *testing.T) {
	db := emptyTables(t, "local_media_repository", "remote_media_cache")
	s := Sample{DB: db, ServerName: "hs"}
	for _, f := range []item.Flow{item.LocalMedia, item.RemoteMedia, item.Previews} {
		if got, err := s.Of(t.Context(), f); err != nil || len(got) != 0 {
			t.Errorf("of nothing, %s has %v, %v", f, got, err)
		}
	}
	run(t, db, `INSERT INTO local_media_repository (media_id, created_ts, media_length, url_cache)
		VALUES ('0123456', 5, 1, NULL), ('2020-01-01_x', 5, 1, 'https://example.org')`)
	run(t, db, `INSERT INTO remote_media_cache (media_origin, media_id, filesystem_id) VALUES ('1.2.3.4', '0', 'file')`)
	for _, f := range []item.Flow{item.LocalMedia, item.RemoteMedia, item.Previews} {
		if got, err := s.Of(t.Context(), f); err != nil || len(got) != 1 {
			t.Errorf("of one, %s has %v, %v", f, got, err)
		}
	}
}
