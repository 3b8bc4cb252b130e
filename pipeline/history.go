package pipeline

import (
	"cmp"
	"context"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"synupkeep/internal/flow"
	"synupkeep/internal/item"
	"synupkeep/internal/synapse"
	"synupkeep/sources"
	"synupkeep/stages"
)

// history purges the history of every room up to the cut-off.
func (r *run) history(ctx context.Context) error {
	p := flow.New(ctx, r.feed)
	s := r.historyStages(p)

	rooms := flow.From(p, r.rooms().Each)
	worth, resting := flow.Fork(p, 1, rooms, r.hasWork(s.decide.Cutter.Planned))
	smallest := flow.Collect(p, worth, r.smallFirst)
	cuts, kept := flow.Fork(p, s.deciding, smallest, cutWith(s.decide))
	purged := flow.Map(p, r.cfg.History.InFlight, cuts, r.inFlight(r.purger(p, s)))
	flow.Drain(p, flow.Merge(p, resting, kept, purged), r.report)

	return r.wait(p)
}

// hasWork lets the rooms pass that may have something to purge.
func (r *run) hasWork(planned *stages.PlannedRooms) func(context.Context, item.Room, func(item.Room) error, func(item.Outcome) error) error {
	board := r.board.Flow(item.History)
	return func(_ context.Context, room item.Room, pass func(item.Room) error, rest func(item.Outcome) error) error {
		planned.See(room.ID)
		if room.Verdict != "" {
			board.Resting()
			return rest(stages.Rest(room))
		}
		return pass(room)
	}
}

// smallFirst gets the most rooms done early, whenever the run ends.
func (r *run) smallFirst(rooms []item.Room) []item.Room {
	slices.SortStableFunc(rooms, func(a, b item.Room) int { return cmp.Compare(a.Old, b.Old) })
	return r.listed(rooms)
}

func cutWith(d *stages.Decide) func(context.Context, item.Room, func(item.Cut) error, func(item.Outcome) error) error {
	return func(ctx context.Context, room item.Room, purge func(item.Cut) error, keep func(item.Outcome) error) error {
		cut, out, ok := d.Do(ctx, room)
		if !ok {
			return keep(out)
		}
		return purge(cut)
	}
}

func (r *run) rooms() sources.Rooms {
	return sources.Rooms{
		DB: r.db.Reader, CutOff: r.cutOffs[item.History], Only: r.onlyRooms, Never: r.neverRooms,
		ByArrival: !r.features.JumpToDate, Page: pageSize, Retry: r.retry,
	}
}

type historyStages struct {
	decide   *stages.Decide
	deciding int // rooms at once
}

func (r *run) historyStages(p *flow.Pipeline) historyStages {
	h := r.cfg.History
	tasks := synapse.Tasks{DB: r.db.Reader, Retry: r.retry}
	cutter := &stages.Cutter{
		DB: r.db.Reader, CutOff: r.cutOffs[item.History], Now: r.now, GapGrace: h.GapGrace,
		Holds:       &stages.Holds{DB: r.db.Reader, ReportsSince: r.now.Add(-h.ReportHold)},
		SlidingSync: r.features.SlidingSync, KeepPinned: h.KeepPinned, Retry: r.retry,
		Planned: r.approved.roomsOf(),
	}
	s := historyStages{decide: &stages.Decide{Cutter: cutter, Tasks: tasks, Budget: stages.NewBudget(h.Limit), Flow: p}, deciding: 2}
	if h.Limit > 0 {
		s.deciding = 1 // in order, so that a plan and a run choose the same rooms
	}
	return s
}

// purger purges, or counts in a plan.
func (r *run) purger(p *flow.Pipeline, s historyStages) func(context.Context, item.Cut) (item.Outcome, error) {
	if r.plan != nil {
		return r.plan.cutCounter(p)
	}
	h, d := r.cfg.History, s.decide
	purge := &stages.Purge{
		Purger: asking{r.api, r.board.Flow(item.History)}, Tasks: d.Tasks, Cutter: d.Cutter, Budget: d.Budget, Retry: r.retry,
		Flow: p, Held: r.held, Now: r.db.Now,
		Gate:    &stages.Gate{Tasks: d.Tasks, InFlight: h.InFlight, Patience: h.Timeout, Waiting: r.sayBusy},
		Timeout: h.Timeout, Grace: r.grace,
	}
	if h.RatePerMinute > 0 {
		purge.Pace = rate.NewLimiter(rate.Limit(h.RatePerMinute/time.Minute.Seconds()), 1)
	}
	return purge.Do
}

// sayBusy explains a pause. After its own restart Synapse takes up what it was at only within a minute.
func (r *run) sayBusy() {
	r.log.Info("the server is busy with other tasks: the next purge waits for a place")
}
