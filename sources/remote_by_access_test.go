package sources

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"synupkeep/internal/item"
	"synupkeep/internal/synapse"
)

func TestStepsHoldEveryOldRowOnceAndTearNothingApart(t *testing.T) {
	db := emptyTables(t, "remote_media_cache")
	r := rand.New(rand.NewPCG(5, 6))
	limit := cutOff().UnixMilli()
	oldest := synapse.OldestPurge().UnixMilli()
	var rows [][]any
	var want []item.Media
	for i := range 2000 {
		id := fmt.Sprintf("id%05d", i)
		accessed := oneOf[any](r, nil, limit, limit+5, limit-1, limit-int64(r.IntN(40)), limit-int64(r.IntN(40)), oldest-1, oldest, int64(0), int64(-5))
		quarantined := oneOf[any](r, nil, nil, nil, "@admin:hs")
		rows = append(rows, []any{"hs", id, "file" + id, 9, accessed, quarantined})
		at, known := accessed.(int64)
		if !known || at >= limit {
			continue
		}
		m := item.Media{Flow: item.RemoteMedia, Origin: "hs", ID: id, FileID: "file" + id, Bytes: 9, LastAccess: max(at, oldest-1)}
		if quarantined != nil {
			m.Keep = item.Quarantined
		}
		want = append(want, m)
	}
	copyIn(t, db, "remote_media_cache", []string{
		"media_origin", "media_id", "filesystem_id", "media_length", "last_access_ts", "quarantined_by",
	}, rows)
	for _, page := range []int{900, 1001, len(want), 10_000} {
		for _, size := range []int{1, 7, 100, 5000} {
			source := RemoteByAccess{DB: db, CutOff: cutOff(), Page: page, Size: func() int { return size }}
			var got []item.Media
			last := int64(0)
			for step, err := range source.Steps(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				if step[0].LastAccess <= last {
					t.Fatalf("a step begins at %d, the one before it ended at %d", step[0].LastAccess, last)
				}
				last = step[len(step)-1].LastAccess
				got = append(got, step...)
			}
			slices.SortFunc(got, func(a, b item.Media) int { return strings.Compare(a.Key(), b.Key()) })
			same(t, fmt.Sprintf("pages of %d, steps of %d", page, size), want, got)
		}
	}
}

func TestTooManyOfOneMillisecondAreRefused(t *testing.T) {
	db := emptyTables(t, "remote_media_cache")
	run(t, db, `INSERT INTO remote_media_cache (media_origin, media_id, last_access_ts)
		SELECT 'hs', 'id' || i, 40000000000 FROM generate_series(1, 6) i`)
	for page, refused := range map[int]bool{6: true, 7: false} {
		source := RemoteByAccess{DB: db, CutOff: cutOff(), Page: page, Size: func() int { return 1 }}
		n := 0
		var last error
		for step, err := range source.Steps(t.Context()) {
			n, last = n+len(step), err
		}
		var known *item.RunError
		if refused != errors.As(last, &known) || refused && known.Cause != item.CauseRefused {
			t.Errorf("page of %d: %v", page, last)
		}
		if want := map[bool]int{true: 0, false: 6}[refused]; n != want {
			t.Errorf("page of %d: %d rows, want %d", page, n, want)
		}
	}
}

func TestAStepIsNoLargerThanAskedForUnlessItCannotBeDivided(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var page []item.Media
		at := int64(0)
		for range rapid.IntRange(1, 40).Draw(t, "rows") {
			at += rapid.Int64Range(0, 1).Draw(t, "later")
			page = append(page, item.Media{LastAccess: at, Keep: rapid.SampledFrom([]item.Reason{"", "", item.Quarantined}).Draw(t, "keep")})
		}
		size := rapid.IntRange(1, 20).Draw(t, "size")
		n := stepEnd(page, size)
		if n < 1 || n < len(page) && page[n].LastAccess == page[n-1].LastAccess {
			t.Fatalf("a step of %d of %v", n, page)
		}
		goes, moments := 0, map[int64]bool{}
		for _, m := range page[:n] {
			if m.Keep == "" {
				goes++
				moments[m.LastAccess] = true
			}
		}
		if goes > size && len(moments) > 1 {
			t.Fatalf("%d go at %d moments, %d were asked for", goes, len(moments), size)
		}
	})
}

func TestMediaOfServersThatAreDownIsFound(t *testing.T) {
	db := emptyTables(t, "remote_media_cache", "destinations")
	since := cutOff().Add(time.Hour)
	run(t, db, `INSERT INTO destinations (destination, failure_ts) VALUES ('down', $1), ('worse', 1), ('just', $2), ('up', NULL), ('kept', 1), ('young', 1)`,
		since.UnixMilli()-1, since.UnixMilli())
	run(t, db, `INSERT INTO remote_media_cache (media_origin, media_id, last_access_ts, quarantined_by) VALUES
		('down', 'a', 1, NULL), ('down', 'b', 1, NULL), ('worse', 'a', 1, NULL), ('just', 'a', 1, NULL),
		('up', 'a', 1, NULL), ('kept', 'a', 1, '@admin:hs'), ('young', 'a', $1, NULL)`, cutOff().UnixMilli())
	got, err := RemoteByAccess{DB: db, CutOff: cutOff()}.DownIn(t.Context(), since)
	if want := (Down{Servers: 2, Media: 3, Example: "down"}); err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
}
