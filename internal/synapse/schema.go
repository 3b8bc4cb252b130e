package synapse

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"synupkeep/internal/postgres"
)

// Features is what this database's schema can do. One schema number spans many releases, so each thing is looked for.
type Features struct {
	SchemaVersion int
	// SlidingSync: the table sliding_sync_joined_rooms refers to events (1.115).
	SlidingSync bool
	// MembershipEventIndex: what refers to events from sliding_sync_membership_snapshots has its index (1.128).
	MembershipEventIndex bool
	// JumpToDate: the index events_jump_to_date_idx is there and valid (1.76, a background update).
	JumpToDate bool
	// TIDRange: PostgreSQL can read a table in ranges of blocks (14).
	TIDRange bool
}

// Errors of ReadFeatures.
var (
	// ErrNotSynapse: the database holds no Synapse.
	ErrNotSynapse = errors.New("this is not the database of a Synapse")
	// ErrOldSchema: the schema lacks what a purge needs.
	ErrOldSchema = errors.New("the schema of this database is older than Synapse 1.98")
	// ErrNoPrivilege: the role may not do what a run does.
	ErrNoPrivilege = errors.New("the database role lacks privileges")
)

const oldestSchema = 83 // Synapse 1.98

// ReadFeatures looks at the schema. Nothing may be deleted when it fails.
func ReadFeatures(ctx context.Context, db postgres.Querier) (Features, error) {
	var f Features
	var known bool
	err := db.QueryRow(ctx, `SELECT to_regclass('schema_version') IS NOT NULL AND to_regclass('events') IS NOT NULL`).Scan(&known)
	if err != nil {
		return f, fmt.Errorf("look at the schema: %w", err)
	}
	if !known {
		return f, ErrNotSynapse
	}
	if err := db.QueryRow(ctx, `SELECT version FROM schema_version`).Scan(&f.SchemaVersion); err != nil {
		var refused interface{ SQLState() string }
		if errors.As(err, &refused) && refused.SQLState() == "42501" {
			return f, fmt.Errorf("%w: SELECT on schema_version", ErrNoPrivilege)
		}
		return f, fmt.Errorf("read schema_version: %w", err)
	}
	if f.SchemaVersion < oldestSchema {
		return f, fmt.Errorf("%w: it is %d, at least %d is needed", ErrOldSchema, f.SchemaVersion, oldestSchema)
	}
	if err := requireColumns(ctx, db); err != nil {
		return f, err
	}
	err = db.QueryRow(ctx, `
		SELECT to_regclass('sliding_sync_joined_rooms') IS NOT NULL,
		       EXISTS (SELECT 1 FROM pg_index WHERE indisvalid
		                 AND indexrelid = to_regclass('sliding_sync_membership_snapshots_membership_event_id_idx')),
		       EXISTS (SELECT 1 FROM pg_index WHERE indisvalid
		                 AND indexrelid = to_regclass('events_jump_to_date_idx')),
		       current_setting('server_version_num')::int >= 140000`).
		Scan(&f.SlidingSync, &f.MembershipEventIndex, &f.JumpToDate, &f.TIDRange)
	if err != nil {
		return f, fmt.Errorf("look for indexes: %w", err)
	}
	return f, nil
}

// needed lists every table and column that our SQL names.
func needed() map[string]string {
	return map[string]string{
		"rooms":                             "room_id room_version",
		"room_aliases":                      "room_alias room_id",
		"events":                            "event_id room_id topological_ordering depth stream_ordering outlier origin_server_ts received_ts type",
		"state_events":                      "event_id state_key",
		"rejections":                        "event_id",
		"redactions":                        "event_id redacts have_censored",
		"event_edges":                       "event_id prev_event_id",
		"event_forward_extremities":         "event_id room_id",
		"event_backward_extremities":        "event_id room_id",
		"event_to_state_groups":             "event_id state_group",
		"event_reports":                     "id event_id room_id received_ts",
		"ex_outlier_stream":                 "event_id event_stream_ordering",
		"current_state_events":              "event_id room_id type",
		"partial_state_rooms":               "room_id",
		"scheduled_tasks":                   "id action status timestamp resource_id error",
		"users":                             "name",
		"destinations":                      "destination failure_ts",
		"current_state_delta_stream":        "stream_id type event_id prev_event_id",
		"local_current_membership":          "room_id user_id event_id membership",
		"account_data":                      "user_id stream_id content",
		"room_account_data":                 "user_id stream_id content",
		"profiles":                          "avatar_url",
		"user_directory":                    "avatar_url",
		"room_memberships":                  "event_id avatar_url",
		"room_stats_state":                  "avatar",
		"event_json":                        "event_id json",
		"local_media_repository":            "media_id media_type media_length created_ts user_id quarantined_by url_cache last_access_ts safe_from_quarantine",
		"local_media_repository_thumbnails": "media_id",
		"local_media_repository_url_cache":  "media_id",
		"remote_media_cache":                "media_origin media_id media_type media_length filesystem_id created_ts last_access_ts quarantined_by",
		"remote_media_cache_thumbnails":     "media_origin media_id",
	}
}

func requireColumns(ctx context.Context, db postgres.Querier) error {
	rows, err := db.Query(ctx, `
		SELECT c.relname || '.' || a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
		WHERE a.attnum > 0 AND NOT a.attisdropped AND pg_table_is_visible(c.oid) AND c.relkind IN ('r', 'p', 'v')`)
	if err != nil {
		return fmt.Errorf("look at the columns: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("look at the columns: %w", err)
	}
	have := make(map[string]bool, len(names))
	for _, n := range names {
		have[n] = true
	}
	var missing []string
	for table, columns := range needed() {
		for column := range strings.FieldsSeq(columns) {
			if !have[table+"."+column] {
				missing = append(missing, table+"."+column)
			}
		}
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		return fmt.Errorf("%w: it lacks %s", ErrOldSchema, strings.Join(missing, ", "))
	}
	return nil
}

// Needs says what a run does beside reading tables. What the server is asked to delete needs no privilege of ours.
type Needs struct {
	// The rows that the run deletes itself.
	DeleteLocalMedia, DeletePreviews, DeleteRemoteMedia bool
	// AccountData: it asks for the position of the stream of account data.
	AccountData bool
}

// deletes returns the tables whose rows are locked and deleted, and those whose rows only go along.
func (n Needs) deletes() (locked, along []string) {
	if n.DeleteLocalMedia || n.DeletePreviews {
		locked, along = append(locked, "local_media_repository"), append(along, "local_media_repository_thumbnails")
	}
	if n.DeletePreviews {
		along = append(along, "local_media_repository_url_cache")
	}
	if n.DeleteRemoteMedia {
		locked, along = append(locked, "remote_media_cache"), append(along, "remote_media_cache_thumbnails")
	}
	return locked, along
}

// CheckPrivileges says whether this role may read what any run reads, and do what this one needs.
func CheckPrivileges(ctx context.Context, db postgres.Querier, needs Needs) error {
	var tables, privileges []string
	want := func(privilege string, names ...string) {
		for _, name := range names {
			tables, privileges = append(tables, name), append(privileges, privilege)
		}
	}
	want("SELECT", slices.Collect(maps.Keys(needed()))...)
	want("SELECT", "sliding_sync_joined_rooms", "delayed_events") // where they exist
	if needs.AccountData {
		want("SELECT", "account_data_sequence")
	}
	locked, along := needs.deletes()
	want("UPDATE", locked...) // for SELECT ... FOR UPDATE
	want("DELETE", locked...)
	want("DELETE", along...)
	if needs.DeleteLocalMedia { // what comes to be shown at that moment is put back
		want("INSERT", "local_media_repository", "local_media_repository_thumbnails")
	}
	rows, err := db.Query(ctx, `
		SELECT w.privilege || ' on ' || w.name FROM unnest($1::text[], $2::text[]) w (name, privilege)
		WHERE to_regclass(w.name) IS NOT NULL AND NOT has_table_privilege(to_regclass(w.name)::oid, w.privilege)
		ORDER BY 1`, tables, privileges)
	if err != nil {
		return fmt.Errorf("look at the privileges: %w", err)
	}
	lacking, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("look at the privileges: %w", err)
	}
	if len(lacking) > 0 {
		return fmt.Errorf("%w: %s", ErrNoPrivilege, strings.Join(lacking, ", "))
	}
	return seesAll(ctx, db, tables)
}

// seesAll refuses a role from which row-level security hides rows: what it does not see could be shown.
func seesAll(ctx context.Context, db postgres.Querier, tables []string) error {
	rows, err := db.Query(ctx, `SELECT DISTINCT name FROM unnest($1::text[]) name
		WHERE to_regclass(name) IS NOT NULL AND row_security_active(to_regclass(name)::oid) ORDER BY 1`, tables)
	if err != nil {
		return fmt.Errorf("look at row-level security: %w", err)
	}
	hidden, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("look at row-level security: %w", err)
	}
	if len(hidden) > 0 {
		return fmt.Errorf("%w: row-level security hides rows of %s", ErrNoPrivilege, strings.Join(hidden, ", "))
	}
	return nil
}
