package pipeline

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"synupkeep/config"
	"synupkeep/internal/item"
	"synupkeep/internal/sandbox"
)

const day = 24 * time.Hour

// front is a reverse proxy before Synapse that notes the purges that are asked for.
type front struct {
	*httptest.Server
	// onPurge may answer a request for a purge in place of Synapse, by a status other than 0. n counts from 1.
	onPurge func(n int) (status int)
	// lose says whether the answer of Synapse to a request for a purge gets lost.
	lose func(n int) bool
	// onStatus hears of each question for a purge.
	onStatus func(purge string)
	// away answers everything, when it is set, by a status other than 0.
	away func() (status int)

	mu     sync.Mutex
	purged []string // room ids, in the order in which they were asked for
}

func newFront(t *testing.T, s *sandbox.Server) *front {
	t.Helper()
	target, err := url.Parse(s.APIURL())
	if err != nil {
		t.Fatal(err)
	}
	f := &front{}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status, lost := 0, false
		if f.away != nil {
			status = f.away()
		}
		if room, ok := strings.CutPrefix(r.URL.Path, "/_synapse/admin/v1/purge_history/"); ok && r.Method == http.MethodPost && status == 0 {
			f.mu.Lock()
			f.purged = append(f.purged, room)
			n := len(f.purged)
			f.mu.Unlock()
			if f.onPurge != nil {
				status = f.onPurge(n)
			}
			lost = f.lose != nil && f.lose(n)
		}
		if purge, ok := strings.CutPrefix(r.URL.Path, "/_synapse/admin/v1/purge_history_status/"); ok && f.onStatus != nil {
			f.onStatus(purge)
		}
		if status != 0 {
			w.WriteHeader(status)
			return
		}
		if lost {
			w = httptest.NewRecorder() // Synapse is asked all the same
		}
		proxy.ServeHTTP(w, r)
		if lost {
			panic(http.ErrAbortHandler)
		}
	}))
	t.Cleanup(f.Close)
	return f
}

func (f *front) asked() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.purged)
}

// row is an event in the database.
type row struct {
	ID      string
	Depth   int64
	State   bool
	Outlier bool
	JSON    bool // its content is there as well
}

func rowsOf(t testing.TB, s *sandbox.Server, room string) []row {
	t.Helper()
	var rows []row
	err := s.WithDB(t.Context(), func(ctx context.Context, conn *pgx.Conn) error {
		found, err := conn.Query(ctx, `
			SELECT e.event_id, e.depth, s.event_id IS NOT NULL, e.outlier, j.event_id IS NOT NULL FROM events e
			LEFT JOIN state_events s USING (event_id) LEFT JOIN event_json j ON j.event_id = e.event_id
			WHERE e.room_id = $1 ORDER BY e.depth, e.event_id`, room)
		if err != nil {
			return err
		}
		rows, err = pgx.CollectRows(found, pgx.RowToStructByPos[row])
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// talk is a room with what is to become of it.
type talk struct {
	name, id string
	messages []string
	// goes is how many of the first messages a run deletes.
	goes   int
	before []row
	nobody bool // is in it any more
}

// check compares every event of the room with what was there before the run, and uses the room.
func (r *talk) check(t *testing.T, s *sandbox.Server) {
	t.Helper()
	r.deleted(t, s)
	if !r.nobody {
		alive(t, s, r.id)
	}
}

// deleted checks that exactly those messages have gone that were to go.
func (r *talk) deleted(t *testing.T, s *sandbox.Server) {
	t.Helper()
	goes := r.messages[:r.goes]
	after := map[string]row{}
	for _, e := range rowsOf(t, s, r.id) {
		after[e.ID] = e
	}
	for _, e := range r.before {
		now, left := after[e.ID]
		switch {
		case slices.Contains(goes, e.ID):
			if left {
				t.Errorf("old message %s at depth %d is still there", e.ID, e.Depth)
			}
		case !left || !now.JSON:
			t.Errorf("event %s at depth %d is gone", e.ID, e.Depth)
		case now.Outlier && !e.State:
			t.Errorf("message %s at depth %d cannot be read any more", e.ID, e.Depth)
		}
		delete(after, e.ID)
	}
	if len(after) > 0 {
		t.Errorf("events that nobody sent: %v", after)
	}
}

// alive checks that a room takes a message and shows it.
func alive(t *testing.T, s *sandbox.Server, room string) {
	t.Helper()
	alice := s.As("alice")
	id, err := alice.Send(t.Context(), room, "still here")
	if err != nil {
		t.Errorf("the room takes no message: %v", err)
		return
	}
	timeline, err := alice.Timeline(t.Context(), room)
	if err != nil || !slices.ContainsFunc(timeline, func(e sandbox.Event) bool { return e.ID == id }) {
		t.Errorf("/messages does not show the new message (%v)", err)
	}
}

// newTalk makes a room and sends messages; what is old of it is aged later.
func newTalk(t *testing.T, s *sandbox.Server, name string, o sandbox.RoomOptions, messages int) *talk {
	t.Helper()
	r := &talk{name: name}
	alice := s.As("alice")
	var err error
	if r.id, err = alice.CreateRoom(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	for i := range messages {
		id, err := alice.Send(t.Context(), r.id, fmt.Sprint("message ", i))
		if err != nil {
			t.Fatal(err)
		}
		r.messages = append(r.messages, id)
	}
	return r
}

// plantOld ages the whole room and plants that many messages past the cut-off and two young ones.
func (r *talk) plantOld(ctx context.Context, p *sandbox.Plant, old int) error {
	if err := p.AgeRoom(ctx, r.id, 60*day); err != nil {
		return err
	}
	first, err := p.BulkMessages(ctx, r.id, old, time.Now().Add(-60*day), time.Second)
	if err != nil {
		return err
	}
	last, err := p.BulkMessages(ctx, r.id, 2, time.Now().Add(-time.Hour), time.Second)
	r.messages = slices.Concat(r.messages, first, last)
	r.goes = len(r.messages) - 2
	return err
}

func plant(t *testing.T, s *sandbox.Server, f func(context.Context, *sandbox.Plant) error) {
	t.Helper()
	if err := s.Plant(t.Context(), f); err != nil {
		t.Fatal(err)
	}
}

// only are the settings of a run that looks at these rooms, through the front.
func only(s *sandbox.Server, f *front, rooms []*talk) *config.Config {
	cfg := settings(s, item.History)
	if f != nil {
		cfg.APIURL = f.URL
	}
	for _, r := range rooms {
		cfg.History.Rooms = append(cfg.History.Rooms, r.id)
	}
	return cfg
}

// endsWith also checks that the summary says the same.
func endsWith(t *testing.T, r result, want ...item.Cause) {
	t.Helper()
	if !slices.Equal(r.causes, want) || r.summary.ExitCode != item.ExitCode(want) {
		t.Errorf("causes %v, exit code %d, want %v\n%s\n%s", r.causes, r.summary.ExitCode, want, r.out, r.log)
	}
}
