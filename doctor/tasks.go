package doctor

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"synupkeep/internal/printable"
)

// task is a task of the server, or several alike.
type task struct {
	action, resource, err string
	since                 time.Time
	n                     int64
}

func (e *exam) tasks(ctx context.Context, sql string, args ...any) ([]task, error) {
	rows, err := e.db.Reader.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (t task, err error) {
		var ms int64
		err = row.Scan(&t.action, &t.resource, &t.err, &ms, &t.n)
		t.since = time.UnixMilli(ms).UTC()
		return t, err
	})
}

// A task's time is when it was asked for until it ends, and then when it ended (util/task_scheduler.py:495-497, 1.163.2).
const (
	activeTasks = `SELECT action, COALESCE(resource_id, ''), '', timestamp, count(*) OVER () FROM scheduled_tasks
		WHERE status = 'active' AND timestamp < $1 ORDER BY timestamp LIMIT 10`
	waitingTasks = `SELECT count(*) FROM scheduled_tasks WHERE status = 'scheduled' AND timestamp < $1`
	failedTasks  = `SELECT action, COALESCE(max(resource_id), ''), COALESCE(error, ''), max(timestamp), count(*) FROM scheduled_tasks
		WHERE status = 'failed' AND action IN ('purge_history', 'purge_room', 'shutdown_and_purge_room') AND timestamp >= $1
		GROUP BY action, COALESCE(error, ''), resource_id ORDER BY 4 DESC LIMIT 100`
)

func checkStuckTasks(ctx context.Context, e *exam) finding {
	long := e.now.Add(-e.limits.task)
	active, err := e.tasks(ctx, activeTasks, long.UnixMilli())
	if err != nil {
		return unread(err)
	}
	var waiting int64
	if err := e.db.Reader.QueryRow(ctx, waitingTasks, e.now.UnixMilli()).Scan(&waiting); err != nil {
		return unread(err)
	}
	f := finding{
		result: Warning, means: "Synapse runs five tasks at once, of all kinds together: purges, deletions of rooms, mass redactions. Those of a run wait behind them.",
		do: "Look in Synapse's log for the task. One that has been at it since before a crash is taken up again when Synapse is restarted; a purge of a very " +
			"large room takes its time.",
	}
	switch {
	case len(active) > 0:
		f.found = plural(active[0].n, "task has", "tasks have") + fmt.Sprintf(" been under way for more than %s", printable.Duration(e.limits.task))
		for _, t := range active {
			f.details = append(f.details, fmt.Sprintf("%s of %s, asked for at %s", t.action, t.resource, t.since.Format(time.RFC3339)))
		}
		f.details = shorten(f.details, int(active[0].n))
	case waiting > e.limits.waiting:
		f.found = fmt.Sprintf("%d tasks wait for their turn", waiting)
		f.do = "Wait for them, and see that the number falls. If nothing moves: is the process of Synapse up that run_background_tasks_on names?"
	default:
		return fine("no task has been under way for long; %d wait for their turn", waiting)
	}
	if waiting > 0 && len(active) > 0 {
		f.found += fmt.Sprintf(", and %d wait", waiting)
	}
	return f
}

// kept is how long Synapse remembers a task that has ended (KEEP_TASKS_FOR_MS in util/task_scheduler.py, 1.163.2).
const kept = 7 * 24 * time.Hour

func checkFailedTasks(ctx context.Context, e *exam) finding {
	failed, err := e.tasks(ctx, failedTasks, e.now.Add(-kept).UnixMilli())
	if err != nil {
		return unread(err)
	}
	if len(failed) == 0 {
		return fine("no purge and no deletion of a room failed in the last 7 days")
	}
	f := finding{
		result: Warning, found: plural(len(failed), "room was not purged or deleted as it was asked for", "rooms were not purged or deleted as it was asked for"),
		means: "In the last 7 days Synapse gave up on them; whoever asked may not have noticed.",
		do:    "Look in Synapse's log at that time. A purge that synupkeep asked for is in its report, and asked for again at the next run.",
	}
	for _, t := range failed {
		f.details = append(f.details, fmt.Sprintf("%s of %s at %s: %s", t.action, t.resource, t.since.Format(time.RFC3339), explained(t.err)))
	}
	f.details = shorten(f.details, len(f.details))
	return f
}

// explained says what lies behind the errors that are known.
func explained(err string) string {
	switch {
	case strings.Contains(err, "greater than forward extremities"):
		return err + " (whoever asked named an event above the end of the room; synupkeep does not)"
	case strings.Contains(err, "sliding_sync_joined_rooms"):
		return err + " (the purge would have taken the newest event of the room; synupkeep leaves it)"
	case strings.Contains(err, "partial_state_events"):
		return err + " (the room is still being joined)"
	case err == "":
		return "without a word"
	}
	return err
}

func checkStateGroups(ctx context.Context, e *exam) finding {
	var there bool
	err := e.db.Reader.QueryRow(ctx, `SELECT to_regclass('state_groups_pending_deletion') IS NOT NULL`).Scan(&there)
	if err != nil {
		return unread(err)
	}
	if !there {
		return notChecked("the table of them is not in this database (Synapse before 1.124, or a database of its own for state)")
	}
	var waiting int64
	var oldest *int64
	err = e.db.Reader.QueryRow(ctx, `SELECT count(*), min(insertion_ts) FROM state_groups_pending_deletion`).Scan(&waiting, &oldest)
	if err != nil {
		return unread(err)
	}
	if oldest == nil {
		return fine("none waits to be deleted")
	}
	since := time.UnixMilli(*oldest).UTC()
	if e.now.Sub(since) <= e.limits.stateGroups {
		return fine("%d wait to be deleted, the first since %s", waiting, since.Format(time.RFC3339))
	}
	return finding{
		result: Warning, found: fmt.Sprintf("%d state groups wait to be deleted, the first since %s", waiting, since.Format(time.RFC3339)),
		means: "Synapse frees the state of purged events ten minutes after a purge: here it does not, so purges free less than they could.",
		do:    "Is the process of Synapse up that run_background_tasks_on names, and what does its log say of delete_state_groups?",
	}
}
