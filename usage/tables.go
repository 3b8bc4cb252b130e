package usage

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"synupkeep/sinks"
)

// tableSizes asks for the size of each table and its parts once, so that they add up. It reads files' sizes, and no row.
const tableSizes = `
	WITH sizes AS (
		SELECT c.oid, CASE WHEN pg_table_is_visible(c.oid) THEN '' ELSE n.nspname || '.' END || c.relname AS name,
			COALESCE(pg_relation_size(c.oid, 'main') + pg_relation_size(c.oid, 'fsm') + pg_relation_size(c.oid, 'vm'), 0) AS heap,
			COALESCE(pg_indexes_size(c.oid), 0) AS indexes, COALESCE(pg_total_relation_size(NULLIF(c.reltoastrelid, 0)), 0) AS toast
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
			AND n.nspname NOT LIKE 'pg\_toast%' AND n.nspname NOT LIKE 'pg\_temp%'
	)
	SELECT name, heap + indexes + toast, heap, indexes, toast, COALESCE(t.n_live_tup, 0), COALESCE(t.n_dead_tup, 0),
		GREATEST(t.last_vacuum, t.last_autovacuum), GREATEST(t.last_analyze, t.last_autoanalyze), count(*) OVER ()
	FROM sizes LEFT JOIN pg_stat_all_tables t ON t.relid = sizes.oid
	ORDER BY 2 DESC, name COLLATE "C" LIMIT $1`

func (r *reader) tables(ctx context.Context) error {
	var t sinks.UsageTables
	err := r.query(ctx, tableSizes, []any{r.cfg.Top}, func() { t = sinks.UsageTables{} }, func(row pgx.CollectableRow) error {
		var one sinks.TableUsage
		var vacuumed, analyzed *time.Time
		var all int64
		err := row.Scan(&one.Name, &one.Bytes, &one.HeapBytes, &one.IndexBytes, &one.ToastBytes, &one.LiveRows, &one.DeadRows, &vacuumed, &analyzed, &all)
		if vacuumed != nil {
			one.LastVacuum = *vacuumed
		}
		if analyzed != nil {
			one.LastAnalyze = *analyzed
		}
		t.Largest = append(t.Largest, one)
		t.NotNamed = all - int64(len(t.Largest))
		return err
	})
	if err == nil {
		r.usage.Tables = &t
	}
	return err
}

// The times of tasks are those at which they were to begin, in ms (synapse/util/task_scheduler.py, 1.163.2).
const (
	unfinishedTasks = `
		SELECT action, status, count(*), min(timestamp) FROM scheduled_tasks
		WHERE action IN ('purge_history', 'purge_room', 'shutdown_and_purge_room') AND status IN ('scheduled', 'active', 'failed')
		GROUP BY 1, 2 ORDER BY 1, 2`
	partialRooms = `SELECT count(*) FROM partial_state_rooms`

	hasPending    = `SELECT to_regclass('state_groups_pending_deletion') IS NOT NULL`
	pendingGroups = `SELECT count(*), min(insertion_ts) FROM state_groups_pending_deletion` // Synapse 1.124
)

func (r *reader) leftovers(ctx context.Context) error {
	var l sinks.UsageLeftovers
	err := r.query(ctx, unfinishedTasks, nil, func() { l.Tasks = nil }, func(row pgx.CollectableRow) error {
		var t sinks.TaskUsage
		var oldest int64
		err := row.Scan(&t.Action, &t.Status, &t.Number, &oldest)
		t.Oldest = time.UnixMilli(oldest)
		l.Tasks = append(l.Tasks, t)
		return err
	})
	if err != nil {
		return err
	}
	if err := r.one(ctx, partialRooms, &l.PartialRooms); err != nil {
		return err
	}
	var has bool
	if err := r.one(ctx, hasPending, &has); err != nil {
		return err
	}
	if has {
		var oldest *int64
		if err := r.one(ctx, pendingGroups, &l.PendingStateGroups, &oldest); err != nil {
			return err
		}
		if oldest != nil {
			l.OldestPending = time.UnixMilli(*oldest)
		}
	}
	r.usage.Leftovers = &l
	return nil
}

// one reads the one row of a query.
func (r *reader) one(ctx context.Context, sql string, to ...any) error {
	return r.query(ctx, sql, nil, func() {}, func(row pgx.CollectableRow) error { return row.Scan(to...) })
}
