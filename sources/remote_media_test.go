package sources

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"synupkeep/internal/item"
)

func TestRemoteMediaByBlocksAndByKeyAreTheSame(t *testing.T) {
	db := emptyTables(t, "remote_media_cache", "destinations")
	r := rand.New(rand.NewPCG(3, 4))
	limit := cutOff().UnixMilli()
	downSince := cutOff().Add(time.Hour)
	run(t, db, `INSERT INTO destinations (destination, failure_ts) VALUES ('down', $1), ('just', $2), ('up', NULL)`,
		downSince.UnixMilli()-1, downSince.UnixMilli())

	rows := [][]any{{nil, "x", "f", nil, nil, limit - 5, nil, ""}, {"up", nil, "f", nil, nil, limit - 5, nil, ""}}
	var want []item.Media
	for i := range 5000 {
		origin, id := oneOf(r, "up", "down", "just", "unknown", "Up", "[::1]:8448", "é"), fmt.Sprintf("%s%05d", oneOf(r, "a", "A", "z", "Z"), i)
		file := oneOf[any](r, "file"+id, nil)
		accessed := oneOf[any](r, nil, limit, limit+1, limit-1, limit-int64(r.IntN(1000)), int64(0))
		quarantined := oneOf[any](r, nil, nil, nil, "@admin:hs")
		rows = append(rows, []any{origin, id, file, "image/png", 9, accessed, quarantined, strings.Repeat("x", 900)})
		if at, known := accessed.(int64); !known || at >= limit {
			continue
		}
		m := item.Media{Flow: item.RemoteMedia, Origin: origin, ID: id, Type: "image/png", Bytes: 9}
		m.FileID, _ = file.(string)
		if quarantined != nil {
			m.Keep = item.Quarantined
		} else if origin == "down" {
			m.Keep = item.OriginDown
		}
		want = append(want, m)
	}
	copyIn(t, db, "remote_media_cache", []string{
		"media_origin", "media_id", "filesystem_id", "media_type", "media_length", "last_access_ts", "quarantined_by", "upload_name",
	}, rows)
	var ranges int
	if err := db.QueryRow(t.Context(), `SELECT pg_relation_size('remote_media_cache') / 8192 / $1`, blocks).Scan(&ranges); err != nil || ranges < 3 {
		t.Fatalf("the table has %d ranges of blocks, want some: %v", ranges, err)
	}

	source := RemoteMedia{DB: db, CutOff: cutOff(), DownSince: downSince, Page: 1000}
	same(t, "by blocks", want, all(t, source.Each(t.Context())))
	source.ByKey = true
	for _, source.Page = range []int{3, 1000, 10_000} {
		same(t, fmt.Sprint("by key, in pages of ", source.Page), want, all(t, source.Each(t.Context())))
	}
	source.DownSince = time.Time{}
	for i := range want {
		if want[i].Keep == item.OriginDown {
			want[i].Keep = ""
		}
	}
	same(t, "with what servers that are down had", want, all(t, source.Each(t.Context())))
}

func TestAnEmptyTableHasNoRemoteMedia(t *testing.T) {
	db := emptyTables(t, "remote_media_cache", "destinations")
	for _, byKey := range []bool{false, true} {
		if got := all(t, RemoteMedia{DB: db, CutOff: cutOff(), ByKey: byKey, Page: 1}.Each(t.Context())); len(got) != 0 {
			t.Error(got)
		}
	}
}

func TestPagesEndWithAPageThatIsExactlyFull(t *testing.T) {
	db := emptyTables(t, "remote_media_cache", "destinations")
	run(t, db, `INSERT INTO remote_media_cache (media_origin, media_id, last_access_ts)
		SELECT 'hs' || i % 2, 'id' || i, 1 FROM generate_series(1, 6) i`)
	if got := all(t, RemoteMedia{DB: db, CutOff: cutOff(), ByKey: true, Page: 3}.Each(t.Context())); len(got) != 6 {
		t.Error(got)
	}
}
