package stages

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"synupkeep/internal/item"
	"synupkeep/internal/synapse"
)

func TestPurge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		out := r.do(t, r.cut("!r"))
		want := item.Outcome{
			Flow: item.History, Key: "!r", Status: item.Done, Reason: item.YoungEvent, Rows: 60, Tries: 1, PurgeID: "task1", Took: out.Took,
			Cut: out.Cut,
		}
		if out.Cut == nil || out.Cut.RoomID != "!r" || out.Cut.Messages != 60 {
			t.Errorf("%+v", out.Cut)
		}
		if out != want || out.Took < 40*time.Millisecond || out.Took > 80*time.Millisecond {
			t.Errorf("%+v", out)
		}
		r.idle(t, 1)
	})
}

func TestHowTasksEnd(t *testing.T) {
	tests := []struct {
		name   string
		task   func(*memTask)
		status item.Status
		text   string
		within time.Duration
		kept   bool // its place in the gate
	}{
		{"complete", func(*memTask) {}, item.Done, "", time.Second, false},
		{
			"failed", func(m *memTask) {
				m.ending, m.text = "failed", "400: topological_ordering is greater than forward extremities"
			},
			item.Failed, "purge task1 failed: 400: topological_ordering is greater than forward extremities", time.Second, false,
		},
		{
			"cancelled, which the API calls active", func(m *memTask) { m.status = "cancelled" },
			item.Failed, "purge task1 cancelled: ", 2 * time.Minute, false,
		},
		{
			"forgotten", func(m *memTask) { m.ends, m.hidden = time.Time{}, time.Now().Add(time.Minute) },
			item.Failed, "purge task1 lost: the server does not know it any more", 2 * time.Minute, false,
		},
		{
			"scheduled for a while", func(m *memTask) { m.status, m.ends = "scheduled", time.Now().Add(time.Minute) },
			item.Done, "", 2 * time.Minute, false,
		},
		{
			"scheduled for ever", func(m *memTask) { m.status, m.ends = "scheduled", time.Time{} },
			item.Failed, "purge task1 is still under way after 1h; the server goes on with it, the next run looks again. " +
				"A purge during which PostgreSQL was restarted never ends until Synapse is restarted, too", time.Hour + time.Minute, true,
		},
		{
			"active for ever", func(m *memTask) { m.ends = time.Time{} },
			item.Failed, "purge task1 is still under way after 1h; the server goes on with it, the next run looks again. " +
				"A purge during which PostgreSQL was restarted never ends until Synapse is restarted, too", time.Hour + time.Minute, true,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig()
				r.server.onTask = test.task
				out := r.do(t, r.cut("!r"))
				if out.Status != test.status || out.PurgeID != "task1" || out.Took > test.within {
					t.Errorf("%+v", out)
				}
				if out.Err != nil && out.Err.Error() != test.text {
					t.Errorf("text %q, want %q", out.Err, test.text)
				}
				if (len(r.gate.overdue) == 1) != test.kept {
					t.Errorf("places kept: %v", r.gate.overdue)
				}
				if out.Status == item.Failed && out.Rows != 0 {
					t.Errorf("%d rows of a purge that failed", out.Rows)
				}
				if r.flow.Stopping() {
					t.Errorf("one room stopped the flow: %v", r.flow.Cause())
				}
				r.idle(t, 1)
			})
		})
	}
}

func TestPollsGrowFrom20MillisecondsTo10Seconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.server.takes = 10 * time.Minute
		began := time.Now()
		r.do(t, r.cut("!r"))
		polls := r.server.polls
		if first := polls[0].Sub(began); first != 20*time.Millisecond {
			t.Errorf("first poll after %v", first)
		}
		for i := 1; i < len(polls); i++ {
			pause := polls[i].Sub(polls[i-1])
			if pause > 10*time.Second || i > 1 && pause < polls[i-1].Sub(polls[i-2]) {
				t.Errorf("pause %d is %v", i, pause)
			}
		}
		if last := polls[len(polls)-1].Sub(polls[len(polls)-2]); last != 10*time.Second {
			t.Errorf("last pause %v", last)
		}
		if len(polls) > 110 {
			t.Errorf("%d polls in 10 minutes", len(polls))
		}
	})
}

func TestPurgeUnderWayIsWaitedForAndNotAskedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		m := r.server.add("purge_history", "!r", time.Minute)
		r.db.found = func(int, string) found {
			return found{reason: item.YoungEvent, depth: 9, hasExtremities: true, eventID: "$nine"} // nothing is left to purge
		}
		out := r.do(t, item.Cut{RoomID: "!r", Pending: m.id})
		if out.Status != item.Done || out.PurgeID != m.id || len(r.server.posts) != 0 || out.Took < time.Minute {
			t.Errorf("%+v, %d posts", out, len(r.server.posts))
		}
		r.idle(t, 0)
	})
}

// TestWhatAnAdoptedPurgeLeavesIsPurged: whoever began it may have cut lower than we would.
func TestWhatAnAdoptedPurgeLeavesIsPurged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		m := r.server.add("purge_history", "!r", time.Minute)
		out := r.do(t, item.Cut{RoomID: "!r", Pending: m.id})
		if out.Status != item.Done || out.PurgeID == m.id || len(r.server.posts) != 1 || out.Rows == 0 {
			t.Errorf("%+v, %d posts", out, len(r.server.posts))
		}
		r.idle(t, 1)
	})
}

// TestADatabaseThatKnowsNothingOfThePurgeIsNotTheServers: a copy of it would have the media deleted that was set as avatar
// since it was made.
func TestADatabaseThatKnowsNothingOfThePurgeIsNotTheServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.purge.Tasks = copied{r.purge.Tasks}
		if out := r.do(t, r.cut("!r")); out.Status != item.Failed || out.PurgeID == "" {
			t.Errorf("%+v", out)
		}
		r.flow.stopped(t, item.CauseRefused)
		if out := r.do(t, r.cut("!s")); out.Status != item.Left || len(r.server.posts) != 1 {
			t.Errorf("%+v, %d posts", out, len(r.server.posts))
		}
	})
}

// copied is a database that the server does not write to.
type copied struct{ Tasks }

func (copied) ByID(context.Context, string) (synapse.Task, bool, error) {
	return synapse.Task{}, false, nil
}

func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.budget = NewBudget(2)
		r.purge.Budget = r.budget
		for i, want := range []item.Status{item.Done, item.Done, item.Left, item.Left} {
			out := r.do(t, r.cut(fmt.Sprintf("!%d", i)))
			if out.Status != want || want == item.Left && out.Reason != item.Limit {
				t.Errorf("room %d: %+v", i, out)
			}
		}
		r.idle(t, 2)
	})
}

// What is not begun is given back.
func TestAPurgeThatIsNotBegunUsesUpNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.flow.StopFeeding(errors.New("terminated"))
		if out := r.do(t, r.cut("!r")); out.Status != item.Left {
			t.Errorf("%+v", out)
		}
		r.idle(t, 0)
	})
}

// Polls that fail for a while are repeated; the purge goes on in the meantime.
func TestServerThatIsAwayForAWhileDuringAPurge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		back := time.Now().Add(time.Minute)
		r.server.onPoll = func(int, string) error {
			if time.Now().Before(back) {
				return status(502)
			}
			return nil
		}
		if out := r.do(t, r.cut("!r")); out.Status != item.Done || len(r.server.posts) != 1 || r.flow.Stopping() {
			t.Errorf("%+v, %v", out, r.flow.Cause())
		}
	})
}

func TestServerThatStaysAwayDuringAPurge(t *testing.T) {
	for name, test := range map[string]struct {
		failure error
		cause   item.Cause
	}{
		"502": {status(502), item.CauseFailed}, "reset": {reset(), item.CauseFailed},
		"401": {refusal(401, "M_UNKNOWN_TOKEN"), item.CauseToken}, "403": {refusal(403, "M_FORBIDDEN"), item.CauseToken},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig()
				r.server.onPoll = func(int, string) error { return test.failure }
				out := r.do(t, r.cut("!r"))
				if out.Status != item.Failed || out.PurgeID != "task1" || len(r.gate.overdue) != 1 {
					t.Errorf("%+v, places kept: %v", out, r.gate.overdue)
				}
				r.flow.stopped(t, test.cause)
				r.idle(t, 1)
			})
		})
	}
}

// One purge is refused the token; those that run beside it keep their outcomes.
func TestRefusedTokenLeavesTheOthersTheirOutcomes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.server.takes = 10 * time.Second
		r.server.onPost = func(n int, _ post) (bool, error) {
			if n == 3 {
				return false, refusal(401, "M_UNKNOWN_TOKEN")
			}
			return true, nil
		}
		outs := r.all(t, 10, 3)
		count := map[item.Status]int{}
		for _, out := range outs {
			count[out.Status]++
		}
		if count[item.Done] != 2 || count[item.Failed] != 1 || count[item.Left] != 7 {
			t.Errorf("%v", count)
		}
		r.flow.stopped(t, item.CauseToken)
		r.idle(t, 2)
	})
}

// all purges rooms, so many at once, and returns one outcome for each.
func (r *rig) all(t *testing.T, rooms, workers int) map[string]item.Outcome {
	t.Helper()
	return r.allUntil(t.Context(), t, rooms, workers)
}

func (r *rig) allUntil(ctx context.Context, t *testing.T, rooms, workers int) map[string]item.Outcome {
	t.Helper()
	var mu sync.Mutex
	outs := map[string]item.Outcome{}
	queue := make(chan string)
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for room := range queue {
				out, err := r.takeAndPurge(ctx, r.cut(room))
				if err != nil {
					t.Errorf("%s: an error of the flow: %v", room, err)
				}
				checkOutcome(t, out, room)
				mu.Lock()
				outs[out.Key] = out
				mu.Unlock()
			}
		})
	}
	for i := range rooms {
		queue <- fmt.Sprintf("!%d", i)
	}
	close(queue)
	all.Wait()
	if len(outs) != rooms {
		t.Errorf("%d outcomes of %d rooms", len(outs), rooms)
	}
	return outs
}

func TestGateThatNeverOpensEndsTheFlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		for range 5 {
			r.server.add("redact_all_events", "x", 0)
		}
		began := time.Now()
		for room, out := range r.all(t, 7, 3) {
			if out.Status != item.Left || out.Reason != item.Stopped {
				t.Errorf("%s: %+v", room, out)
			}
		}
		if took := time.Since(began); took < time.Hour || took > time.Hour+3*time.Second {
			t.Errorf("ended after %v", took)
		}
		if hint := r.flow.stopped(t, item.CauseFailed); hint == "" {
			t.Error("no hint")
		}
		r.idle(t, 0)
	})
}

func TestDatabaseThatIsAwayAtTheGateEndsTheFlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.server.onDB = func() error { return errAway }
		if out := r.do(t, r.cut("!r")); out.Status != item.Left {
			t.Errorf("%+v", out)
		}
		r.flow.stopped(t, item.CauseFailed)
		r.idle(t, 0)
	})
}

func TestThirdRoomThatIsHurtStopsTheFlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.server.broken = map[string][]string{"!1": {"$a"}, "!3": {"$b"}, "!4": {"$c", "$d"}}
		for i := range 7 {
			room := fmt.Sprintf("!%d", i)
			out := r.do(t, r.cut(room))
			want := item.Done
			switch {
			case r.server.broken[room] != nil:
				want = item.Failed
			case i > 4:
				want = item.Left
			}
			if out.Status != want {
				t.Errorf("%s: %+v, want %s", room, out, want)
			}
			if r.flow.Stopping() != (i >= 4) {
				t.Errorf("after %s: stopping %v", room, r.flow.Stopping())
			}
		}
		if hint := r.flow.stopped(t, item.CauseFailed); hint == "" {
			t.Error("no hint")
		}
	})
}

func TestRoomThatCouldNotBeCheckedHasFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.server.onPoll = func(int, string) error {
			r.server.onDB = func() error { return errors.New("statement timeout") }
			return nil
		}
		if out := r.do(t, r.cut("!r")); out.Status != item.Failed || out.PurgeID != "task1" || out.Rows != 60 {
			t.Errorf("%+v", out)
		}
	})
}

func TestSoftStopDuringAPurge(t *testing.T) {
	for _, takes := range []time.Duration{20 * time.Second, 2 * time.Minute} {
		for name, away := range map[string]bool{"": false, " of a server that went away": true} {
			t.Run(fmt.Sprintf("%v%s", takes, name), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRig()
					r.server.takes = takes
					r.purge.Grace = 30 * time.Second
					time.AfterFunc(5*time.Second, func() { r.flow.StopFeeding(errors.New("terminated")) })
					r.server.onPoll = func(int, string) error {
						if away && r.flow.Stopping() {
							return status(502)
						}
						return nil
					}
					out := r.do(t, r.cut("!r"))
					if takes < 30*time.Second && !away {
						if out.Status != item.Done {
							t.Errorf("%+v", out)
						}
						return
					}
					if out.Status != item.Left || out.Reason != item.Stopped || out.PurgeID != "task1" || len(r.gate.overdue) != 1 {
						t.Errorf("%+v, places kept %v", out, r.gate.overdue)
					}
					if out.Took > 60*time.Second {
						t.Errorf("it took %v to end", out.Took)
					}
					r.idle(t, 1)
				})
			})
		}
	}
}

// A signal must not wait for the pace: with one purge a minute that would be minutes.
func TestSoftStopWhileTheTurnIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.purge.Pace = rate.NewLimiter(rate.Every(time.Minute), 1)
		time.AfterFunc(10*time.Second, func() { r.flow.StopFeeding(errors.New("terminated")) })
		began := time.Now()
		outs := r.all(t, 4, 3)
		if took := time.Since(began); took > 12*time.Second {
			t.Errorf("ended after %v", took)
		}
		if len(r.server.posts) != 1 || len(outs) != 4 {
			t.Errorf("%d posts", len(r.server.posts))
		}
		r.idle(t, 1)
	})
}

func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.purge.Pace = rate.NewLimiter(rate.Every(30*time.Second), 1)
		r.all(t, 5, 3)
		for i := 1; i < len(r.server.posts); i++ {
			if gap := r.server.posts[i].at.Sub(r.server.posts[i-1].at); gap < 30*time.Second-time.Millisecond || gap > 31*time.Second {
				t.Errorf("post %d comes %v after the one before", i, gap)
			}
		}
		r.idle(t, 5)
	})
}

func TestHardStopDuringAPurge(t *testing.T) {
	for name, cut := range map[string]func(r *rig) item.Cut{
		"of our own": func(r *rig) item.Cut { return r.cut("!r") },
		"that was adopted": func(r *rig) item.Cut {
			return item.Cut{RoomID: "!r", Pending: r.server.add("purge_history", "!r", time.Hour).id}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig()
				r.server.takes = time.Hour
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(5*time.Second+time.Millisecond, func() { cancel(errors.New("second signal")) })
				began := time.Now()
				out, err := r.takeAndPurge(ctx, cut(r))
				checkOutcome(t, out, "!r")
				if err != nil || out.Status != item.Left || out.Reason != item.Stopped || out.PurgeID != "task1" || out.Rows != 0 {
					t.Errorf("%+v, %v", out, err)
				}
				if took := time.Since(began); took > 5*time.Second+time.Millisecond {
					t.Errorf("ended after %v", took)
				}
				if r.gate.inside != 0 || r.gate.asking != 0 {
					t.Error("a place was not given back")
				}
			})
		})
	}
}

// An adopted purge that has ended when everything stops is not one that the server still works on.
func TestHardStopAfterAnAdoptedPurge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		ctx, cancel := context.WithCancel(t.Context())
		r.db.slow = time.Hour
		time.AfterFunc(time.Minute, cancel)
		out, err := r.takeAndPurge(ctx, item.Cut{RoomID: "!r", Pending: r.server.add("purge_history", "!r", time.Second).id})
		if err != nil || out.Status != item.Left || out.Reason != item.Stopped || out.PurgeID != "" {
			t.Errorf("%+v, %v", out, err)
		}
	})
}

// A purge that is complete when everything stops is looked at all the same, for a moment.
func TestHardStopBeforeTheLookAtTheRoom(t *testing.T) {
	for name, test := range map[string]struct {
		answers func() error
		want    item.Status
	}{
		"the database answers": {func() error { return nil }, item.Done},
		"it does not":          {func() error { return errors.New("statement timeout") }, item.Failed},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig()
				ctx, cancel := context.WithCancel(t.Context())
				r.server.onPoll = func(n int, _ string) error {
					if n == 2 { // the purge is complete, and this answer will say so
						cancel()
						r.server.onDB = test.answers
					}
					return nil
				}
				out, err := r.takeAndPurge(ctx, r.cut("!r"))
				checkOutcome(t, out, "!r")
				if err != nil || out.Status != test.want || out.Rows != 60 {
					t.Errorf("%+v, %v", out, err)
				}
			})
		})
	}
}

// A night in which everything goes wrong at random: whatever happens, no room is purged twice, the server is never given
// more than it starts at once, no outcome is lost, and each says what became of the room.
func TestRandomNights(t *testing.T) {
	for seed := range uint64(150) {
		synctest.Test(t, func(t *testing.T) { night(t, seed) })
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func night(t *testing.T, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 1))
	r := newRig()
	r.budget = NewBudget(1 + random.IntN(40))
	r.purge.Budget = r.budget
	r.gate.InFlight = 1 + random.IntN(6)
	for range random.IntN(4) {
		r.server.add("delete_device_messages", "x", time.Duration(random.Int64N(int64(time.Minute))))
	}
	badness := random.IntN(4) // the seldom answers of one in badness+1
	failures := []error{
		reset(), status(502), status(503), refusal(429, "M_LIMIT_EXCEEDED"), refusal(500, "M_UNKNOWN"), refusal(404, "M_NOT_FOUND"),
		refusal(400, "M_UNKNOWN"), status(200), status(404),
	}
	r.server.onTask = func(m *memTask) {
		m.ends = time.Now().Add(time.Duration(random.Int64N(int64(20 * time.Second))))
		switch random.IntN(20) {
		case 0:
			m.ending = "failed"
		case 1:
			m.ending = "cancelled"
		case 2:
			m.hidden = m.ends
		}
	}
	r.server.onPost = func(int, post) (bool, error) {
		if random.IntN(4) >= badness {
			return true, nil
		}
		err := failures[random.IntN(len(failures))]
		return synapse.IsAmbiguous(err) && random.IntN(2) == 0, err
	}
	r.server.onPoll = func(int, string) error {
		if random.IntN(4) >= badness || random.IntN(3) > 0 {
			return nil
		}
		return failures[random.IntN(4)]
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if random.IntN(3) == 0 {
		time.AfterFunc(time.Duration(random.Int64N(int64(3*time.Minute))), func() { r.flow.StopFeeding(errors.New("terminated")) })
	}
	var ended time.Time
	if random.IntN(3) == 0 {
		time.AfterFunc(time.Duration(random.Int64N(int64(3*time.Minute))), func() {
			r.flow.StopFeeding(errors.New("terminated"))
			ended = time.Now()
			cancel()
		})
	}
	outs := r.allUntil(ctx, t, 30, r.gate.InFlight)
	if !ended.IsZero() {
		if late := time.Since(ended); late > 3*answerGrace {
			t.Errorf("ended %v after the hard stop", late)
		}
		for _, p := range r.server.posts {
			if p.at.After(ended) {
				t.Errorf("%s was asked for after the hard stop", p.room)
			}
		}
	}

	tasks := map[string]*memTask{}
	for _, m := range r.server.tasks {
		if m.action != "purge_history" {
			continue
		}
		if tasks[m.room] != nil {
			t.Errorf("%s was purged twice", m.room)
		}
		tasks[m.room] = m
	}
	for room, out := range outs {
		m := tasks[room]
		switch {
		case out.Status == item.Done && (m == nil || m.now() != "complete" || out.PurgeID != m.id):
			t.Errorf("%+v, but the task is %+v", out, m)
		case m != nil && out.PurgeID != m.id:
			t.Errorf("the purge of %s is not named: %+v", room, out)
		case out.Status == item.Left && out.Reason == item.Limit && m != nil:
			t.Errorf("%+v, but the task is %+v", out, m)
		}
	}
	if r.server.most > synapse.Slots {
		t.Errorf("%d tasks at once", r.server.most)
	}
	if r.gate.inside != 0 || r.gate.asking != 0 {
		t.Errorf("%d places of the gate are lost", r.gate.inside)
	}
	if used := r.budget.used.Load(); used < int64(len(tasks)) {
		t.Errorf("%d purges, the budget was used %d times", len(tasks), used)
	}
}
