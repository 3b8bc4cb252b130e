package rooms

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"synupkeep/config"
	"synupkeep/internal/item"
	"synupkeep/internal/logging"
	"synupkeep/internal/sandbox"
	"synupkeep/internal/sandbox/dag"
	"synupkeep/internal/sandbox/stock"
	"synupkeep/pipeline"
)

// realRooms is how many rooms go through the real purge at once.
const realRooms = 40

// TestRealPurgesOfAnyRoom plants rooms of every shape as real, signed events, all in one server, and runs the history flow.
// Each room must be left exactly as the simulation says, which so is shown to do what Synapse does. Then each is purged once
// more at any depth, however harmful, and the simulation must be right about that as well.
func TestRealPurgesOfAnyRoom(t *testing.T) {
	s := sandbox.Shared(t)
	repeat(t, func() {
		seed := rand.IntN(1 << 30)
		if given, err := strconv.Atoi(os.Getenv("SYNUPKEEP_TEST_SEED")); err == nil {
			seed = given
		}
		t.Logf("SYNUPKEEP_TEST_SEED=%d", seed)
		w := plantRooms(t, s, seed)
		w.run(t)
		w.compare(t)
		w.readable(t)
		stayed := w.read(t)
		w.run(t)
		for i, r := range w.read(t) {
			if diff := cmp.Diff(stayed[i], r); diff != "" {
				t.Errorf("the second run changed a room:\n%s\n%s", diff, text(w.before[i]))
			}
		}
		w.takesMessages(t)
		w.purgeAnywhere(t, rand.New(rand.NewPCG(uint64(seed), 0)))
	})
}

// planted are rooms of alice in a running server.
type planted struct {
	server *sandbox.Server
	rules  dag.Rules
	ids    []string
	pinned []string
	before []dag.Room
}

func plantRooms(t *testing.T, s *sandbox.Server, seed int) *planted {
	t.Helper()
	w := &planted{server: s, rules: dag.Defaults(time.Now())}
	w.rules.KeepPinned = seed%2 == 0
	for range realRooms {
		id, err := s.As("alice").CreateRoom(t.Context(), sandbox.RoomOptions{Version: "10"})
		if err != nil {
			t.Fatal(err)
		}
		w.ids = append(w.ids, id)
	}
	err := s.Plant(t.Context(), func(ctx context.Context, p *sandbox.Plant) error {
		for i, id := range w.ids {
			if err := p.AgeRoom(ctx, id, 33*dag.Day); err != nil {
				return err
			}
			r := w.draw(seed+i*1000, i%2 == 0)
			pinned, err := r.Plant(ctx, p, id)
			if err != nil {
				return fmt.Errorf("%w\n%s", err, text(r))
			}
			w.pinned = append(w.pinned, pinned...)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	w.before = w.read(t)
	// What was on the edge of a span of time when it was drawn is past it now. The cut-off is fixed.
	now := time.Now()
	w.rules.Now, w.rules.ReportsSince = now, dag.Defaults(now).ReportsSince
	return w
}

// draw makes up a room, one with something to purge if it has to be.
func (w *planted) draw(seed int, due bool) dag.Room {
	rooms := rapid.Custom(func(rt *rapid.T) dag.Room { return dag.Draw(rt, "!any:property", 14, w.rules) })
	r := rooms.Example(seed)
	for n := 1; due && n < 1000 && !r.Judge(w.rules).Purge; n++ {
		r = rooms.Example(seed + n)
	}
	return r
}

// read reads the rooms as they are now.
func (w *planted) read(t *testing.T) (rooms []dag.Room) {
	t.Helper()
	err := w.server.WithDB(t.Context(), func(ctx context.Context, conn *pgx.Conn) error {
		for _, id := range w.ids {
			r, err := dag.Read(ctx, conn, id, w.pinned...)
			if err != nil {
				return err
			}
			rooms = append(rooms, r)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rooms
}

func (w *planted) run(t *testing.T) {
	t.Helper()
	s := w.server
	cfg := &config.Config{
		Postgres: config.NewSecret(s.ConnString()), APIURL: s.APIURL(), Token: config.Token{Given: config.NewSecret(s.AdminToken())},
		MediaStore: s.MediaStore(), StateDir: filepath.Join(s.Dir(), "state"), Flows: []item.Flow{item.History},
		Ages: map[item.Flow]config.Age{item.History: {Before: w.rules.CutOff}}, RetryFor: 10 * time.Second, JSON: true,
		History: config.History{
			InFlight: 3, Timeout: time.Minute, GapGrace: w.rules.GapGrace, ReportHold: 14 * dag.Day, KeepPinned: w.rules.KeepPinned,
		},
		Media: config.Media{DeleteConcurrency: 4, BatchSize: 1000, KeepShown: true, Via: config.ViaDisk},
	}
	var out, log bytes.Buffer
	causes := pipeline.Run(t.Context(), t.Context(), cfg, logging.New(&log, logging.LevelInfo, logging.Text), &out)
	if len(causes) > 0 {
		t.Errorf("the run ended with %v:\n%s\n%s", causes, log.String(), out.String())
	}
}

// compare holds every room against what the simulation makes of it.
func (w *planted) compare(t *testing.T) {
	t.Helper()
	purged := 0
	for i, got := range w.read(t) {
		before := w.before[i]
		want := before.Judge(w.rules)
		expected := before
		if want.Purge {
			var err error
			if expected, err = before.Purge(want.Depth); err != nil {
				t.Fatal(err)
			}
		}
		diff := cmp.Diff(expected.Sorted(), got, w.alike())
		if diff != "" && want.Purge && !foundBySender(before, want, w.rules) && cmp.Equal(before, got, cmpopts.EquateEmpty()) {
			continue // its senders' clocks hide it from phase A for now
		}
		if diff != "" {
			t.Errorf("%+v (- is missing, + should not be there):\n%s\n%s", want, diff, text(before))
		}
		if want.Purge {
			purged++
		}
	}
	if purged == 0 {
		t.Error("not one room was purged")
	}
	t.Logf("%d of %d rooms were purged", purged, len(w.ids))
}

// alike compares rooms; before Synapse 1.143 without backward extremities. There the server's scheduler now and then runs a
// purge once more that ended while the list of tasks was read, and one that finds nothing to purge forgets all of them
// (util/task_scheduler.py, storage/databases/main/purge_events.py:184-210, 1.98.0).
func (w *planted) alike() cmp.Option {
	if !w.server.Before("1.143.0") {
		return cmpopts.EquateEmpty()
	}
	return cmp.Options{cmpopts.EquateEmpty(), cmpopts.IgnoreFields(dag.Room{}, "Gaps")}
}

// readable uses each room as clients do.
func (w *planted) readable(t *testing.T) {
	t.Helper()
	alice, read, redacted := w.server.As("alice"), 0, 0
	hurt := strings.Join(stock.Hurt(t, w.server), "\n")
	softFailed := stock.All[string](t, w.server, `SELECT event_id FROM event_json WHERE internal_metadata LIKE '%soft_failed%'`)
	for i, now := range w.read(t) {
		before := w.before[i]
		hidden := map[string]bool{}
		for _, e := range before.Events {
			if e.Redacts != "" {
				hidden[e.Redacts] = true
			}
		}
		for _, e := range before.Events {
			// Synapse shows no redaction whose target it does not have.
			if !e.Young(w.rules) || e.Redacts != "" || slices.Contains(softFailed, e.ID) {
				continue
			}
			seen, err := alice.Event(t.Context(), before.ID, e.ID)
			if err != nil {
				t.Errorf("young %s cannot be read: %v\n%s", e.ID, err, text(before))
			}
			read++
			if hidden[e.ID] && len(seen.Content) > 0 {
				t.Errorf("redacted %s reads %v\n%s", e.ID, seen.Content, text(before))
			} else if hidden[e.ID] {
				redacted++
			}
		}
		if strings.Contains(hurt, before.ID) {
			t.Errorf("%s\nis hurt\n%s", hurt, text(now))
		}
	}
	t.Logf("%d young events were read, %d of them redacted", read, redacted)
}

// purgeAnywhere purges each room at any depth.
func (w *planted) purgeAnywhere(t *testing.T, random *rand.Rand) {
	t.Helper()
	refused, hurt := 0, 0
	rooms := w.read(t)
	wants := make([]dag.Room, len(rooms))
	for i, r := range rooms {
		wants[i] = r
		var there []dag.Event
		for _, e := range r.Events {
			if !e.Outlier && e.Named() {
				there = append(there, e)
			}
		}
		if len(there) == 0 {
			continue
		}
		e := there[random.IntN(len(there))]
		want, err := r.Purge(e.Depth)
		if said := w.purge(t, r.ID, e.ID); err == nil && said != "" || err != nil && !strings.Contains(said, err.Error()) {
			t.Errorf("a purge at %d says %q, want %v\n%s", e.Depth, said, err, text(r))
		}
		if err != nil {
			refused++
			continue
		}
		wants[i] = want.Sorted()
	}
	for i, got := range w.read(t) {
		if diff := cmp.Diff(wants[i], got, w.alike()); diff != "" {
			t.Errorf("(- is missing, + should not be there):\n%s\n%s", diff, text(rooms[i]))
		}
		if got.Has(func(e dag.Event) bool { return e.Tip && e.Outlier }) {
			hurt++
		}
	}
	t.Logf("of purges at any depth %d were refused, %d hurt the room", refused, hurt)
}

// purge asks the server itself for a purge and returns what it says against it.
func (w *planted) purge(t *testing.T, room, event string) string {
	t.Helper()
	var started struct {
		ID string `json:"purge_id"`
	}
	admin := w.server.Admin()
	err := admin.Do(t.Context(), http.MethodPost, "/_synapse/admin/v1/purge_history/"+room, nil,
		map[string]any{"purge_up_to_event_id": event, "delete_local_events": true}, &started)
	if err != nil {
		t.Fatal(err)
	}
	for {
		var state struct{ Status, Error string }
		if err := admin.Do(t.Context(), http.MethodGet, "/_synapse/admin/v1/purge_history_status/"+started.ID, nil, nil, &state); err != nil {
			t.Fatal(err)
		}
		if state.Status != "active" {
			return state.Error
		}
		select {
		case <-t.Context().Done():
			t.Fatal(errors.New("the purge does not end"))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// takesMessages sends into every room.
func (w *planted) takesMessages(t *testing.T) {
	t.Helper()
	for i, r := range w.before {
		if _, err := w.server.As("alice").Send(t.Context(), w.ids[i], "still here"); err != nil {
			t.Errorf("the room takes no message: %v\n%s", err, text(r))
		}
	}
}
