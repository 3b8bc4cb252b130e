package stages

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"synupkeep/internal/item"
	"synupkeep/internal/postgres"
	"synupkeep/internal/sandbox"
	"synupkeep/internal/synapse"
)

const day = 24 * time.Hour

// world is a server full of rooms, and the cut-off by which they are judged: 30 days before now.
type world struct {
	server      *sandbox.Server
	db          *pgxpool.Pool
	api         *synapse.Client
	now, cutOff time.Time
	// losePinned is a run without --keep-pinned.
	losePinned bool
}

type given string

func (g given) Token() string { return string(g) }
func (g given) Renew() bool   { return false }

func newWorld(t *testing.T) *world {
	t.Helper()
	s := sandbox.Shared(t)
	db, err := pgxpool.New(t.Context(), s.ConnString())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	w := &world{server: s, db: db, api: synapse.NewClient(s.APIURL(), given(s.AdminToken())), now: time.Now()}
	t.Cleanup(w.api.Close)
	w.cutOff = w.now.Add(-30 * day)
	return w
}

// cutter is the one of a run with the defaults, but for the terms left out.
func (w *world) cutter(without ...item.Reason) *Cutter {
	return &Cutter{
		DB: w.db, CutOff: w.cutOff, Now: w.now, GapGrace: 72 * time.Hour, SlidingSync: !w.server.Before("1.115.0"), KeepPinned: !w.losePinned, without: without,
		Holds: &Holds{DB: w.db, ReportsSince: w.now.Add(-14 * day)},
	}
}

func (w *world) take(t *testing.T, c *Cutter, room string) Verdict {
	t.Helper()
	v, err := c.Take(t.Context(), room)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// purge asks the server to purge and waits until it has.
func (w *world) purge(t *testing.T, cut item.Cut) synapse.PurgeState {
	t.Helper()
	id, err := w.api.StartPurge(t.Context(), cut.RoomID, cut.EventID)
	if err != nil {
		t.Fatal(err)
	}
	for {
		state, err := w.api.PurgeStatus(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if state.Status != synapse.PurgeActive {
			return state
		}
		if err := sleep(t.Context(), 10*time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
}

// event is a row as the tests judge it.
type event struct {
	ID                string
	Depth             int64
	Stream            *int64
	Sent, Received    *int64 // ms
	Outlier, Rejected bool
	State             bool
}

// young says, in other words than the query of the cut, whether a purge must not touch the event.
func (e event) young(cutOff time.Time) bool {
	if e.Outlier || e.Rejected {
		return false
	}
	came := e.Received
	if backfilled := e.Stream != nil && *e.Stream < 0; came == nil || backfilled && e.Sent != nil && *e.Sent < *came {
		came = e.Sent
	}
	return came == nil || *came >= cutOff.UnixMilli()
}

func events(t testing.TB, db postgres.Querier, room string) []event {
	t.Helper()
	rows, err := db.Query(t.Context(), `
		SELECT e.event_id, e.topological_ordering, e.stream_ordering, e.origin_server_ts, e.received_ts, e.outlier,
			j.event_id IS NOT NULL, s.event_id IS NOT NULL
		FROM events e LEFT JOIN rejections j USING (event_id) LEFT JOIN state_events s ON s.event_id = e.event_id
		WHERE e.room_id = $1 ORDER BY e.topological_ordering, e.event_id`, room)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[event])
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func (w *world) has(t *testing.T, eventID string) bool {
	t.Helper()
	return column[bool](t, w.db, `SELECT EXISTS (SELECT 1 FROM events JOIN event_json USING (event_id) WHERE event_id = $1)`, eventID)[0]
}

func column[T any](t testing.TB, db postgres.Querier, sql string, args ...any) []T {
	t.Helper()
	rows, err := db.Query(t.Context(), sql, args...)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[T])
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// room is a room of alice. Its messages are planted: four past the cut-off, then two that are young.
type room struct {
	id       string
	messages []string
	noted    string // what the test planted
}

// oldPart is how many of the messages are past the cut-off, unless the test says otherwise.
const oldPart = 4

func (w *world) room(t *testing.T, o sandbox.RoomOptions) *room {
	t.Helper()
	id, err := w.server.As("alice").CreateRoom(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return &room{id: id}
}

// fill makes all of a room old by that much and plants its messages.
func (r *room) fill(ctx context.Context, p *sandbox.Plant, by time.Duration) error {
	if err := p.AgeRoom(ctx, r.id, by); err != nil {
		return err
	}
	old, err := p.BulkMessages(ctx, r.id, oldPart, time.Now().Add(-by), time.Second)
	if err != nil {
		return err
	}
	young, err := p.BulkMessages(ctx, r.id, 2, time.Now().Add(-time.Minute), time.Second)
	r.messages = append(old, young...)
	return err
}

func (w *world) plant(t *testing.T, f func(context.Context, *sandbox.Plant) error) {
	t.Helper()
	if err := w.server.Plant(t.Context(), f); err != nil {
		t.Fatal(err)
	}
}

// lives checks that people can go on using a room.
func (w *world) lives(t *testing.T, room string) {
	t.Helper()
	alice := w.server.As("alice")
	id, err := alice.Send(t.Context(), room, "still here")
	if err != nil {
		t.Fatalf("the room takes no message: %v", err)
	}
	timeline, err := alice.Timeline(t.Context(), room)
	if err != nil {
		t.Fatalf("/messages: %v", err)
	}
	if !slices.ContainsFunc(timeline, func(e sandbox.Event) bool { return e.ID == id }) {
		t.Errorf("/messages does not show the new message")
	}
}

// kept checks that nothing young has gone or become an outlier.
func (w *world) kept(t *testing.T, room string, before []event) {
	t.Helper()
	left := map[string]event{}
	for _, e := range events(t, w.db, room) {
		left[e.ID] = e
	}
	for _, e := range before {
		if now, ok := left[e.ID]; e.young(w.cutOff) && (!ok || now.Outlier) {
			t.Errorf("young event %s at depth %d is gone", e.ID, e.Depth)
		}
	}
}

// report plants an abuse report of an event by bob.
func report(ctx context.Context, p *sandbox.Plant, r *room, eventID string, at time.Time) error {
	return p.Exec(ctx, `INSERT INTO event_reports (id, received_ts, room_id, event_id, user_id, reason, content)
		SELECT COALESCE(max(id), 0) + 1, $1, $2, $3, '@bob:localhost', 'rude', '{}' FROM event_reports`, at.UnixMilli(), r.id, eventID)
}

// readReport reads the report of an event as an admin does.
func (w *world) readReport(t *testing.T, eventID string) error {
	t.Helper()
	id := column[int64](t, w.db, `SELECT id FROM event_reports WHERE event_id = $1`, eventID)[0]
	return w.server.Admin().Do(t.Context(), http.MethodGet, fmt.Sprint("/_synapse/admin/v1/event_reports/", id), nil, nil, nil)
}

func wantStatus(t *testing.T, err error, want int) {
	t.Helper()
	got := http.StatusOK
	var api *sandbox.APIError
	if errors.As(err, &api) {
		got = api.Status
	} else if err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("the server answers %d, want %d (%v)", got, want, err)
	}
}
