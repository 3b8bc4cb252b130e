package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"

	"synupkeep/internal/item"
	"synupkeep/internal/postgres"
	"synupkeep/internal/references"
	"synupkeep/internal/sandbox"
	"synupkeep/sources"
)

const (
	keptEvents = 5_000_000
	// One of so many names an upload, if it is none of so many that are encrypted.
	everyUpload, everyEncrypted = 25, 3
)

// shownRows compares reading what kept events show with one statement that reads the same rows, the first time and when
// most of it is remembered.
func shownRows(ctx context.Context, s *sandbox.Server, runs, _ int) ([]comparison, func(context.Context) error, error) {
	if err := s.WhileDown(ctx, plantKeptEvents); err != nil {
		return nil, nil, err
	}
	counting := func(name, query string) contender {
		return contender{name: name, run: func(ctx context.Context) error {
			return s.WithDB(ctx, func(ctx context.Context, db *pgx.Conn) error {
				var n int64
				err := db.QueryRow(ctx, query).Scan(&n)
				return wanted(err, n)
			})
		}}
	}
	texts := counting("SELECT count(*) over the JSON alone", `SELECT count(*) FROM event_json WHERE position('/localhost' IN json) > 0`)
	events := counting("SELECT count(*) over JSON and events", `SELECT count(*) FROM event_json j JOIN events e USING (event_id)
		WHERE position('/localhost' IN j.json) > 0 AND NOT e.outlier`)
	cold := func(ctx context.Context) error {
		dir, err := os.MkdirTemp(s.Dir(), "memory")
		if err != nil {
			return err
		}
		return readShown(ctx, s, dir)
	}
	dir := filepath.Join(s.Dir(), "memory")
	if err := readShown(ctx, s, dir); err != nil {
		return nil, nil, err
	}
	name := fmt.Sprintf("protected set over %d kept events", keptEvents)
	return []comparison{
		{name: name + ", the first night", runs: runs, target: "at most 1.5", baseline: events, ours: contender{name: "synupkeep", run: cold}},
		{name: name + ", the first night", runs: runs, target: "none", baseline: texts, ours: contender{name: "synupkeep", run: cold}},
		{name: name + ", remembered", runs: runs, target: "none", baseline: events, ours: contender{
			name: "synupkeep", run: func(ctx context.Context) error { return readShown(ctx, s, dir) },
		}},
	}, func(context.Context) error { return nil }, nil
}

func wanted(err error, n int64) error {
	if err == nil && n < keptEvents/everyUpload/2 {
		err = fmt.Errorf("%d references were found", n)
	}
	return err
}

// readShown reads the protected set as a run does.
func readShown(ctx context.Context, s *sandbox.Server, dir string) error {
	db, err := postgres.Open(ctx, s.ConnString())
	if err != nil {
		return err
	}
	defer db.Close()
	n := int64(0)
	err = sources.References{
		DB: db.Reader, ServerName: s.ServerName(), CutOff: time.Now().Add(-cutOffAge), ReportsSince: time.Now(),
		Memory: references.In(dir, s.ServerName()),
	}.Each(ctx, func(uint64, item.Reason) { n++ })
	return wanted(err, n)
}

// plantKeptEvents writes events that Synapse could not serve, of the size of real ones.
func plantKeptEvents(ctx context.Context, db *pgx.Conn) error {
	const step = keptEvents / 20
	for from := 1; from <= keptEvents; from += step {
		fmt.Fprintf(os.Stderr, "planting %d of %d events\n", from-1, keptEvents)
		if _, err := db.Exec(ctx, `
			WITH e AS MATERIALIZED (
				SELECT i, '$' || substr(translate(encode(sha256(i::text::bytea), 'base64'), '+/', '-_'), 1, 43) AS id,
					i % $3 = 0 AS upload, i % $4 = 1 AS encrypted, 1000000 + i AS stream, '!bench' || i % 50 AS room
				FROM generate_series($1::bigint, $2::bigint) i
			), events AS (
				INSERT INTO events (topological_ordering, event_id, type, room_id, processed, outlier, depth, origin_server_ts,
					received_ts, sender, contains_url, instance_name, stream_ordering)
				SELECT i, id, CASE WHEN encrypted THEN 'm.room.encrypted' ELSE 'm.room.message' END, room, true, false, i,
					1700000000000 + i, 1700000000000 + i, '@alice:localhost', upload, 'master', stream FROM e
			)
			INSERT INTO event_json (event_id, room_id, internal_metadata, format_version, json)
			SELECT id, room, '{}', 3, format('{"auth_events":["%s","%s"],"content":%s,"depth":%s,"hashes":{"sha256":"%s"},'
				'"origin_server_ts":%s,"prev_events":["%s"],"room_id":"%s","sender":"@alice:localhost",'
				'"signatures":{"localhost":{"ed25519:a_test":"%s%s"}},"type":"%s","unsigned":{"age_ts":%s}}',
				id, id, CASE WHEN encrypted THEN format('{"algorithm":"m.megolm.v1.aes-sha2","ciphertext":"%s"}', repeat(md5(i::text), 20))
					WHEN upload THEN format('{"body":"picture","msgtype":"m.image","url":"mxc://localhost/%s"}',
						translate(substr(md5(i::text), 1, 24), '0123456789', 'ghijklmnop'))
					ELSE format('{"body":"%s","msgtype":"m.text"}', repeat('word ', 20)) END,
				i, id, 1700000000000 + i, id, room, md5(i::text), md5(i::text), 'm.room.message', i) FROM e`,
			from, from+step-1, everyUpload, everyEncrypted); err != nil {
			return err
		}
	}
	if _, err := db.Exec(ctx, `SELECT setval('events_stream_seq', 1000000 + $1)`, keptEvents); err != nil {
		return err
	}
	_, err := db.Exec(ctx, `VACUUM (ANALYZE) events, event_json`)
	return err
}
