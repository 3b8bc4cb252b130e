package sandbox

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"
)

// Plant writes what a single server cannot produce: rows in one transaction, files at once. Events are hashed and
// signed with the server's own key, so that Synapse serves them like any other.
type Plant struct {
	server *Server
	tx     pgx.Tx
	key    ed25519.PrivateKey
	now    time.Time
	stream int64 // last stream_ordering in use
	low    int64 // lowest stream_ordering in use, for backfilled events

	thumbnails []thumbnail
}

// Plant stops Synapse, calls f and starts Synapse again. When f fails no row is written.
func (s *Server) Plant(ctx context.Context, f func(context.Context, *Plant) error) error {
	return s.WhileDown(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		key, err := s.state.key()
		if err != nil {
			return err
		}
		p := &Plant{server: s, key: key, now: time.Now(), thumbnails: thumbnails()}
		if err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			p.tx = tx
			return p.run(ctx, f)
		}); err != nil {
			return fmt.Errorf("plant: %w", err)
		}
		_, err = conn.Exec(ctx, `ANALYZE events, event_json, event_edges, event_to_state_groups, local_media_repository,
			local_media_repository_thumbnails, remote_media_cache, remote_media_cache_thumbnails`)
		return err
	})
}

// run calls f between reading and writing back the positions of the event streams.
func (p *Plant) run(ctx context.Context, f func(context.Context, *Plant) error) error {
	err := p.tx.QueryRow(ctx, `SELECT GREATEST(max(stream_ordering), (SELECT last_value FROM events_stream_seq), 1),
		LEAST(min(stream_ordering), -(SELECT last_value FROM events_backfill_stream_seq), -1) FROM events`).Scan(&p.stream, &p.low)
	if err != nil {
		return err
	}
	if err := f(ctx, p); err != nil {
		return err
	}
	batch := &pgx.Batch{}
	batch.Queue("SELECT setval('events_stream_seq', $1)", p.stream)
	batch.Queue("SELECT setval('events_backfill_stream_seq', $1)", -p.low)
	batch.Queue("UPDATE stream_positions SET stream_id = $1 WHERE stream_name = 'events'", p.stream)
	batch.Queue("UPDATE stream_positions SET stream_id = $1 WHERE stream_name = 'backfill'", -p.low)
	return p.tx.SendBatch(ctx, batch).Close()
}

// Exec runs any SQL in the plant's transaction.
func (p *Plant) Exec(ctx context.Context, sql string, args ...any) error {
	_, err := p.tx.Exec(ctx, sql, args...)
	return err
}

// Query reads in the plant's transaction.
func (p *Plant) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	return p.tx.Query(ctx, sql, args...)
}

// ms is how Synapse writes a time; the zero time becomes NULL.
func ms(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMilli()
}

// orNow is t, or the time of planting when t is zero.
func (p *Plant) orNow(t time.Time) time.Time {
	if t.IsZero() {
		return p.now
	}
	return t
}

// AgeEvents makes events older in every respect: received and sent. The signed JSON keeps its time, and so does the
// receipt of a redaction, by which Synapse decides to censor what was redacted (after 7 days).
func (p *Plant) AgeEvents(ctx context.Context, by time.Duration, eventIDs ...string) error {
	return p.affects(ctx, int64(len(eventIDs)), `UPDATE events SET received_ts = received_ts - $1, origin_server_ts = origin_server_ts - $1
		WHERE event_id = ANY ($2)`, by.Milliseconds(), eventIDs)
}

// AgeRoom is AgeEvents for all events of a room.
func (p *Plant) AgeRoom(ctx context.Context, room string, by time.Duration) error {
	return p.affects(ctx, -1, `UPDATE events SET received_ts = received_ts - $1, origin_server_ts = origin_server_ts - $1
		WHERE room_id = $2`, by.Milliseconds(), room)
}

// SetTimes sets when events were sent, by the sender's clock, and received. A zero time is written as NULL, which Synapse
// itself wrote long ago.
func (p *Plant) SetTimes(ctx context.Context, sent, received time.Time, eventIDs ...string) error {
	return p.affects(ctx, int64(len(eventIDs)), `UPDATE events SET origin_server_ts = $1, received_ts = $2 WHERE event_id = ANY ($3)`,
		ms(sent), ms(received), eventIDs)
}

// NullTimestamp takes both times away from events.
func (p *Plant) NullTimestamp(ctx context.Context, eventIDs ...string) error {
	return p.SetTimes(ctx, time.Time{}, time.Time{}, eventIDs...)
}

// affects runs an UPDATE and fails unless it hit that many rows, or at least one when want is negative.
func (p *Plant) affects(ctx context.Context, want int64, sql string, args ...any) error {
	tag, err := p.tx.Exec(ctx, sql, args...)
	if err != nil {
		return err
	}
	if n := tag.RowsAffected(); n != want && (want >= 0 || n == 0) {
		return fmt.Errorf("%d rows changed instead of %d by %s", n, want, sql)
	}
	return nil
}

// PendingTask adds a task of the scheduler with a status such as scheduled, active, cancelled or complete, and returns
// its id. Synapse takes an active one up again when it starts; for purge_history of a room params is the JSON of token
// and delete_local_events.
func (p *Plant) PendingTask(ctx context.Context, action, status, resource, params string, at time.Time) (string, error) {
	id := rand.Text()[:16]
	return id, p.Exec(ctx, `INSERT INTO scheduled_tasks (id, action, status, timestamp, resource_id, params)
		VALUES ($1, $2, $3, $4, $5, NULLIF($6, ''))`, id, action, status, p.orNow(at).UnixMilli(), resource, params)
}

// DestinationFailure says that another server has not answered since the given time.
func (p *Plant) DestinationFailure(ctx context.Context, origin string, since time.Time) error {
	return p.Exec(ctx, `INSERT INTO destinations (destination, retry_last_ts, retry_interval, failure_ts) VALUES ($1, $2, $3, $4)
		ON CONFLICT (destination) DO UPDATE SET retry_last_ts = EXCLUDED.retry_last_ts, retry_interval = EXCLUDED.retry_interval,
		failure_ts = EXCLUDED.failure_ts`, origin, p.now.UnixMilli(), (7 * 24 * time.Hour).Milliseconds(), since.UnixMilli())
}

// writeFile writes a file of the media store, with the directories on its way, dated t.
func (p *Plant) writeFile(path string, data []byte, t time.Time) error {
	full := filepath.Join(p.server.MediaStore(), path)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(full, data, 0o644); err != nil {
		return err
	}
	return os.Chtimes(full, t, t)
}

// randomBase64 is what Synapse makes ids of.
func randomBase64(bytes int) string {
	b := make([]byte, bytes)
	_, _ = rand.Read(b) // never fails
	return base64.RawURLEncoding.EncodeToString(b)
}

// MissingEventID is the id of an event that no server has; as a previous event it makes a gap.
func MissingEventID() string { return "$" + randomBase64(32) }
