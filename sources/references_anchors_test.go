package sources

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"synupkeep/internal/references"
)

// TestAnchorsAreOfBothEndsAndStateEventsAreAmongThem in the order in which a plan names them.
func TestAnchorsAreOfBothEndsAndStateEventsAreAmongThem(t *testing.T) {
	db := emptyTables(t, "events", "state_events")
	var events, state [][]any
	add := func(stream int64, isState bool) {
		n := len(events)
		events = append(events, eventRow(n, stream, time.Now()))
		if isState {
			state = append(state, []any{fmt.Sprintf("$%d", n), "!r", "m.room.name", ""})
		}
	}
	for stream := int64(1); stream <= 20; stream++ {
		add(stream, stream%5 == 0 || stream == 19)
		add(-stream, false)
	}
	copyIn(t, db, "events", eventColumns(), events)
	copyIn(t, db, "state_events", []string{"event_id", "room_id", "type", "state_key"}, state)
	for _, c := range []struct {
		newest, backfilled int
		want               []int64
	}{
		{3, 2, []int64{20, 19, 18, 15, -19, -20}},
		{3, 0, []int64{20, 19, 18, 15}},
		{0, 1, []int64{-20}},
	} {
		found, err := anchors(t.Context(), db, c.newest, c.backfilled)
		if err != nil {
			t.Fatal(err)
		}
		var want []references.Anchor
		for _, stream := range c.want {
			want = append(want, references.Anchor{Stream: stream, EventID: events[at(stream)][1].(string)})
		}
		if diff := cmp.Diff(want, found); diff != "" {
			t.Errorf("%d and %d (-want +got):\n%s", c.newest, c.backfilled, diff)
		}
	}
}

// at is where the event with a stream ordering is: those of both ends come in turn.
func at(stream int64) int64 {
	if stream < 0 {
		return 2*-stream - 1
	}
	return 2*stream - 2
}
