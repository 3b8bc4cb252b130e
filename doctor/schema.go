package doctor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"synupkeep/connect"
	"synupkeep/internal/item"
	"synupkeep/internal/synapse"
)

func checkSchema(ctx context.Context, e *exam) finding {
	features, err := synapse.ReadFeatures(ctx, e.db.Reader)
	const means = "Nothing can be said about this database, and a run is refused before it deletes anything."
	switch {
	case errors.Is(err, synapse.ErrNotSynapse):
		return finding{
			result: Failure, found: e.db.Target() + ": " + err.Error(), means: means, do: "Give the connection string of Synapse's own database.",
		}
	case errors.Is(err, synapse.ErrNoPrivilege):
		return finding{result: Failure, found: err.Error(), means: means, do: "Connect as the role that Synapse uses, or GRANT it SELECT on all tables."}
	case errors.Is(err, synapse.ErrOldSchema):
		return finding{result: Failure, found: err.Error(), means: means, do: "Upgrade Synapse first."}
	case err != nil:
		return unread(err)
	}
	f := fine("version %d of Synapse's schema", features.SchemaVersion)
	f.learn = func(e *exam) { e.features, e.knowsSchema = features, true }
	return f
}

func checkPrivileges(ctx context.Context, e *exam) finding {
	err := synapse.CheckPrivileges(ctx, e.db.Reader, connect.Needs(e.cfg))
	switch {
	case errors.Is(err, synapse.ErrNoPrivilege):
		return finding{
			result: Failure, found: err.Error(), means: "A run is refused: what it cannot read could be what shows media, and what it may not delete stays.",
			do: "Connect as the role that Synapse uses, or GRANT what is missing (against row-level security: BYPASSRLS).",
		}
	case err != nil:
		return unread(err)
	}
	return fine("the role may do what these flows need: %s", joined(e.cfg.Flows))
}

func joined(flows []item.Flow) string {
	words := make([]string, len(flows))
	for i, f := range flows {
		words[i] = string(f)
	}
	return strings.Join(words, ", ")
}

// indexes that our queries are made for, by why.
func ourIndexes() map[string]string {
	return map[string]string{
		"events_jump_to_date_idx":        "rooms with old history are found by the order of arrival instead",
		"events_order_room":              "each room costs a scan of all events",
		"event_contains_url_index":       "which media messages show takes a scan of all events",
		"redactions_redacts":             "each redaction costs a scan",
		"users_have_local_media":         "which uploads are old takes a scan for each page",
		"local_media_repository_url_idx": "which previews are old takes a scan for each page",
		"event_to_state_groups_sg_index": "Synapse's own cleaning after a purge takes a scan for each state group",
	}
}

// lacking is an index that is not there or cannot be used.
type lacking struct {
	name  string
	there bool // and invalid
}

func checkIndexes(ctx context.Context, e *exam) finding {
	ours := ourIndexes()
	rows, err := e.db.Reader.Query(ctx, `
		SELECT n.name, to_regclass(n.name) IS NOT NULL FROM unnest($1::text[]) n (name)
		WHERE NOT EXISTS (SELECT 1 FROM pg_index i WHERE i.indexrelid = to_regclass(n.name) AND i.indisvalid)
		UNION ALL
		SELECT c.relname, TRUE FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
		WHERE NOT i.indisvalid AND pg_table_is_visible(c.oid) AND c.relname <> ALL ($1)
		ORDER BY 1`, slices.Sorted(maps.Keys(ours)))
	if err != nil {
		return unread(err)
	}
	missing, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (l lacking, err error) {
		return l, row.Scan(&l.name, &l.there)
	})
	if err != nil {
		return unread(err)
	}
	if err := synapse.CheckHistory(e.version, e.features); err != nil && e.flows(item.History) {
		f := refused(err, "The history flow is refused: a purge would hold the database up for hours.")
		f.found = "there is no valid index on sliding_sync_membership_snapshots(membership_event_id): each deleted event would read that whole table"
		f.do = "Upgrade Synapse to 1.128 or later and let its background updates finish, or: CREATE INDEX CONCURRENTLY " +
			"sliding_sync_membership_snapshots_membership_event_id_idx ON sliding_sync_membership_snapshots (membership_event_id)"
		return f
	}
	if len(missing) == 0 {
		return fine("all that our queries use are there and valid")
	}
	f := finding{
		result: Warning, means: "Runs take longer than they need to, and so does Synapse.",
		do: "If background updates are pending, wait for them. One that is there and invalid is left over from a CREATE INDEX that was broken off " +
			"(or is being made right now): REINDEX INDEX CONCURRENTLY, or DROP it and have Synapse's background update make it.",
	}
	for _, l := range missing {
		f.details = append(f.details, l.text(ours[l.name]))
	}
	f.found = plural(len(missing), "index is missing or invalid", "indexes are missing or invalid")
	f.details = shorten(f.details, len(f.details))
	return f
}

func (l lacking) text(costs string) string {
	state := "missing"
	if l.there {
		state = "invalid"
	}
	if costs == "" {
		return fmt.Sprintf("%s is %s", l.name, state)
	}
	return fmt.Sprintf("%s is %s: %s", l.name, state, costs)
}

// mattering are the background updates whose result our queries use, or that work on what a purge works on.
func mattering() map[string]string {
	return map[string]string{
		"events_jump_to_date_index":                                        "makes the index by which old history is found",
		"sliding_sync_membership_snapshots_membership_event_id_idx":        "makes the index without which a purge takes hours",
		"replace_stream_ordering_column":                                   "rewrites the table of events",
		"populate_stream_ordering2":                                        "rewrites the table of events",
		"event_forward_extremities_event_id_foreign_key_constraint_update": "cleans the ends of rooms",
		"mark_unreferenced_state_groups_for_deletion_bg_update":            "frees state that earlier purges left behind: the space comes with it",
		"local_media_repository_thumbnails_method_idx":                     "rebuilds a key of the thumbnails",
		"remote_media_repository_thumbnails_method_idx":                    "rebuilds a key of the thumbnails",
		"local_media_repository_url_idx":                                   "makes the index by which old previews are found",
		"redactions_have_censored_ts_idx":                                  "censoring of redactions waits for it, and those hold history",
		"event_store_labels":                                               "reads all events",
		"sliding_sync_joined_rooms_bg_update":                              "notes the newest event of each room, which a purge must leave",
	}
}

func checkBackgroundUpdates(ctx context.Context, e *exam) finding {
	rows, err := e.db.Reader.Query(ctx, `SELECT update_name FROM background_updates ORDER BY ordering, update_name`)
	if err != nil {
		return unread(err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return unread(err)
	}
	if len(names) == 0 {
		return fine("none is pending")
	}
	matters, known := 0, mattering()
	var details []string
	for _, name := range names {
		if why := known[name]; why != "" {
			matters++
			name += ": " + why
		}
		details = append(details, name)
	}
	f := finding{
		result: Warning, found: plural(len(names), "background update of Synapse is pending", "background updates of Synapse are pending"),
		means: "Synapse is still changing its tables. It does that a little at a time, and a run slows it down and is slowed down by it.",
		do: "Wait, and see that the number falls: GET /_synapse/admin/v1/background_updates/status says whether they are enabled. " +
			"One that never ends stands in Synapse's log.",
		details: shorten(details, len(details)),
	}
	if matters > 0 {
		f.found += ", " + plural(matters, "of which matters to a run", "of which matter to a run")
	}
	return f
}
