package doctor

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"synupkeep/config"
	"synupkeep/internal/sandbox"
)

func one[T any](t testing.TB, s *sandbox.Server, sql string, args ...any) (value T) {
	t.Helper()
	err := s.WithDB(t.Context(), func(ctx context.Context, conn *pgx.Conn) error { return conn.QueryRow(ctx, sql, args...).Scan(&value) })
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return value
}

// meanwhile runs SQL now, and other SQL that takes it back when the test ends.
func meanwhile(t testing.TB, s *sandbox.Server, sql, back string, args ...any) {
	t.Helper()
	t.Cleanup(func() { do(t, s, back, args...) })
	do(t, s, sql, args...)
}

func TestASchemaThatIsTooOldIsAFailure(t *testing.T) {
	s := sandbox.Shared(t)
	meanwhile(t, s, `UPDATE schema_version SET version = version - 70`, `UPDATE schema_version SET version = version + 70`)
	x := examine(t, settings(t, s), nil)
	x.wants(t, "schema", Failure, "older than Synapse 1.98", "Upgrade Synapse first")
	x.wants(t, "indexes", NotChecked)
}

func TestARoleThatMayNotReadIsAFailure(t *testing.T) {
	s := sandbox.Shared(t)
	cfg := settings(t, s)
	cfg.Postgres = config.NewSecret(s.OutsiderConnString())
	x := examine(t, cfg, nil)
	x.wants(t, "schema", Failure, "lacks privileges")
	x.wants(t, "database", OK)
	x.wants(t, "token", OK)
}

func TestARoleThatMayNotDeleteIsAFailureWhereItHasTo(t *testing.T) {
	s := sandbox.Shared(t)
	meanwhile(t, s, `REVOKE DELETE ON remote_media_cache FROM `+s.PGUser(), `GRANT DELETE ON remote_media_cache TO `+s.PGUser())
	x := examine(t, settings(t, s), nil)
	x.wants(t, "privileges", Failure, "DELETE on remote_media_cache", "GRANT")
	x.but(t, "privileges")
	examine(t, settings(t, s, "--only", "history"), nil).wants(t, "privileges", OK)
	examine(t, settings(t, s, "--media-via", "api"), nil).wants(t, "privileges", OK)
}

func TestIndexesThatAreMissing(t *testing.T) {
	s := sandbox.Shared(t)
	const name = "events_jump_to_date_idx"
	meanwhile(t, s, `DROP INDEX `+name, one[string](t, s, `SELECT pg_get_indexdef($1::regclass)`, name))
	x := examine(t, settings(t, s), nil)
	x.wants(t, "indexes", Warning, "1 index is missing or invalid", name+" is missing: rooms with old history")
	x.but(t, "indexes")
}

func TestIndexesThatAreInvalid(t *testing.T) {
	s := sandbox.Shared(t)
	const set = `UPDATE pg_index SET indisvalid = %s WHERE indexrelid IN ('users_have_local_media'::regclass, 'events_ts'::regclass)`
	meanwhile(t, s, fmt.Sprintf(set, "FALSE"), fmt.Sprintf(set, "TRUE"))
	x := examine(t, settings(t, s), nil)
	x.wants(t, "indexes", Warning, "2 indexes are", "users_have_local_media is invalid: which uploads", "events_ts is invalid", "REINDEX INDEX CONCURRENTLY")
	x.but(t, "indexes")
}

func TestTheIndexWithoutWhichAPurgeTakesHours(t *testing.T) {
	sandbox.Needs(t, "1.115.0", "the table came with it")
	s := sandbox.Shared(t)
	const name = "sliding_sync_membership_snapshots_membership_event_id_idx"
	meanwhile(t, s, `DROP INDEX `+name, one[string](t, s, `SELECT pg_get_indexdef($1::regclass)`, name))
	x := examine(t, settings(t, s), nil)
	x.wants(t, "indexes", Failure, "sliding_sync_membership_snapshots(membership_event_id)", "CREATE INDEX CONCURRENTLY")
	x.but(t, "indexes")
	examine(t, settings(t, s, "--skip", "history"), nil).wants(t, "indexes", OK)
}

func TestBackgroundUpdatesThatArePending(t *testing.T) {
	s := sandbox.Shared(t)
	meanwhile(t, s, `INSERT INTO background_updates (update_name, progress_json) VALUES ('events_jump_to_date_index', '{}'), ('something_else', '{}')`,
		`DELETE FROM background_updates WHERE update_name IN ('events_jump_to_date_index', 'something_else')`)
	x := examine(t, settings(t, s), nil)
	x.wants(t, "background-updates", Warning, "2 background updates", "1 of which matters to a run", "events_jump_to_date_index: makes the index", "something_else")
	x.but(t, "background-updates")
}
