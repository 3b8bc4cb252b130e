package sources

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"synupkeep/internal/item"
)

// momentOf is some time near one of the bounds of the curves, or no time at all.
func momentOf(r *rand.Rand, now time.Time) any {
	ages := item.CurveAges()
	at := now.Add(-ages[r.IntN(len(ages))].Age).UnixMilli()
	switch r.IntN(8) {
	case 0:
		return nil
	case 1:
		return at
	case 2:
		return at - 1
	case 3:
		return at + 1
	case 4:
		return int64(0)
	case 5:
		return now.Add(time.Hour).UnixMilli() // by a clock that is wrong
	}
	return now.Add(-time.Duration(r.Int64N(int64(8 * 365 * 24 * time.Hour)))).UnixMilli()
}

// counts are what a source yields.
func counts(found []item.Media) (c Amount) {
	for _, m := range found {
		c.Items++
		c.Bytes += m.Bytes
	}
	return c
}

func TestEachPointOfACurveIsWhatTheFlowWouldExamineWithThatCutOff(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	db := emptyTables(t, "local_media_repository", "remote_media_cache")
	now := time.UnixMilli(1_700_000_000_000).UTC()
	for i := range 500 {
		run(t, db, `INSERT INTO local_media_repository (media_id, media_type, media_length, created_ts, user_id, url_cache, quarantined_by, safe_from_quarantine)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`, fmt.Sprintf("local%d", i), oneOf[any](r, nil, "image/png", "IMAGE/PNG; charset=x", "text/plain"),
			oneOf[any](r, nil, 0, r.IntN(1000), math.MaxInt32), momentOf(r, now), oneOf[any](r, nil, "@a:hs", "@b:hs", "@c:hs"),
			oneOf[any](r, nil, nil, "https://page"), oneOf[any](r, nil, nil, nil, "@admin:hs"), r.IntN(4) == 0)
		run(t, db, `INSERT INTO remote_media_cache (media_origin, media_id, media_type, media_length, created_ts, last_access_ts, filesystem_id, quarantined_by)
			VALUES ($1, $2, $3, $4, $5, $6, $2, $7)`, oneOf(r, "one.example", "two.example"), fmt.Sprintf("remote%d", i), oneOf(r, "image/png", ""),
			oneOf[any](r, nil, r.IntN(1000)), momentOf(r, now), momentOf(r, now), oneOf[any](r, nil, nil, "@admin:hs"))
	}
	run(t, db, `INSERT INTO local_media_repository (media_id, media_length, created_ts) VALUES (NULL, 5, 0)`)
	run(t, db, `INSERT INTO remote_media_cache (media_origin, media_id, media_length, last_access_ts) VALUES (NULL, 'x', 5, 0), ('x', NULL, 5, 0)`)

	s := Space{DB: db, Now: now, Top: 10}
	curves, err := s.AgeCurves(t.Context(), []item.Flow{item.LocalMedia, item.RemoteMedia, item.Previews})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range curves {
		if len(c.Points) != len(item.CurveAges()) || c.Sample != nil {
			t.Fatalf("%+v", c)
		}
		for i, p := range c.Points {
			if want := now.Add(-item.CurveAges()[i].Age); p.Age != item.CurveAges()[i].Name || !p.CutOff.Equal(want) {
				t.Errorf("%s %s: cut-off %v, want %v", c.Flow, p.Age, p.CutOff, want)
			}
			var got []item.Media
			switch c.Flow {
			case item.LocalMedia:
				got = all(t, LocalMedia{DB: db, CutOff: p.CutOff, Page: 100}.Each(t.Context()))
			case item.RemoteMedia:
				got = all(t, RemoteMedia{DB: db, CutOff: p.CutOff, Page: 100}.Each(t.Context()))
			case item.Previews:
				got = all(t, Previews{DB: db, CutOff: p.CutOff, Page: 100}.Each(t.Context()))
			case item.History:
			}
			if diff := cmp.Diff(counts(got), Amount{p.Items, p.Bytes}); diff != "" {
				t.Errorf("%s %s (-examined +curve):\n%s", c.Flow, p.Age, diff)
			}
		}
	}
}

func TestMediaIsCountedByOwnerTypeAndWhatKeepsIt(t *testing.T) {
	db := emptyTables(t, "local_media_repository", "remote_media_cache")
	add := func(id, mime string, length any, user, url, quarantined any, safe bool) {
		run(t, db, `INSERT INTO local_media_repository (media_id, media_type, media_length, created_ts, user_id, url_cache, quarantined_by, safe_from_quarantine)
			VALUES ($1, $2, $3, 1, $4, $5, $6, $7)`, id, mime, length, user, url, quarantined, safe)
	}
	add("1", "image/png", 10, "@a:hs", nil, nil, false)
	add("2", "Image/PNG ; x=y", 20, "@a:hs", nil, "@admin:hs", true) // quarantined and protected counts once
	add("3", "text/plain", 40, "@b:hs", nil, nil, true)
	add("4", "", nil, nil, nil, nil, false) // still uploading, by nobody
	add("5", "text/html", 80, "@a:hs", "https://page", nil, false)
	add("6", "text/plain", -5, "@c:hs", nil, nil, false) // there is no such length
	for i, origin := range []string{"one.example", "one.example", "two.example"} {
		run(t, db, `INSERT INTO remote_media_cache (media_origin, media_id, media_type, media_length, last_access_ts, quarantined_by)
			VALUES ($1, $2, 'image/gif', 7, 1, $3)`, origin, fmt.Sprint(i), oneOf[any](rand.New(rand.NewPCG(0, uint64(i))), nil))
	}
	s := Space{DB: db, Now: time.Now(), Top: 2}
	uploads, previews, err := s.LocalMedia(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	remote, err := s.RemoteMedia(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	type space struct {
		All, Quarantined, Protected, Uploading Amount
		Owners, Types                          []OwnAmount
		AllOwners, AllTypes                    int64
	}
	of := func(m MediaSpace) space {
		return space{Amount{m.Curve.Items, m.Curve.Bytes}, m.Quarantined, m.Protected, m.Uploading, m.Owners, m.Types, m.AllOwners, m.AllTypes}
	}
	own := func(key string, items, bytes int64) OwnAmount { return OwnAmount{key, Amount{items, bytes}} }
	want := []space{
		{
			Amount{5, 70},
			Amount{1, 20},
			Amount{1, 40},
			Amount{1, 0},
			[]OwnAmount{own("@b:hs", 1, 40), own("@a:hs", 2, 30)},
			[]OwnAmount{own("text/plain", 2, 40), own("image/png", 2, 30)},
			4, 3,
		},
		{All: Amount{1, 80}, Owners: []OwnAmount{own("", 1, 80)}, Types: []OwnAmount{own("text/html", 1, 80)}, AllOwners: 1, AllTypes: 1},
		{
			All: Amount{3, 21}, Owners: []OwnAmount{own("one.example", 2, 14), own("two.example", 1, 7)},
			Types: []OwnAmount{own("image/gif", 3, 21)}, AllOwners: 2, AllTypes: 1,
		},
	}
	if diff := cmp.Diff(want, []space{of(uploads), of(previews), of(remote)}); diff != "" {
		t.Error(diff)
	}
}

// plantEvents fills copies of the two tables and returns the ages of the messages in ms; those without one are left out.
func plantEvents(t *testing.T, db *pgxpool.Pool, r *rand.Rand, now time.Time, n int) (old []int64, messages int) {
	t.Helper()
	for i := range n {
		sent, received := momentOf(r, now), momentOf(r, now)
		stream, outlier := int64(i+1), r.IntN(5) == 0
		state := oneOf[any](r, nil, nil, "", "@a:hs")
		if r.IntN(4) == 0 {
			stream = -stream
		}
		id := fmt.Sprintf("$%d", i)
		run(t, db, `INSERT INTO events (topological_ordering, event_id, type, room_id, processed, outlier, depth, origin_server_ts, received_ts, sender,
			stream_ordering, state_key) VALUES (1, $1, 'm', '!a', true, $2, 1, $3, $4, '@a:hs', $5, $6)`, id, outlier, sent, received, stream, state)
		run(t, db, `INSERT INTO event_json (event_id, room_id, internal_metadata, json) VALUES ($1, '!a', '', 'ten bytes!')`, id)
		if outlier || state != nil {
			continue
		}
		messages++
		at := []int64{}
		for _, v := range []any{received, sent} {
			if v != nil {
				at = append(at, v.(int64))
			}
		}
		switch {
		case len(at) == 0:
		case stream < 0: // fetched later: whichever is earlier
			old = append(old, slices.Min(at))
		default: // received, and the sender's time for want of that
			old = append(old, at[0])
		}
	}
	return old, messages
}

func TestMessagesAreCountedByTheAgeThatTheirCutGoesBy(t *testing.T) {
	db := emptyTables(t, "events", "event_json")
	now := time.UnixMilli(1_700_000_000_000).UTC()
	old, messages := plantEvents(t, db, rand.New(rand.NewPCG(3, 4)), now, 600)
	c, err := Space{DB: db, Now: now}.History(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const size = int64(len("ten bytes!") + 1) // with the length that PostgreSQL writes before it
	if c.Items != int64(messages) || c.Bytes != size*int64(messages) || c.Sample != nil {
		t.Errorf("%d messages of %d bytes, want %d of %d each (%v)", c.Items, c.Bytes, messages, size, c.Sample)
	}
	for _, p := range c.Points {
		var want int64
		for _, at := range old {
			if at < p.CutOff.UnixMilli() {
				want++
			}
		}
		if p.Items != want || p.Margin != 0 || p.Bytes != want*size {
			t.Errorf("%s: %d ±%d messages of %d bytes, want %d", p.Age, p.Items, p.Margin, p.Bytes, want)
		}
	}
}

func TestALargeTableIsEstimatedWithinItsMarginAndAlikeEachTime(t *testing.T) {
	db := emptyTables(t, "events", "event_json")
	now := time.UnixMilli(1_700_000_000_000).UTC()
	const n, step = 120_000, 30 * 60 * 1000 // of almost seven years
	run(t, db, `INSERT INTO events (topological_ordering, event_id, type, room_id, processed, outlier, depth, origin_server_ts, received_ts, sender, stream_ordering)
		SELECT i, '$' || i, 'm.room.message', '!a', true, false, i, $1::bigint - i * $2::bigint, $1::bigint - i * $2::bigint, '@a:hs', i FROM generate_series(1, $3::bigint) i`,
		now.UnixMilli(), step, n)
	run(t, db, `INSERT INTO event_json (event_id, room_id, internal_metadata, json)
		SELECT '$' || i, '!a', '', repeat('x', 500) FROM generate_series(1, $1::bigint) i`, n)
	s := Space{DB: db, Now: now, Blocks: 300}
	c, err := s.History(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if c.Sample == nil || c.Sample.Table != "events" || c.Sample.BlocksRead != 300 || c.Sample.Blocks < 1000 || c.Sample.Rows < 300 || c.Sample.Rows > n/2 {
		t.Fatalf("%+v", c.Sample)
	}
	for _, p := range c.Points {
		var want int64
		for i := int64(1); i <= n; i++ {
			if i*step > now.Sub(p.CutOff).Milliseconds() {
				want++
			}
		}
		nearly(t, p.Age, p.Items, want, p.Margin)
	}
	again, err := s.History(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(c, again); diff != "" {
		t.Errorf("an unchanged table is estimated in another way (-first +second):\n%s", diff)
	}
}

// nearly allows twice the margin: four standard deviations, which one estimate in 16,000 exceeds.
func nearly(t *testing.T, what string, got, want, margin int64) {
	t.Helper()
	if want > 0 && margin == 0 {
		t.Errorf("%s: %d without a margin", what, got)
	}
	if d := got - want; max(d, -d) > 2*margin {
		t.Errorf("%s: %d ±%d, want %d", what, got, margin, want)
	}
}

// The margin is to hold in 19 of 20 cases, and not to be wider than that takes.
func TestTheMarginIsThatOfNineteenInTwentyDraws(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	blocks := make([]float64, 4000)
	var all float64
	for i := range blocks {
		blocks[i] = float64(r.IntN(30))
		if i > 3000 && i < 3100 {
			blocks[i] = 200 // a room lies together
		}
		all += blocks[i]
	}
	d := Draw{Percent: 5}
	const draws = 4000
	held := 0
	for range draws {
		var n, n2 float64
		for _, b := range blocks {
			if r.Float64() < 0.05 {
				n, n2 = n+b, n2+b*b
			}
		}
		if math.Abs(float64(d.Estimate(n))-all) <= float64(d.Margin(n2)) {
			held++
		}
	}
	if share := float64(held) / draws; share < 0.92 || share > 0.98 {
		t.Errorf("the margin holds in %.1f%% of the draws", 100*share)
	}
}

func TestATableThatIsNotThereIsSaidToBeMissing(t *testing.T) {
	db := emptyTables(t)
	if _, err := DrawFrom(t.Context(), db, "no_such_table", 0); !errors.Is(err, ErrNoTable) {
		t.Error(err)
	}
	d, err := DrawFrom(t.Context(), db, "events", 0)
	if err != nil || !d.Whole() || d.Sample(5) != nil || d.Margin(9) != 0 || d.Estimate(3) != 3 {
		t.Errorf("%+v, %v", d, err)
	}
}
