package federation_test

import (
	"net/http"
	"slices"
	"testing"

	"synupkeep/internal/sandbox"
	"synupkeep/internal/sandbox/stock"
)

// TestWhatABannedUserSaidWhileApart has the other side talk before it hears that it is banned. Synapse keeps such messages, shows
// them to nobody and does not let the room go on after them: soft-failed.
func TestWhatABannedUserSaidWhileApart(t *testing.T) {
	w := federate(t)
	ctx := t.Context()
	carol := w.there.As("carol")
	room := w.room(sandbox.RoomOptions{}, w.bob, carol)
	old := w.says(w.alice, room, 6, 90*day)
	w.await(old)

	w.Cut()
	w.must(w.alice.Do(ctx, http.MethodPost, "/_matrix/client/v3/rooms/"+room+"/ban", nil, map[string]any{"user_id": w.bob.UserID()}, nil))
	here := w.says(w.alice, room, 1, 0)
	banned := w.says(w.bob, room, 5, 0)
	w.heal()
	w.await(here, banned)
	if n := w.softFailed(w.here, banned); n != len(banned) {
		t.Fatalf("%d of %d messages are soft-failed here", n, len(banned))
	}

	// All of that is old when the first purge comes but the messages of the banned one, which lie higher than the room's end here.
	w.must(w.age(w.here, 60*day, banned, []string{room}))
	if r := w.run(w.here, []string{room}); r.Failed != 0 || r.purges != 1 {
		t.Errorf("%d purges: %+v", r.purges, r)
	}
	w.gone(w.here, old)
	if missing := lost(t, w.here, banned); len(missing) > 0 {
		t.Errorf("young messages, though soft-failed, are gone: %v", missing)
	}
	old = append(old, w.says(w.alice, room, 6, 0)...)
	w.await(old[6:])
	w.grew(w.there, 60*day, room)
	young := slices.Concat(w.says(w.alice, room, 2, 0), w.says(carol, room, 2, 0))
	w.await(young)
	if r := w.run(w.there, []string{room}); r.Failed != 0 || r.purges != 1 {
		t.Errorf("%d purges: %+v", r.purges, r)
	}
	w.gone(w.there, old, here, banned)

	// In the end they are old here, too.
	w.must(w.age(w.here, 60*day, young, []string{room}))
	if r := w.run(w.here, []string{room}); r.Failed != 0 || r.purges != 1 {
		t.Errorf("%d purges: %+v", r.purges, r)
	}
	w.gone(w.here, old, here, banned)
	w.asksForNothing(w.here, room)
	w.asksForNothing(w.there, room)
	w.has(w.here, w.alice, room, young)
	w.has(w.there, carol, room, young)
	if _, err := w.bob.Send(ctx, room, "let me in"); err == nil {
		t.Error("the banned one can talk")
	}
	w.lives(room, w.alice, carol, w.alice)
	w.sameState(room)
}

// softFailed is how many of the events are.
func (w world) softFailed(s *sandbox.Server, events []string) int {
	w.t.Helper()
	return stock.All[int](w.t, s, `SELECT count(*) FROM event_json WHERE event_id = ANY ($1)
		AND (internal_metadata::jsonb ->> 'soft_failed')::boolean`, events)[0]
}
