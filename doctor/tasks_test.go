package doctor

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"synupkeep/internal/sandbox"
)

// plantTasks plants tasks that the server knows nothing of: nobody is in their room.
func plantTasks(t testing.TB, s *sandbox.Server, n int, status, failure string, age time.Duration) {
	t.Helper()
	t.Cleanup(func() { do(t, s, `DELETE FROM scheduled_tasks WHERE id LIKE 'planted-%'`) })
	do(t, s, `INSERT INTO scheduled_tasks (id, action, status, timestamp, resource_id, params, error)
		SELECT 'planted-' || n, 'purge_history', $2, $3, '!planted' || n || ':localhost', '{"token": "t1-1", "delete_local_events": true}', NULLIF($4, '')
		FROM generate_series(1, $1::int) n`, n, status, time.Now().Add(-age).UnixMilli(), failure)
}

func TestTasksThatDoNotEnd(t *testing.T) {
	s := sandbox.Shared(t)
	plantTasks(t, s, 12, "active", "", 2*time.Hour)
	x := examine(t, settings(t, s), nil)
	x.wants(t, "stuck-tasks", Warning, "12 tasks have been under way for more than 1h", "purge_history of !planted1:localhost, asked for at ", "and 2 more")
	x.but(t, "stuck-tasks")
}

func TestTasksThatPileUp(t *testing.T) {
	s := sandbox.Shared(t)
	plantTasks(t, s, 40, "scheduled", "", time.Second)
	x := examine(t, settings(t, s), nil)
	x.wants(t, "stuck-tasks", Warning, " tasks wait for their turn", "run_background_tasks_on")
	x.but(t, "stuck-tasks")
}

func TestTasksThatAreForLater(t *testing.T) {
	s := sandbox.Shared(t)
	plantTasks(t, s, 40, "scheduled", "", -24*time.Hour)
	examine(t, settings(t, s), nil).wants(t, "stuck-tasks", OK)
}

func TestTasksThatFailed(t *testing.T) {
	s := sandbox.Shared(t)
	plantTasks(t, s, 2, "failed", "400: topological_ordering is greater than forward extremities", 24*time.Hour)
	x := examine(t, settings(t, s), nil)
	x.wants(t, "failed-tasks", Warning, "2 rooms were not purged", "purge_history of !planted1:localhost", "named an event above the end of the room")
	x.but(t, "failed-tasks")
	do(t, s, `UPDATE scheduled_tasks SET timestamp = 1 WHERE id LIKE 'planted-%'`)
	examine(t, settings(t, s), nil).wants(t, "failed-tasks", OK)
}

func TestStateGroupsThatAreNotDeleted(t *testing.T) {
	sandbox.Needs(t, "1.124.0", "the table came with it")
	s := sandbox.Shared(t)
	for age, want := range map[time.Duration]Result{48 * time.Hour: Warning, time.Minute: OK} {
		do(t, s, `DELETE FROM state_groups_pending_deletion WHERE state_group = 2000000000`)
		meanwhile(t, s, fmt.Sprintf(`INSERT INTO state_groups_pending_deletion (state_group, insertion_ts) VALUES (2000000000, %d)`, time.Now().Add(-age).UnixMilli()),
			`DELETE FROM state_groups_pending_deletion WHERE state_group = 2000000000`)
		x := examine(t, settings(t, s), nil)
		x.wants(t, "state-groups", want, "1 ", "deleted")
		x.but(t, "state-groups")
	}
}

func TestTransactionsThatAreOpenForLong(t *testing.T) {
	s := sandbox.Shared(t)
	conn, err := pgx.Connect(t.Context(), s.ConnString()+" application_name=forgotten")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context()) //nolint:errcheck // the test is over
	if _, err := conn.Exec(t.Context(), `BEGIN; SELECT 1`); err != nil {
		t.Fatal(err)
	}
	x := examine(t, settings(t, s), func(e *exam) { e.limits.transaction = time.Millisecond })
	x.wants(t, "transactions", Warning, "been open for more than 1ms", ", forgotten, idle in transaction), since ", "pg_terminate_backend")
	x.but(t, "transactions")
	err = s.WithDB(t.Context(), func(ctx context.Context, superuser *pgx.Conn) error {
		if _, err := superuser.Exec(ctx, `SELECT 1`); err != nil {
			return err
		}
		examine(t, settings(t, s), nil).wants(t, "transactions", OK, "1 session of another role is hidden from us")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestTablesThatNobodyVacuums(t *testing.T) {
	s := sandbox.Shared(t)
	meanwhile(t, s, `ALTER TABLE event_json SET (autovacuum_enabled = off)`, `ALTER TABLE event_json RESET (autovacuum_enabled)`)
	x := examine(t, settings(t, s), nil)
	x.wants(t, "vacuum", Warning, "autovacuum is switched off for 1 table", "event_json", "RESET (autovacuum_enabled)")
	x.but(t, "vacuum")
}

func TestAutovacuumThatIsOff(t *testing.T) {
	s := sandbox.Shared(t)
	t.Cleanup(func() { do(t, s, `ALTER SYSTEM RESET autovacuum`); do(t, s, `SELECT pg_reload_conf()`) })
	do(t, s, `ALTER SYSTEM SET autovacuum = off`)
	do(t, s, `SELECT pg_reload_conf()`)
	for deadline := time.Now().Add(10 * time.Second); one[string](t, s, `SHOW autovacuum`) == "on"; {
		if time.Now().After(deadline) {
			t.Fatal("the server does not take its new configuration")
		}
	}
	x := examine(t, settings(t, s), nil)
	x.wants(t, "vacuum", Warning, "autovacuum is switched off", "postgresql.conf")
	x.but(t, "vacuum")
}

func TestTablesFullOfDeadRows(t *testing.T) {
	s := sandbox.Shared(t)
	meanwhile(t, s, `CREATE TABLE dead (a int) WITH (autovacuum_vacuum_threshold = 1000000000); GRANT SELECT ON dead TO PUBLIC`, `DROP TABLE dead`)
	do(t, s, `INSERT INTO dead SELECT generate_series(1, 5000)`)
	err := s.WithDB(t.Context(), func(ctx context.Context, conn *pgx.Conn) error {
		if _, err := conn.Exec(ctx, `DELETE FROM dead WHERE a > 100`); err != nil {
			return err
		}
		_, err := conn.Exec(ctx, `SELECT pg_stat_force_next_flush()`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	x := examine(t, settings(t, s), func(e *exam) { e.limits.dead = 4000 })
	x.wants(t, "vacuum", Warning, "1 table has many dead rows", "dead: 4,900 dead and 100 living rows in ", "last vacuum: never", "VACUUM (VERBOSE, ANALYZE)")
	x.but(t, "vacuum")
	examine(t, settings(t, s), nil).wants(t, "vacuum", OK)
}

func TestTablesThatGrewWithoutEnd(t *testing.T) {
	s := sandbox.Shared(t)
	meanwhile(t, s, `UPDATE pg_class SET reltuples = 6e6 WHERE oid = 'device_inbox'::regclass`, `ANALYZE device_inbox`)
	x := examine(t, settings(t, s), nil)
	x.wants(t, "growth", Warning, "1 table is unusually large", "device_inbox: about 6,000,000 rows", "delete_stale_devices_after")
	x.but(t, "growth")
}
