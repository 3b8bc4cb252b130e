package federation_test

import (
	"testing"

	"synupkeep/internal/sandbox"
	"synupkeep/internal/sandbox/stock"
)

// TestWhatAClientFetchesAgainGoesOnceMore says what "without churn" means: history that a client fetched again from the other
// server, by scrolling up, goes with the next run, in one purge, because its sender wrote it long ago. The run after that asks
// for nothing, and each time the same is left.
func TestWhatAClientFetchesAgainGoesOnceMore(t *testing.T) {
	w := federate(t)
	room := w.room(sandbox.RoomOptions{}, w.bob)
	old := w.says(w.alice, room, 20, 100*day)
	w.await(old)
	w.grew(w.there, 60*day, room)
	young := append(w.says(w.alice, room, 3, 0), w.says(w.bob, room, 3, 0)...)
	w.await(young)
	here := stock.OfRooms(t, w.here)[room]

	if r := w.run(w.there, []string{room}); r.Done != 1 || r.purges != 1 {
		t.Errorf("%d purges: %+v", r.purges, r)
	}
	w.gone(w.there, old)
	left := stock.OfRooms(t, w.there)[room]
	for range 2 {
		w.asksForNothing(w.there, room)
		w.scroll(w.bob, room, func() bool { return len(lost(t, w.there, old)) == 0 })
		w.wasFetchedAgain(w.there, old)

		if r := w.run(w.there, []string{room}); r.Done != 1 || r.purges != 1 || r.Rows != int64(len(old)) {
			t.Errorf("after the scrolling %d purges of %d messages: %+v", r.purges, r.Rows, r)
		}
		w.gone(w.there, old)
		stock.SameRooms(t, map[string][]string{room: left}, map[string][]string{room: stock.OfRooms(t, w.there)[room]})
	}
	w.asksForNothing(w.there, room)

	w.has(w.here, w.alice, room, old, young)
	stock.SameRooms(t, map[string][]string{room: here}, map[string][]string{room: stock.OfRooms(t, w.here)[room]})
	w.has(w.there, w.bob, room, young) // and scrolls once more
	w.lives(room, w.alice, w.bob)
	w.sameState(room)
}

// asksForNothing fails unless a run leaves the room alone.
func (w world) asksForNothing(s *sandbox.Server, room string) {
	w.t.Helper()
	if r := w.run(s, []string{room}); r.Done != 0 || r.purges != 0 {
		w.t.Errorf("nothing has come that is old, and yet %d purges: %+v", r.purges, r)
	}
}

// wasFetchedAgain fails unless the database has the messages as fetched from another server today and sent long ago.
func (w world) wasFetchedAgain(s *sandbox.Server, events []string) {
	w.t.Helper()
	n := stock.All[int](w.t, s, `SELECT count(*) FROM events WHERE event_id = ANY ($1) AND stream_ordering < 0
		AND to_timestamp(received_ts / 1000) > now() - interval '1 day' AND to_timestamp(origin_server_ts / 1000) < now() - interval '99 days'`,
		events)[0]
	if n != len(events) {
		w.t.Errorf("%d of %d were backfilled", n, len(events))
	}
}
