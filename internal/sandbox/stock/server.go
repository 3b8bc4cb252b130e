package stock

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"synupkeep/internal/sandbox"
)

// Server is all that a run could touch: media, and of each room the events, the current state and the extremities. Times of
// deletion, tasks and state groups, which Synapse removes minutes later, are not in it.
type Server struct {
	Media Media
	// Rooms has lines of text that can be compared, by room id. They are sorted.
	Rooms map[string][]string
}

// OfServer takes stock of everything. Synapse may run.
func OfServer(t testing.TB, s *sandbox.Server) Server {
	t.Helper()
	return Server{Media: OfMedia(t, s), Rooms: OfRooms(t, s)}
}

// OfRooms takes stock of every room: its events with depth, order, whether each is an outlier, redacted or rejected and has
// its content and a state group; current state; forward and backward extremities; redactions. Before Synapse 1.143 there are
// no backward extremities in it: its scheduler now and then runs a task once more that ended while the list of tasks was
// read, and a purge that finds nothing to purge forgets all of them (util/task_scheduler.py, _launch_scheduled_tasks;
// storage/databases/main/purge_events.py:184-210, 1.98.0).
func OfRooms(t testing.TB, s *sandbox.Server) map[string][]string {
	t.Helper()
	rooms := map[string][]string{}
	for _, text := range All[string](t, s, `
		SELECT jsonb_build_array(e.room_id, concat_ws(' ', 'event', e.event_id, e.type, 'depth', e.depth, 'at', e.stream_ordering,
			CASE WHEN e.outlier THEN 'outlier' END,
			CASE WHEN j.event_id IS NULL THEN 'without content' ELSE 'content ' || md5(j.json) END,
			CASE WHEN g.event_id IS NULL THEN 'without state group' END,
			CASE WHEN x.event_id IS NOT NULL THEN 'rejected' END,
			CASE WHEN s.event_id IS NOT NULL THEN 'state' END))::text
		FROM events e LEFT JOIN event_json j USING (event_id) LEFT JOIN event_to_state_groups g ON g.event_id = e.event_id
		LEFT JOIN rejections x ON x.event_id = e.event_id LEFT JOIN state_events s ON s.event_id = e.event_id
		UNION ALL SELECT jsonb_build_array(room_id, concat_ws(' ', 'current', type, state_key, event_id))::text FROM current_state_events
		UNION ALL SELECT jsonb_build_array(room_id, concat_ws(' ', 'forward extremity', event_id))::text FROM event_forward_extremities
		UNION ALL SELECT jsonb_build_array(room_id, concat_ws(' ', 'backward extremity', event_id))::text FROM event_backward_extremities WHERE NOT $1
		UNION ALL SELECT jsonb_build_array(e.room_id, concat_ws(' ', 'redaction', r.event_id, r.redacts, r.have_censored))::text
			FROM redactions r JOIN events e USING (event_id)`, s.Before("1.143.0")) {
		var line [2]string
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		rooms[line[0]] = append(rooms[line[0]], line[1])
	}
	for _, lines := range rooms {
		slices.Sort(lines)
	}
	return rooms
}

// SameRooms fails unless every room is as expected.
func SameRooms(t testing.TB, want, got map[string][]string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rooms (- is missing, + should not be there):\n%s", diff)
	}
}

// Hurt are the rooms in which nothing can be said any more: a forward extremity that is an outlier or has no state.
// It is written apart from the program's own check.
func Hurt(t testing.TB, s *sandbox.Server) []string {
	t.Helper()
	return All[string](t, s, `
		SELECT f.room_id || ' at ' || f.event_id FROM event_forward_extremities f
		LEFT JOIN events e ON e.event_id = f.event_id LEFT JOIN event_to_state_groups g ON g.event_id = f.event_id
		WHERE e.event_id IS NULL OR e.outlier OR g.event_id IS NULL ORDER BY 1`)
}

// String says how much there is.
func (v Server) String() string {
	lines := 0
	for _, room := range v.Rooms {
		lines += len(room)
	}
	return fmt.Sprintf("%d rooms (%d lines), %d files, %d rows of media", len(v.Rooms), lines, len(v.Media.Files), len(v.Media.Rows))
}
