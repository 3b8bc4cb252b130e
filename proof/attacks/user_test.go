package attacks_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"synupkeep/internal/sandbox"
	"synupkeep/proof/program"
)

// TestWhatAUserWritesNeitherStopsARunNorHidesWhatOthersShow has a user fill every place that is read for what is shown with what
// nobody expects there, while others' pictures are shown in the ordinary way.
func TestWhatAUserWritesNeitherStopsARunNorHidesWhatOthersShow(t *testing.T) {
	s := sandbox.Shared(t)
	ctx, victim, user := t.Context(), s.As("shower"), s.As("mischief")
	room := must[string](t)(victim.CreateRoom(ctx, sandbox.RoomOptions{Version: "10", Preset: "public_chat"}))
	if err := user.Join(ctx, room); err != nil {
		t.Fatal(err)
	}
	upload := func(c *sandbox.Client) string {
		return must[string](t)(c.Upload(ctx, "image/png", sandbox.Picture(60, 60)))
	}
	avatar, shown, pinned, unshown, his := upload(victim), upload(victim), upload(victim), upload(victim), upload(user)
	if err := victim.SetAvatar(ctx, avatar); err != nil {
		t.Fatal(err)
	}
	send := func(c *sandbox.Client, content any) string {
		return must[string](t)(c.SendContent(ctx, room, "m.room.message", content))
	}
	oldPin := send(victim, map[string]any{"msgtype": "m.image", "body": "pinned", "url": pinned})
	for i := range 5 {
		must[string](t)(victim.Send(ctx, room, fmt.Sprint("long ago ", i)))
	}
	plant(t, s, func(ctx context.Context, p *sandbox.Plant) error {
		old := time.Now().Add(-longAgo)
		if err := p.AgeMedia(ctx, old, old, avatar, shown, pinned, unshown, his); err != nil {
			return err
		}
		return p.AgeRoom(ctx, room, longAgo)
	})
	send(victim, map[string]any{"msgtype": "m.image", "body": "shown", "url": shown})
	// Whoever may pin writes the list in the spelling that Go's decoder would also take, and after it what is no list.
	must[string](t)(victim.SetState(ctx, room, "m.room.pinned_events", "", map[string]any{
		"pinned": []any{7, nil, []any{oldPin}, map[string]any{"a": oldPin}, "$\x00", strings.Repeat("$", 3000), oldPin},
		"Pinned": []any{}, "PINNED": nil, "pinneD": map[string]any{},
	}))
	mischief(t, s, user, room)

	r := program.Run(t, where(t, s), "--keep-pinned")
	wantCode(t, r, 0)
	printable(t, "stdout", r.Out, "CRITICAL")
	printable(t, "the log", r.Log, "CRITICAL")
	if !there(t, s, []string{oldPin})[oldPin] {
		t.Error("the pinned message has gone")
	}
	for mxc, want := range map[string]int{
		avatar: http.StatusOK, shown: http.StatusOK, pinned: http.StatusOK, unshown: http.StatusNotFound, his: http.StatusNotFound,
	} {
		status, _, err := victim.Download(ctx, mxc)
		if err != nil || status != want {
			t.Errorf("%s: %d, want %d (%v)", mxc, status, want, err)
		}
	}
	alive(t, s, "shower", room)
}

// mischief writes what the client API lets a user write.
func mischief(t *testing.T, s *sandbox.Server, user *sandbox.Client, room string) {
	t.Helper()
	ctx := t.Context()
	deep := any("mxc://" + s.ServerName() + "/deep")
	for range 60 {
		deep = []any{deep, map[string]any{"": deep}}[:1]
	}
	many := strings.Repeat("/"+s.ServerName()+"/x_-.", 1200)
	for i, content := range []map[string]any{
		{"deep": deep},
		{"many": many},
		{"\x1b[2J": "\x1b]0;x\x07 mxc://" + s.ServerName() + "/\x1b"},
		{"n": -1e15, "m": 0, "b": true, "z": nil},
		{"mxc://" + s.ServerName() + "/": "mxc://" + s.ServerName(), "": ""},
		{"slashes": `mxc:\/\/` + s.ServerName() + `\/\/\/`},
	} {
		kind := fmt.Sprint("org.mischief.", i, "\u202e")
		path := "/_matrix/client/v3/user/" + url.PathEscape(user.UserID())
		for _, where := range []string{"/account_data/", "/rooms/" + url.PathEscape(room) + "/account_data/"} {
			if err := user.Do(ctx, http.MethodPut, path+where+url.PathEscape(kind), nil, content, nil); err != nil {
				t.Fatalf("account data %d: %v", i, err)
			}
		}
		content["msgtype"], content["body"] = "m.text", "mischief"
		if _, err := user.SendContent(ctx, room, "m.room.message", content); err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
	}
	must[string](t)(user.SetState(ctx, room, "m.room.member", user.UserID(), map[string]any{
		"membership": "join", "avatar_url": "mxc://" + s.ServerName() + "/../../../../etc/passwd", "displayname": "\x1b[31m\nCRITICAL",
	}))
	reported := must[string](t)(user.Send(ctx, room, "report me"))
	if err := user.Report(ctx, room, reported, "\x1b[2J\nCRITICAL all is lost"); err != nil {
		t.Fatal(err)
	}
}
