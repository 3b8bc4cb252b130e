package sandbox_test

import (
	"bytes"
	"testing"

	"synupkeep/internal/sandbox"
)

func TestClientAPI(t *testing.T) {
	s := sandbox.Shared(t)
	ctx := t.Context()
	alice := s.As("alice")
	room, err := alice.CreateRoom(ctx, sandbox.RoomOptions{Name: "first", Version: "10"})
	if err != nil {
		t.Fatal(err)
	}
	id, err := alice.Send(ctx, room, "hello")
	if err != nil {
		t.Fatal(err)
	}
	event, err := alice.Event(ctx, room, id)
	if err != nil || event.Body() != "hello" {
		t.Fatalf("event %+v, %v", event, err)
	}
	data := sandbox.Picture(800, 600)
	mxc, err := alice.Upload(ctx, "image/png", data)
	if err != nil {
		t.Fatal(err)
	}
	status, got, err := alice.Download(ctx, mxc)
	if err != nil || status != 200 || !bytes.Equal(got, data) {
		t.Fatalf("download: %d, %d bytes, %v", status, len(got), err)
	}
}
