package repair

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"synupkeep/config"
	"synupkeep/connect"
	"synupkeep/internal/item"
	"synupkeep/internal/logging"
	"synupkeep/internal/postgres"
	"synupkeep/internal/sandbox"
	"synupkeep/internal/synapse"
	"synupkeep/sources"
)

// front stands before Synapse and notes every call that is no GET.
type front struct {
	*httptest.Server
	// answer may answer in place of Synapse, by a status other than 0; n counts the calls of that kind from 1.
	answer func(call string, n int) (status int, body string)
	// done is called when Synapse has answered.
	done func(call string)

	mu    sync.Mutex
	calls []string
}

func newFront(t *testing.T, s *sandbox.Server) *front {
	t.Helper()
	target, err := url.Parse(s.APIURL())
	must(t, err)
	f := &front{}
	proxy := httputil.NewSingleHostReverseProxy(target)
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		call := r.Method + " " + r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
		room := strings.TrimSuffix(r.URL.Path, "/"+r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:])
		room = room[strings.LastIndex(room, "/")+1:]
		if r.Method != http.MethodGet {
			f.mu.Lock()
			f.calls = append(f.calls, call+" "+room)
			n := 0
			for _, c := range f.calls {
				if strings.HasPrefix(c, call+" ") {
					n++
				}
			}
			f.mu.Unlock()
			if f.answer != nil {
				if status, body := f.answer(call, n); status != 0 {
					w.WriteHeader(status)
					_, _ = w.Write([]byte(body))
					return
				}
			}
		}
		proxy.ServeHTTP(w, r)
		if f.done != nil && r.Method != http.MethodGet {
			f.done(call)
		}
	}))
	t.Cleanup(f.Close)
	return f
}

const (
	drop  = "DELETE forward_extremities"
	check = "POST kick"
)

func (f *front) drops() (rooms []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.calls {
		if room, ok := strings.CutPrefix(c, drop+" "); ok {
			rooms = append(rooms, room)
		}
	}
	return rooms
}

func through(f *front, p *place, rooms ...string) result {
	cfg := settings(p.s, rooms...)
	cfg.APIURL, cfg.Yes = f.URL, true
	return do(p.t.Context(), p.t, cfg, nobody())
}

func TestOnlyBrokenRoomsAreTouched(t *testing.T) {
	s := sandbox.Own(t, sandbox.Options{})
	p, sound, forked := newPlaceOn(t, s, sandbox.RoomOptions{}), newPlaceOn(t, s, sandbox.RoomOptions{}), newPlaceOn(t, s, sandbox.RoomOptions{})
	p.breaks()
	forked.fork("org.example.fork", "", map[string]any{"only": "here"}, false)
	before := []string{sound.snapshot(), forked.snapshot()}
	f := newFront(t, p.s)
	through(f, p) // every room of the server
	if diff := cmp.Diff([]string{p.id}, f.drops()); diff != "" {
		t.Error(diff)
	}
	for _, call := range f.calls {
		if !strings.HasSuffix(call, " "+p.id) {
			t.Errorf("also %s", call)
		}
	}
	if diff := cmp.Diff(before, []string{sound.snapshot(), forked.snapshot()}); diff != "" {
		t.Error(diff)
	}
	p.takes()
	forked.takes()
}

func TestItEndsAtTheFirstRoomThatIsNotMended(t *testing.T) {
	const refused = `{"errcode":"M_UNKNOWN","error":"Internal server error"}`
	whole := t
	var p, q *place
	for name, test := range map[string]struct {
		answer func(call string, n int) (int, string)
		why    string
		drops  int
	}{
		"the call fails": {func(call string, _ int) (int, string) {
			if call == drop {
				return 500, refused
			}
			return 0, ""
		}, "did not say that it forgot", 1},
		"the call does nothing": {func(call string, _ int) (int, string) {
			if call == drop {
				return 200, `{"deleted":1}`
			}
			return 0, ""
		}, "still broken", 1},
		"the call is answered by something else": {func(call string, _ int) (int, string) {
			if call == drop {
				return 200, `{}`
			}
			return 0, ""
		}, "did not say that it forgot", 1},
		"the server still makes no message": {func(call string, n int) (int, string) {
			if call == check && n > 1 {
				return 404, `{"errcode":"M_UNKNOWN","error":"Not a known room"}`
			}
			return 0, ""
		}, "still makes no message", 1},
		"the server says something else afterwards": {func(call string, n int) (int, string) {
			if call == check && n > 1 {
				return 403, `{"errcode":"M_FORBIDDEN","error":"Something else"}`
			}
			return 0, ""
		}, "still makes no message", 1},
		"nobody can be asked before": {func(call string, _ int) (int, string) {
			if call == check {
				return 404, `{"errcode":"M_UNRECOGNIZED","error":"Unrecognized request"}`
			}
			return 0, ""
		}, "nothing was done", 0},
	} {
		t.Run(name, func(t *testing.T) {
			if p == nil { // what a case has not touched the next one takes
				p, _ = broken(whole, sandbox.RoomOptions{})
				q, _ = broken(whole, sandbox.RoomOptions{})
			}
			f := newFront(t, p.s)
			f.answer = test.answer
			before := map[string]string{p.id: p.snapshot(), q.id: q.snapshot()}
			r := through(f, p, p.id, q.id)
			first, second := r.report.Rooms[0], r.report.Rooms[1]
			if first.Status != Failed || !strings.Contains(first.Why, test.why) || second.Status != NotReached || len(f.drops()) != test.drops {
				t.Errorf("%v\n%s", f.calls, r.text)
			}
			if diff := cmp.Diff([]item.Cause{item.CauseItems}, r.causes); diff != "" {
				t.Error(diff)
			}
			if second.ID == q.id && before[q.id] != q.snapshot() || second.ID == p.id && before[p.id] != p.snapshot() {
				t.Error("the second room was touched")
			}
			if before[p.id] == p.snapshot() && before[q.id] == q.snapshot() {
				return
			}
			if r := yes(t, p.s, p.id, q.id); len(r.causes) != 0 {
				t.Errorf("the next call: %s", r.text)
			}
			p.takes()
			q.takes()
			p = nil
		})
	}
}

func TestARoomThatChangedBetweenLookAndRepairIsLeft(t *testing.T) {
	for name, sql := range map[string]func(*place, branch) string{
		"one more end": func(p *place, b branch) string { // an event that the purge has left
			return `INSERT INTO event_forward_extremities (room_id, event_id) VALUES ('` + p.id + `', '` + b.messages[10] + `')`
		},
		"it was healed": func(_ *place, b branch) string {
			return `INSERT INTO event_to_state_groups (event_id, state_group)
				SELECT '` + b.fork + `', state_group FROM event_to_state_groups WHERE event_id = '` + b.messages[11] + `';
				UPDATE events SET outlier = FALSE WHERE event_id = '` + b.fork + `'`
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, b := broken(t, sandbox.RoomOptions{})
			f := newFront(t, p.s)
			cfg := settings(p.s, p.id)
			cfg.APIURL = f.URL
			r := do(t.Context(), t, cfg, &answers{say: []bool{true}, before: func(string) {
				must(t, p.s.WithDB(t.Context(), func(ctx context.Context, c *pgx.Conn) error { _, err := c.Exec(ctx, sql(p, b)); return err }))
			}})
			if room := r.room(t, p.id); room.Status != Changed || len(f.calls) != 0 {
				t.Errorf("%v\n%s", f.calls, r.text)
			}
			yes(t, p.s, p.id)
		})
	}
}

func TestNobodyIsAskedTwiceAndOnlyAYesDoesAnything(t *testing.T) {
	p, _ := broken(t, sandbox.RoomOptions{})
	before := p.snapshot()
	for name, test := range map[string]struct {
		ask    *answers
		status Status
	}{"no": {&answers{say: []bool{false}}, Declined}, "no terminal": {nil, NotAsked}} {
		t.Run(name, func(t *testing.T) {
			f := newFront(t, p.s)
			cfg := settings(p.s, p.id)
			cfg.APIURL = f.URL
			var ask Asker = test.ask
			r := do(t.Context(), t, cfg, ask)
			if r.room(t, p.id).Status != test.status || len(f.calls) != 0 || cmp.Diff([]item.Cause{item.CauseItems}, r.causes) != "" {
				t.Errorf("%v %v\n%s", f.calls, r.causes, r.text)
			}
			if diff := cmp.Diff(before, p.snapshot()); diff != "" {
				t.Error(diff)
			}
		})
	}
	ask := &answers{say: []bool{true}}
	if r := do(t.Context(), t, settings(p.s, p.id), ask); r.room(t, p.id).Status != Repaired || len(ask.asked) != 1 || !strings.Contains(ask.asked[0], p.id) {
		t.Errorf("%q\n%s", ask.asked, r.text)
	}
}

func TestNothingIsDoneBesideARun(t *testing.T) {
	p, _ := broken(t, sandbox.RoomOptions{})
	db, err := postgres.Open(t.Context(), p.s.ConnString())
	must(t, err)
	defer db.Close()
	lock, err := connect.Lock(t.Context(), db)
	must(t, err)
	f := newFront(t, p.s)
	r := through(f, p, p.id)
	lock.Release(t.Context())
	if cmp.Diff([]item.Cause{item.CauseLocked}, r.causes) != "" || len(f.calls) != 0 || r.report.Errors[0].Hint == "" {
		t.Errorf("%v %v\n%s", f.calls, r.causes, r.text)
	}
	if r := yes(t, p.s, p.id); len(r.causes) != 0 {
		t.Error(r.text)
	}
}

func TestASignalEndsItBetweenTwoRooms(t *testing.T) {
	stopped := &item.RunError{Cause: item.CauseInterrupt, Doing: "stopped by a signal (interrupt)"}
	t.Run("while a room is mended", func(t *testing.T) {
		p, _ := broken(t, sandbox.RoomOptions{})
		q, _ := broken(t, sandbox.RoomOptions{})
		feed, stop := context.WithCancelCause(t.Context())
		f := newFront(t, p.s)
		f.done = func(call string) {
			if call == drop {
				stop(stopped)
			}
		}
		cfg := settings(p.s, p.id, q.id)
		cfg.APIURL, cfg.Yes = f.URL, true
		r := do(feed, t, cfg, nobody())
		if r.report.Rooms[0].Status != Repaired || r.report.Rooms[1].Status != NotReached || len(f.drops()) != 1 {
			t.Errorf("%v\n%s", f.calls, r.text)
		}
		if !slices.Contains(r.causes, item.CauseInterrupt) || r.report.ExitCode != 130 {
			t.Errorf("%v", r.causes)
		}
		if r := yes(t, p.s, p.id, q.id); len(r.causes) != 0 {
			t.Error(r.text)
		}
	})
	t.Run("while a question waits", func(t *testing.T) {
		p, _ := broken(t, sandbox.RoomOptions{})
		feed, stop := context.WithCancelCause(t.Context())
		r := do(feed, t, settings(p.s, p.id), &answers{say: []bool{true}, before: func(string) { stop(stopped) }})
		if r.room(t, p.id).Status != NotReached || r.report.ExitCode != 130 {
			t.Errorf("%v\n%s", r.causes, r.text)
		}
		p.takesNone()
		yes(t, p.s, p.id)
	})
}

func TestARoomThatTheServerDoesNotKnowIsAUsageError(t *testing.T) {
	s := sandbox.Shared(t)
	if r := yes(t, s, "!no:such"); cmp.Diff([]item.Cause{item.CauseUsage}, r.causes) != "" {
		t.Errorf("%v\n%s", r.causes, r.text)
	}
}

func TestADatabaseOfAnotherServerIsRefused(t *testing.T) {
	p, _ := broken(t, sandbox.RoomOptions{})
	other := sandbox.Own(t, sandbox.Options{ServerName: "elsewhere"})
	f := newFront(t, other)
	cfg := settings(p.s, p.id)
	cfg.APIURL, cfg.Token, cfg.Yes = f.URL, config.Token{Given: config.NewSecret(other.AdminToken())}, true
	before := p.snapshot()
	r := do(t.Context(), t, cfg, nobody())
	if diff := cmp.Diff(before, p.snapshot()); diff != "" {
		t.Error(diff)
	}
	if cmp.Diff([]item.Cause{item.CauseRefused}, r.causes) != "" || len(f.calls) != 0 {
		t.Errorf("%v %v\n%s", f.calls, r.causes, r.text)
	}
	yes(t, p.s, p.id)
}

// What repaired means hangs on this: what is sound in the database and passes the check takes messages, what does not takes
// none, and the check leaves nothing behind. (Of a broken room the check alone may pass: Synapse goes on with the ends whose
// state it has in its caches, and stumbles over the others only when it writes the event.)
func TestWhatIsSoundAndPassesTheCheckTakesMessagesAndTheCheckLeavesNoTrace(t *testing.T) {
	p, _ := broken(t, sandbox.RoomOptions{})
	token, err := connect.NewToken(settings(p.s).Token, logging.New(&strings.Builder{}, logging.LevelError, logging.Text))
	must(t, err)
	api := synapse.NewClient(p.s.APIURL(), token)
	defer api.Close()
	db, err := postgres.Look(t.Context(), p.s.ConnString())
	must(t, err)
	defer db.Close()
	sound := func(who string, want bool) {
		t.Helper()
		before := p.snapshot()
		err := api.CheckRoom(t.Context(), p.id, p.s.ServerName())
		if err != nil && !errors.Is(err, synapse.ErrNoState) {
			t.Errorf("%s: %v", who, err)
		}
		found, _, e := sources.BrokenRooms{DB: db.Reader, Only: []string{p.id}}.Find(t.Context(), "", 1)
		must(t, e)
		if got := err == nil && len(found) == 0; got != want {
			t.Errorf("%s: %t, want %t: %v, %d", who, got, want, err, len(found))
		}
		if diff := cmp.Diff(before, p.snapshot()); diff != "" {
			t.Errorf("%s: %s", who, diff)
		}
	}
	sound("broken", false)
	p.takesNone()
	sound("broken once more", false)
	yes(t, p.s, p.id)
	sound("mended, a stranger", true)
	p.takes()
	must(t, p.s.Admin().Join(t.Context(), p.id))
	sound("mended, a member", true)
	levels, err := p.alice.State(t.Context(), p.id, "m.room.power_levels", "")
	must(t, err)
	levels["kick"] = 0
	_, err = p.alice.SetState(t.Context(), p.id, "m.room.power_levels", "", levels)
	must(t, err)
	sound("mended, one who may take people out", true)
	if err := api.CheckRoom(t.Context(), "!nowhere", p.s.ServerName()); !errors.Is(err, synapse.ErrNoState) {
		t.Errorf("a room that is none: %v", err)
	}
	// And the check sees by itself what the database does not say: state that is gone.
	p.sql(`UPDATE state_groups_state SET state_group = -state_group WHERE room_id = '` + p.id + `'`)
	sound("state is gone", false)
	p.takesNone()
	p.sql(`UPDATE state_groups_state SET state_group = -state_group WHERE room_id = '` + p.id + `'`)
	sound("and back", true)
	p.takes()
}
