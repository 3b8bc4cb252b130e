package repair

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"synupkeep/config"
	"synupkeep/internal/item"
	"synupkeep/internal/logging"
	"synupkeep/internal/sandbox"
)

func TestMain(m *testing.M) { os.Exit(sandbox.TestMain(m)) }

const day = 24 * time.Hour

// answers is an operator who says these in their order; nil is nobody at a terminal.
type answers struct {
	say   []bool
	asked []string
	// before is called with each question.
	before func(question string)
}

func (a *answers) Terminal() bool { return a != nil }

func (a *answers) Yes(ctx context.Context, question string) (bool, error) {
	a.asked = append(a.asked, question)
	if a.before != nil {
		a.before(question)
	}
	if len(a.asked) > len(a.say) {
		return false, nil
	}
	return a.say[len(a.asked)-1], ctx.Err()
}

// nobody is no terminal.
func nobody() *answers { return nil }

func settings(s *sandbox.Server, rooms ...string) *config.Config {
	return &config.Config{
		Command: config.CommandRepair, Postgres: config.NewSecret(s.ConnString()), APIURL: s.APIURL(),
		Token: config.Token{Given: config.NewSecret(s.AdminToken())}, JSON: true, History: config.History{Rooms: rooms},
	}
}

type result struct {
	causes []item.Cause
	report Report
	text   string
	log    string
}

func (r result) room(t testing.TB, id string) Room {
	t.Helper()
	at := slices.IndexFunc(r.report.Rooms, func(room Room) bool { return room.ID == id })
	if at < 0 {
		t.Fatalf("room %s is not in the report:\n%s", id, r.text)
	}
	return r.report.Rooms[at]
}

func do(ctx context.Context, t testing.TB, cfg *config.Config, ask Asker) result {
	t.Helper()
	var out, log bytes.Buffer
	causes := With(ask)(t.Context(), ctx, cfg, logging.New(&log, logging.LevelTrace, logging.Text), &out)
	r := result{causes: causes, text: out.String(), log: log.String()}
	if cfg.JSON {
		if err := json.Unmarshal(out.Bytes(), &r.report); err != nil {
			t.Fatalf("%v\n%s\n%s", err, out.String(), log.String())
		}
		fitsTheSchema(t, out.Bytes())
		if r.report.ExitCode != item.ExitCode(causes) {
			t.Errorf("the report says exit code %d, the program ends with %d", r.report.ExitCode, item.ExitCode(causes))
		}
	}
	return r
}

// fitsTheSchema holds every report of every test against what the docs say.
func fitsTheSchema(t testing.TB, report []byte) {
	t.Helper()
	schema, err := jsonschema.NewCompiler().Compile("../docs/repair.schema.json")
	must(t, err)
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(report))
	must(t, err)
	if err := schema.Validate(value); err != nil {
		t.Errorf("%v\n%s", err, report)
	}
}

// yes repairs without asking.
func yes(t testing.TB, s *sandbox.Server, rooms ...string) result {
	t.Helper()
	cfg := settings(s, rooms...)
	cfg.Yes = true
	return do(t.Context(), t, cfg, nobody())
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// place is a room in which alice and bob are.
type place struct {
	t          testing.TB
	s          *sandbox.Server
	id         string
	alice, bob *sandbox.Client
	first      string // its first message
}

func newPlace(t testing.TB, o sandbox.RoomOptions) *place {
	t.Helper()
	return newPlaceOn(t, sandbox.Shared(t), o)
}

func newPlaceOn(t testing.TB, s *sandbox.Server, o sandbox.RoomOptions) *place {
	t.Helper()
	p := &place{t: t, s: s}
	p.alice, p.bob = p.s.As("alice"), p.s.As("bob")
	if o.Name == "" {
		o.Name = t.Name()
	}
	var err error
	p.id, err = p.alice.CreateRoom(t.Context(), o)
	must(t, err)
	must(t, p.bob.Join(t.Context(), p.id))
	p.first, err = p.alice.Send(t.Context(), p.id, "first")
	must(t, err)
	return p
}

// branch is a room with an old state event that nothing follows, and messages beside it.
type branch struct {
	fork     string
	messages []string
}

// fork plants the state event, as one that another server sent beside ours, and then messages that do not know of it. With
// again the first of them is a later value of the same piece of state, which is the room's then.
func (p *place) fork(kind, key string, content map[string]any, again bool) branch {
	p.t.Helper()
	var b branch
	old := time.Now().Add(-90 * day)
	must(p.t, p.s.Plant(p.t.Context(), func(ctx context.Context, plant *sandbox.Plant) error {
		prev := p.first
		message := func(at time.Time, state bool) error {
			event := sandbox.NewEvent{Room: p.id, Prev: []string{prev}, Sender: p.alice.UserID(), Sent: at, Received: at}
			if state {
				event.Type, event.StateKey, event.Content = kind, &key, map[string]any{"topic": "set again"}
			}
			id, err := plant.Event(ctx, event)
			b.messages, prev = append(b.messages, id), id
			return err
		}
		if err := message(old.Add(time.Hour), again); err != nil {
			return err
		}
		var err error
		b.fork, err = plant.Event(ctx, sandbox.NewEvent{
			Room: p.id, Prev: []string{p.first}, Type: kind, StateKey: &key, Sender: p.alice.UserID(), Content: content, Sent: old, Received: old,
		})
		for i := 2; i < 13 && err == nil; i++ {
			err = message(old.Add(time.Duration(i)*time.Hour), false)
		}
		return err
	}))
	return b
}

// purge purges as Synapse's own retention does: up to an event, whatever the ends of the room are.
func (p *place) purge(upTo string) {
	p.t.Helper()
	var answer struct {
		ID string `json:"purge_id"`
	}
	must(p.t, p.s.Admin().Do(p.t.Context(), "POST", "/_synapse/admin/v1/purge_history/"+p.id, nil,
		map[string]any{"purge_up_to_event_id": upTo, "delete_local_events": true}, &answer))
	for {
		var state struct{ Status, Error string }
		must(p.t, p.s.Admin().Do(p.t.Context(), "GET", "/_synapse/admin/v1/purge_history_status/"+answer.ID, nil, nil, &state))
		switch state.Status {
		case "complete":
			return
		case "failed":
			p.t.Fatal(state.Error)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// broken is a room that was broken by a purge, and that Synapse's API mends: its state does not hang on the broken event.
func broken(t testing.TB, o sandbox.RoomOptions) (*place, branch) {
	t.Helper()
	p := newPlace(t, o)
	return p, p.breaks()
}

func (p *place) breaks() branch {
	p.t.Helper()
	b := p.fork("m.room.topic", "", map[string]any{"topic": "by the fork"}, true)
	p.purge(b.messages[10])
	p.takesNone()
	return b
}

func (p *place) send() (string, error) { return p.alice.Send(p.t.Context(), p.id, "does it arrive?") }

// takesNone looks whether messages are refused. At first Synapse answers 500, and from then on, in old room versions, it
// takes the state of the room for empty.
func (p *place) takesNone() {
	p.t.Helper()
	_, err := p.send()
	if err == nil || !strings.Contains(err.Error(), "500") && !strings.Contains(err.Error(), "No create event in auth events") {
		p.t.Fatalf("the room is to be broken, and a message gave %v", err)
	}
}

// takes sends, and looks whether somebody else gets it.
func (p *place) takes() {
	p.t.Helper()
	since := p.sync("")
	id, err := p.send()
	if err != nil {
		p.t.Errorf("the room takes no messages: %v", err)
		return
	}
	if got := p.sync(since.Next); !strings.Contains(string(got.Rooms), id) {
		p.t.Errorf("bob does not get %s", id)
	}
}

type synced struct {
	Next  string          `json:"next_batch"`
	Rooms json.RawMessage `json:"rooms"`
}

// sync is one of bob's. Synapse keeps answers for two minutes: each has a timeout of its own.
func (p *place) sync(since string) (answer synced) {
	p.t.Helper()
	query := url.Values{"timeout": {fmt.Sprint(1000 + time.Now().UnixNano()%1_000_000/1000)}}
	if since != "" {
		query.Set("since", since)
	}
	must(p.t, p.bob.Do(p.t.Context(), "GET", "/_matrix/client/v3/sync", query, nil, &answer))
	return answer
}

// state is every piece of the room's state as the server shows it to an admin and to a member, by the ids of its events.
func (p *place) state() map[string]string {
	p.t.Helper()
	type event struct {
		Type string `json:"type"`
		Key  string `json:"state_key"`
		ID   string `json:"event_id"`
	}
	var admin struct{ State []event }
	must(p.t, p.s.Admin().Do(p.t.Context(), "GET", "/_synapse/admin/v1/rooms/"+p.id+"/state", nil, nil, &admin))
	var member []event
	must(p.t, p.alice.Do(p.t.Context(), "GET", "/_matrix/client/v3/rooms/"+p.id+"/state", nil, nil, &member))
	state := map[string]string{}
	for who, events := range map[string][]event{"admin": admin.State, "member": member} {
		for _, e := range events {
			state[who+" "+e.Type+" "+e.Key] = e.ID
		}
	}
	return state
}

// snapshot is all that the database has of a room.
func (p *place) snapshot() string {
	p.t.Helper()
	var text string
	must(p.t, p.s.WithDB(p.t.Context(), func(ctx context.Context, c *pgx.Conn) error {
		return c.QueryRow(ctx, `SELECT
			(SELECT string_agg(e::text, E'\n' ORDER BY event_id) FROM events e WHERE room_id = $1) ||
			(SELECT COALESCE(string_agg(f::text, E'\n' ORDER BY event_id), '') FROM event_forward_extremities f WHERE room_id = $1) ||
			(SELECT COALESCE(string_agg(c::text, E'\n' ORDER BY event_id), '') FROM current_state_events c WHERE room_id = $1) ||
			(SELECT string_agg(g::text, E'\n' ORDER BY g.event_id) FROM event_to_state_groups g JOIN events USING (event_id) WHERE room_id = $1) ||
			(SELECT count(*) FROM state_groups WHERE room_id = $1) || ' groups'`, p.id).Scan(&text)
	}))
	return text
}

// sql changes the database while Synapse is down.
func (p *place) sql(statements ...string) {
	p.t.Helper()
	must(p.t, p.s.WhileDown(p.t.Context(), func(ctx context.Context, c *pgx.Conn) error {
		for _, statement := range statements {
			if _, err := c.Exec(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	}))
}
