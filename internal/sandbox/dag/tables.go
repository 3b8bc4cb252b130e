package dag

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"synupkeep/internal/sandbox"
)

// tables are those that a cut is made of.
func tables() []string {
	return []string{
		"rooms", "events", "state_events", "rejections", "redactions", "event_forward_extremities", "event_backward_extremities",
		"event_edges", "event_reports", "sliding_sync_joined_rooms", "event_json", "current_state_events", "partial_state_rooms",
	}
}

// Tables makes empty tables like those of Synapse's database, with all their columns, defaults and indexes but without
// foreign keys, beside them and out of Synapse's sight. Every connection of the pool sees these in place of the real ones.
// drop ends the pool and removes them.
func Tables(ctx context.Context, s *sandbox.Server) (pool *pgxpool.Pool, drop func(context.Context) error, err error) {
	config, err := pgxpool.ParseConfig(s.ConnString())
	if err != nil {
		return nil, nil, err
	}
	name := "dag_" + strings.ToLower(rand.Text())
	err = s.WithDB(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		b := &pgx.Batch{}
		b.Queue(`CREATE SCHEMA ` + name + ` AUTHORIZATION ` + config.ConnConfig.User)
		for _, table := range tables() {
			like := `LIKE public.` + table + ` INCLUDING ALL`
			if table == "sliding_sync_joined_rooms" && s.Before("1.115.0") { // what is drawn has one all the same
				like = `room_id text PRIMARY KEY, event_stream_ordering bigint NOT NULL`
			}
			b.Queue(`CREATE UNLOGGED TABLE ` + name + `.` + table + ` (` + like + `)`)
			b.Queue(`ALTER TABLE ` + name + `.` + table + ` OWNER TO ` + config.ConnConfig.User)
		}
		return conn.SendBatch(ctx, b).Close()
	})
	if err != nil {
		return nil, nil, fmt.Errorf("make tables for rooms: %w", err)
	}
	config.ConnConfig.RuntimeParams["search_path"] = name
	pool, err = pgxpool.NewWithConfig(ctx, config)
	return pool, func(ctx context.Context) error {
		pool.Close()
		return s.WithDB(ctx, func(ctx context.Context, conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, `DROP SCHEMA `+name+` CASCADE`)
			return err
		})
	}, err
}

// Copier is a connection or a transaction.
type Copier interface {
	CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, rows pgx.CopyFromSource) (int64, error)
}

// Write writes rooms into the tables of a pool that Tables made: tens of thousands of events a second.
func Write(ctx context.Context, db Copier, rooms ...Room) error {
	rows := map[string][][]any{}
	add := func(table string, row ...any) { rows[table] = append(rows[table], row) }
	for _, r := range rooms {
		if err := r.rows(add); err != nil {
			return err
		}
	}
	for _, table := range tables() {
		if len(rows[table]) == 0 {
			continue
		}
		if _, err := db.CopyFrom(ctx, pgx.Identifier{table}, columns(table), pgx.CopyFromRows(rows[table])); err != nil {
			return fmt.Errorf("copy into %s: %w", table, err)
		}
	}
	return nil
}

func columns(table string) []string {
	return strings.Fields(map[string]string{
		"rooms": "room_id is_public",
		"events": "event_id room_id type sender topological_ordering depth stream_ordering origin_server_ts received_ts " +
			"outlier processed",
		"state_events":               "event_id room_id type state_key",
		"rejections":                 "event_id reason last_check",
		"redactions":                 "event_id redacts have_censored received_ts",
		"event_forward_extremities":  "event_id room_id",
		"event_backward_extremities": "event_id room_id",
		"event_edges":                "event_id prev_event_id",
		"event_reports":              "id received_ts room_id event_id user_id",
		"sliding_sync_joined_rooms":  "room_id event_stream_ordering",
		"event_json":                 "event_id room_id internal_metadata json format_version",
		"current_state_events":       "event_id room_id type state_key",
	}[table])
}

// rows makes the rows of a room.
func (r Room) rows(add func(table string, row ...any)) error {
	add("rooms", r.ID, false)
	for _, e := range r.Events {
		kind := "m.room.message"
		if e.Redacts != "" {
			kind = "m.room.redaction"
		}
		add("events", e.ID, r.ID, kind, "@alice:property", e.Depth, e.Depth, e.Stream, e.Sent, e.Received, e.Outlier, true)
		for _, prev := range e.Prev {
			add("event_edges", e.ID, prev)
		}
		if e.State {
			add("state_events", e.ID, r.ID, "m.state", e.ID)
		}
		if e.Rejected {
			add("rejections", e.ID, "auth_error", "0")
		}
		if e.Tip {
			add("event_forward_extremities", e.ID, r.ID)
		}
		if e.Newest {
			add("sliding_sync_joined_rooms", r.ID, e.Stream)
		}
		if e.Redacts != "" {
			add("redactions", e.ID, e.Redacts, e.Censored, e.Received)
		}
		if e.Reported != nil {
			add("event_reports", max(e.Stream, -e.Stream), *e.Reported, r.ID, e.ID, "@bob:property")
		}
	}
	for _, gap := range r.Gaps {
		add("event_backward_extremities", gap, r.ID)
	}
	if r.State == 0 {
		return nil
	}
	pins, err := json.Marshal(map[string]any{"content": map[string]any{"pinned": r.pins()}})
	if err != nil {
		return err
	}
	id := "$pins" + r.ID
	add("event_json", id, r.ID, "{}", string(pins), 3)
	add("current_state_events", id, r.ID, "m.room.pinned_events", "")
	for i := int64(1); i < r.State; i++ {
		add("current_state_events", fmt.Sprint("$state", i, r.ID), r.ID, "m.state", fmt.Sprint(i))
	}
	return nil
}

// pins are entries of a list of pinned events, with what does not belong there.
func (r Room) pins() []any {
	pins := []any{7, nil, "", "$unknown:property", []any{"$nested:property"}, "$" + strings.Repeat("x", 300), "$nul\x00"}
	for _, e := range r.Events {
		if e.Pinned {
			pins = append(pins, e.ID, e.ID)
		}
	}
	return pins
}

// Querier is a connection, a pool or a transaction.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// Read reads a room as it is in a database: one that Write wrote as well as one of a real server. What is pinned is taken
// from the ids given.
func Read(ctx context.Context, db Querier, roomID string, pinned ...string) (Room, error) {
	r := Room{ID: roomID}
	newest, err := newestEvent(ctx, db)
	if err != nil {
		return r, err
	}
	rows, err := db.Query(ctx, `
		SELECT e.event_id, COALESCE((SELECT array_agg(prev_event_id) FROM event_edges d WHERE d.event_id = e.event_id), '{}'),
			e.topological_ordering, e.stream_ordering, e.origin_server_ts, e.received_ts,
			EXISTS (SELECT 1 FROM state_events s WHERE s.event_id = e.event_id), e.outlier,
			EXISTS (SELECT 1 FROM rejections j WHERE j.event_id = e.event_id),
			EXISTS (SELECT 1 FROM event_forward_extremities f WHERE f.event_id = e.event_id AND f.room_id = e.room_id),
			`+newest+`,
			COALESCE((SELECT min(redacts) FROM redactions x WHERE x.event_id = e.event_id), ''),
			EXISTS (SELECT 1 FROM redactions x WHERE x.event_id = e.event_id AND x.have_censored),
			(SELECT max(received_ts) FROM event_reports p WHERE p.event_id = e.event_id)
		FROM events e WHERE e.room_id = $1 ORDER BY e.stream_ordering`, roomID)
	if err != nil {
		return r, err
	}
	r.Events, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (e Event, err error) {
		err = row.Scan(&e.ID, &e.Prev, &e.Depth, &e.Stream, &e.Sent, &e.Received, &e.State, &e.Outlier, &e.Rejected, &e.Tip,
			&e.Newest, &e.Redacts, &e.Censored, &e.Reported)
		e.Pinned = slices.Contains(pinned, e.ID)
		return e, err
	})
	if err != nil {
		return r, err
	}
	if rows, err = db.Query(ctx, `SELECT event_id FROM event_backward_extremities WHERE room_id = $1`, roomID); err != nil {
		return r, err
	}
	if r.Gaps, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
		return r, err
	}
	if rows, err = db.Query(ctx, `SELECT count(*) FROM current_state_events WHERE room_id = $1`, roomID); err != nil {
		return r, err
	}
	r.State, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[int64])
	return r.Sorted(), err
}

// newestEvent is SQL that says whether sliding sync takes e for the newest event of its room, as no Synapse before 1.115
// does.
func newestEvent(ctx context.Context, db Querier) (string, error) {
	rows, err := db.Query(ctx, `SELECT to_regclass('sliding_sync_joined_rooms') IS NOT NULL`)
	if err != nil {
		return "", err
	}
	there, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[bool])
	if err != nil || !there {
		return "false", err
	}
	return `EXISTS (SELECT 1 FROM sliding_sync_joined_rooms n WHERE n.event_stream_ordering = e.stream_ordering)`, nil
}

// Clear is SQL that empties the tables.
func Clear() string { return `TRUNCATE ` + strings.Join(tables(), `, `) }
