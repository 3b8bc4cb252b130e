package sources

import (
	"fmt"
	"strings"
	"testing"

	"synupkeep/internal/item"
)

func TestASampleHasRowsOfEveryPartOfATable(t *testing.T) {
	db := emptyTables(t, "local_media_repository", "local_media_repository_url_cache", "remote_media_cache")
	run(t, db, `INSERT INTO local_media_repository (media_id, created_ts, media_length, url_cache)
		SELECT chr(65 + i % 26) || chr(97 + i % 26) || 'xxxxxxx' || i, i * 1000, CASE WHEN i % 10 = 0 THEN NULL ELSE 7 END, NULL
		FROM generate_series(1, 2000) i`)
	run(t, db, `INSERT INTO local_media_repository (media_id, created_ts, media_length, url_cache)
		SELECT '2020-01-01_' || i, i * 1000, 7, 'https://example.org' FROM generate_series(1, 2000) i`)
	run(t, db, `INSERT INTO remote_media_cache (media_origin, media_id, filesystem_id, last_access_ts)
		SELECT chr(97 + i % 26) || '.example', chr(65 + i % 26) || 'xxxxxxx' || i, 'file' || i, i FROM generate_series(1, 2000) i`)
	run(t, db, `INSERT INTO local_media_repository (media_id, created_ts) VALUES (NULL, 1)`)
	run(t, db, `INSERT INTO remote_media_cache (media_origin, media_id) VALUES (NULL, NULL)`)

	run(t, db, `INSERT INTO local_media_repository_url_cache (url, media_id, download_ts) SELECT i::text, '2020-01-01_' || i, 1
		FROM generate_series(1, 2000, 2) i`) // the others have expired
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
	db := emptyTables(t, "local_media_repository", "local_media_repository_url_cache", "remote_media_cache")
	s := Sample{DB: db, ServerName: "hs"}
	for _, f := range []item.Flow{item.LocalMedia, item.RemoteMedia, item.Previews} {
		if got, err := s.Of(t.Context(), f); err != nil || len(got) != 0 {
			t.Errorf("of nothing, %s has %v, %v", f, got, err)
		}
	}
	run(t, db, `INSERT INTO local_media_repository (media_id, created_ts, media_length, url_cache)
		VALUES ('0123456', 5, 1, NULL), ('2020-01-01_x', 5, 1, 'https://example.org')`)
	run(t, db, `INSERT INTO remote_media_cache (media_origin, media_id, filesystem_id) VALUES ('1.2.3.4', '0', 'file')`)
	run(t, db, `INSERT INTO local_media_repository_url_cache (url, media_id, download_ts) VALUES ('https://example.org', '2020-01-01_x', 1)`)
	for _, f := range []item.Flow{item.LocalMedia, item.RemoteMedia, item.Previews} {
		if got, err := s.Of(t.Context(), f); err != nil || len(got) != 1 {
			t.Errorf("of one, %s has %v, %v", f, got, err)
		}
	}
}

// TestTheNewestAreTheNewestAndMustHaveAFile: three, and none of which the file may be missing.
func TestTheNewestAreTheNewestAndMustHaveAFile(t *testing.T) {
	db := emptyTables(t, "local_media_repository", "local_media_repository_url_cache", "remote_media_cache")
	s := Sample{DB: db, ServerName: "hs"}
	for _, n := range []int{2, 500} {
		run(t, db, `TRUNCATE local_media_repository, local_media_repository_url_cache, remote_media_cache`)
		run(t, db, `INSERT INTO local_media_repository (media_id, created_ts, media_length, user_id, quarantined_by, url_cache)
			SELECT 'media' || lpad(i::text, 5, '0'), CASE WHEN i = 500 THEN NULL ELSE i END, CASE WHEN i = 499 THEN NULL ELSE 1 END, '@u' || i % 5,
				CASE WHEN i = 498 THEN '@admin' END, CASE WHEN i = 497 THEN 'https://example.org' END FROM generate_series(1, $1::int) i`, n)
		run(t, db, `INSERT INTO local_media_repository (media_id, created_ts, media_length, url_cache, quarantined_by)
			SELECT '2020-01-01_' || i, i, 1, 'https://example.org', CASE WHEN i = 489 THEN '@admin' END FROM generate_series(1, $1::int) i`, n)
		run(t, db, `INSERT INTO local_media_repository_url_cache (url, media_id, download_ts) SELECT i::text, '2020-01-01_' || i, 1
			FROM generate_series(1, $1::int - 10) i`, n)
		run(t, db, `INSERT INTO remote_media_cache (media_origin, media_id, filesystem_id, created_ts, quarantined_by)
			SELECT 'o', 'm' || i, 'f' || i, i, CASE WHEN i = 499 THEN '@admin' END FROM generate_series(1, $1::int) i`, n)
		for f, want := range map[item.Flow]string{
			item.LocalMedia:  "media00496 media00495 media00494",
			item.Previews:    "2020-01-01_490 2020-01-01_488 2020-01-01_487",
			item.RemoteMedia: "m500 m498 m497",
		} {
			if n < newest {
				want = ""
			}
			found, err := s.Newest(t.Context(), f, true)
			got := ""
			for _, m := range found {
				got = strings.TrimSpace(got + " " + m.ID)
			}
			if err != nil || got != want {
				t.Errorf("%s of %d: %q, want %q (%v)", f, n, got, want, err)
			}
		}
		if found, err := s.Newest(t.Context(), item.RemoteMedia, false); len(found) > 0 || err != nil {
			t.Errorf("%v %v", found, err)
		}
	}
}
