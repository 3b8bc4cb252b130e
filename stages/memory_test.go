package stages

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"synupkeep/internal/item"
	"synupkeep/internal/retry"
	"synupkeep/internal/synapse"
)

// A server in memory, for what a real one cannot be made to do at a chosen moment. All of it runs in virtual time.

// memTask is a task of the server.
type memTask struct {
	id, room string
	action   string
	status   string // active until ends, then ending
	ending   string
	ends     time.Time
	changed  time.Time // when it was asked for, and once it has ended, when it ended: Synapse overwrites the one
	text     string
	hidden   time.Time // the admin API answers 404 from then on
}

func (m *memTask) now() string {
	if (m.status == "active" || m.status == "scheduled") && !m.ends.IsZero() && !time.Now().Before(m.ends) {
		m.status, m.changed = m.ending, m.ends
	}
	return m.status
}

func (m *memTask) task() synapse.Task {
	return synapse.Task{ID: m.id, Action: m.action, Status: m.now(), Error: m.text}
}

type post struct {
	room, event string
	at          time.Time
}

// memServer is Synapse and its table scheduled_tasks.
type memServer struct {
	mu    sync.Mutex
	tasks []*memTask
	posts []post
	polls []time.Time
	most  int // active tasks at once

	takes  time.Duration                                  // how long a purge takes
	onPost func(n int, p post) (accepted bool, err error) // n counts from 1; nil accepts all
	onTask func(*memTask)
	later  time.Duration // how long the server takes to take up a purge, and to answer
	onPoll func(n int, id string) error
	onDB   func() error // every question to the database
	broken map[string][]string
}

func (s *memServer) add(action, room string, takes time.Duration) *memTask {
	now := time.Now()
	m := &memTask{
		id: fmt.Sprintf("task%d", len(s.tasks)+1), room: room, action: action, status: "active", ending: "complete", ends: now.Add(takes), changed: now,
	}
	if takes == 0 {
		m.ends = time.Time{} // never
	}
	s.tasks = append(s.tasks, m)
	if s.onTask != nil {
		s.onTask(m)
	}
	s.most = max(s.most, s.active())
	return m
}

func (s *memServer) active() int {
	n := 0
	for _, m := range s.tasks {
		if st := m.now(); st == "active" || st == "scheduled" {
			n++
		}
	}
	return n
}

func (s *memServer) StartPurge(ctx context.Context, room, event string) (string, error) {
	if ctx.Err() != nil {
		return "", &synapse.TransportError{Err: ctx.Err()}
	}
	at := time.Now()
	if err := sleep(ctx, s.later); err != nil {
		time.AfterFunc(time.Until(at.Add(s.later)), func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.add("purge_history", room, s.takes)
		})
		return "", &synapse.TransportError{Err: err}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p := post{room, event, at}
	s.posts = append(s.posts, p)
	if s.onPost != nil {
		accepted, err := s.onPost(len(s.posts), p)
		if accepted {
			s.add("purge_history", room, s.takes)
		}
		if err != nil {
			return "", err
		}
		if !accepted {
			panic("a script that neither accepts nor refuses")
		}
		return s.tasks[len(s.tasks)-1].id, nil
	}
	return s.add("purge_history", room, s.takes).id, nil
}

func (s *memServer) PurgeStatus(ctx context.Context, id string) (synapse.PurgeState, error) {
	if ctx.Err() != nil {
		return synapse.PurgeState{}, &synapse.TransportError{Err: ctx.Err()}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.polls = append(s.polls, time.Now())
	if s.onPoll != nil {
		if err := s.onPoll(len(s.polls), id); err != nil {
			return synapse.PurgeState{}, err
		}
	}
	m := s.byID(id)
	if m == nil || !m.hidden.IsZero() && !time.Now().Before(m.hidden) {
		return synapse.PurgeState{}, &synapse.Error{Status: 404, Code: "M_NOT_FOUND"}
	}
	switch m.now() { // as Synapse puts it
	case "active", "scheduled", "cancelled":
		return synapse.PurgeState{Status: synapse.PurgeActive}, nil
	}
	return synapse.PurgeState{Status: m.now(), Error: m.text}, nil
}

func (s *memServer) byID(id string) *memTask {
	for _, m := range s.tasks {
		if m.id == id {
			return m
		}
	}
	return nil
}

func (s *memServer) db(ctx context.Context) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if s.onDB != nil {
		return s.onDB()
	}
	return nil
}

func (s *memServer) Due(ctx context.Context) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.db(ctx); err != nil {
		return 0, err
	}
	return s.active(), nil
}

func (s *memServer) OfRoom(ctx context.Context, room string) (synapse.Task, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.tasks {
		if m.room == room && m.task().Running() {
			return m.task(), true, s.db(ctx)
		}
	}
	return synapse.Task{}, false, s.db(ctx)
}

func (s *memServer) SinceIn(ctx context.Context, room string, since time.Time) (ids []string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.db(ctx); err != nil {
		return nil, err
	}
	for _, m := range slices.Backward(s.tasks) {
		if m.room == room && m.action == "purge_history" && (m.task().Running() || !m.changed.Before(since)) {
			ids = append(ids, m.id)
		}
	}
	return ids, nil
}

func (s *memServer) ByID(ctx context.Context, id string) (synapse.Task, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.db(ctx); err != nil {
		return synapse.Task{}, false, err
	}
	if m := s.byID(id); m != nil {
		return m.task(), true, nil
	}
	return synapse.Task{}, false, nil
}

func (s *memServer) BrokenExtremities(ctx context.Context, room string) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broken[room], s.db(ctx)
}

// memDB answers the queries of Holds and Cutter.
type memDB struct {
	mu         sync.Mutex
	redactions map[string]int64
	reports    map[string]int64
	reads      int // of holds
	err        error
	takes      []string // rooms, in the order in which cuts were taken
	slow       time.Duration
	found      func(n int, room string) found // n counts the takes of all rooms from 1
}

func (d *memDB) Query(_ context.Context, sql string, _ ...any) (pgx.Rows, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err != nil {
		return nil, d.err
	}
	depths := d.redactions
	if sql == reported {
		depths = d.reports
		d.reads++
	}
	r := &memRows{}
	for room, depth := range depths {
		r.rooms, r.depths = append(r.rooms, room), append(r.depths, depth)
	}
	return r, nil
}

type memRows struct {
	pgx.Rows
	rooms  []string
	depths []int64
	at     int
}

func (r *memRows) Next() bool                                   { r.at++; return r.at <= len(r.rooms) }
func (r *memRows) Close()                                       {}
func (r *memRows) Err() error                                   { return nil }
func (r *memRows) CommandTag() pgconn.CommandTag                { return pgconn.CommandTag{} }
func (r *memRows) FieldDescriptions() []pgconn.FieldDescription { return nil }
func (r *memRows) Scan(to ...any) error {
	*to[0].(*string), *to[1].(*int64) = r.rooms[r.at-1], r.depths[r.at-1]
	return nil
}

func (d *memDB) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	if sql == pinnedEvents {
		return memRow{err: pgx.ErrNoRows}
	}
	if d.slow > 0 {
		if err := sleep(ctx, d.slow); err != nil {
			return memRow{err: err}
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err != nil {
		return memRow{err: d.err}
	}
	d.takes = append(d.takes, args[0].(string))
	f := found{
		reason: item.YoungEvent, depth: 100, hasExtremities: true, eventID: fmt.Sprintf("$cut%d", len(d.takes)), messages: 60,
		oldest: args[1].(int64) - 1000, state: 7,
	}
	if d.found != nil {
		f = d.found(len(d.takes), args[0].(string))
	}
	return memRow{found: f}
}

type memRow struct {
	found found
	err   error
}

func (r memRow) Scan(to ...any) error {
	if r.err != nil {
		return r.err
	}
	f := r.found
	*to[0].(*item.Reason), *to[1].(*int64), *to[2].(*bool), *to[3].(*string) = f.reason, f.depth, f.hasExtremities, f.eventID
	*to[4].(*int64), *to[5].(*int64), *to[6].(*int64), *to[7].(**int64) = f.messages, f.oldest, f.state, f.newestGap
	*to[8].(*bool), *to[9].(*int64) = f.partial, f.pinned
	return nil
}

// memFlow is told to stop and remembers why.
type memFlow struct {
	mu    sync.Mutex
	cause error
}

func (f *memFlow) Stopping() bool { return f.Cause() != nil }

func (f *memFlow) StopFeeding(cause error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cause == nil {
		f.cause = cause
	}
}

func (f *memFlow) Cause() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.cause
}

// stopped checks that the flow was stopped for a cause and returns the hint.
func (f *memFlow) stopped(t *testing.T, want item.Cause) (hint string) {
	t.Helper()
	var known *item.RunError
	if !errors.As(f.Cause(), &known) || known.Cause != want {
		t.Fatalf("the flow's cause is %v, want %s", f.Cause(), want)
	}
	return known.Hint
}

// rig is a Purge with all that it works with, on a server in memory.
type rig struct {
	server *memServer
	db     *memDB
	flow   *memFlow
	budget *Budget
	gate   *Gate
	cutter *Cutter
	purge  *Purge
}

func newRig() *rig {
	r := &rig{server: &memServer{takes: 40 * time.Millisecond}, db: &memDB{}, flow: &memFlow{}, budget: NewBudget(100)}
	patience := retry.Policy{For: 2 * time.Minute}
	r.cutter = &Cutter{
		DB: r.db, CutOff: time.Now().Add(-30 * 24 * time.Hour), Now: time.Now(), GapGrace: 72 * time.Hour,
		Holds: &Holds{DB: r.db}, Retry: patience,
	}
	r.gate = &Gate{Tasks: r.server, InFlight: 3, Patience: time.Hour}
	r.purge = &Purge{
		Purger: r.server, Tasks: r.server, Cutter: r.cutter, Gate: r.gate, Budget: r.budget, Retry: patience,
		Timeout: time.Hour, Grace: 30 * time.Second, Flow: r.flow, Held: func(context.Context) error { return nil },
		Now: func(ctx context.Context) (time.Time, error) {
			r.server.mu.Lock()
			defer r.server.mu.Unlock()
			return time.Now(), r.server.db(ctx)
		},
	}
	return r
}

// cut is a fresh one.
func (r *rig) cut(room string) item.Cut {
	return item.Cut{RoomID: room, Depth: 100, EventID: "$first", HeldBy: item.YoungEvent, Messages: 60, TakenAt: time.Now()}
}

// do purges one room and checks what holds for every outcome.
// takeAndPurge takes of the budget as Decide does.
func (r *rig) takeAndPurge(ctx context.Context, cut item.Cut) (item.Outcome, error) {
	if cut.Pending == "" && !r.budget.Take() {
		return leftRoom(cut.RoomID, item.Limit), nil
	}
	return r.purge.Do(ctx, cut)
}

func (r *rig) do(t *testing.T, cut item.Cut) item.Outcome {
	t.Helper()
	out, err := r.takeAndPurge(t.Context(), cut)
	if err != nil {
		t.Fatalf("an error of the flow: %v", err)
	}
	checkOutcome(t, out, cut.RoomID)
	return out
}

func checkOutcome(t *testing.T, out item.Outcome, room string) {
	t.Helper()
	if out.Flow != item.History || out.Key != room || !slices.Contains(item.Statuses(), out.Status) {
		t.Errorf("outcome %+v", out)
	}
	if (out.Status == item.Failed) != (out.Err != nil) || out.Status == item.Failed && out.Reason != "" {
		t.Errorf("outcome %+v", out)
	}
	if (out.Status == item.Left || out.Status == item.Kept || out.Status == item.Skipped) && out.Reason == "" {
		t.Errorf("no reason: %+v", out)
	}
}

// idle checks that nothing was leaked: no place in the gate, and as much of the budget as was used.
func (r *rig) idle(t *testing.T, used int64) {
	t.Helper()
	if r.gate.inside != 0 || r.gate.asking != 0 {
		t.Errorf("%d inside the gate, %d of them asking", r.gate.inside, r.gate.asking)
	}
	if got := r.budget.used.Load(); got != used {
		t.Errorf("the budget was used %d times, want %d", got, used)
	}
}
