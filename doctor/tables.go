package doctor

import (
	"context"
	"fmt"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/jackc/pgx/v5"

	"synupkeep/internal/printable"
)

// longTransactions keep dead rows from being vacuumed. Of other roles' sessions the role may see no times.
const longTransactions = `
	SELECT 'database process ' || pid || ' (' || COALESCE(usename, '') || ', ' || COALESCE(NULLIF(application_name, ''), 'no name') || ', '
		|| COALESCE(state, 'state unknown') || ')', xact_start
	FROM pg_stat_activity
	WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start < clock_timestamp() - make_interval(secs => $1)
		AND backend_type = 'client backend'
	UNION ALL
	SELECT 'prepared transaction ' || gid || ' (' || owner || ')', prepared FROM pg_prepared_xacts
	WHERE database = current_database() AND prepared < clock_timestamp() - make_interval(secs => $1)
	ORDER BY 2 LIMIT 10`

func checkTransactions(ctx context.Context, e *exam) finding {
	rows, err := e.db.Reader.Query(ctx, longTransactions, e.limits.transaction.Seconds())
	if err != nil {
		return unread(err)
	}
	var who string
	var since time.Time
	var details []string
	if _, err := pgx.ForEachRow(rows, []any{&who, &since}, func() error {
		details = append(details, who+", since "+since.UTC().Format(time.RFC3339))
		return nil
	}); err != nil {
		return unread(err)
	}
	if len(details) > 0 {
		return finding{
			result: Warning, found: plural(len(details), "transaction has", "transactions have") + fmt.Sprintf(" been open for more than %s", printable.Duration(e.limits.transaction)),
			means:   "As long as it is open PostgreSQL cannot reuse the space of any row that was deleted since: what a run deletes frees nothing.",
			do:      "Find out whose it is (a dump, a forgotten psql?), and end it: SELECT pg_terminate_backend(PROCESS), or ROLLBACK PREPARED.",
			details: details,
		}
	}
	var hidden int64
	err = e.db.Reader.QueryRow(ctx, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query = '<insufficient privilege>'`).Scan(&hidden)
	if err != nil {
		return unread(err)
	}
	if hidden > 0 {
		return fine("none has been open for long, as far as we may see: %s hidden from us (GRANT pg_read_all_stats)",
			plural(hidden, "session of another role is", "sessions of other roles are"))
	}
	return fine("none has been open for long")
}

// unvacuumed are the tables with the most dead rows, where those are many and a good part of the table.
const unvacuumed = `
	SELECT relname, n_dead_tup, n_live_tup, pg_total_relation_size(relid), last_autovacuum, last_vacuum
	FROM pg_stat_user_tables s
	WHERE pg_table_is_visible(relid) AND n_dead_tup > $1 AND n_dead_tup > 0.3 * (n_live_tup + n_dead_tup)
		AND COALESCE(GREATEST(last_autovacuum, last_vacuum), '-infinity') < clock_timestamp() - interval '1 day'
	ORDER BY n_dead_tup DESC LIMIT 10`

// unattended are tables that autovacuum passes over.
const unattended = `
	SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND pg_table_is_visible(oid)
		AND EXISTS (SELECT 1 FROM unnest(reloptions) o (option) WHERE option ~* '^autovacuum_enabled=(false|off|no|0)$')
	ORDER BY 1`

func checkVacuum(ctx context.Context, e *exam) finding {
	const means = "The space of deleted rows is used again only after a vacuum: without it the tables grow however much a run deletes."
	var on string
	if err := e.db.Reader.QueryRow(ctx, `SELECT current_setting('autovacuum')`).Scan(&on); err != nil {
		return unread(err)
	}
	if on != "on" {
		return finding{result: Warning, found: "autovacuum is switched off", means: means, do: "Set autovacuum = on in postgresql.conf, and reload."}
	}
	rows, err := e.db.Reader.Query(ctx, unattended)
	if err != nil {
		return unread(err)
	}
	without, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return unread(err)
	}
	if len(without) > 0 {
		return finding{
			result: Warning, found: "autovacuum is switched off for " + plural(len(without), "table", "tables"), means: means,
			do: "ALTER TABLE ... RESET (autovacuum_enabled).", details: shorten(without, len(without)),
		}
	}
	details, err := e.unvacuumed(ctx)
	if err != nil {
		return unread(err)
	}
	if len(details) > 0 {
		return finding{
			result: Warning, found: plural(len(details), "table has", "tables have") + " many dead rows, and no vacuum has come by for a day", means: means,
			do: "VACUUM (VERBOSE, ANALYZE) the table: it says what holds it up. A transaction that is open for long does (see transactions), " +
				"and so does an autovacuum that is too gentle (autovacuum_vacuum_cost_limit).",
			details: details,
		}
	}
	return fine("autovacuum is on, and no table has many dead rows")
}

func (e *exam) unvacuumed(ctx context.Context) (details []string, err error) {
	rows, err := e.db.Reader.Query(ctx, unvacuumed, e.limits.dead)
	if err != nil {
		return nil, err
	}
	var name string
	var dead, live, size int64
	var auto, byHand *time.Time
	_, err = pgx.ForEachRow(rows, []any{&name, &dead, &live, &size, &auto, &byHand}, func() error {
		last := "never"
		for _, at := range []*time.Time{auto, byHand} {
			if at != nil && (last == "never" || at.UTC().Format(time.RFC3339) > last) {
				last = at.UTC().Format(time.RFC3339)
			}
		}
		details = append(details, fmt.Sprintf("%s: %s dead and %s living rows in %s; last vacuum: %s",
			name, humanize.Comma(dead), humanize.Comma(live), humanize.IBytes(uint64(max(size, 0))), last))
		return nil
	})
	return details, err
}

// growing are tables that grow without end on some servers, with how many rows are a lot, and what helps. No run touches them.
func growing() map[string]struct {
	rows float64
	do   string
} {
	type grown = struct {
		rows float64
		do   string
	}
	return map[string]grown{
		"device_inbox":                          {5e6, "messages for devices that nobody uses: delete old devices (delete_stale_devices_after in homeserver.yaml)"},
		"device_federation_outbox":              {1e6, "messages for servers that do not answer"},
		"device_lists_outbound_pokes":           {5e6, "news of devices for servers that do not answer"},
		"device_lists_remote_pending":           {1e6, "servers whose lists of devices are still to be fetched"},
		"event_push_actions":                    {2e7, "unread messages of people who never come: deactivate accounts that nobody uses"},
		"cache_invalidation_stream_by_instance": {5e7, "Synapse clears it after 7 days; much was changed since"},
		"current_state_delta_stream":            {5e7, "changes of the state of rooms, which Synapse never deletes"},
		"state_groups_state":                    {5e8, "state of rooms: synapse_compress_state (rust-synapse-compress-state) makes it smaller"},
		"user_ips":                              {1e7, "addresses of users: user_ips_max_age in homeserver.yaml"},
		"received_transactions":                 {1e7, "Synapse clears it after a day"},
		"presence_stream":                       {1e6, "who is online: presence.enabled in homeserver.yaml"},
		"event_failed_pull_attempts":            {5e6, "events that no server has any more"},
	}
}

func checkGrowth(ctx context.Context, e *exam) finding {
	all := growing()
	names, most := []string{}, []float64{}
	for name, table := range all {
		names, most = append(names, name), append(most, table.rows*e.limits.grown)
	}
	rows, err := e.db.Reader.Query(ctx, `
		SELECT t.name, c.reltuples::float8, pg_total_relation_size(c.oid) FROM unnest($1::text[], $2::float8[]) t (name, most)
		JOIN pg_class c ON c.oid = to_regclass(t.name) WHERE c.reltuples > t.most ORDER BY 3 DESC, 1`, names, most)
	if err != nil {
		return unread(err)
	}
	var name string
	var count float64
	var size int64
	var details []string
	if _, err := pgx.ForEachRow(rows, []any{&name, &count, &size}, func() error {
		details = append(details, fmt.Sprintf("%s: about %s rows, %s: %s", name, humanize.Comma(int64(count)), humanize.IBytes(uint64(max(size, 0))), all[name].do))
		return nil
	}); err != nil {
		return unread(err)
	}
	if len(details) == 0 {
		return fine("no table that synupkeep does not clean is unusually large")
	}
	return finding{
		result: Warning, found: plural(len(details), "table is", "tables are") + " unusually large that synupkeep does not clean",
		means: "No run makes these smaller; their numbers are the estimates of PostgreSQL.", do: "What helps stands behind each.", details: shorten(details, len(details)),
	}
}
