package sources

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"synupkeep/internal/item"
	"synupkeep/internal/postgres"
	"synupkeep/internal/printable"
	"synupkeep/internal/references"
)

// Events never change, except that what was redacted loses its content later on. So what an event names is remembered
// with its place in the stream. What becomes of the event is looked up each time: whether it is still there, is an outlier
// by now, is current state.

const (
	// page is how many events are looked up at once, fewer if they name more than so many media.
	page     = 1000
	mostMany = 100_000
	// stretch is how many places of the stream are read at once.
	stretch = 10_000
)

// naming is an event that names local media.
type naming struct {
	id         string // either the event's id
	stream     int64  // or, for one that was remembered, its place
	remembered bool
	hashes     []uint64
}

// events reads what events name.
func (r References) events(ctx context.Context, f func(uint64, item.Reason)) error {
	to, err := r.reach(ctx)
	if err != nil {
		return err
	}
	use := &usage{References: r, reach: to, f: f}
	defer r.tick(&use.events)()
	old, why := r.recall(ctx, &use.reach)
	if old != nil {
		err := use.remembered(ctx, old)
		old.Close()
		var bad *unbelievableError
		if !errors.As(err, &bad) {
			return err
		}
		why = bad
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if why != nil && !errors.Is(why, references.ErrNothing) {
		r.say("what the events name is read anew: %v", why)
	}
	return use.everything(ctx)
}

// tick says each minute that the reading goes on, until the function it returns is called.
func (r References) tick(events *atomic.Int64) (stop func()) {
	if r.Say == nil {
		return func() {}
	}
	done, ended := make(chan struct{}), make(chan struct{})
	started := time.Now()
	go func() {
		defer close(ended)
		each := time.NewTicker(time.Minute)
		defer each.Stop()
		for {
			select {
			case <-each.C:
				r.say("reading which local media is still shown: %d events name some, after %s",
					events.Load(), printable.Duration(time.Since(started).Round(time.Second)))
			case <-done:
				return
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}

// usage is one reading of the events.
type usage struct {
	References
	reach    reach
	f        func(uint64, item.Reason)
	notes    notes
	replaced []known      // avatars that were replaced, of which it is not known by what
	events   atomic.Int64 // found so far
}

// everything reads every event. One statement, so that no row can move from where it was not looked for yet to where it
// was; by the JSON first, because a join with millions of events would cost more than the few that name media do.
func (u *usage) everything(ctx context.Context) error {
	_, err := u.Retry.Do(ctx, func() error {
		u.notes.begin(u.References, u.reach.Head)
		return u.stream(ctx)
	}, postgres.Again)
	if err == nil {
		err = u.ofTheirTime(ctx)
	}
	if err != nil {
		u.notes.drop()
		return fmt.Errorf("read which local media events name: %w", err)
	}
	u.notes.end()
	return nil
}

func (u *usage) stream(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	tx, err := u.DB.BeginTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(ctx) }() // it has changed nothing
	// PostgreSQL expects a third of the rows to match, and that handing them on would cost more than several workers save.
	if _, err := tx.Exec(ctx, `SET LOCAL statement_timeout = 0; SET LOCAL parallel_tuple_cost = 0`); err != nil {
		return err
	}
	rows, err := tx.Query(postgres.Unbounded(ctx), `SELECT event_id, json FROM event_json WHERE position($1 in json) > 0`, needle(u.ServerName))
	if err != nil {
		return err
	}
	return u.eachPage(ctx, rows, cancel)
}

// eachPage looks up the events of rows of ids and JSON, each page while the next one comes. It calls stop when that fails:
// the rest of the rows would be read to their end otherwise.
func (u *usage) eachPage(ctx context.Context, rows pgx.Rows, stop func()) error {
	pages, ended := make(chan []naming), make(chan error, 1)
	go func() {
		var failed error
		for page := range pages {
			if failed != nil {
				continue // what still comes until the rows have ended
			}
			if failed = u.lookUp(ctx, page); failed != nil {
				stop()
			}
		}
		ended <- failed
	}()
	found := &batch{take: func(_ context.Context, page []naming) error { pages <- page; return nil }}
	var id, json string
	_, err := pgx.ForEachRow(rows, []any{&id, &json}, func() error {
		return found.add(ctx, naming{id: id, hashes: named(json, u.ServerName)})
	})
	if err == nil {
		err = found.flush(ctx)
	}
	close(pages)
	if failed := <-ended; failed != nil {
		return failed // why the rows have ended
	}
	return err
}

// batch collects events to be looked up together.
type batch struct {
	take  func(ctx context.Context, found []naming) error
	found []naming
	many  int
}

func (b *batch) add(ctx context.Context, n naming) error {
	if len(n.hashes) == 0 {
		return nil
	}
	b.found = append(b.found, n)
	b.many += len(n.hashes)
	if len(b.found) < page && b.many < mostMany {
		return nil
	}
	return b.flush(ctx)
}

func (b *batch) flush(ctx context.Context) error {
	found := b.found
	b.found, b.many = nil, 0
	return b.take(ctx, found)
}

// remembered uses what earlier runs have read, and reads the rest.
func (u *usage) remembered(ctx context.Context, old *references.Reader) error {
	u.notes.begin(u.References, u.reach.Head)
	err := u.recalled(ctx, old)
	from := old.Head()
	if err == nil {
		err = u.between(ctx, from.High, u.reach.top)
	}
	if err == nil {
		err = u.between(ctx, u.reach.bottom-1, from.Low-1)
	}
	if err == nil {
		err = u.query(ctx, `e.stream_ordering IS NULL`)
	}
	if err == nil {
		err = u.ofTheirTime(ctx)
	}
	if err != nil {
		u.notes.drop()
		return fmt.Errorf("read which local media events name: %w", err)
	}
	u.notes.end()
	return nil
}

func (u *usage) recalled(ctx context.Context, old *references.Reader) error {
	found := &batch{take: u.lookUp}
	for {
		stream, hashes, err := old.Next()
		if errors.Is(err, io.EOF) {
			return found.flush(ctx)
		}
		if err != nil {
			return &unbelievableError{err}
		}
		if err := found.add(ctx, naming{stream: stream, remembered: true, hashes: slices.Clone(hashes)}); err != nil {
			return err
		}
	}
}

// between reads the events after one place in the stream and up to another.
func (u *usage) between(ctx context.Context, after, upTo int64) error {
	for ; after < upTo; after += stretch {
		err := u.query(ctx, `e.stream_ordering > $2 AND e.stream_ordering <= $3`, after, min(after+stretch, upTo))
		if err != nil {
			return err
		}
	}
	return nil
}

// query reads the events that a condition selects by an index. Tried again, it may note an event twice, which does no harm.
func (u *usage) query(ctx context.Context, where string, args ...any) error {
	_, err := u.Retry.Do(ctx, func() error {
		rows, err := u.DB.Query(ctx, `
			SELECT e.event_id, j.json FROM events e JOIN event_json j ON j.event_id = e.event_id
			WHERE e.type <> 'm.room.encrypted' AND position($1 in j.json) > 0 AND `+where,
			append([]any{needle(u.ServerName)}, args...)...)
		if err != nil {
			return err
		}
		return u.eachPage(ctx, rows, func() {})
	}, postgres.Again)
	return err
}
