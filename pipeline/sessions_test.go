package pipeline

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"synupkeep/config"
	"synupkeep/internal/item"
	"synupkeep/internal/sandbox"
)

// door is a way to PostgreSQL that counts who goes through.
type door struct {
	port int

	mu           sync.Mutex
	inside, most int
	everyone     int
}

func openDoor(t *testing.T, to string) *door {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &door{port: l.Addr().(*net.TCPAddr).Port}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { d.pass(c, to) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); all.Wait() })
	return d
}

func (d *door) pass(c net.Conn, to string) {
	defer c.Close() //nolint:errcheck // of a test
	server, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer server.Close() //nolint:errcheck // of a test
	d.mu.Lock()
	d.everyone++
	d.inside++
	d.most = max(d.most, d.inside)
	d.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(server, c); _ = server.(*net.TCPConn).CloseWrite() })
	both.Go(func() { _, _ = io.Copy(c, server); _ = c.(*net.TCPConn).CloseWrite() })
	both.Wait()
	d.mu.Lock()
	d.inside--
	d.mu.Unlock()
}

func (d *door) counts() (most, everyone int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.most, d.everyone
}

// TestARunHasSixSessionsAtMost counts the connections of a run of all flows that has much to do in each, and looks at
// pg_stat_activity meanwhile.
func TestARunHasSixSessionsAtMost(t *testing.T) {
	s := emptied(t)
	room := newTalk(t, s, "of many words", sandbox.RoomOptions{}, 12)
	plant(t, s, func(ctx context.Context, p *sandbox.Plant) error {
		if err := p.AgeRoom(ctx, room.id, 60*day); err != nil {
			return err
		}
		_, err := p.LocalMedia(ctx, 500, sandbox.Media{Created: time.Now().Add(-longAgo), Data: []byte("x")}, time.Second)
		return err
	})
	ofAllKinds(t, s, 40)
	d := openDoor(t, fmt.Sprintf("%s:%d", s.PGHost(), s.PGPort()))
	cfg := settings(s, item.Flows()...)
	cfg.Postgres = config.NewSecret(strings.Replace(s.ConnString(), fmt.Sprintf("port=%d", s.PGPort()), fmt.Sprintf("port=%d", d.port), 1))
	cfg.Max = config.Maxima{Media: config.Max{Percent: 100}} // a plan as well
	cfg.Media.BatchSize = 20

	ctx, stop := context.WithCancel(t.Context())
	watched := make(chan error, 1)
	most := 0
	go func() {
		watched <- s.WithDB(t.Context(), func(_ context.Context, conn *pgx.Conn) error {
			for ctx.Err() == nil {
				var named int
				err := conn.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity WHERE application_name = 'synupkeep'`).Scan(&named)
				if err != nil {
					return err
				}
				most = max(most, named)
			}
			return nil
		})
	}()
	r := do(t, cfg)
	stop()
	if err := <-watched; err != nil {
		t.Error(err)
	}
	if len(r.causes) > 0 {
		t.Errorf("%v\n%s", r.causes, r.log)
	}
	for _, f := range item.Flows() {
		if r.flow(t, f).Done == 0 {
			t.Errorf("%s had nothing to do", f)
		}
	}
	if atOnce, all := d.counts(); atOnce < 3 || all > 6 {
		t.Errorf("%d connections at once, %d in all", atOnce, all)
	}
	if most < 3 || most > 6 {
		t.Errorf("%d sessions of that name", most)
	}
}
