package sandbox

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

const day = 24 * time.Hour

// seedRoom is one room of the demo.
type seedRoom struct {
	name    string
	version string
	owner   string
	members []string
	state   int           // events of initial state beside the usual
	sent    int           // messages through the API that become old
	bulk    int           // messages planted before
	age     time.Duration // by how much what was sent becomes older
	young   int           // messages sent after that
	id      string
	first   []string // what was sent, to be redacted, replied to and reported
}

// seeding is one seeding of the demo.
type seeding struct {
	server *Server
	rooms  []*seedRoom
	users  []string
	old    []string // mxc URIs to age

	page string // address of the page server
}

// Seeded says whether Seed has finished in this sandbox.
func (s *Server) Seeded() bool {
	_, err := os.Stat(s.seedMarker())
	return err == nil
}

func (s *Server) seedMarker() string { return filepath.Join(s.dir, "seeded") }

// Seed fills the server for the demo: 36 rooms of versions 10 to 12, old, mixed and young, with state, replies,
// reactions and redactions; 640 local media with thumbnails, current and replaced avatars among them; URL previews,
// cached remote media. Most is then made older than 30 days. It takes about half a minute.
func (s *Server) Seed(ctx context.Context) error {
	d := &seeding{server: s, rooms: seedRooms(s.RoomVersions())}
	for i := range 24 {
		d.users = append(d.users, fmt.Sprintf("user%02d", i+1))
	}
	stop, err := d.servePages()
	if err != nil {
		return fmt.Errorf("seed: %w", err)
	}
	defer stop()
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"avatars and attachments", d.uploadOld},
		{"rooms", d.makeRooms},
		{"replaced avatars", d.replaceAvatars},
		{"what the server still works on", d.settled},
		{"ages, remote media and previews", func(ctx context.Context) error { return s.Plant(ctx, d.plant) }},
		{"what is young", d.makeYoung},
		{"what that left to do", d.settled},
	} {
		say(s.options.Log, "seeding: %s", step.name)
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("seed %s: %w", step.name, err)
		}
	}
	return os.WriteFile(s.seedMarker(), nil, 0o600)
}

// settled waits until Synapse has ended its tasks, such as making new avatars known in rooms. One that is interrupted is
// taken up only a minute after the next start, and keeps its place among the few tasks until then.
func (d *seeding) settled(ctx context.Context) error {
	return d.server.WithDB(ctx, func(ctx context.Context, db *pgx.Conn) error {
		return poll(ctx, 20*time.Millisecond, func() (bool, error) {
			var busy bool
			err := db.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM scheduled_tasks
				WHERE status IN ('active', 'scheduled') AND timestamp <= (extract(epoch FROM clock_timestamp()) * 1000)::bigint)`).Scan(&busy)
			return !busy, err
		})
	})
}

func seedRooms(versions []string) []*seedRoom {
	var rooms []*seedRoom
	add := func(n int, r seedRoom) {
		for i := range n {
			one := r
			one.name = fmt.Sprintf("%s %d", r.name, i+1)
			k := len(rooms)
			one.version = versions[k%len(versions)]
			one.owner = fmt.Sprintf("user%02d", k%24+1)
			one.members = []string{fmt.Sprintf("user%02d", (k+1)%24+1), fmt.Sprintf("user%02d", (k+5)%24+1)}
			if r.age > 0 {
				one.age = r.age + time.Duration(i)*9*day
			}
			rooms = append(rooms, &one)
		}
	}
	add(14, seedRoom{name: "Old", sent: 6, bulk: 400, age: 45 * day})
	add(11, seedRoom{name: "Mixed", sent: 8, bulk: 150, age: 40 * day, young: 5})
	add(8, seedRoom{name: "Young", young: 8})
	add(1, seedRoom{name: "Big state", state: 300, sent: 3, age: 60 * day, young: 1})
	add(2, seedRoom{name: "Quiet", sent: 1, age: 200 * day})
	return rooms
}

// each runs f for all n, a few at a time.
func each(ctx context.Context, n int, f func(ctx context.Context, i int) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(8)
	for i := range n {
		group.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return f(ctx, i)
		})
	}
	return group.Wait()
}

// servePages serves pages with a picture each for the previews.
func (d *seeding) servePages() (stop func(), err error) {
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	d.page = "http://" + l.Addr().String()
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, ".png") {
			w.Header().Set("Content-Type", "image/png")
			_, _ = w.Write(Picture(400, 300))
			return
		}
		w.Header().Set("Content-Type", "text/html")
		_, _ = fmt.Fprintf(w, `<html><head><title>A page</title><meta property="og:title" content="A page">
			<meta property="og:image" content="%s%s.png"></head><body>text</body></html>`, d.page, r.URL.Path)
	})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l)
	}()
	return func() {
		_ = server.Close()
		<-done
	}, nil
}
