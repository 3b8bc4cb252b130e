package federation_test

import (
	"slices"
	"testing"

	"synupkeep/internal/sandbox"
	"synupkeep/internal/sandbox/stock"
)

// TestForksOfAPartitionSurviveAPurgeOnBothSides has people talk on both sides while the servers are cut apart. What came late
// lies as deep as what is old, and Synapse purges by depth alone.
func TestForksOfAPartitionSurviveAPurgeOnBothSides(t *testing.T) {
	w := federate(t)
	ctx := t.Context()
	carol := w.there.As("carol")
	// In the second room the ends of both branches are state events, in the third one branch is much longer.
	names := []string{"messages", "state", "lopsided"}
	rooms := make([]string, len(names))
	old, here, there := make([][]string, len(names)), make([][]string, len(names)), make([][]string, len(names))
	for i := range names {
		rooms[i] = w.room(sandbox.RoomOptions{}, w.bob)
		old[i] = w.says(w.alice, rooms[i], 6, 90*day)
	}
	w.await(old...)
	w.allGrew(60*day, rooms...)

	w.Cut()
	lengths := [][2]int{{3, 3}, {4, 1}, {8, 1}}
	for i, room := range rooms {
		here[i], there[i] = w.says(w.alice, room, lengths[i][0], 0), w.says(w.bob, room, lengths[i][1], 0)
	}
	topic, err := w.alice.SetState(ctx, rooms[1], "m.room.topic", "", map[string]any{"topic": "said while apart"})
	w.must(err)
	w.must(carol.Join(ctx, rooms[1]))
	here[1] = append(here[1], topic)
	there[1] = append(there[1], w.memberEvent(w.there, rooms[1], carol.UserID()))
	w.heal()
	w.await(slices.Concat(here...), slices.Concat(there...))
	for i, room := range rooms {
		if n := w.ends(w.here, room); n != 2 {
			t.Errorf("%s: the room has %d ends, want a fork", names[i], n)
		}
	}

	for _, s := range w.Servers {
		if r := w.run(s, rooms); r.purges != len(rooms) || r.Done != int64(len(rooms)) {
			t.Errorf("%s: %d purges, want one of each room: %+v", s.ServerName(), r.purges, r)
		}
		if r := w.run(s, rooms); r.purges != 0 {
			t.Errorf("%s: %d purges by the second run: %+v", s.ServerName(), r.purges, r)
		}
	}
	for i, room := range rooms {
		w.gone(w.here, old[i])
		w.gone(w.there, old[i])
		w.has(w.here, w.alice, room, here[i], there[i])
		w.has(w.there, w.bob, room, here[i], there[i])
	}
	w.lives(rooms[0], w.alice, w.bob, w.alice) // the others still end with their forks
	w.sameState(rooms[0])
	w.forkGrowsOld(rooms, slices.Concat(here...), slices.Concat(there...))
}

// forkGrowsOld purges the forks themselves: first where they are the end of a room, of which Synapse must keep enough to go on
// from, then once people have talked on after them.
func (w world) forkGrowsOld(rooms []string, forks ...[]string) {
	w.t.Helper()
	w.allGrew(60*day, rooms...)
	for _, s := range w.Servers {
		if r := w.run(s, rooms); r.purges < 2 || r.Failed > 0 {
			w.t.Errorf("%s: %d purges of rooms that end with an old fork: %+v", s.ServerName(), r.purges, r)
		}
		if hurt := stock.Hurt(w.t, s); len(hurt) > 0 {
			w.t.Errorf("hurt on %s: %v", s.ServerName(), hurt)
		}
	}
	after := make([][]string, len(rooms))
	for i, room := range rooms {
		after[i] = w.talkOn(room)
	}
	for _, s := range w.Servers {
		w.run(s, rooms)
		w.gone(s, w.messages(s, slices.Concat(forks...)))
	}
	for i, room := range rooms {
		w.has(w.here, w.alice, room, after[i])
		w.has(w.there, w.bob, room, after[i])
		w.lives(room, w.alice, w.bob)
		w.sameState(room)
	}
}

// messages are those of the events that are no state events, which a purge keeps.
func (w world) messages(s *sandbox.Server, events []string) []string {
	w.t.Helper()
	return stock.All[string](w.t, s, `SELECT id FROM unnest($1::text[]) u (id) WHERE NOT EXISTS (SELECT 1 FROM state_events s WHERE s.event_id = id)`, events)
}

func (w world) memberEvent(s *sandbox.Server, room, user string) string {
	w.t.Helper()
	return stock.All[string](w.t, s, `SELECT event_id FROM current_state_events WHERE room_id = $1 AND type = 'm.room.member' AND state_key = $2`, room, user)[0]
}

// ends is the number of the room's forward extremities.
func (w world) ends(s *sandbox.Server, room string) int {
	w.t.Helper()
	return stock.All[int](w.t, s, `SELECT count(*) FROM event_forward_extremities WHERE room_id = $1`, room)[0]
}

// TestAPurgeOnOneSideOfAPartition purges here before the branch of the other side is known: in the first room up to the place where
// it begins, in the second one beyond. Synapse refuses what then comes from below the cut, and the other server can be told
// nothing of what came before the first message after it (docs/safety.md). Both rooms go on, and a client who scrolls finds what
// was refused.
func TestAPurgeOnOneSideOfAPartition(t *testing.T) {
	w := federate(t)
	rooms := []string{w.room(sandbox.RoomOptions{}, w.bob), w.room(sandbox.RoomOptions{}, w.bob)}
	old := slices.Concat(w.says(w.alice, rooms[0], 6, 90*day), w.says(w.alice, rooms[1], 6, 90*day))
	w.await(old)
	w.grew(w.here, 60*day, rooms...)

	w.Cut()
	there := [][]string{w.says(w.bob, rooms[0], 3, 0), w.says(w.bob, rooms[1], 3, 0)}
	unheard := w.says(w.alice, rooms[1], 5, 80*day)
	w.grew(w.here, 50*day, rooms[1])
	here := [][]string{w.says(w.alice, rooms[0], 3, 0), w.says(w.alice, rooms[1], 3, 0)}
	if r := w.run(w.here, rooms); r.purges != 2 {
		t.Errorf("%d purges, want one of each room: %+v", r.purges, r)
	}
	w.gone(w.here, old, unheard)

	w.heal()
	w.await(here[0], there[0])
	after := w.talkOn(rooms[1])
	w.scroll(w.alice, rooms[1], func() bool { return len(lost(t, w.here, there[1])) == 0 })
	for i, room := range rooms {
		w.asksForNothing(w.here, room)
		w.has(w.here, w.alice, room, here[i], there[i])
		w.lives(room, w.alice, w.bob, w.alice)
		w.sameState(room)
	}
	w.has(w.here, w.alice, rooms[1], after)
	w.has(w.there, w.bob, rooms[0], here[0], there[0])
	w.has(w.there, w.bob, rooms[1], there[1])
}

// talkOn has both sides say three things each, of which the last have to come to the other side. It returns those.
func (w world) talkOn(room string) []string {
	w.t.Helper()
	here := w.says(w.alice, room, 3, 0)
	w.await(here[2:])
	there := w.says(w.bob, room, 3, 0)
	w.await(there[2:])
	return []string{here[2], there[2]}
}

// TestAPurgeOnBothSidesOfAPartition has both servers forget what the branches follow before they hear of each other. Neither can
// be told any more what came before the first event of the other's branch, and so has to do without that one: a limit of
// Synapse's, and named in docs/safety.md. The rooms go on all the same, and their state is the same.
func TestAPurgeOnBothSidesOfAPartition(t *testing.T) {
	w := federate(t)
	ctx := t.Context()
	room := w.room(sandbox.RoomOptions{}, w.bob)
	old := w.says(w.alice, room, 6, 90*day)
	w.await(old)
	w.allGrew(60*day, room)

	w.Cut()
	topic, err := w.alice.SetState(ctx, room, "m.room.topic", "", map[string]any{"topic": "said while apart"})
	w.must(err)
	here, there := append([]string{topic}, w.says(w.alice, room, 2, 0)...), w.says(w.bob, room, 3, 0)
	for _, s := range w.Servers {
		if r := w.run(s, []string{room}); r.purges != 1 {
			t.Errorf("%s: %d purges: %+v", s.ServerName(), r.purges, r)
		}
		w.gone(s, old)
	}

	w.heal()
	after := w.talkOn(room)
	for _, s := range w.Servers {
		w.asksForNothing(s, room)
	}
	w.has(w.here, w.alice, room, here, after)
	w.has(w.there, w.bob, room, there, after)
	w.lives(room, w.alice, w.bob, w.alice)
	w.sameState(room)
	t.Logf("of %d events of the other side, here lacks %d and there %d", len(there), len(lost(t, w.here, there)), len(lost(t, w.there, here)))
}
