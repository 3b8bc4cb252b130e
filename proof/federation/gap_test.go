package federation_test

import (
	"testing"
	"time"

	"synupkeep/internal/item"
	"synupkeep/internal/sandbox"
	"synupkeep/internal/sandbox/stock"
)

// TestAGapIsFilledBeforeItsRoomIsPurged cuts a server off while much is said. Synapse fetches ten events of that by itself; the
// rest it fetches when a client scrolls up, unless a purge has made it forget that something is missing.
func TestAGapIsFilledBeforeItsRoomIsPurged(t *testing.T) {
	w := federate(t)
	room, missing, young := w.gap()

	// Its old messages are 33 days old: not so much overdue that it could not wait.
	r := w.run(w.there, []string{room})
	if r.purges != 0 || r.Kept[item.Gap] != 1 {
		t.Errorf("a room with a gap: %d purges: %+v", r.purges, r)
	}
	w.scroll(w.bob, room, func() bool { return len(lost(t, w.there, missing)) == 0 })
	if n := w.gaps(w.there, room); n != 0 {
		t.Errorf("%d gaps are left after scrolling", n)
	}
	if r := w.run(w.there, []string{room}); r.purges != 1 || r.Done != 1 {
		t.Errorf("the gap is filled: %d purges: %+v", r.purges, r)
	}
	w.asksForNothing(w.there, room)
	w.has(w.there, w.bob, room, missing, young)
	w.lives(room, w.alice, w.bob)
	w.sameState(room)
}

// TestAPurgeForgetsAGap is why the room waits: with no grace its messages are not fetched any more.
func TestAPurgeForgetsAGap(t *testing.T) {
	w := federate(t)
	room, missing, young := w.gap()
	if r := w.run(w.there, []string{room}, "--gap-grace", "0"); r.purges != 1 {
		t.Errorf("%d purges: %+v", r.purges, r)
	}
	for range 3 {
		if _, err := w.bob.Timeline(t.Context(), room); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(lost(t, w.there, missing)); n != len(missing) {
		t.Errorf("a purge does not forget gaps any more: %d of %d messages were fetched; the rule may go", len(missing)-n, len(missing))
	}
	w.has(w.there, w.bob, room, young)
	w.lives(room, w.alice, w.bob)
}

// gap makes a room of which the other server has old messages, two young ones, and the last of 30 that were said while it was cut off.
func (w world) gap() (room string, missing, young []string) {
	w.t.Helper()
	room = w.room(sandbox.RoomOptions{}, w.bob)
	old := w.says(w.alice, room, 8, 33*day)
	w.await(old)
	w.grew(w.there, 33*day, room)
	// A purge forgets the gaps that lie above its cut. One that lies right at the cut it writes down anew.
	before := w.says(w.alice, room, 2, 0)
	w.await(before)
	w.Cut()
	said := w.says(w.alice, room, 30, 0)
	w.forgetsWhatItCouldNotSend(w.here)
	w.heal()
	w.await(said[29:])
	missing = lost(w.t, w.there, said)
	if w.gaps(w.there, room) == 0 || len(missing) < 10 {
		w.t.Fatalf("%d messages are missing, %d gaps", len(missing), w.gaps(w.there, room))
	}
	return room, missing, append(before, said[len(missing):]...)
}

// forgetsWhatItCouldNotSend restarts a server once it knows that the other does not answer. What it had queued is lost, and later
// it sends the last event of each room alone (federation/sender/per_destination_queue.py, 1.163.2): what it does after an hour
// by itself.
func (w world) forgetsWhatItCouldNotSend(s *sandbox.Server) {
	w.t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if stock.All[bool](w.t, s, `SELECT EXISTS (SELECT 1 FROM destinations WHERE failure_ts > 0)`)[0] {
			break
		}
		if time.Now().After(end) {
			w.t.Fatal("it never noticed that the other does not answer")
		}
	}
	w.must(s.StopSynapse(w.t.Context()))
	w.must(s.StartSynapse(w.t.Context()))
}

// gaps is the number of events that are missing and followed by one that is young.
func (w world) gaps(s *sandbox.Server, room string) int {
	w.t.Helper()
	return stock.All[int](w.t, s, `SELECT count(*) FROM event_backward_extremities b JOIN event_edges d ON d.prev_event_id = b.event_id
		JOIN events e ON e.event_id = d.event_id WHERE b.room_id = $1 AND NOT e.outlier
		AND to_timestamp(e.received_ts / 1000) > now() - interval '1 day'`, room)[0]
}
