package crowds_test

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"synupkeep/internal/sandbox"
	"synupkeep/proof/program"
	"synupkeep/proof/wire"
)

const (
	day     = 24 * time.Hour
	longAgo = 60 * day

	clients  = 16
	faces    = 6    // of them change their avatars again and again
	planted  = 28   // rooms
	pictures = 1600 // old local media
	snapshot = "crowds"
)

// crowd is a server with much that is old, and the clients that use it while it goes.
type crowd struct {
	s       *sandbox.Server
	looks   *looks
	where   program.Where
	rooms   []string
	old     map[string][]string // messages by room
	members []*member

	mu     sync.Mutex
	next   []string // pictures that are old and still there, those first that a run comes to first
	shared []posted // what others may react to
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newCrowd(t *testing.T) *crowd {
	t.Helper()
	s := sandbox.Own(t, sandbox.Options{})
	c := &crowd{s: s, rooms: make([]string, planted), old: map[string][]string{}}
	must(t, s.WithDB(t.Context(), func(ctx context.Context, db *pgx.Conn) error {
		_, err := db.Exec(ctx, `ALTER SYSTEM SET track_commit_timestamp = on`)
		return err
	}))
	must(t, s.StopSynapse(t.Context()))
	must(t, s.StopPostgres(t.Context()))
	must(t, s.StartPostgres(t.Context()))
	must(t, s.StartSynapse(t.Context()))
	var together sync.WaitGroup
	for some := range 3 {
		together.Go(func() {
			for i := some; i < planted; i += 3 {
				if err := c.furnish(t.Context(), i); err != nil {
					t.Errorf("room %d: %v", i, err)
				}
			}
		})
	}
	together.Wait()
	if t.Failed() {
		t.FailNow()
	}
	must(t, s.Plant(t.Context(), c.plant))
	must(t, s.WithDB(t.Context(), func(ctx context.Context, db *pgx.Conn) error {
		_, err := db.Exec(ctx, ledger)
		return err
	}))
	must(t, s.Snapshot(t.Context(), snapshot))
	c.looks = &looks{current: map[int64]*look{}}
	port := wire.ToPostgres(t, s, c.looks.hear).Port
	c.where = program.Where{Server: s, Postgres: program.ThroughPort(s, port)}
	return c
}

func name(i int) string { return fmt.Sprint("client", i) }

// owner is who has made a room. Those who often change their faces have made none and are in one: Synapse makes a new face
// known in each of their rooms, by a task that takes one of the few places of a purge.
func owner(room int) int { return faces + room%(clients-faces) }

// furnish makes a room of one client, and of another one who is in it.
func (c *crowd) furnish(ctx context.Context, i int) (err error) {
	if c.rooms[i], err = c.s.As(name(owner(i))).CreateRoom(ctx, sandbox.RoomOptions{Name: fmt.Sprint("Room ", i)}); err != nil {
		return err
	}
	if i < faces {
		return c.s.As(name(i)).Join(ctx, c.rooms[i])
	}
	return nil
}

func (c *crowd) plant(ctx context.Context, p *sandbox.Plant) error {
	now := time.Now()
	for i, room := range c.rooms {
		if err := p.AgeRoom(ctx, room, longAgo); err != nil {
			return err
		}
		messages, err := p.BulkMessages(ctx, room, 60+i, now.Add(-longAgo), time.Second)
		if err != nil {
			return err
		}
		c.old[room] = messages
	}
	m := sandbox.Media{Data: bytes.Repeat([]byte("x"), 300), Thumbnails: 1, Created: now.Add(-longAgo), LastAccess: now.Add(-longAgo)}
	if _, err := p.LocalMedia(ctx, pictures, m, time.Second); err != nil {
		return err
	}
	for i := range 100 {
		m.Origin = fmt.Sprint("server", i%3)
		if _, err := p.RemoteMedia(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

// begin puts everything back and sends the clients in anew.
func (c *crowd) begin(t *testing.T, seed uint64) {
	t.Helper()
	must(t, c.s.Reset(t.Context(), snapshot))
	c.where.StateDir = t.TempDir()
	c.looks.mu.Lock()
	c.looks.all, c.looks.current = nil, map[int64]*look{}
	c.looks.mu.Unlock()
	c.members, c.shared = nil, nil
	for i := range clients {
		c.members = append(c.members, newMember(c, i, seed))
	}
	must(t, c.s.WithDB(t.Context(), c.refresh))
}

// refresh reads which old pictures are there, in the order in which a run comes to them.
func (c *crowd) refresh(ctx context.Context, db *pgx.Conn) error {
	rows, err := db.Query(ctx, `SELECT media_id FROM local_media_repository WHERE created_ts < $1 AND url_cache IS NULL
		ORDER BY user_id, created_ts LIMIT 1000`, time.Now().Add(-30*day).UnixMilli())
	if err != nil {
		return err
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next = ids
	return err
}
