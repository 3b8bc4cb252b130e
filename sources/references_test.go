package sources

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"synupkeep/internal/item"
	"synupkeep/internal/references"
	"synupkeep/internal/sandbox"
)

// shownSet is what a source gave: the reasons by hash.
type shownSet map[uint64][]item.Reason

func (s shownSet) add(hash uint64, why item.Reason) {
	if !slices.Contains(s[hash], why) {
		s[hash] = append(s[hash], why)
	}
}

// why are the reasons for an id, in alphabetical order.
func (s shownSet) why(id string) []item.Reason {
	return slices.Sorted(slices.Values(s[references.Hash(id)]))
}

func each(t testing.TB, r References) shownSet {
	t.Helper()
	set := shownSet{}
	if err := r.Each(t.Context(), set.add); err != nil {
		t.Fatal(err)
	}
	return set
}

// wantShown compares the reasons of some ids; an id without reasons must not be in the set.
func wantShown(t testing.TB, set shownSet, want map[string][]item.Reason) {
	t.Helper()
	got := map[string][]item.Reason{}
	for id := range want {
		got[id] = set.why(id)
	}
	if diff := cmp.Diff(want, got, cmp.Transformer("sorted", func(r []item.Reason) []string {
		text := []string{}
		for _, why := range r {
			text = append(text, string(why))
		}
		slices.Sort(text)
		return text
	})); diff != "" {
		t.Errorf("shown (-want +got):\n%s", diff)
	}
}

// world is a real server to test on, and a room in it.
type world struct {
	*sandbox.Server
	t    testing.TB
	user *sandbox.Client
	room string
	refs References
	hs   string // mxc://server/
}

func newWorld(t testing.TB) *world {
	s := sandbox.Shared(t)
	w := &world{Server: s, t: t, user: s.As("wilma"), hs: "mxc://" + s.ServerName() + "/"}
	w.room = w.newRoom()
	w.refs = References{
		DB: emptyTables(t), ServerName: s.ServerName(), CutOff: time.Now().Add(-time.Hour), ReportsSince: time.Now().Add(-time.Hour),
		Say: func(text string) { t.Log(text) },
	}
	return w
}

func (w *world) newRoom() string {
	w.t.Helper()
	return w.must(w.user.CreateRoom(w.t.Context(), sandbox.RoomOptions{}))
}

func (w *world) must(id string, err error) string {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

func (w *world) send(kind string, content map[string]any) string {
	w.t.Helper()
	if content["body"] == nil {
		content["body"] = "b"
	}
	if content["msgtype"] == nil {
		content["msgtype"] = "m.text"
	}
	return w.must(w.user.SendContent(w.t.Context(), w.room, kind, content))
}

func (w *world) state(kind, key string, content map[string]any) string {
	w.t.Helper()
	return w.must(w.user.SetState(w.t.Context(), w.room, kind, key, content))
}

// picture sends a message that shows media.
func (w *world) picture(id string) string {
	w.t.Helper()
	return w.send("m.room.message", map[string]any{"msgtype": "m.image", "url": w.hs + id})
}

func (w *world) put(path string, content any) {
	w.t.Helper()
	if err := w.user.Do(w.t.Context(), http.MethodPut, path, nil, content, nil); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) sql(sql string, args ...any) {
	w.t.Helper()
	conn, err := w.DB(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close(context.Background()) //nolint:errcheck // it was only used
	if _, err := conn.Exec(w.t.Context(), sql, args...); err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
}

// outlier does to a state event what a purge does.
func (w *world) outlier(id string) {
	w.t.Helper()
	w.sql(`UPDATE events SET outlier = true WHERE event_id = $1`, id)
}

// id makes an id that no other test has.
func (w *world) id(name string) string { return fmt.Sprintf("%s%d", name, time.Now().UnixNano()) }

// TestEveryPlaceOfAnEventThatShowsMediaProtectsIt has the places that clients draw pictures from.
func TestEveryPlaceOfAnEventThatShowsMediaProtectsIt(t *testing.T) {
	w := newWorld(t)
	want := map[string][]item.Reason{}
	uri := func(name string) string {
		id := w.id(name)
		want[id] = []item.Reason{item.Event}
		return w.hs + id
	}
	w.send("m.room.message", map[string]any{"msgtype": "m.image", "url": uri("url")})
	w.send("m.room.message", map[string]any{"msgtype": "m.image", "file": map[string]any{"url": uri("file")}})
	w.send("m.room.message", map[string]any{"msgtype": "m.video", "info": map[string]any{"thumbnail_url": uri("thumbnail")}})
	w.send("m.room.message", map[string]any{"msgtype": "m.video", "info": map[string]any{"thumbnail_file": map[string]any{"url": uri("thumbnailfile")}}})
	w.send("m.room.message", map[string]any{"msgtype": "dm.filament.gallery", "itemtypes": []any{
		map[string]any{"url": uri("gallery1")}, map[string]any{"file": map[string]any{"url": uri("gallery2")}},
	}})
	w.send("m.room.message", map[string]any{
		"msgtype": "m.text", "format": "org.matrix.custom.html", "body": ":x: ü",
		"formatted_body": `<img data-mx-emoticon src="` + uri("emote") + `" alt='x'><img src='` + uri("single") + `'/><p>` + uri("bare") + ".</p>\n" + uri("line") + "\nü",
	})
	w.send("m.sticker", map[string]any{"body": "x", "url": uri("sticker")})
	w.send("m.reaction", map[string]any{"m.relates_to": map[string]any{"key": uri("reaction")}})
	w.send("org.example.anything", map[string]any{"deep": []any{[]any{map[string]any{uri("key"): true}}}})
	w.send("m.room.message", map[string]any{"msgtype": "m.text", "body": "https://cdn.example/_matrix/media/v3/download/" +
		w.ServerName() + "/" + uri("link")[len(w.hs):] + "?x"})
	w.send("m.room.message", map[string]any{"msgtype": "m.text", "body": "x", "m.new_content": map[string]any{"body": uri("edit")}})
	elsewhere := w.id("elsewhere")
	want[elsewhere] = nil
	w.send("m.room.message", map[string]any{"url": "mxc://elsewhere/" + elsewhere})
	wantShown(t, each(t, w.refs), want)
}

// TestEncryptedEventsAreNeverRead: what an encrypted event shows cannot be known, and what is beside it nobody shows.
func TestEncryptedEventsAreNeverRead(t *testing.T) {
	w := newWorld(t)
	w.refs.Memory = references.In(t.TempDir(), "hs")
	cold, warm := w.id("cold"), w.id("warm")
	w.send("m.room.encrypted", map[string]any{"ciphertext": w.hs + cold})
	wantShown(t, each(t, w.refs), map[string][]item.Reason{cold: nil})
	position, err := w.refs.Here(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.send("m.room.encrypted", map[string]any{"ciphertext": w.hs + warm})
	wantShown(t, each(t, w.refs), map[string][]item.Reason{cold: nil, warm: nil})
	news := shownSet{}
	if err := w.refs.Since(t.Context(), w.refs.DB, position, news.add); err != nil {
		t.Fatal(err)
	}
	wantShown(t, news, map[string][]item.Reason{cold: nil, warm: nil})
}

// TestCurrentStateProtectsItsMediaAsOutliersToo: a purge makes all state below the cut outliers, which are current all
// the same.
func TestCurrentStateProtectsItsMediaAsOutliersToo(t *testing.T) {
	w := newWorld(t)
	want := map[string][]item.Reason{}
	add := func(kind, key string, why item.Reason, content func(uri string) map[string]any) {
		id := w.id("state")
		w.outlier(w.state(kind, key, content(w.hs+id)))
		want[id] = []item.Reason{why}
	}
	link := func(uri string) map[string]any { return map[string]any{"url": uri} }
	pack := func(uri string) map[string]any {
		return map[string]any{"images": map[string]any{"cat": map[string]any{"url": uri}}}
	}
	member := func(uri string) map[string]any { return map[string]any{"membership": "join", "avatar_url": uri} }
	add("m.room.avatar", "", item.Avatar, link)
	add("m.room.member", w.user.UserID(), item.Avatar, member)
	add("im.ponies.room_emotes", "", "state:im.ponies.room_emotes", pack)
	add("m.image_pack", "cats", "state:m.image_pack", pack)
	add("im.vector.modular.widgets", "w", "state:im.vector.modular.widgets", link)
	add("m.bridge", "b", "state:m.bridge", func(uri string) map[string]any { return map[string]any{"network": map[string]any{"avatar_url": uri}} })
	add("m.space.child", "!x:y", "state:m.space.child", link)

	// What was replaced: kept while it is no outlier. Then only avatars are, because messages are drawn with them.
	oldPack, oldAvatar := w.id("oldpack"), w.id("oldavatar")
	packEvent := w.state("m.image_pack", "dogs", pack(w.hs+oldPack))
	w.state("m.image_pack", "dogs", map[string]any{})
	w.newAvatar(oldAvatar)
	want[oldPack], want[oldAvatar] = []item.Reason{item.Event}, []item.Reason{item.Avatar}
	wantShown(t, each(t, w.refs), want)
	w.outlier(packEvent)
	want[oldPack] = nil
	wantShown(t, each(t, w.refs), want)
}

// newAvatar gives another room an avatar, replaces it and makes it an outlier.
func (w *world) newAvatar(id string) {
	w.t.Helper()
	room := w.newRoom()
	old := w.must(w.user.SetState(w.t.Context(), room, "m.room.avatar", "", map[string]any{"url": w.hs + id}))
	w.must(w.user.SetState(w.t.Context(), room, "m.room.avatar", "", map[string]any{}))
	w.outlier(old)
}

// TestAvatarsOfTheTimeOfKeptMessagesAreProtected: with the cut between an avatar and what replaced it, messages that are
// kept are drawn with the old one, however long ago that was.
func TestAvatarsOfTheTimeOfKeptMessagesAreProtected(t *testing.T) {
	w := newWorld(t)
	w.refs.CutOff = time.Now().Add(72 * time.Hour) // everything is older
	old, new, pack := w.id("old"), w.id("new"), w.id("pack")
	avatar := w.state("m.room.avatar", "", map[string]any{"url": w.hs + old})
	images := w.state("m.image_pack", "", map[string]any{"url": w.hs + pack})
	replaced := w.state("m.room.avatar", "", map[string]any{"url": w.hs + new})
	w.state("m.image_pack", "", map[string]any{})
	want := map[string][]item.Reason{old: {item.Event}, new: {item.Avatar}, pack: {item.Event}}
	wantShown(t, each(t, w.refs), want)
	w.outlier(avatar)
	w.outlier(images)
	want[old], want[pack] = []item.Reason{item.Avatar}, nil
	wantShown(t, each(t, w.refs), want)

	plan := w.refs
	plan.Going = func(room string, _ int64) bool { return room == w.room }
	want[old] = nil
	wantShown(t, each(t, plan), want)
	w.outlier(replaced)
	wantShown(t, each(t, w.refs), want)
}

// TestWhatUsersKeepOutsideOfRoomsProtectsItsMedia.
func TestWhatUsersKeepOutsideOfRoomsProtectsItsMedia(t *testing.T) {
	w := newWorld(t)
	want := map[string][]item.Reason{}
	uri := func(why item.Reason) string {
		id := w.id("x")
		want[id] = []item.Reason{why}
		return w.hs + id
	}
	user := "/_matrix/client/v3/user/" + url.PathEscape(w.user.UserID())
	w.put(user+"/account_data/im.ponies.user_emotes", map[string]any{"images": map[string]any{"cat": map[string]any{"url": uri(item.AccountData)}}})
	w.put(user+"/account_data/m.widgets", map[string]any{"w": map[string]any{"content": map[string]any{"url": uri(item.AccountData)}}})
	w.put(user+"/rooms/"+url.PathEscape(w.room)+"/account_data/m.image_pack", map[string]any{"x": uri(item.AccountData)})
	w.banner(uri)

	alone := w.As("alone") // in no room, so that no member event has the avatar
	if err := alone.SetAvatar(t.Context(), uri(item.Avatar)); err != nil {
		t.Fatal(err)
	}
	w.sql(`DELETE FROM user_directory WHERE user_id = $1`, alone.UserID())
	w.sql(`INSERT INTO user_directory (user_id, avatar_url) VALUES ('@remote' || clock_timestamp() || ':elsewhere', $1)`, uri(item.Avatar))
	w.sql(`INSERT INTO room_stats_state (room_id, avatar) VALUES ('!stats' || clock_timestamp() || ':elsewhere', $1)`, uri(item.Avatar))
	w.delayed(uri)
	wantShown(t, each(t, w.refs), want)
}

// banner gives the user a field of the profile that came with 1.123, with what uri makes.
func (w *world) banner(uri func(item.Reason) string) {
	switch {
	case w.Before("1.123.0"):
		w.t.Log("no profile fields before 1.123")
		return
	case w.Before("1.136.0"): // they are there, but no stable endpoint
		w.sql(`UPDATE profiles SET fields = jsonb_build_object('org.example.banner', $2::text) WHERE full_user_id = $1`,
			w.user.UserID(), uri(item.Profile))
		return
	}
	w.put("/_matrix/client/v3/profile/"+url.PathEscape(w.user.UserID())+"/org.example.banner", map[string]any{"org.example.banner": uri(item.Profile)})
}

// delayed plants an event that is to be sent later, of which Synapse knows since 1.116. Up to 1.145 the content was bytes.
func (w *world) delayed(uri func(item.Reason) string) {
	sql := `INSERT INTO delayed_events (delay_id, user_localpart, delay, send_ts, room_id, event_type, content)
		VALUES (clock_timestamp()::text, 'wilma', 1, 1 << 30, '!x', 'm.room.message', $1)`
	switch {
	case w.Before("1.116.0"):
		w.t.Log("no delayed events before 1.116")
	case w.Before("1.145.0"):
		w.sql(sql, []byte(`{"url":"`+uri(item.DelayedEvent)+`"}`))
	default:
		w.sql(sql, `{"url":"`+uri(item.DelayedEvent)+`"}`)
	}
}

// TestDelayedEventsAreReadInEveryVersionOfTheSchema: the table came with Synapse 1.116, its content was bytes up to 1.145;
// the fields of profiles came with 1.123.
func TestDelayedEventsAreReadInEveryVersionOfTheSchema(t *testing.T) {
	w := newWorld(t)
	bytes := w.id("bytes")
	db := emptyTables(t)
	w.refs.DB = db
	run(t, db, `CREATE TABLE delayed_events (content bytea)`)
	run(t, db, `INSERT INTO delayed_events VALUES ($1)`, []byte(`{"url":"`+w.hs+bytes+`"}`))
	run(t, db, `CREATE TABLE profiles (avatar_url text)`)
	wantShown(t, each(t, w.refs), map[string][]item.Reason{bytes: {item.DelayedEvent}})
}

// TestPinnedAndReportedEventsProtectTheirMedia whatever is done with other events.
func TestPinnedAndReportedEventsProtectTheirMedia(t *testing.T) {
	w := newWorld(t)
	pinned, unpinned, reported, early := w.id("pinned"), w.id("unpinned"), w.id("reported"), w.id("early")
	secret := w.id("secret")
	first, second, third := w.picture(unpinned), w.picture(pinned), w.send("m.room.encrypted", map[string]any{"x": w.hs + secret})
	w.state("m.room.pinned_events", "", map[string]any{"pinned": []any{first}})
	w.state("m.room.pinned_events", "", map[string]any{"pinned": []any{"$gone", 5, second, third}})
	old := w.picture(early)
	for _, event := range []string{w.picture(reported), old} {
		if err := w.user.Report(t.Context(), w.room, event, "bad"); err != nil {
			t.Fatal(err)
		}
	}
	w.sql(`UPDATE event_reports SET received_ts = received_ts - 7200000 WHERE event_id = $1`, old)
	want := map[string][]item.Reason{
		pinned: {item.Event, item.Pinned}, unpinned: {item.Event}, reported: {item.Event, item.Reported}, early: {item.Event},
		secret: nil,
	}
	wantShown(t, each(t, w.refs), want)

	// Rooms are asked some at a time.
	w.sql(`INSERT INTO rooms (room_id, is_public, has_auth_chain_index)
		SELECT side || i || ':pinned', false, true FROM generate_series(1, 250) i, (VALUES ('!!'), ('!~')) s (side)`)
	wantShown(t, each(t, w.refs), want)
	w.sql(`DELETE FROM rooms WHERE room_id LIKE '%:pinned'`)

	// A plan knows that the messages will go.
	w.refs.Going = func(room string, _ int64) bool { return room == w.room }
	wantShown(t, each(t, w.refs), map[string][]item.Reason{pinned: nil, unpinned: nil, reported: nil, early: nil})
}

// TestWhatReplacedAvatarsNameIsNotKeptInMemory: a user of any server may fill such events with thousands of names.
func TestWhatReplacedAvatarsNameIsNotKeptInMemory(t *testing.T) {
	w := newWorld(t)
	first := w.state("m.room.member", w.user.UserID(), map[string]any{"membership": "join", "avatar_url": w.hs + w.id("first")})
	w.state("m.room.member", w.user.UserID(), map[string]any{"membership": "join", "avatar_url": w.hs + w.id("second")})
	w.outlier(first)
	for many, want := range map[int]struct{ kept, protected int }{mostNames: {1, 0}, mostNames + 1: {0, mostNames + 1}} {
		protected := 0
		u := &usage{References: w.refs, f: func(_ uint64, why item.Reason) {
			if why == item.Avatar {
				protected++
			}
		}}
		if err := u.lookUp(t.Context(), []naming{{id: first, hashes: make([]uint64, many)}}); err != nil {
			t.Fatal(err)
		}
		if len(u.replaced) != want.kept || protected != want.protected {
			t.Errorf("an event of %d names: %d are kept in memory, %d protected; want %+v", many, len(u.replaced), protected, want)
		}
	}
}

// TestAnInvitationShowsTheRoomItIsTo: an invitation from another server is an outlier, and no current state here.
func TestAnInvitationShowsTheRoomItIsTo(t *testing.T) {
	w := newWorld(t)
	invite, other := w.id("invite"), w.id("other")
	guest := "@guest:" + w.ServerName()
	for _, step := range []struct {
		id, membership string
		want           []item.Reason
	}{{invite, "invite", []item.Reason{item.Invite}}, {other, "leave", nil}} {
		event := w.state("m.room.member", guest, map[string]any{"membership": step.membership, "room_picture": w.hs + step.id})
		w.outlier(event)
		w.sql(`DELETE FROM current_state_events WHERE event_id = $1`, event)
		w.sql(`DELETE FROM current_state_delta_stream WHERE room_id = $1`, w.room)
		wantShown(t, each(t, w.refs), map[string][]item.Reason{step.id: step.want})
		w.sql(`INSERT INTO current_state_events (event_id, room_id, type, state_key, membership) VALUES ($1, $2, 'm.room.member', $3, $4)`,
			event, w.room, guest, step.membership)
	}
}

// TestAnUnreadableTableIsAnError: what is not known to be unshown stays.
func TestAnUnreadableTableIsAnError(t *testing.T) {
	for _, table := range []string{
		"profiles", "user_directory", "room_stats_state", "current_state_delta_stream", "event_json", "account_data",
		"room_account_data", "delayed_events", "current_state_events", "event_reports", "events",
	} {
		db := emptyTables(t)
		run(t, db, `DO $$ BEGIN EXECUTE format('CREATE TABLE %I.`+table+` (wrong int)', current_schema()); END $$`)
		err := References{DB: db, ServerName: "localhost", CutOff: time.Now()}.Each(t.Context(), func(uint64, item.Reason) {})
		if err == nil {
			t.Errorf("without %s the set is whole", table)
		}
	}
}
