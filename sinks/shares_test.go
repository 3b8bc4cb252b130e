package sinks_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"synupkeep/internal/item"
	"synupkeep/sinks"
)

func TestSharesAreOfWhatWentAndTheMostComesFirst(t *testing.T) {
	tally := sinks.NewTally(item.Flows())
	tally.Top = 2
	add := func(f item.Flow, outcomes ...item.Outcome) {
		for _, o := range outcomes {
			o.Flow = f
			tally.Add(o)
		}
	}
	kept := media(item.LocalMedia, "@kept:x", "x", "image/gif", 1000, 1)
	kept.Status, kept.Rows = item.Kept, 0
	halfDone := media(item.LocalMedia, "@a:x", "x", "text/plain", 5, 3)
	halfDone.Status = item.Failed // its row is gone
	finished := media(item.LocalMedia, "@other:x", "x", "image/gif", 1000, 1)
	finished.Rows, finished.Finished = 0, true
	add(item.LocalMedia, kept, halfDone, finished,
		media(item.LocalMedia, "@b:x", "x", "text/plain; charset=utf-8", 7, 2), media(item.LocalMedia, "@b:x", "x", "image/png", 0, 2),
		media(item.LocalMedia, "@c:x", "x", "image/png", 1, 1))
	add(item.RemoteMedia, media(item.RemoteMedia, "", "one", "image/png", 7, 1), media(item.RemoteMedia, "", "two", "image/png", 8, 1))
	odd := media(item.Previews, "", "x", "image/png", 1, 1)
	early, late := *odd.Media, *odd.Media
	early.Created, late.Created = -1<<62, 1<<62
	add(item.Previews, item.Outcome{Status: item.Done, Rows: 1, Media: &early}, item.Outcome{Status: item.Done, Rows: 1, Media: &late})
	add(item.History, item.Outcome{Key: "!a", Status: item.Done, Rows: 1}, item.Outcome{Key: "!b", Status: item.Done, Rows: 3},
		item.Outcome{Key: "!c", Status: item.Failed, Rows: 2}, item.Outcome{Key: "!d", Status: item.Kept, Cut: &item.Cut{Messages: 9}})

	today := func(ago int) string { return fourOClock.AddDate(0, 0, -ago).Format(time.DateOnly) }
	want := map[item.Flow]sinks.Shares{
		item.History: {ByRoom: []sinks.RoomShare{{RoomID: "!b", Messages: 3}, {RoomID: "!c", Messages: 2}}},
		item.LocalMedia: {
			ByUser: []sinks.Share{{"@b:x", 2, 7}, {"@a:x", 1, 5}},
			ByType: []sinks.Share{{"text/plain", 2, 12}, {"image/png", 2, 1}},
			ByDay:  []sinks.DayShare{{today(3), 1, 5}, {today(2), 2, 7}, {today(1), 1, 1}},
		},
		item.RemoteMedia: {
			ByOrigin: []sinks.Share{{"two", 1, 8}, {"one", 1, 7}}, ByType: []sinks.Share{{"image/png", 2, 15}},
			ByDay: []sinks.DayShare{{today(1), 2, 15}},
		},
		item.Previews: {
			ByType: []sinks.Share{{"image/png", 2, 0}}, ByDay: []sinks.DayShare{{"1970-01-01", 1, 0}, {"2100-04-09", 1, 0}},
		},
	}
	for _, f := range tally.Summary().Flows {
		if diff := gocmp.Diff(want[f.Flow], f.Shares, gocmp.Transformer("nil", func(s sinks.Shares) map[string]any {
			all := map[string]any{}
			for name, list := range map[string]any{"room": s.ByRoom, "user": s.ByUser, "origin": s.ByOrigin, "type": s.ByType, "day": s.ByDay} {
				if fmt.Sprint(list) != "[]" {
					all[name] = list
				}
			}
			return all
		})); diff != "" {
			t.Errorf("%s:\n%s", f.Flow, diff)
		}
	}
}

// TestSharesOfVeryManyServers draws servers, a few of which have much: no share is more than the truth, none is less by more
// than is said, and whoever has more than that is named.
func TestSharesOfVeryManyServers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		many := rapid.SampledFrom([]int{3000, 9000, 30_000}).Draw(t, "servers")
		large := rapid.IntRange(1, 20).Draw(t, "large ones")
		tally := sinks.NewTally([]item.Flow{item.RemoteMedia})
		tally.Top = many
		truth := map[string]sinks.Share{}
		var all int64
		for range 2 * many {
			n, bytes := random.IntN(many), random.Int64N(100)
			if n%100 < large {
				n, bytes = n%100, random.Int64N(100_000)
			}
			o := media(item.RemoteMedia, "", fmt.Sprintf("server%d", n), "image/png", bytes, 1)
			o.Flow = item.RemoteMedia
			tally.Add(o)
			s := truth[o.Media.Origin]
			truth[o.Media.Origin] = sinks.Share{Key: o.Media.Origin, Items: s.Items + 1, Bytes: s.Bytes + bytes}
			all += bytes + 1
		}
		got := tally.Summary().Flows[0].Shares
		if got.Uncertain > all/4096 || many < 8000 && got.Uncertain != 0 {
			t.Fatalf("uncertain by %d of %d bytes of %d servers", got.Uncertain, all, many)
		}
		named := map[string]bool{}
		for _, s := range got.ByOrigin {
			named[s.Key] = true
			if real := truth[s.Key]; s.Bytes > real.Bytes || s.Items > real.Items || s.Bytes < real.Bytes-got.Uncertain {
				t.Fatalf("%+v is said to have %+v, uncertain by %d", real, s, got.Uncertain)
			}
		}
		for key, s := range truth {
			if s.Bytes > got.Uncertain && !named[key] {
				t.Fatalf("%+v is not named, uncertain by %d", s, got.Uncertain)
			}
		}
		if !slices.IsSortedFunc(got.ByOrigin, func(a, b sinks.Share) int { return cmp.Compare(b.Bytes, a.Bytes) }) {
			t.Fatal("not in order")
		}
	})
}
