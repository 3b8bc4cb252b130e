package sandbox

import (
	"context"
	"crypto/sha256"
	"encoding/hex"

	"github.com/jackc/pgx/v5"
)

// newColumns are the columns of the tables of media that came with later releases than the oldest: authenticated (1.112)
// and sha256 (1.128).
func (s *Server) newColumns() []string {
	var names []string
	if s.authenticatedMedia() {
		names = append(names, "authenticated")
	}
	if !s.Before("1.128.0") {
		names = append(names, "sha256")
	}
	return names
}

// newValues are those of newColumns for a file with this content.
func (s *Server) newValues(data []byte) []any {
	sum := sha256.Sum256(data)
	return []any{true, hex.EncodeToString(sum[:])}[:len(s.newColumns())]
}

// fillNewColumns gives a row of media what a release as new as this one writes.
func (p *Plant) fillNewColumns(ctx context.Context, table, mediaID string, data []byte) error {
	if len(p.server.newColumns()) == 0 {
		return nil
	}
	sql := "UPDATE " + table + " SET authenticated = $2"
	if len(p.server.newColumns()) > 1 {
		sql += ", sha256 = $3"
	}
	return p.Exec(ctx, sql+" WHERE media_id = $1", append([]any{mediaID}, p.server.newValues(data)...)...)
}

// SetNewest makes an event the newest of its room for sliding sync, as Synapse does with each that it receives. Before 1.115
// nothing is noted.
func (p *Plant) SetNewest(ctx context.Context, roomID, eventID string) error {
	if p.server.Before("1.115.0") {
		return nil
	}
	return p.Exec(ctx, `UPDATE sliding_sync_joined_rooms SET event_stream_ordering =
		(SELECT stream_ordering FROM events WHERE event_id = $2) WHERE room_id = $1`, roomID, eventID)
}

// queueRedaction notes what an event redacts; that the redaction was allowed is known since schema 94 (1.152).
func (p *Plant) queueRedaction(batch *pgx.Batch, id, redacts string) {
	batch.Queue(`INSERT INTO redactions (event_id, redacts, received_ts) VALUES ($1, $2, $3)`, id, redacts, p.now.UnixMilli())
	if !p.server.Before("1.152.0") {
		batch.Queue(`UPDATE redactions SET recheck = false WHERE event_id = $1`, id)
	}
}
