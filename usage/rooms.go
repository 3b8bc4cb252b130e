package usage

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"synupkeep/internal/item"
	"synupkeep/internal/postgres"
	"synupkeep/sinks"
	"synupkeep/sources"
)

// What people know a room by is what Synapse's statistics have; a server with enable_stats off has none. The texts are cut:
// whoever is in the room makes them up.
const (
	roomNames = `COALESCE(left(s.name, 200), ''), COALESCE(left(s.canonical_alias, 300), ''), COALESCE(c.joined_members, 0),
		COALESCE(s.encryption, '') <> ''`
	joinNames = ` LEFT JOIN room_stats_state s USING (room_id) LEFT JOIN room_stats_current c USING (room_id)`
)

// historyByRoom adds up, for each room and (as a room without an id) for all, what the drawn blocks of both tables hold, and the
// squares of what each block holds, for the margins. OFFSET 0 keeps the JSON itself out of the sort.
const historyByRoom = `
	WITH texts AS (
		SELECT COALESCE(room_id, '') AS room_id, sum(n) AS n, sum(bytes) AS bytes, sum(bytes * bytes) AS bytes2 FROM (
			SELECT room_id, block, count(*)::float8 AS n, sum(size)::float8 AS bytes FROM (
				SELECT room_id, (ctid::text::point)[0]::bigint AS block, pg_column_size(json) AS size
				FROM event_json TABLESAMPLE SYSTEM ($1::real) REPEATABLE (1) OFFSET 0
			) drawn GROUP BY GROUPING SETS ((1, 2), (2))
		) b GROUP BY 1
	), kinds AS (
		SELECT COALESCE(room_id, '') AS room_id, sum(n) AS n, sum(n * n) AS n2, sum(m) AS m, sum(m * m) AS m2, sum(s) AS s, sum(s * s) AS s2
		FROM (
			SELECT room_id, (ctid::text::point)[0]::bigint AS block, count(*)::float8 AS n,
				count(*) FILTER (WHERE state_key IS NULL AND NOT outlier)::float8 AS m, count(*) FILTER (WHERE state_key IS NOT NULL)::float8 AS s
			FROM events TABLESAMPLE SYSTEM ($2::real) REPEATABLE (1)
			GROUP BY GROUPING SETS ((1, 2), (2))
		) b GROUP BY 1
	), top AS (
		SELECT room_id, COALESCE(t.n, 0) AS texts, COALESCE(t.bytes, 0) AS bytes, COALESCE(t.bytes2, 0) AS bytes2, COALESCE(k.n, 0) AS n,
			COALESCE(k.n2, 0) AS n2, COALESCE(k.m, 0) AS m, COALESCE(k.m2, 0) AS m2, COALESCE(k.s, 0) AS s, COALESCE(k.s2, 0) AS s2
		FROM texts t FULL JOIN kinds k USING (room_id)
		ORDER BY room_id = '' DESC, 3 DESC, 5 DESC, room_id COLLATE "C" LIMIT $3 + 1
	)
	SELECT room_id, ` + roomNames + `, texts, bytes, bytes2, n, n2, m, m2, s, s2
	FROM top` + joinNames + ` ORDER BY room_id = '' DESC, bytes DESC, n DESC, room_id COLLATE "C"`

func (r *reader) history(ctx context.Context) error {
	texts, err := sources.DrawFrom(ctx, r.db.Reader, "event_json", r.blocks)
	if err != nil {
		return err
	}
	events, err := sources.DrawFrom(ctx, r.db.Reader, "events", r.blocks)
	if err != nil {
		return err
	}
	var h sinks.UsageHistory
	err = r.query(ctx, historyByRoom, []any{texts.Percent, events.Percent, r.cfg.Top}, func() { h = sinks.UsageHistory{} }, func(row pgx.CollectableRow) error {
		var room sinks.RoomUsage
		var count, bytes, bytes2, n, n2, m, m2, s, s2 float64
		err := row.Scan(&room.RoomID, &room.Name, &room.Alias, &room.Members, &room.Encrypted, &count, &bytes, &bytes2, &n, &n2, &m, &m2, &s, &s2)
		room.Events, room.Messages, room.State = counted(events, n, n2), counted(events, m, m2), counted(events, s, s2)
		room.JSONBytes = counted(texts, bytes, bytes2)
		if room.RoomID != "" {
			h.ByRoom = append(h.ByRoom, room)
			return err
		}
		h.Events, h.Messages, h.State, h.JSONBytes = room.Events, room.Messages, room.State, room.JSONBytes
		h.Samples = samples(texts.Sample(int64(count)), events.Sample(int64(n)))
		return err
	})
	if err == nil {
		r.usage.History = &h
	}
	return err
}

const stateByRoom = `
	WITH rooms AS (
		SELECT COALESCE(room_id, '') AS room_id, sum(n) AS n, sum(n * n) AS n2 FROM (
			SELECT room_id, (ctid::text::point)[0]::bigint AS block, count(*)::float8 AS n
			FROM state_groups_state TABLESAMPLE SYSTEM ($1::real) REPEATABLE (1)
			GROUP BY GROUPING SETS ((1, 2), (2))
		) b GROUP BY 1
	), top AS (
		SELECT * FROM rooms ORDER BY room_id = '' DESC, n DESC, room_id COLLATE "C" LIMIT $2 + 1
	)
	SELECT room_id, ` + roomNames + `, n, n2, pg_total_relation_size('state_groups_state')
	FROM top` + joinNames + ` ORDER BY room_id = '' DESC, n DESC, room_id COLLATE "C"`

// stateGroups may be in a database of their own, with the store "state" in homeserver.yaml.
func (r *reader) stateGroups(ctx context.Context) error {
	draw, err := sources.DrawFrom(ctx, r.db.Reader, "state_groups_state", r.blocks)
	if errors.Is(err, sources.ErrNoTable) {
		r.warn("state groups lie in a database of their own (databases in homeserver.yaml): they are not shown here")
		return nil
	}
	if err != nil {
		return err
	}
	var g sinks.UsageStateGroups
	var all float64
	err = r.query(ctx, stateByRoom, []any{draw.Percent, r.cfg.Top}, func() { g, all = sinks.UsageStateGroups{}, 0 }, func(row pgx.CollectableRow) error {
		var room sinks.RoomState
		var n, n2 float64
		err := row.Scan(&room.RoomID, &room.Name, &room.Alias, &room.Members, &room.Encrypted, &n, &n2, &g.Bytes)
		room.Rows = counted(draw, n, n2)
		if room.RoomID == "" {
			all, g.Rows = n, room.Rows
			g.Samples = samples(draw.Sample(int64(n)))
			return err
		}
		room.Bytes = int64(float64(g.Bytes) * n / max(all, n, 1))
		g.ByRoom = append(g.ByRoom, room)
		return err
	})
	if err == nil {
		r.usage.StateGroups = &g
	}
	return err
}

// mediaByRoom looks up what the messages of the drawn blocks name. An event has contains_url when its content has a url
// (synapse/storage/databases/main/events.py, 1.163.2); media that several messages of a room name counts once.
const mediaByRoom = `
	WITH named AS (
		SELECT DISTINCT e.room_id, m.found[1] AS origin, m.found[2] AS media_id
		FROM events e TABLESAMPLE SYSTEM ($1::real) REPEATABLE (1)
		JOIN event_json j USING (event_id)
		CROSS JOIN LATERAL regexp_matches(j.json, '"(?:thumbnail_)?url":\s*"mxc://([^/"\\]+)/([^/"?#\\]+)"', 'g') m (found)
		WHERE e.contains_url AND NOT e.outlier AND e.state_key IS NULL
	), sized AS (
		SELECT n.room_id, l.media_id IS NOT NULL AS local, GREATEST(COALESCE(l.media_length, r.media_length, 0), 0)::float8 AS bytes
		FROM named n
		LEFT JOIN local_media_repository l ON n.origin = $2 AND l.media_id = n.media_id AND l.url_cache IS NULL
		LEFT JOIN remote_media_cache r ON n.origin <> $2 AND r.media_origin = n.origin AND r.media_id = n.media_id
		WHERE l.media_id IS NOT NULL OR r.media_id IS NOT NULL
	), top AS (
		SELECT room_id, count(*) FILTER (WHERE local)::float8 AS n, COALESCE(sum(bytes) FILTER (WHERE local), 0) AS bytes,
			count(*) FILTER (WHERE NOT local)::float8 AS rn, COALESCE(sum(bytes) FILTER (WHERE NOT local), 0) AS rbytes, sum(bytes * bytes) AS bytes2
		FROM sized GROUP BY 1 ORDER BY sum(bytes) DESC, room_id COLLATE "C" LIMIT $3
	)
	SELECT room_id, ` + roomNames + `, n, bytes, rn, rbytes, bytes2
	FROM top` + joinNames + ` ORDER BY bytes + rbytes DESC, room_id COLLATE "C"`

func (r *reader) roomMedia(ctx context.Context) error {
	draw, err := sources.DrawFrom(ctx, r.db.Reader, "events", r.blocks)
	if err != nil {
		return err
	}
	m := sinks.UsageRoomMedia{Samples: samples(draw.Sample(r.drawnEvents()))}
	err = r.query(ctx, mediaByRoom, []any{draw.Percent, r.usage.ServerName, r.cfg.Top}, func() { m.ByRoom = nil }, func(row pgx.CollectableRow) error {
		var room sinks.RoomMedia
		var n, bytes, rn, rbytes, bytes2 float64
		err := row.Scan(&room.RoomID, &room.Name, &room.Alias, &room.Members, &room.Encrypted, &n, &bytes, &rn, &rbytes, &bytes2)
		room.LocalItems, room.LocalBytes = draw.Estimate(n), draw.Estimate(bytes)
		room.RemoteItems, room.RemoteBytes = draw.Estimate(rn), draw.Estimate(rbytes)
		room.Margin = draw.Margin(bytes2)
		m.ByRoom = append(m.ByRoom, room)
		return err
	})
	if err == nil {
		r.usage.RoomMedia = &m
	}
	return err
}

// drawnEvents is how many rows the drawn blocks of events held when their messages were counted: they are the same blocks.
func (r *reader) drawnEvents() int64 {
	for _, c := range r.usage.Curves {
		if c.Flow == item.History && c.Sample != nil {
			return c.Sample.Rows
		}
	}
	return 0
}

func counted(d sources.Draw, n, squares float64) sinks.Counted {
	return sinks.Counted{Number: d.Estimate(n), Margin: d.Margin(squares)}
}

func samples(all ...*item.Extent) (some []item.Extent) {
	for _, e := range all {
		if e != nil {
			some = append(some, *e)
		}
	}
	return some
}

// query reads rows, from the beginning when it has to be asked again.
func (r *reader) query(ctx context.Context, sql string, args []any, begin func(), each func(pgx.CollectableRow) error) error {
	_, err := r.retry.Do(ctx, func() error {
		begin()
		rows, err := r.db.Reader.Query(ctx, sql, args...)
		if err != nil {
			return err
		}
		_, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (struct{}, error) { return struct{}{}, each(row) })
		return err
	}, postgres.Again)
	if err != nil {
		return fmt.Errorf("query: %w", err)
	}
	return nil
}
