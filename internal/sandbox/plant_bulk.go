package sandbox

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// BulkMessages plants n messages in a row after the room's forward extremities, about 15,000 a second. The first is
// sent and received at the given time, each further one a step later. They are not in the search index.
func (p *Plant) BulkMessages(ctx context.Context, roomID string, n int, first time.Time, step time.Duration) ([]string, error) {
	r, err := p.room(ctx, roomID)
	if err != nil || n <= 0 {
		return nil, err
	}
	start := NewEvent{Room: roomID, Prev: r.tips}
	k, err := p.previous(ctx, r, &start)
	if err != nil {
		return nil, err
	}
	auth, err := p.auth(ctx, r, r.sender)
	if err != nil {
		return nil, err
	}
	ids := make([]string, 0, n)
	var events, texts, edges, groups [][]any
	prev, depth := r.tips, start.Depth
	for i := range n {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		at := first.Add(time.Duration(i) * step).UnixMilli()
		id, js, err := sign(map[string]any{
			"auth_events": auth, "prev_events": prev, "depth": depth, "origin_server_ts": at, "room_id": roomID,
			"content": map[string]any{"msgtype": "m.text", "body": fmt.Sprintf("bulk %d", i)}, "sender": r.sender, "type": "m.room.message",
		}, r.version, p.server.state.ServerName, p.key)
		if err != nil {
			return nil, err
		}
		p.stream++
		events = append(events, []any{depth, id, "m.room.message", roomID, true, false, depth, at, at, r.sender, false, "master", p.stream})
		texts = append(texts, []any{id, roomID, "{}", string(js), r.format})
		for _, before := range prev {
			edges = append(edges, []any{id, before})
		}
		groups = append(groups, []any{id, k.group})
		ids = append(ids, id)
		prev = []string{id}
		depth++
	}
	for _, c := range []struct {
		table   string
		columns []string
		rows    [][]any
	}{
		{"events", []string{
			"topological_ordering", "event_id", "type", "room_id", "processed", "outlier", "depth", "origin_server_ts",
			"received_ts", "sender", "contains_url", "instance_name", "stream_ordering",
		}, events},
		{"event_json", []string{"event_id", "room_id", "internal_metadata", "json", "format_version"}, texts},
		{"event_edges", []string{"event_id", "prev_event_id"}, edges},
		{"event_to_state_groups", []string{"event_id", "state_group"}, groups},
	} {
		if err := p.copyRows(ctx, c.table, c.columns, c.rows); err != nil {
			return nil, err
		}
	}
	batch := &pgx.Batch{}
	queueExtremity(batch, r, NewEvent{Prev: r.tips, Type: "m.room.message"}, ids[n-1], p.stream)
	return ids, p.tx.SendBatch(ctx, batch).Close()
}

func (p *Plant) copyRows(ctx context.Context, table string, columns []string, rows [][]any) error {
	if _, err := p.tx.CopyFrom(ctx, pgx.Identifier{table}, columns, pgx.CopyFromRows(rows)); err != nil {
		return fmt.Errorf("copy into %s: %w", table, err)
	}
	return nil
}
