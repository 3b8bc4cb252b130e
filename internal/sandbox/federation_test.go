package sandbox_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"slices"
	"testing"
	"time"

	"synupkeep/internal/sandbox"
)

func TestServersFederateAreCutAndHealed(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	f, err := sandbox.StartFederation(ctx, 2, sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Stop(); err != nil {
			t.Error(err)
		}
		if err := f.Stop(); err != nil {
			t.Errorf("the second stop: %v", err)
		}
	})
	here, there := f.Servers[0], f.Servers[1]
	alice, bob := here.As("alice"), there.As("bob")
	room, err := alice.CreateRoom(ctx, sandbox.RoomOptions{})
	if err != nil {
		t.Fatal(err)
	}
	send := func(c *sandbox.Client, body string) string {
		t.Helper()
		id, err := c.Send(ctx, room, body)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	if err := bob.JoinVia(ctx, room, here.ServerName()); err != nil {
		t.Fatal(err)
	}
	await := func(events ...string) {
		t.Helper()
		if err := f.Await(ctx, events...); err != nil {
			t.Fatal(err)
		}
	}
	await(send(alice, "from here"), send(bob, "from there"))

	f.Cut()
	fork := []string{send(alice, "only here"), send(bob, "only there")}
	short, stop := context.WithTimeout(ctx, 500*time.Millisecond)
	if err := f.Await(short, fork...); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("while they are cut: %v", err)
	}
	stop()
	picture := sandbox.Picture(20, 20)
	mxc, err := alice.Upload(ctx, "image/png", picture)
	if err != nil {
		t.Fatal(err)
	}
	if status, _, err := bob.Download(ctx, mxc); err != nil || status == http.StatusOK {
		t.Errorf("a picture of the other server, while they are cut: %d %v", status, err)
	}

	if err := f.Heal(ctx); err != nil {
		t.Fatal(err)
	}
	await(fork...)
	slices.Sort(fork)
	for _, s := range f.Servers {
		tips := extremities(t, s, room)
		slices.Sort(tips)
		if !slices.Equal(tips, fork) {
			t.Errorf("the ends of the room are %v, want the two of the fork %v", tips, fork)
		}
	}
	if status, data, err := bob.Download(ctx, mxc); err != nil || status != http.StatusOK || !bytes.Equal(data, picture) {
		t.Errorf("a picture of the other server: %d %v", status, err)
	}
}

func TestAFederationChoosesDirectoriesAndNames(t *testing.T) {
	for _, o := range []sandbox.Options{{Dir: t.TempDir()}, {ServerName: "one.example"}} {
		if _, err := sandbox.StartFederation(t.Context(), 2, o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
}
