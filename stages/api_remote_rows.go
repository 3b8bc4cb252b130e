package stages

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"synupkeep/internal/item"
)

// judge says by the rows what became of a step, and lets the next ones grow.
func (c *PurgeCache) judge(step []item.Media, rows map[key]remnant, answered bool, deleted int64) (_ fates, done int) {
	fate := func(m item.Media) item.Outcome { return rows[keyOf(m)].fate(m, answered) }
	var stays []item.Media
	failed := 0
	for _, m := range step {
		switch fate(m).Status {
		case item.Done:
			done++
			continue
		case item.Failed:
			failed++
		case item.Kept, item.Skipped, item.Left:
		}
		stays = append(stays, m)
	}
	c.leaveBehind(stays)
	if !answered {
		return fate, done
	}
	if deleted > 0 && done == 0 && !c.proven {
		c.end(notTheServers(fmt.Sprintf("the server says that it has deleted %d remote media, and the database still has them", deleted)))
	}
	c.proven = c.proven || done > 0
	if c.stuck += failed; done > 0 {
		c.stuck = 0
	} else if c.stuck >= mostStuck {
		c.end(errStuck("purge the cache of remote media", c.stuck))
	}
	c.Pace.grow(done)
	return fate, done
}

// Pace is how many media a step should have: few at first, more while they really go.
type Pace struct {
	// Most is the full size of a step.
	Most int
	size atomic.Int64
}

// Size is how many media the next step should have.
func (p *Pace) Size() int { return int(max(1, p.size.Load())) }

// grow lets the steps grow after one of which so many went.
func (p *Pace) grow(done int) {
	p.size.Store(min(int64(p.Most), max(p.size.Load(), int64(done)*growth)))
}

// remnant is what is left of remote media; the zero value is nothing.
type remnant struct {
	there            bool
	file             string
	quarantined, old bool
}

func (r remnant) fate(m item.Media, answered bool) item.Outcome {
	switch {
	case !r.there, r.file != m.FileID: // or it was fetched again since
		return item.Outcome{Status: item.Done}
	case r.quarantined:
		return item.Outcome{Status: item.Kept, Reason: item.Quarantined}
	case !r.old, m.Keep != "":
		return item.Outcome{Status: item.Skipped, Reason: item.Changed}
	case !answered:
		return item.Outcome{Status: item.Left, Reason: item.Stopped}
	}
	return item.Outcome{Status: item.Failed, Err: errors.New(mediaKept)}
}

// look reads what is left of a step.
func (c *PurgeCache) look(ctx context.Context, step []item.Media, before time.Time) (map[key]remnant, error) {
	origins, ids := make([]string, len(step)), make([]string, len(step))
	for i, m := range step {
		origins[i], ids[i] = m.Origin, m.ID
	}
	rows, err := c.DB.Query(ctx, `SELECT m.media_origin, m.media_id, COALESCE(m.filesystem_id, ''), m.quarantined_by IS NOT NULL,
			COALESCE(m.last_access_ts < $3, false)
		FROM remote_media_cache m
		JOIN unnest($1::text[], $2::text[]) k (origin, id) ON m.media_origin = k.origin AND m.media_id = k.id`, origins, ids, before.UnixMilli())
	if err != nil {
		return nil, err
	}
	found := map[key]remnant{}
	var k key
	r := remnant{there: true}
	_, err = pgx.ForEachRow(rows, []any{&k.origin, &k.id, &r.file, &r.quarantined, &r.old}, func() error {
		found[k] = r
		return nil
	})
	return found, err
}

// still counts what of a step the server has yet to delete.
func (c *PurgeCache) still(ctx context.Context, step []item.Media, before time.Time) (n int, err error) {
	rows, err := c.look(ctx, step, before)
	for _, m := range step {
		if rows[keyOf(m)].fate(m, true).Status == item.Failed {
			n++
		}
	}
	return n, err
}
