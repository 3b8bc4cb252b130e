package pipeline

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"synupkeep/internal/item"
	"synupkeep/internal/postgres"
	"synupkeep/internal/sandbox"
	"synupkeep/internal/sandbox/stock"
	"synupkeep/sources"
)

// gallery is a room whose history shows media in every way: before the cut-off, which a purge takes away, and after it.
type gallery struct {
	room string
	// purged is shown by old messages alone.
	purged []string
	// events is shown by young messages alone.
	events []string
	// others are shown by something else, by reason.
	others map[item.Reason]string
}

func newGallery(t *testing.T, s *sandbox.Server) gallery {
	t.Helper()
	restored(t, s)
	user := s.As("galahad")
	up := func() string { return upload(t, s, "galahad", longAgo) }
	g := gallery{room: newRoom(t, s, "galahad", sandbox.RoomOptions{}), others: map[item.Reason]string{}}
	send := func(content map[string]any) string {
		id, err := user.SendContent(t.Context(), g.room, "m.room.message", content)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	picture := func(mxc string) map[string]any {
		return map[string]any{"msgtype": "m.image", "body": "a picture", "url": mxc}
	}
	set := func(kind string, content map[string]any) {
		if _, err := user.SetState(t.Context(), g.room, kind, "", content); err != nil {
			t.Fatal(err)
		}
	}
	// What was said and set long ago. The state is an outlier after the purge.
	for range 20 {
		mxc := up()
		g.purged = append(g.purged, mxc)
		send(picture(mxc))
	}
	emotes, widget, avatar := up(), up(), up()
	set("im.ponies.room_emotes", map[string]any{"images": map[string]any{"smile": map[string]any{"url": emotes}}})
	set("im.vector.modular.widgets", map[string]any{"avatar_url": widget, "url": "https://example.org"})
	set("m.room.avatar", map[string]any{"url": avatar})
	g.others[item.StateEvent("im.ponies.room_emotes")] = emotes
	g.others[item.StateEvent("im.vector.modular.widgets")] = widget
	g.others[item.Avatar] = avatar
	plant(t, s, func(ctx context.Context, p *sandbox.Plant) error { return p.AgeRoom(ctx, g.room, longAgo) })

	for _, content := range []func(mxc string) map[string]any{
		picture,
		func(mxc string) map[string]any {
			return map[string]any{"msgtype": "m.file", "body": "f", "file": map[string]any{"url": mxc, "v": "v2"}}
		},
		func(mxc string) map[string]any {
			return map[string]any{"msgtype": "m.video", "body": "v", "info": map[string]any{"thumbnail_url": mxc}}
		},
		func(mxc string) map[string]any {
			return map[string]any{"msgtype": "m.video", "body": "v", "info": map[string]any{"thumbnail_file": map[string]any{"url": mxc}}}
		},
		func(mxc string) map[string]any {
			return map[string]any{"msgtype": "m.text", "body": ":x:", "format": "org.matrix.custom.html", "formatted_body": `<img data-mx-emoticon src="` + mxc + `">`}
		},
		func(mxc string) map[string]any {
			return map[string]any{"msgtype": "dm.filament.gallery", "body": "g", "itemtypes": []any{map[string]any{"itemtype": "m.image", "url": mxc}}}
		},
	} {
		mxc := up()
		g.events = append(g.events, mxc)
		send(content(mxc))
	}
	pin := up()
	g.others[item.Pinned] = pin
	set("m.room.pinned_events", map[string]any{"pinned": []string{send(picture(pin))}})
	stickers := up()
	g.others[item.AccountData] = stickers
	err := user.Do(t.Context(), http.MethodPut, "/_matrix/client/v3/user/"+user.UserID()+"/account_data/im.ponies.user_emotes", nil,
		map[string]any{"images": map[string]any{"x": map[string]any{"url": stickers}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	// Nothing of it is news: of the newest events only what came right before the last is.
	execSQL(t, s, `UPDATE events SET received_ts = received_ts - $1, origin_server_ts = origin_server_ts - $1`, (2 * aDay).Milliseconds())
	newRoom(t, s, "alice", sandbox.RoomOptions{})
	return g
}

func TestWhatIsStillShownStaysAndWhatAPurgeTookAwayGoes(t *testing.T) {
	s := emptied(t)
	g := newGallery(t, s)
	forgotten := upload(t, s, "galahad", longAgo)
	before := stock.OfMedia(t, s)
	cfg := settings(s, item.History, item.LocalMedia)
	cfg.History.Rooms, cfg.StateDir = []string{g.room}, t.TempDir()
	run := func(keepShown bool) result {
		cfg.Media.KeepShown = keepShown
		return do(t, cfg)
	}

	want := map[string]int64{"done": int64(len(g.purged)) + 1, "kept event": int64(len(g.events))}
	for why := range g.others {
		want["kept "+string(why)] = 1
	}
	r := run(true)
	endsWith(t, r)
	wantCounts(t, r, item.History, map[string]int64{"done": 1})
	wantCounts(t, r, item.LocalMedia, want)
	stock.Exactly(t, s, before.Without(t, append(g.purged, forgotten)...))

	// What was remembered leads to the same.
	delete(want, "done")
	r = run(true)
	endsWith(t, r)
	wantCounts(t, r, item.LocalMedia, want)
	stock.Exactly(t, s, before.Without(t, append(g.purged, forgotten)...))

	r = run(false)
	endsWith(t, r)
	want["done"] = want["kept event"]
	delete(want, "kept event")
	wantCounts(t, r, item.LocalMedia, want)
	stock.Exactly(t, s, before.Without(t, append(append([]string{forgotten}, g.purged...), g.events...)...))
	if f := r.flow(t, item.LocalMedia); f.Shown != want["done"] || f.ShownBytes == 0 || f.ShownBytes != f.Bytes {
		t.Errorf("what was given up is not told: %+v", f)
	}
}

// A plan must know that the purges, which have not been made yet, take away what some media is shown by.
func TestAPlanCountsWhatThePurgesLeaveUnshown(t *testing.T) {
	s := emptied(t)
	g := newGallery(t, s)
	cfg := settings(s, item.History, item.LocalMedia)
	cfg.History.Rooms, cfg.StateDir, cfg.Media.KeepShown = []string{g.room}, t.TempDir(), true
	before := stock.OfMedia(t, s)
	cfg.Max.Media.Count = int64(len(g.purged)) - 1
	r := do(t, cfg)
	endsWith(t, r, item.CauseRefused)
	stock.Exactly(t, s, before)
	cfg.Max.Media.Count++
	r = do(t, cfg)
	endsWith(t, r)
	stock.Exactly(t, s, before.Without(t, g.purged...))
}

// Nothing local is deleted when only a part of what is shown could be read. The lock timeout of our sessions ends the
// reading.
func TestWithoutTheWholeOfWhatIsShownNoLocalMediaIsDeleted(t *testing.T) {
	s := emptied(t)
	upload(t, s, "alice", longAgo)
	before := stock.OfMedia(t, s)
	tx := begun(t, s, "LOCK TABLE room_account_data IN ACCESS EXCLUSIVE MODE")
	cfg := settings(s, item.LocalMedia)
	cfg.RetryFor = time.Second
	r := do(t, cfg)
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	endsWith(t, r, item.CauseFailed)
	stock.Exactly(t, s, before)
}

// What was remembered may be damaged, or of another time: then everything is read.
func TestADamagedMemoryProtectsAsMuch(t *testing.T) {
	s := emptied(t)
	newGallery(t, s)
	cfg := settings(s, item.LocalMedia)
	cfg.StateDir, cfg.Media.KeepShown = t.TempDir(), true
	before := stock.OfMedia(t, s)
	endsWith(t, do(t, cfg))
	stock.Exactly(t, s, before) // no message was purged
	files, err := filepath.Glob(filepath.Join(cfg.StateDir, "references-*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v %v", files, err)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(data); at += 1 + len(data)/7 {
		damaged := append([]byte{}, data...)
		damaged[at] ^= 4
		if err := os.WriteFile(files[0], damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		r := do(t, cfg)
		endsWith(t, r)
		stock.Exactly(t, s, before)
		if !strings.Contains(r.log, "read anew") {
			t.Errorf("damage at %d is not told:\n%s", at, r.log)
		}
	}
}

// What is read less often is not read from a later position.
func TestNewsOfAccountDataMayWaitAndIsNotLost(t *testing.T) {
	s := emptied(t)
	db, err := postgres.Open(t.Context(), s.ConnString())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	refs := sources.References{DB: db.Reader, ServerName: s.ServerName(), CutOff: time.Now(), ReportsSince: time.Now()}
	at, err := refs.Here(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	mxc := upload(t, s, "galahad", longAgo)
	n := newNews(refs, at, false)
	ask := func() item.Reason {
		shown, err := n.Shown(t.Context(), db.Reader, []string{idOf(mxc), "another"})
		if err != nil {
			t.Fatal(err)
		}
		if len(shown) > 0 && shown[idOf(mxc)] == "" {
			t.Fatalf("%v", shown)
		}
		return shown[idOf(mxc)]
	}
	if why := ask(); why != "" {
		t.Fatalf("it is shown by %q", why)
	}
	n.accountData.took = time.Hour                 // as on a server of very many users
	n.accountData.read = time.Now().Add(time.Hour) // and not yet so long ago
	user := s.As("galahad")
	path := "/_matrix/client/v3/user/" + user.UserID() + "/account_data/m.image_pack"
	if err := user.Do(t.Context(), http.MethodPut, path, nil, map[string]any{"url": mxc}, nil); err != nil {
		t.Fatal(err)
	}
	if why := ask(); why != "" {
		t.Fatalf("account data was read: %q", why)
	}
	// So much that the position of now would be past it, slack included.
	execSQL(t, s, `SELECT setval('account_data_sequence', nextval('account_data_sequence') + 5000)`)
	ask()
	n.accountData.read = time.Now().Add(-mostAccountDataAge)
	if why := ask(); why != item.AccountData {
		t.Errorf("it is shown by %q", why)
	}
	if why := ask(); why != item.AccountData {
		t.Errorf("and then by %q", why)
	}
}
