package synapse

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"synupkeep/internal/postgres"
	"synupkeep/internal/retry"
)

// Slots is how many tasks a Synapse runs at once, of every kind together: purges, room deletions, mass redactions.
// More than that wait their turn (util/task_scheduler.py, task_scheduler.max_concurrent_tasks, 1.163.2).
const Slots = 5

// Tasks reads scheduled_tasks, where the server keeps its purges. It says more than the admin API does: that calls
// purges active which wait or which were cancelled.
type Tasks struct {
	DB postgres.Querier
	// Retry is for a database that is away for a while.
	Retry retry.Policy
}

// Task is a row of scheduled_tasks.
type Task struct {
	ID, Action, Status, Error string
}

// Running says whether the server works on the task or will.
func (t Task) Running() bool { return t.Status == "active" || t.Status == "scheduled" }

// DeletesRoom says whether the task deletes the whole room rather than its history.
func (t Task) DeletesRoom() bool { return t.Action != "purge_history" }

// due holds for tasks that take up a slot, or will as soon as one is free. Deletions of forgotten rooms can be
// scheduled months ahead. A minute is for clocks of server and database that differ.
const due = `(status = 'active' OR status = 'scheduled'
	AND timestamp <= (extract(epoch FROM clock_timestamp()) * 1000)::bigint + 60000)`

// Due counts the tasks that take up the server's slots or wait for them.
func (t Tasks) Due(ctx context.Context) (int, error) {
	var n int
	_, err := t.Retry.Do(ctx, func() error {
		return t.DB.QueryRow(ctx, `SELECT count(*) FROM scheduled_tasks WHERE `+due).Scan(&n)
	}, postgres.Again)
	if err != nil {
		return 0, fmt.Errorf("count the server's tasks: %w", err)
	}
	return n, nil
}

// OfRoom returns the task that purges or deletes a room now; ok is false when there is none.
func (t Tasks) OfRoom(ctx context.Context, roomID string) (task Task, ok bool, err error) {
	return t.one(ctx, "of room "+roomID, due+` AND resource_id = $1
		AND action IN ('purge_history', 'purge_room', 'shutdown_and_purge_room') ORDER BY action DESC LIMIT 1`, roomID)
}

// SinceIn returns the ids of a room's purges that are under way, or were asked for or ended at since (the database's
// clock) or later, the newest first. A task's time is when it was asked for until it ends, and then when it ended
// (util/task_scheduler.py:495-497, 1.163.2).
func (t Tasks) SinceIn(ctx context.Context, roomID string, since time.Time) (ids []string, err error) {
	_, err = t.Retry.Do(ctx, func() error {
		rows, err := t.DB.Query(ctx, `SELECT id FROM scheduled_tasks WHERE action = 'purge_history' AND resource_id = $1
			AND (timestamp >= $2 OR status IN ('active', 'scheduled')) ORDER BY timestamp DESC, id`, roomID, since.UnixMilli())
		if err != nil {
			return err
		}
		ids, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	}, postgres.Again)
	if err != nil {
		return nil, fmt.Errorf("look up the server's purges of room %s: %w", roomID, err)
	}
	return ids, nil
}

// ByID returns a task; ok is false when the server has forgotten it (it keeps them for 7 days).
func (t Tasks) ByID(ctx context.Context, id string) (task Task, ok bool, err error) {
	return t.one(ctx, id, `id = $1`, id)
}

func (t Tasks) one(ctx context.Context, what, where string, args ...any) (task Task, ok bool, err error) {
	_, err = t.Retry.Do(ctx, func() error {
		return t.DB.QueryRow(ctx, `SELECT id, action, status, COALESCE(error, '') FROM scheduled_tasks WHERE `+where, args...).
			Scan(&task.ID, &task.Action, &task.Status, &task.Error)
	}, postgres.Again)
	if errors.Is(err, pgx.ErrNoRows) {
		return task, false, nil
	}
	if err != nil {
		return task, false, fmt.Errorf("look up the server's task %s: %w", what, err)
	}
	return task, true, nil
}

// BrokenExtremities returns the forward extremities of a room that nothing can be sent on: those that are outliers or
// have no state group. A healthy room has none; with one, every message into the room is answered by 500
// (storage/databases/main/state.py:721-723, 1.163.2).
func (t Tasks) BrokenExtremities(ctx context.Context, roomID string) (ids []string, err error) {
	_, err = t.Retry.Do(ctx, func() error {
		rows, err := t.DB.Query(ctx, `
			SELECT f.event_id FROM event_forward_extremities f
			JOIN events e ON e.event_id = f.event_id
			LEFT JOIN event_to_state_groups g ON g.event_id = f.event_id
			WHERE f.room_id = $1 AND (e.outlier OR g.event_id IS NULL)
			ORDER BY f.event_id LIMIT 10`, roomID)
		if err != nil {
			return err
		}
		ids, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	}, postgres.Again)
	if err != nil {
		return nil, fmt.Errorf("look at the extremities of %s: %w", roomID, err)
	}
	return ids, nil
}
