package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"synupkeep/config"
	"synupkeep/internal/item"
	"synupkeep/internal/sandbox"
)

// strange holds what has to be escaped in a path: other servers choose ids as they like.
const strange = "/../?a=b#c%2F&d+ü'"

// seedTalks makes rooms of every version and age through the client API. Event ids have a server part in version 1, / and
// + in 3, and are URL-safe later; room ids have no server part in 12.
func seedTalks(t *testing.T, s *sandbox.Server) []*talk {
	t.Helper()
	var all []*talk
	for _, version := range append([]string{"1", "3", "6"}, s.RoomVersions()...) {
		for age, goes := range map[string]int{"old": 3, "mixed": 2, "young": 0} {
			if age == "young" && version != "1" && version != s.NewestRoomVersion() {
				continue
			}
			r := newTalk(t, s, age+" room of version "+version, sandbox.RoomOptions{Version: version}, 4)
			r.goes = goes
			all = append(all, r)
		}
	}
	for _, r := range all {
		if r.name != "mixed room of version 3" {
			continue
		}
		// The id of the event at its cut has a slash.
		for !strings.Contains(r.messages[len(r.messages)-1], "/") {
			id, err := s.As("alice").Send(t.Context(), r.id, "one more")
			if err != nil {
				t.Fatal(err)
			}
			r.messages = append(r.messages, id)
		}
		r.goes = len(r.messages) - 1
	}
	return all
}

// age makes old what is to go.
func (r *talk) age(ctx context.Context, p *sandbox.Plant) error {
	if r.goes == 0 {
		return nil
	}
	if err := p.AgeRoom(ctx, r.id, 60*day); err != nil {
		return err
	}
	if young := r.messages[r.goes:]; len(young) > 1 || strings.HasPrefix(r.name, "mixed") {
		return p.AgeEvents(ctx, -60*day, young...)
	}
	return nil
}

// rename gives ids of a room of version 1 other names, everywhere in the database.
func rename(ctx context.Context, p *sandbox.Plant, from, to string) error {
	return p.Exec(ctx, fmt.Sprintf(`DO $do$
		DECLARE c record;
		BEGIN
			SET LOCAL session_replication_role = replica;
			FOR c IN SELECT table_name AS t, column_name AS n FROM information_schema.columns
				JOIN information_schema.tables USING (table_schema, table_name)
				WHERE table_schema = 'public' AND table_type = 'BASE TABLE' AND data_type = 'text'
			LOOP
				EXECUTE format('UPDATE %%I SET %%I = replace(%%I, %%L, %%L) WHERE strpos(%%I, %%L) > 0', c.t, c.n, c.n, '%[1]s', '%[2]s', c.n, '%[1]s');
			END LOOP;
			SET LOCAL session_replication_role = DEFAULT;
		END $do$`, from, strings.ReplaceAll(to, "'", "''")))
}

func alias(ctx context.Context, p *sandbox.Plant, alias, room string) error {
	return p.Exec(ctx, `INSERT INTO room_aliases (room_alias, room_id, creator) VALUES ($1, $2, '@alice:localhost')`, alias, room)
}

// TestHistory runs over rooms of every version and age, and over rooms that are special, twice.
func TestHistory(t *testing.T) {
	s := sandbox.Shared(t)
	ctx := t.Context()
	rooms := seedTalks(t, s)

	odd := newTalk(t, s, "room with ids that need escaping", sandbox.RoomOptions{Version: "1"}, 5)
	odd.goes = 3
	left := newTalk(t, s, "room that nobody is in any more", sandbox.RoomOptions{}, 3)
	left.goes, left.nobody = 3, true
	state := make([]sandbox.StateEvent, 60)
	for i := range state {
		state[i] = sandbox.StateEvent{Type: "org.example.state", StateKey: fmt.Sprint(i), Content: map[string]any{}}
	}
	big := newTalk(t, s, "room of much state", sandbox.RoomOptions{InitialState: state}, 5)
	adopted := newTalk(t, s, "room with a purge under way", sandbox.RoomOptions{}, 2)
	dying := newTalk(t, s, "room that is being deleted", sandbox.RoomOptions{}, 2)
	named := newTalk(t, s, "room that the admin keeps", sandbox.RoomOptions{}, 2)
	long := newTalk(t, s, "long room", sandbox.RoomOptions{}, 0)
	if err := s.As("alice").Leave(ctx, left.id); err != nil {
		t.Fatal(err)
	}
	rooms = append(rooms, odd, left, big, named, long)

	plant(t, s, func(ctx context.Context, p *sandbox.Plant) error {
		for _, r := range rooms {
			if err := r.age(ctx, p); err != nil {
				return fmt.Errorf("%s: %w", r.name, err)
			}
		}
		for _, r := range []*talk{big, adopted, dying, named} {
			if err := p.AgeRoom(ctx, r.id, 32*day); err != nil {
				return err
			}
		}
		if err := p.AgeEvents(ctx, -32*day, big.messages[3:]...); err != nil {
			return err
		}
		if err := long.plantOld(ctx, p, 300); err != nil {
			return err
		}
		if err := alias(ctx, p, "#keep:localhost", named.id); err != nil {
			return err
		}
		id := odd.id
		odd.id = "!odd" + strange + ":localhost"
		if err := rename(ctx, p, id, odd.id); err != nil {
			return err
		}
		id = odd.messages[3]
		odd.messages[3] = "$odd" + strange + ":localhost"
		return rename(ctx, p, id, odd.messages[3])
	})
	for _, r := range append(rooms, adopted, dying) {
		r.before = rowsOf(t, s, r.id)
	}
	f := newFront(t, s)
	cfg := only(s, f, rooms)
	cfg.History.NotRooms = []string{"#keep:localhost"}
	// Both runs have the same cut-off.
	cfg.Ages[item.History] = config.Age{Before: time.Now().Add(-30 * day)}
	busy(t, s, f, adopted, dying)
	most := watchTasks(t, s)

	cfg.History.InFlight = 8
	r := do(t, cfg)
	endsWith(t, r)
	if n := most(); n < 3 || n > 5 {
		t.Errorf("%d tasks were under way on the server, want up to 5", n)
	}
	h := r.flow(t, item.History)
	if h.Examined != int64(len(rooms)) || h.Failed != 0 || h.LeftTotal != 0 {
		t.Errorf("summary %+v of %d rooms", h, len(rooms))
	}
	for reason, want := range map[item.Reason]int64{item.NothingOld: 2, item.NotSelected: 1, item.NotYetWorthIt: 1} {
		if h.Kept[reason] != want {
			t.Errorf("%d rooms kept for %q, want %d", h.Kept[reason], reason, want)
		}
	}
	for _, r := range []*talk{named, big} {
		if slices.Contains(f.asked(), r.id) {
			t.Errorf("the %s was purged", r.name)
		}
	}
	if asked := f.asked(); slices.Index(asked, long.id) < len(asked)-4 {
		t.Errorf("the long room was purge %d of %d, want small ones first", slices.Index(asked, long.id)+1, len(asked))
	}

	before := len(f.asked())
	again := do(t, cfg)
	endsWith(t, again)
	if n := len(f.asked()) - before; n != 0 || again.flow(t, item.History).Done != 0 {
		t.Errorf("the second run purged %v", f.asked()[before:])
	}
	for _, r := range rooms {
		t.Run(r.name, func(t *testing.T) { r.check(t, s) })
	}
	t.Run("overdue", func(t *testing.T) { overdue(t, s, f, big) })
}

// busy runs over two rooms that the server is at already. It does not begin the tasks that are written into its database
// here as long as no other ends. What the purge that was under way has left goes after it, and not beside it.
func busy(t *testing.T, s *sandbox.Server, f *front, adopted, dying *talk) {
	t.Helper()
	purge := schedule(t, s, "purge_history", adopted.id)
	deletion := schedule(t, s, "purge_room", dying.id)
	early := -1
	timer := time.AfterFunc(time.Second, func() {
		early = len(f.asked())
		end(s, purge)
	})
	defer timer.Stop()
	adopted.goes = 1
	r := do(t, only(s, f, []*talk{adopted, dying}))
	end(s, deletion)
	endsWith(t, r)
	h := r.flow(t, item.History)
	if h.Done != 1 || h.Skipped[item.BeingDeleted] != 1 {
		t.Errorf("%+v", h)
	}
	if asked := f.asked(); early != 0 || !slices.Equal(asked, []string{adopted.id}) {
		t.Errorf("%d purges were asked for beside the one under way, %v in all\n%s", early, asked, r.log)
	}
	for _, r := range []*talk{adopted, dying} {
		r.check(t, s)
	}
}

// overdue shows that a room whose purge is not worth it waits for a week only.
func overdue(t *testing.T, s *sandbox.Server, f *front, r *talk) {
	r.before, r.goes = rowsOf(t, s, r.id), 3
	cfg := only(s, f, []*talk{r})
	cfg.Ages[item.History] = config.Age{Before: time.Now().Add(-24 * day)}
	endsWith(t, do(t, cfg))
	r.check(t, s)
}

// schedule notes a task in the server's database. Synapse looks there when it starts and each minute after.
func schedule(t *testing.T, s *sandbox.Server, action, room string) string {
	t.Helper()
	id := fmt.Sprintf("%s%d", action[6:], time.Now().UnixNano())
	err := s.WithDB(t.Context(), func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, `INSERT INTO scheduled_tasks (id, action, status, timestamp, resource_id)
			VALUES ($1, $2, 'active', $3, $4)`, id, action, time.Now().UnixMilli(), room)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// end ends a task of schedule.
func end(s *sandbox.Server, id string) {
	_ = s.WithDB(context.Background(), func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, `UPDATE scheduled_tasks SET status = 'complete' WHERE id = $1`, id)
		return err
	})
}

// watchTasks counts the server's active tasks until the returned function is called, which returns the highest number.
func watchTasks(t *testing.T, s *sandbox.Server) (most func() int) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	result := make(chan int, 1)
	go func() {
		most := 0
		_ = s.WithDB(ctx, func(ctx context.Context, conn *pgx.Conn) error {
			for {
				var n int
				if err := conn.QueryRow(ctx, `SELECT count(*) FROM scheduled_tasks WHERE status IN ('active', 'scheduled')`).Scan(&n); err != nil {
					return err
				}
				most = max(most, n)
			}
		})
		result <- most
	}()
	return func() int {
		stop()
		return <-result
	}
}

// TestHistoryOfNamedRooms names rooms by id and by alias, some of them wrongly.
func TestHistoryOfNamedRooms(t *testing.T) {
	s := sandbox.Shared(t)
	var rooms []*talk
	for i := range 5 {
		rooms = append(rooms, newTalk(t, s, fmt.Sprint("room ", i), sandbox.RoomOptions{}, 0))
	}
	plant(t, s, func(ctx context.Context, p *sandbox.Plant) error {
		var err error
		for i, r := range rooms {
			err = errors.Join(err, r.plantOld(ctx, p, 10*(i+1)), alias(ctx, p, fmt.Sprintf("#named%d:localhost", i), r.id))
		}
		return err
	})
	for _, r := range rooms {
		r.before = rowsOf(t, s, r.id)
	}
	untouched := func(rooms ...*talk) {
		t.Helper()
		for _, r := range rooms {
			if !slices.Equal(r.before, rowsOf(t, s, r.id)) {
				t.Errorf("%s was touched", r.name)
			}
		}
	}
	for _, test := range []struct {
		name          string
		rooms, except []string
	}{
		{"unknown room", []string{"!nowhere:localhost"}, nil},
		{"unknown alias", []string{rooms[0].id, "#nowhere:localhost"}, nil},
		{"unknown room to keep", nil, []string{"!nowhere:localhost"}},
		{"unknown alias to keep", nil, []string{"#named0:localhost", "#nowhere:localhost"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFront(t, s)
			cfg := only(s, f, nil)
			cfg.History.Rooms, cfg.History.NotRooms = test.rooms, test.except
			r := do(t, cfg)
			endsWith(t, r, item.CauseUsage)
			if len(f.asked()) > 0 || !strings.Contains(r.out, "nowhere") {
				t.Errorf("%d purges; the summary: %s", len(f.asked()), r.out)
			}
			untouched(rooms...)
		})
	}
	t.Run("by alias and id, but for one", func(t *testing.T) {
		cfg := only(s, nil, nil)
		cfg.History.Rooms = []string{"#named0:localhost", rooms[1].id, "#named2:localhost"}
		cfg.History.NotRooms = []string{rooms[1].id}
		r := do(t, cfg)
		endsWith(t, r)
		if h := r.flow(t, item.History); h.Examined != 3 || h.Done != 2 {
			t.Errorf("%+v", h)
		}
		rooms[0].check(t, s)
		rooms[2].check(t, s)
		untouched(rooms[1], rooms[3], rooms[4])
	})
	t.Run("a limit", func(t *testing.T) {
		cfg := only(s, nil, []*talk{rooms[1], rooms[3], rooms[4]})
		cfg.History.Limit = 2
		r := do(t, cfg)
		endsWith(t, r, item.CauseLeft)
		h := r.flow(t, item.History)
		if r.summary.ExitCode != 10 || h.Examined != 3 || h.Done != 2 || h.Left[item.Limit] != 1 {
			t.Errorf("exit code %d, %+v", r.summary.ExitCode, h)
		}
		r = do(t, cfg)
		endsWith(t, r)
		for _, room := range []*talk{rooms[1], rooms[3], rooms[4]} {
			room.check(t, s)
		}
	})
}
