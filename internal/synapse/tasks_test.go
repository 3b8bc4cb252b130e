package synapse_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"synupkeep/internal/sandbox"
	"synupkeep/internal/synapse"
)

func addTask(id, action, status, room string, at string) string {
	return fmt.Sprintf(`INSERT INTO scheduled_tasks (id, action, status, timestamp, resource_id, error)
		VALUES ('%s', '%s', '%s', (extract(epoch FROM clock_timestamp() + interval '%s') * 1000)::bigint, '%s', 'text of %s')`,
		id, action, status, at, room, id)
}

func TestTasksOfTheServer(t *testing.T) {
	altered(t, func(ctx context.Context, tx pgx.Tx) {
		tasks := synapse.Tasks{DB: tx}
		if n, err := tasks.Due(ctx); err != nil || n != 6 {
			t.Errorf("%d tasks are due, want 6 (%v)", n, err)
		}
		for room, want := range map[string]string{
			"!purging": "t1", "!skewed": "t2", "!waiting": "t3", "!deleted": "t5", "!later": "", "!ended": "", "!unknown": "",
		} {
			task, ok, err := tasks.OfRoom(ctx, room)
			if err != nil || ok != (want != "") || task.ID != want {
				t.Errorf("%s: %+v, %v, %v", room, task, ok, err)
			}
			if ok && (!task.Running() || task.DeletesRoom() != (room == "!deleted")) {
				t.Errorf("%+v", task)
			}
		}
		now := time.Now()
		for _, test := range []struct {
			room  string
			since time.Time
			want  []string
		}{
			{"!ended", now.Add(-time.Minute), []string{"t8"}},
			{"!ended", now.Add(-2 * time.Hour), []string{"t8", "t7"}},
			{"!ended", now.Add(time.Minute), nil},
			{"!old", now.Add(-time.Minute), nil},
			{"!slow", now.Add(-time.Minute), []string{"t10"}},
			{"!skewed", now.Add(-time.Minute), []string{"t2"}},
			{"!deleted", now.Add(-time.Hour), []string{"t4"}},
		} {
			ids, err := tasks.SinceIn(ctx, test.room, test.since)
			if err != nil || !slices.Equal(ids, test.want) {
				t.Errorf("%s since %v: %v, %v, want %v", test.room, test.since, ids, err, test.want)
			}
		}
		if task, ok, err := tasks.ByID(ctx, "t8"); err != nil || !ok || task.Status != "failed" || task.Error != "text of t8" || task.Running() {
			t.Errorf("%+v, %v, %v", task, ok, err)
		}
		if _, ok, err := tasks.ByID(ctx, "no such"); err != nil || ok {
			t.Errorf("%v, %v", ok, err)
		}
	},
		`DELETE FROM scheduled_tasks`,
		addTask("t1", "purge_history", "active", "!purging", "-1 hour"),
		// The server's clock may be ahead of the database's.
		addTask("t2", "purge_history", "active", "!skewed", "2 hours"),
		addTask("t3", "purge_history", "scheduled", "!waiting", "30 seconds"),
		addTask("t4", "purge_history", "active", "!deleted", "-1 second"),
		addTask("t5", "shutdown_and_purge_room", "active", "!deleted", "-1 minute"),
		addTask("t6", "purge_room", "scheduled", "!later", "30 days"),
		addTask("t7", "purge_history", "complete", "!ended", "-1 hour"),
		addTask("t8", "purge_history", "failed", "!ended", "-1 second"),
		addTask("t9", "purge_history", "complete", "!old", "-1 hour"),
		addTask("t10", "purge_history", "active", "!slow", "-1 hour"),
		addTask("t11", "purge_history", "cancelled", "!cancelled", "-1 second"),
	)
}

func TestExtremitiesThatNothingCanBeSentOn(t *testing.T) {
	roomID, eventID := room(t, sandbox.Shared(t), "10", anyID)
	for name, test := range map[string]struct {
		sql  string
		want int
	}{
		"healthy":                 {`SELECT 1`, 0},
		"an outlier":              {`UPDATE events SET outlier = TRUE WHERE event_id = '` + eventID + `'`, 1},
		"without a state group":   {`DELETE FROM event_to_state_groups WHERE event_id = '` + eventID + `'`, 1},
		"not an extremity at all": {`DELETE FROM event_forward_extremities WHERE event_id = '` + eventID + `'`, 0},
	} {
		t.Run(name, func(t *testing.T) {
			altered(t, func(ctx context.Context, tx pgx.Tx) {
				ids, err := synapse.Tasks{DB: tx}.BrokenExtremities(ctx, roomID)
				if err != nil || len(ids) != test.want || test.want == 1 && ids[0] != eventID {
					t.Errorf("%v, %v", ids, err)
				}
			}, test.sql)
		})
	}
}
