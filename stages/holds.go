package stages

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"synupkeep/internal/postgres"
)

// Holds knows, for all rooms at once, the depths below which history must stay for a while because of something that
// no index leads to from the room: redactions that Synapse has not censored yet, and young abuse reports. Both are few;
// they are read again when they have half the age that a cut may have.
type Holds struct {
	DB postgres.Querier
	// ReportsSince is the point in time from which on an abuse report holds its event.
	ReportsSince time.Time

	mu         sync.Mutex
	readAt     time.Time
	took       time.Duration
	redactions map[string]int64
	reports    map[string]int64
}

// A redaction that is deleted gives its target back its content, unless Synapse has censored that already (after
// redaction_retention_period, 7 days by default) or it is deleted as well, which what lies at the same depth always is.
// Outliers count: a purge deletes those, too.
const uncensored = `
	SELECT e.room_id, min(e.topological_ordering)
	FROM redactions r
	JOIN events e ON e.event_id = r.event_id
	JOIN events t ON t.event_id = r.redacts
	LEFT JOIN state_events s ON s.event_id = r.redacts
	WHERE NOT r.have_censored AND (s.event_id IS NOT NULL OR t.topological_ordering > e.topological_ordering)
	GROUP BY e.room_id`

// A report on an event that is gone is answered by 404 (storage/databases/main/room.py:2069-2075, 1.163.2). State
// events stay anyway.
const reported = `
	SELECT e.room_id, min(e.topological_ordering)
	FROM event_reports r
	JOIN events e ON e.event_id = r.event_id
	LEFT JOIN state_events s ON s.event_id = r.event_id
	WHERE r.received_ts >= $1 AND s.event_id IS NULL
	GROUP BY e.room_id`

// Held is what holds the history of one room.
type Held struct {
	// Redaction and Report are the lowest depths that a redaction and that a report holds; nil means none.
	Redaction, Report *int64
	// At is when that was read, by our own monotonic clock.
	At time.Time
}

// Of returns what holds the history of a room.
func (h *Holds) Of(ctx context.Context, roomID string) (Held, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	// A cut is as old as what it is made of. Where redactions are never censored the reading takes long, and is not done
	// all the time: what it misses then is a redaction that is old and arrived just now.
	if h.readAt.IsZero() || time.Since(h.readAt) > max(freshness/2, 20*h.took) {
		at := time.Now()
		var err error
		if h.redactions, err = h.read(ctx, uncensored); err != nil {
			return Held{}, fmt.Errorf("read redactions that are not censored yet: %w", err)
		}
		if h.reports, err = h.read(ctx, reported, h.ReportsSince.UnixMilli()); err != nil {
			return Held{}, fmt.Errorf("read abuse reports: %w", err)
		}
		h.readAt, h.took = at, time.Since(at)
	}
	held := Held{At: h.readAt}
	if h.took > freshness/10 {
		held.At = time.Now()
	}
	if depth, ok := h.redactions[roomID]; ok {
		held.Redaction = &depth
	}
	if depth, ok := h.reports[roomID]; ok {
		held.Report = &depth
	}
	return held, nil
}

func (h *Holds) read(ctx context.Context, query string, args ...any) (map[string]int64, error) {
	rows, err := h.DB.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	depths := map[string]int64{}
	var room string
	var depth int64
	_, err = pgx.ForEachRow(rows, []any{&room, &depth}, func() error {
		depths[room] = depth
		return nil
	})
	return depths, err
}
