// Package federation_test has synupkeep work on two real servers that federate with each other, so that remote media, forks,
// gaps, backfill and soft-failed events are made by Synapse and not by us.
package federation_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"synupkeep/internal/item"
	"synupkeep/internal/sandbox"
	"synupkeep/internal/sandbox/stock"
	"synupkeep/proof/program"
	"synupkeep/sinks"
)

const day = 24 * time.Hour

// pair is the one federation of this test binary.
var pair struct {
	sync.Mutex
	f   *sandbox.Federation
	err error
}

func TestMain(m *testing.M) {
	code := program.TestMain(m)
	if pair.f != nil {
		if err := pair.f.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

// world is what a test acts on: two servers, a user of each.
type world struct {
	*sandbox.Federation
	t           *testing.T
	here, there *sandbox.Server
	alice, bob  *sandbox.Client // of here and there
}

// federate starts the two servers with the first test. They are healed when the test begins and when it ends.
func federate(t *testing.T) world {
	t.Helper()
	pair.Lock()
	defer pair.Unlock()
	if pair.f == nil && pair.err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
		defer cancel()
		pair.f, pair.err = sandbox.StartFederation(ctx, 2, sandbox.Options{Log: os.Stderr})
	}
	if pair.err != nil {
		t.Fatal(pair.err)
	}
	w := world{Federation: pair.f, t: t, here: pair.f.Servers[0], there: pair.f.Servers[1]}
	w.alice, w.bob = w.here.As("alice"), w.there.As("bob")
	t.Cleanup(func() {
		if err := w.Heal(context.Background()); err != nil {
			t.Error(err)
		}
		for _, s := range w.Servers {
			if log, err := os.ReadFile(filepath.Join(s.Dir(), "synapse.log")); t.Failed() && err == nil {
				t.Logf("%s:\n%s", s.ServerName(), log[max(0, len(log)-3000):])
			}
		}
	})
	return w
}

func (w world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// room is made by alice a hundred days ago and joined by users of the other server.
func (w world) room(o sandbox.RoomOptions, guests ...*sandbox.Client) string {
	w.t.Helper()
	o.At = time.Now().Add(-100 * day)
	room, err := w.alice.CreateRoom(w.t.Context(), o)
	w.must(err)
	for _, guest := range guests {
		w.must(guest.JoinVia(w.t.Context(), room, w.here.ServerName()))
	}
	w.await()
	return room
}

// says sends n messages, dated back by ago; zero is now.
func (w world) says(c *sandbox.Client, room string, n int, ago time.Duration) []string {
	w.t.Helper()
	var at time.Time
	if ago > 0 {
		at = time.Now().Add(-ago)
	}
	var ids []string
	for i := range n {
		id, err := c.SendAt(w.t.Context(), room, fmt.Sprintf("%d of %d by %s", i+1, n, c.UserID()), at)
		w.must(err)
		ids = append(ids, id)
	}
	return ids
}

// await waits until the events have come to both servers.
func (w world) await(events ...[]string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	w.must(w.Await(ctx, slices.Concat(events...)...))
}

func (w world) heal() {
	w.t.Helper()
	w.must(w.Heal(w.t.Context()))
}

// grew makes servers have received all that these rooms hold by now so long ago. What was sent earlier still was received when
// it was sent. The signed events, which other servers may be sent, keep their times.
func (w world) grew(s *sandbox.Server, old time.Duration, rooms ...string) {
	w.t.Helper()
	w.must(w.age(s, old, nil, rooms))
}

// allGrew is grew on both servers.
func (w world) allGrew(old time.Duration, rooms ...string) {
	w.t.Helper()
	var both errgroup.Group
	for _, s := range w.Servers {
		both.Go(func() error { return w.age(s, old, nil, rooms) })
	}
	w.must(both.Wait())
}

// age restarts Synapse with all events of the rooms aged but some.
func (w world) age(s *sandbox.Server, old time.Duration, but, rooms []string) error {
	then := time.Now().Add(-old).UnixMilli()
	return s.Plant(w.t.Context(), func(ctx context.Context, p *sandbox.Plant) error {
		return p.Exec(ctx, `UPDATE events SET origin_server_ts = LEAST(origin_server_ts, $1), received_ts = LEAST(origin_server_ts, $1)
			WHERE room_id = ANY ($2) AND NOT event_id = ANY ($3)`, then, rooms, append([]string{}, but...))
	})
}

// result is what a run did with the history of some rooms.
type result struct {
	sinks.FlowSummary
	purges int // that Synapse was asked for
}

func purges(t *testing.T, s *sandbox.Server) int {
	t.Helper()
	return stock.All[int](t, s, `SELECT count(*) FROM scheduled_tasks WHERE action = 'purge_history'`)[0]
}

// run purges the history of the rooms that is older than 30 days.
func (w world) run(s *sandbox.Server, rooms []string, args ...string) result {
	w.t.Helper()
	args = append([]string{"--only", "history"}, args...)
	for _, room := range rooms {
		args = append(args, "--room", room)
	}
	before := purges(w.t, s)
	ran := program.Run(w.t, program.Where{Server: s}, args...)
	if ran.Code != 0 {
		w.t.Fatalf("exit code %d\n%s\n%s", ran.Code, ran.Log, ran.Out)
	}
	return result{FlowSummary: flow(w.t, ran.Summary(w.t), item.History), purges: purges(w.t, s) - before}
}

func flow(t *testing.T, s sinks.Summary, f item.Flow) sinks.FlowSummary {
	t.Helper()
	for _, flow := range s.Flows {
		if flow.Flow == f {
			return flow
		}
	}
	t.Fatalf("no flow %s in %+v", f, s)
	return sinks.FlowSummary{}
}

// lost are those of the events that the database of a server no longer shows to clients.
func lost(t *testing.T, s *sandbox.Server, events []string) []string {
	t.Helper()
	return stock.All[string](t, s, `SELECT id FROM unnest($1::text[]) WITH ORDINALITY u (id, n)
		WHERE NOT EXISTS (SELECT 1 FROM events e JOIN event_json j ON j.event_id = e.event_id WHERE e.event_id = id AND NOT e.outlier)
		ORDER BY n`, events)
}

// has fails unless all the events are in the database and in the timeline that the client sees.
func (w world) has(s *sandbox.Server, c *sandbox.Client, room string, events ...[]string) {
	w.t.Helper()
	all := slices.Concat(events...)
	if missing := lost(w.t, s, all); len(missing) > 0 {
		w.t.Errorf("%s lost %d of %d young events: %v", s.ServerName(), len(missing), len(all), missing)
	}
	timeline, err := c.Timeline(w.t.Context(), room)
	w.must(err)
	seen := map[string]bool{}
	for _, e := range timeline {
		seen[e.ID] = true
	}
	for _, id := range all {
		if !seen[id] {
			w.t.Errorf("%s does not see %s any more", c.UserID(), id)
		}
	}
}

// gone fails unless none of the events is in the database.
func (w world) gone(s *sandbox.Server, events ...[]string) {
	w.t.Helper()
	all := slices.Concat(events...)
	if missing := lost(w.t, s, all); len(missing) != len(all) {
		w.t.Errorf("%s still has %d of %d old messages", s.ServerName(), len(all)-len(missing), len(all))
	}
}

// lives fails unless users of both servers can talk in the room, and both servers agree on where it ends.
func (w world) lives(room string, users ...*sandbox.Client) {
	w.t.Helper()
	for _, c := range users {
		id, err := c.Send(w.t.Context(), room, "still here")
		if err != nil {
			w.t.Errorf("%s cannot talk in %s: %v", c.UserID(), room, err)
			return
		}
		ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
		err = w.Await(ctx, id)
		cancel()
		if err != nil {
			w.t.Errorf("what %s says does not come to the other server: %v", c.UserID(), err)
			return
		}
	}
	var ends [2][]string
	for i, s := range w.Servers {
		if hurt := stock.Hurt(w.t, s); len(hurt) > 0 {
			w.t.Errorf("hurt on %s: %v", s.ServerName(), hurt)
		}
		ends[i] = stock.All[string](w.t, s, `SELECT event_id FROM event_forward_extremities WHERE room_id = $1 ORDER BY 1`, room)
	}
	if !slices.Equal(ends[0], ends[1]) {
		w.t.Errorf("the room ends at %v here and at %v there", ends[0], ends[1])
	}
}

// sameState fails unless both servers have the same current state of the room.
func (w world) sameState(room string) {
	w.t.Helper()
	var state [2][]string
	for i, s := range w.Servers {
		state[i] = stock.All[string](w.t, s, `SELECT concat_ws(' ', type, state_key, event_id) FROM current_state_events WHERE room_id = $1 ORDER BY 1`, room)
	}
	if !slices.Equal(state[0], state[1]) {
		w.t.Errorf("current state is %q here and %q there", state[0], state[1])
	}
}

// scroll reads the timeline to its end, as a client does whose user scrolls up. Synapse fetches what it lacks in the
// background of each page, so a page is asked for until it has what others have, at most ten times.
func (w world) scroll(c *sandbox.Client, room string, until func() bool) {
	w.t.Helper()
	for range 10 {
		_, err := c.Timeline(w.t.Context(), room)
		var api *sandbox.APIError
		if err != nil && !errors.As(err, &api) {
			w.t.Fatal(err)
		}
		w.must(err)
		if until() {
			return
		}
	}
	w.t.Fatal("scrolling does not fetch what is missing")
}
