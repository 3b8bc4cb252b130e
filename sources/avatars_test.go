package sources

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"synupkeep/internal/sandbox"
)

func TestWhatAnAvatarsURINames(t *testing.T) {
	const prefix = "mxc://hs/"
	for uri, want := range map[string]string{
		"mxc://hs/abc": "abc", "mxc://hs/abc#auto": "abc", "mxc://hs/abc?width=32": "abc", "mxc://hs/abc/def": "abc",
		"mxc://hs/": "", "mxc://hs": "-", "mxc://hs2/abc": "-", "https://hs/abc": "-", "": "-",
	} {
		id, ours := mediaID(uri, prefix)
		if !ours {
			id = "-"
		}
		if id != want {
			t.Errorf("%q names %q, want %q", uri, id, want)
		}
	}
}

func TestWhatARoomAvatarNames(t *testing.T) {
	for event, want := range map[string][]string{
		`{"content": {"url": "mxc://hs/a", "info": {"thumbnail_url": "mxc://hs/b"}}}`:            {"mxc://hs/a", "mxc://hs/b"},
		`{"content": {"url": "mxc://hs/a", "URL": "mxc://hs/b"}}`:                                {"mxc://hs/a"},
		`{"content": {"url": "mxc://hs/a", "Url": 5, "info": {"Thumbnail_URL": "x"}}}`:           {"mxc://hs/a"},
		`{"content": {"url": "mxc://hs/a", "info": ["no object"]}}`:                              {"mxc://hs/a"},
		`{"content": {"url": "mxc://hs/a", "big": 1e999}}`:                                       {"mxc://hs/a"},
		`{"content": {"url": "mxc://hs/a", "nul": "\u0000", "half": "\ud800"}, "Content": null}`: {"mxc://hs/a"},
		`{"content": {"url": 5, "info": {"thumbnail_url": ["x"]}}}`:                              nil,
		`{"content": {}}`:  nil,
		`{"content": "x"}`: nil,
		`{}`:               nil,
		`[]`:               nil,
		``:                 nil,
	} {
		if diff := cmp.Diff(want, avatarQuery{content: true}.uris(event)); diff != "" {
			t.Errorf("%s:\n%s", event, diff)
		}
	}
}

// TestFirstAfterCutOff compares with a look at every event. It may be too early, never too late.
func TestFirstAfterCutOff(t *testing.T) {
	db := emptyTables(t, "events")
	r := rand.New(rand.NewPCG(5, 6))
	cutOff := time.Now().Add(-30 * 24 * time.Hour)
	avatars := Avatars{DB: db, ServerName: "hs", CutOff: cutOff}
	for _, n := range []int{0, 1, 2, 3, 10, 100, 1000} {
		run(t, db, "TRUNCATE events")
		var rows [][]any
		stream, at := int64(r.IntN(5)), cutOff.Add(-60*24*time.Hour)
		first := int64(-1)
		for i := range n {
			stream += 1 + int64(r.IntN(3))
			at = at.Add(time.Duration(r.IntN(int(240*24*time.Hour) / n)))
			came := at.Add(time.Duration(r.IntN(40)-20) * time.Hour) // out of order
			if !came.Before(cutOff) && first < 0 {
				first = stream
			}
			rows = append(rows, eventRow(i, stream, came))
		}
		rows = append(rows, eventRow(n, -7, time.Now())) // backfilled: no change of the state
		copyIn(t, db, "events", eventColumns(), rows)

		got, err := avatars.firstAfterCutOff(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if first >= 0 && got > first {
			t.Errorf("of %d events: it begins at %d, the first after the cut-off is %d", n, got, first)
		}
		var tooMany int
		err = db.QueryRow(t.Context(), `SELECT count(*) FROM events WHERE stream_ordering >= $1 AND received_ts < $2`,
			got, cutOff.Add(-3*arrivalSlack).UnixMilli()).Scan(&tooMany)
		if err != nil || tooMany > 0 {
			t.Errorf("of %d events: it begins at %d, %d events long before the cut-off: %v", n, got, tooMany, err)
		}
	}
}

func eventColumns() []string {
	return []string{"topological_ordering", "event_id", "type", "room_id", "processed", "outlier", "depth", "received_ts", "stream_ordering", "instance_name"}
}

func eventRow(i int, stream int64, came time.Time) []any {
	return []any{int64(i), fmt.Sprintf("$%d", i), "m.room.message", "!r", true, false, int64(i), came.UnixMilli(), stream, "master"}
}

// TestThePositionLeavesRoomForWhatIsBeingWritten: of two writers the one with the lower number may commit later.
func TestThePositionLeavesRoomForWhatIsBeingWritten(t *testing.T) {
	db := emptyTables(t, "events")
	avatars := Avatars{DB: db, ServerName: "hs", CutOff: time.Now()}
	here := func(want int64) {
		t.Helper()
		if at, err := avatars.Here(t.Context()); err != nil || at.Events != want {
			t.Errorf("%d, %v; want %d", at.Events, err, want)
		}
	}
	here(0)
	copyIn(t, db, "events", eventColumns(), [][]any{eventRow(0, -50, time.Now()), eventRow(1, 100, time.Now().Add(-time.Hour)), eventRow(2, 110, time.Now().Add(-time.Hour))})
	here(110)
	copyIn(t, db, "events", eventColumns(), [][]any{eventRow(3, 120, time.Now()), eventRow(4, 130, time.Now())})
	here(119)
}

// TestAvatarsOfARealServer has one of every kind that is cheap to make here; what their age decides is tested with the
// whole flow.
func TestAvatarsOfARealServer(t *testing.T) {
	s := sandbox.Shared(t)
	db := emptyTables(t)
	ctx := t.Context()
	hs := "mxc://" + s.ServerName() + "/"
	anna, bert := s.As("anna"), s.As("bert")
	room, err := anna.CreateRoom(ctx, sandbox.RoomOptions{})
	if err != nil {
		t.Fatal(err)
	}
	must := func(_ string, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must("", bert.Join(ctx, room))
	must("", anna.SetAvatar(ctx, hs+"profile"))
	must("", bert.SetAvatar(ctx, "mxc://elsewhere/remote"))
	must(bert.SetState(ctx, room, "m.room.member", bert.UserID(), map[string]any{"membership": "join", "avatar_url": hs + "member#auto"}))
	must("", bert.Leave(ctx, room))
	must(anna.SetState(ctx, room, "m.room.member", s.As("cleo").UserID(), map[string]any{"membership": "invite", "avatar_url": hs + "invited"}))
	must(anna.SetState(ctx, room, "m.room.member", bert.UserID(), map[string]any{"membership": "ban", "avatar_url": hs + "banned"}))
	for _, n := range []string{"1", "2"} {
		must(anna.SetState(ctx, room, "m.room.avatar", "", map[string]any{"url": hs + "room" + n, "info": map[string]any{"thumbnail_url": hs + "thumbnail" + n}}))
	}
	var got []string
	avatars := Avatars{DB: db, ServerName: s.ServerName(), CutOff: time.Now().Add(-time.Hour)}
	if err := avatars.Each(ctx, func(id string) { got = append(got, id) }); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"profile", "member", "invited", "banned", "room1", "room2", "thumbnail1", "thumbnail2"} {
		if !slices.Contains(got, want) {
			t.Errorf("%s is not protected: %v", want, got)
		}
	}
	if slices.ContainsFunc(got, func(id string) bool { return id == "remote" || id == "member#auto" }) {
		t.Errorf("%v", got)
	}
}

// TestAnUnreadableSetIsAnError: what is not known to be unshown stays.
func TestAnUnreadableSetIsAnError(t *testing.T) {
	for _, table := range []string{"profiles", "user_directory", "room_stats_state", "room_memberships", "current_state_delta_stream", "event_json"} {
		db := emptyTables(t)
		run(t, db, `DO $$ BEGIN EXECUTE format('CREATE TABLE %I.`+table+` (wrong int)', current_schema()); END $$`)
		err := Avatars{DB: db, ServerName: "hs", CutOff: time.Now()}.Each(t.Context(), func(string) {})
		if err == nil {
			t.Errorf("without %s the set is whole", table)
		}
	}
}
