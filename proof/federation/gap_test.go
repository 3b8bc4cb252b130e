package federation_test

import (
	"testing"
	"time"

	"synupkeep/internal/item"
	"synupkeep/internal/sandbox"
	"synupkeep/internal/sandbox/stock"
)

// TestAGapIsFilledBeforeItsRoomIsPurged cuts a server off while much is said. Synapse fetches ten events of that by itself; the
// rest it fetches when a client scrolls up, unless a purge has made it forget that something is missing. The second room is purged
// all the same, to show why the first one waits.
func TestAGapIsFilledBeforeItsRoomIsPurged(t *testing.T) {
	w := federate(t)
	rooms, missing, young := w.gaps()
	waits, forgets, scrolled := rooms[0], rooms[1], rooms[2]

	// The old messages are 33 days old: not so much overdue that they could not wait. Those of the last room are older, but were
	// fetched again today, by somebody who scrolled.
	r := w.run(w.there, []string{waits, scrolled})
	if r.purges != 0 || r.Kept[item.Gap] != 2 {
		t.Errorf("two rooms with a gap: %d purges: %+v", r.purges, r)
	}
	w.scroll(w.bob, waits, func() bool { return len(lost(t, w.there, missing[0])) == 0 })
	if n := w.openGaps(w.there, waits); n != 0 {
		t.Errorf("%d gaps are left after scrolling", n)
	}
	if r := w.run(w.there, []string{waits}); r.purges != 1 || r.Done != 1 {
		t.Errorf("the gap is filled: %d purges: %+v", r.purges, r)
	}
	w.asksForNothing(w.there, waits)
	w.has(w.there, w.bob, waits, missing[0], young[0])

	if r := w.run(w.there, []string{forgets}, "--gap-grace", "0"); r.purges != 1 {
		t.Errorf("%d purges: %+v", r.purges, r)
	}
	w.has(w.there, w.bob, forgets, young[1]) // scrolls
	w.has(w.there, w.bob, forgets, young[1])
	if n := len(lost(t, w.there, missing[1])); n != len(missing[1]) {
		t.Errorf("a purge does not forget gaps any more: %d of %d messages were fetched; the rule may go", len(missing[1])-n, len(missing[1]))
	}
	for _, room := range rooms {
		w.lives(room, w.alice, w.bob)
		w.sameState(room)
	}
}

// gaps makes three rooms of which the other server has old messages, two young ones, and the last of 30 that were said while it
// was cut off. In the third one the old messages had been purged, and came back.
func (w world) gaps() (rooms []string, missing, young [][]string) {
	w.t.Helper()
	const n = 3
	said, before := make([][]string, n), make([][]string, n)
	var old []string
	for i := range n {
		rooms = append(rooms, w.room(sandbox.RoomOptions{}, w.bob))
		old = w.says(w.alice, rooms[i], 8, []time.Duration{33 * day, 33 * day, 100 * day}[i])
		w.await(old)
	}
	w.grew(w.there, 33*day, rooms...)
	for i, room := range rooms {
		// A purge forgets the gaps that lie above its cut. One that lies right at the cut it writes down anew.
		before[i] = w.says(w.alice, room, 2, 0)
	}
	w.await(before...)
	w.run(w.there, rooms[2:])
	w.gone(w.there, old)
	w.scroll(w.bob, rooms[2], func() bool { return len(lost(w.t, w.there, old)) == 0 })

	w.Cut()
	for i, room := range rooms {
		said[i] = w.says(w.alice, room, 30, 0)
	}
	w.forgetsWhatItCouldNotSend(w.here)
	w.heal()
	for i, room := range rooms {
		w.await(said[i][29:])
		gone := lost(w.t, w.there, said[i])
		if w.openGaps(w.there, room) == 0 || len(gone) < 10 {
			w.t.Fatalf("%d messages are missing, %d gaps", len(gone), w.openGaps(w.there, room))
		}
		missing, young = append(missing, gone), append(young, append(before[i], said[i][len(gone):]...))
	}
	return rooms, missing, young
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

// openGaps is the number of events that are missing and followed by one that is young.
func (w world) openGaps(s *sandbox.Server, room string) int {
	w.t.Helper()
	return stock.All[int](w.t, s, `SELECT count(*) FROM event_backward_extremities b JOIN event_edges d ON d.prev_event_id = b.event_id
		JOIN events e ON e.event_id = d.event_id WHERE b.room_id = $1 AND NOT e.outlier
		AND to_timestamp(e.received_ts / 1000) > now() - interval '1 day'`, room)[0]
}
