package stages

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"synupkeep/internal/item"
	"synupkeep/internal/planfile"
	"synupkeep/internal/sandbox"
	"synupkeep/internal/synapse"
)

// plannedMedia is remote media of a plan.
func plannedMedia(t testing.TB, ids ...string) *PlannedMedia {
	t.Helper()
	w, err := planfile.NewWriter(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Close() }()
	for _, id := range ids {
		if err := w.AddMedia(item.RemoteMedia, planfile.Media{Key: "mxc://hs/" + id}); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	head := planfile.Head{CutOffs: map[item.Flow]time.Time{item.RemoteMedia: limit()}}
	if err := w.Write(&b, head, []item.Flow{item.RemoteMedia}); err != nil {
		t.Fatal(err)
	}
	p, err := planfile.Read(t.Context(), &b)
	if err != nil {
		t.Fatal(err)
	}
	return NewPlannedMedia(p.Media(item.RemoteMedia))
}

// TestNoCutIsAboveThatOfThePlan compares cuts under a plan with those without one, on the real server.
func TestNoCutIsAboveThatOfThePlan(t *testing.T) {
	w := newWorld(t)
	r := w.room(t, sandbox.RoomOptions{})
	w.plant(t, func(ctx context.Context, p *sandbox.Plant) error { return r.fill(ctx, p, 32*day) })
	free := w.take(t, w.cutter(), r.id)
	if free.Status != item.Done || free.Cut.HeldBy != item.YoungEvent {
		t.Fatalf("%+v", free)
	}
	depth := map[string]int64{}
	for _, e := range events(t, w.db, r.id) {
		depth[e.ID] = e.Depth
	}
	under := func(bounds map[string]planfile.Bound) Verdict {
		c := w.cutter()
		c.Planned = NewPlannedRooms(bounds)
		return w.take(t, c, r.id)
	}
	to := func(depth int64) map[string]planfile.Bound { return map[string]planfile.Bound{r.id: {Depth: depth}} }
	for name, test := range map[string]struct {
		bounds map[string]planfile.Bound
		status item.Status
		reason item.Reason
		depth  int64
		event  string
	}{
		"no room at all":             {nil, item.Kept, item.NotPlanned, free.Cut.Depth, free.Cut.EventID},
		"another room":               {map[string]planfile.Bound{"!other": {Depth: 1 << 40}}, item.Kept, item.NotPlanned, free.Cut.Depth, free.Cut.EventID},
		"a purge was under way":      {map[string]planfile.Bound{r.id: {UnderWay: true}}, item.Kept, item.NotPlanned, free.Cut.Depth, free.Cut.EventID},
		"the same depth":             {to(free.Cut.Depth), item.Done, item.YoungEvent, free.Cut.Depth, free.Cut.EventID},
		"a greater depth":            {to(free.Cut.Depth + 1), item.Done, item.YoungEvent, free.Cut.Depth, free.Cut.EventID},
		"below the third message":    {to(depth[r.messages[2]]), item.Done, item.Planned, depth[r.messages[2]], r.messages[2]},
		"below the first message":    {to(depth[r.messages[0]]), item.Kept, item.NothingToPurge, depth[r.messages[0]], r.messages[0]},
		"depths that nothing has":    {to(-5), item.Kept, item.NothingToPurge, -5, ""},
		"the depth of the beginning": {to(0), item.Kept, item.NothingToPurge, 0, ""},
	} {
		v := under(test.bounds)
		if v.Status != test.status || v.Reason != test.reason || v.Cut.Depth != test.depth || v.Cut.EventID != test.event {
			t.Errorf("%s: %+v", name, v)
		}
	}

	before := events(t, w.db, r.id)
	v := under(to(depth[r.messages[2]]))
	if purge := w.purge(t, v.Cut); purge.Status != synapse.PurgeComplete {
		t.Fatalf("the purge %s: %s", purge.Status, purge.Error)
	}
	w.goneBelow(t, v.Cut)
	for _, e := range before {
		if e.Depth >= v.Cut.Depth && !w.has(t, e.ID) {
			t.Errorf("%s at depth %d is gone, and the plan went to %d", e.ID, e.Depth, v.Cut.Depth)
		}
	}
	w.lives(t, r.id)
	if again := under(to(depth[r.messages[2]])); again.Status != item.Kept || again.Reason != item.NothingToPurge {
		t.Errorf("after its purge: %+v", again)
	}
}

// What the server cannot be given is not named: the next event below is.
func TestACutOfThePlanNamesAnEventThatTheServerKnows(t *testing.T) {
	w := newWorld(t)
	r := w.room(t, sandbox.RoomOptions{})
	w.plant(t, func(ctx context.Context, p *sandbox.Plant) error {
		if err := r.fill(ctx, p, 32*day); err != nil {
			return err
		}
		return p.Exec(ctx, `INSERT INTO rejections (event_id, reason, last_check) VALUES ($1, 'auth_error', '0')`, r.messages[2])
	})
	depth := column[int64](t, w.db, `SELECT topological_ordering FROM events WHERE event_id = $1`, r.messages[2])[0]
	c := w.cutter()
	c.Planned = NewPlannedRooms(map[string]planfile.Bound{r.id: {Depth: depth}})
	v := w.take(t, c, r.id)
	if v.Status != item.Done || v.Cut.EventID != r.messages[1] || v.Cut.Depth != depth-1 || v.Cut.HeldBy != item.Planned {
		t.Fatalf("%+v", v)
	}
	if purge := w.purge(t, v.Cut); purge.Status != synapse.PurgeComplete {
		t.Fatalf("the purge %s: %s", purge.Status, purge.Error)
	}
	w.goneBelow(t, v.Cut)
	w.lives(t, r.id)
}

// A purge of somebody else is waited for where the plan had the room, and no other purge follows it than the planned one.
func TestAPurgeUnderWayInARoomOfThePlan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, test := range map[string]struct {
			planned map[string]planfile.Bound
			ok      bool
		}{
			"not in the plan":        {map[string]planfile.Bound{"!other": {Depth: 5}}, false},
			"in the plan":            {map[string]planfile.Bound{"!r": {Depth: 5}}, true},
			"was under way already":  {map[string]planfile.Bound{"!r": {UnderWay: true}}, true},
			"a plan without a room":  {nil, false},
			"without a plan at all ": {nil, true},
		} {
			r := newRig()
			r.server.add("purge_history", "!r", time.Hour)
			if !strings.Contains(name, "without a plan") {
				r.cutter.Planned = NewPlannedRooms(test.planned)
			}
			d := &Decide{Cutter: r.cutter, Tasks: r.server, Budget: r.budget, Flow: r.flow}
			cut, out, ok := d.Do(t.Context(), item.Room{ID: "!r"})
			if ok != test.ok || ok != (cut.Pending != "") || !ok && (out.Status != item.Kept || out.Reason != item.NotPlanned) {
				t.Errorf("%s: %+v, %+v, %t", name, cut, out, ok)
			}
		}
	})
}

func TestMediaThatIsNotInThePlanStays(t *testing.T) {
	media := func(id string) *item.Media { return &item.Media{Flow: item.RemoteMedia, Origin: "hs", ID: id} }
	p := &Protect{Planned: plannedMedia(t, "a", "b", "c"), Types: NewGlobs([]string{"kept/*"}), Budget: NewBudget(0), Flow: &memFlow{}}
	for id, want := range map[string]string{"a": " ", "x": "kept not in the plan"} {
		out, ok := p.Do(media(id))
		if says(out) != want || ok != (want == " ") {
			t.Errorf("%s: %s", id, says(out))
		}
	}
	// What stays anyway says why.
	kept, quarantined := media("y"), media("c")
	kept.Type, quarantined.Keep = "kept/x", item.Quarantined
	for m, want := range map[*item.Media]string{kept: "kept admin", quarantined: "kept quarantined"} {
		if out, _ := p.Do(m); says(out) != want {
			t.Errorf("%s: %s", m.ID, says(out))
		}
	}
	// The limit is not used up by it, and does not hide it.
	p.Budget = NewBudget(1)
	p.Budget.Take()
	if out, _ := p.Do(media("x")); says(out) != "kept not in the plan" {
		t.Error(says(out))
	}
	if n := p.Planned.Unseen(); n != 1 { // b
		t.Errorf("%d were not seen, want 1", n)
	}
}

func TestWhatOfThePlanWasNotSeenIsCounted(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		name := rapid.StringMatching(`[a-z]{1,2}`)
		planned := rapid.SliceOfNDistinct(name, 0, 200, rapid.ID).Draw(rt, "planned")
		seen := rapid.SliceOf(name).Draw(rt, "seen")
		media, bounds := plannedMedia(t, planned...), map[string]planfile.Bound{}
		for _, id := range planned {
			bounds[id] = planfile.Bound{Depth: 1}
		}
		rooms := NewPlannedRooms(bounds)
		for _, id := range seen {
			rooms.See(id)
			if got := media.see(item.Media{Origin: "hs", ID: id}); got != slices.Contains(planned, id) {
				rt.Fatalf("%s: %t", id, got)
			}
		}
		want := 0
		for _, id := range planned {
			if !slices.Contains(seen, id) {
				want++
			}
		}
		if rooms.Unseen() != want || media.Unseen() != want {
			rt.Fatalf("%d rooms and %d media, want %d", rooms.Unseen(), media.Unseen(), want)
		}
	})
}

// Synapse's purge of the cache cannot leave anything out: it ends before what is not in the plan. Counted it is the same.
func TestAPurgeOfTheCacheEndsBeforeWhatIsNotInThePlan(t *testing.T) {
	for name, counted := range map[string]bool{"done": false, "counted": true} {
		t.Run(name, func(t *testing.T) {
			r := newAPIRig(t)
			r.api.purge = func(_ int, before time.Time) (int64, error) { return r.purgeBefore(t, before), nil }
			kept := r.cachedRow(t, "kept", 10)
			sql(t, r.db, `UPDATE remote_media_cache SET quarantined_by = 'x' WHERE media_id = 'kept'`)
			kept.Keep = item.Quarantined
			planned := plannedMedia(t, "a", "b", "d", "f", "held", "gone")
			held := r.cachedRow(t, "held", 4)
			sql(t, r.db, `UPDATE remote_media_cache SET quarantined_by = 'x' WHERE media_id = 'held'`)
			held.Keep = item.Quarantined
			purge := r.purger()
			purge.Planned = planned
			count := &CountSteps{Planned: planned, Budget: r.budget, Flow: r.flow}
			step := func(media ...item.Media) map[string]string {
				if !counted {
					return r.step(t, t.Context(), purge, media...)
				}
				got := map[string]string{}
				err := count.Do(t.Context(), media, func(o item.Outcome) error {
					got[o.Key[len("mxc://hs/"):]] = says(o)
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				return got
			}
			wantFates(t, map[string]string{"kept": "kept quarantined", "a": "done "}, step(kept, r.cachedRow(t, "a", 10)))
			if r.flow.Stopping() {
				t.Fatal(r.flow.Cause())
			}
			wantFates(t, map[string]string{"b": "done ", "c": "kept not in the plan", "d": "left not in the plan", "e": "kept not in the plan"},
				step(r.cachedRow(t, "b", 9), r.cachedRow(t, "d", 8), r.cachedRow(t, "c", 8), r.cachedRow(t, "e", 7)))
			wantFates(t, map[string]string{"f": "left not in the plan", "g": "kept not in the plan", "held": "kept quarantined"},
				step(r.cachedRow(t, "f", 6), r.cachedRow(t, "g", 5), held))
			if n := planned.Unseen(); n != 1 { // gone
				t.Errorf("%d of the plan were not seen, want 1", n)
			}
			if counted {
				return
			}
			if hint := r.flow.stopped(t, item.CauseRefused); !strings.Contains(hint, "Make a new plan") {
				t.Error(hint)
			}
			there := column[string](t, r.db, `SELECT media_id FROM remote_media_cache ORDER BY 1`)
			if diff := cmp.Diff([]string{"c", "d", "e", "f", "g", "held", "kept"}, there); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// After a plan with a limit nothing is wrong: what comes after it was not to go.
func TestAPurgeOfTheCacheEndsQuietlyWhereThePlanEnds(t *testing.T) {
	r := newAPIRig(t)
	r.api.purge = func(_ int, before time.Time) (int64, error) { return r.purgeBefore(t, before), nil }
	c := r.purger()
	c.Planned = plannedMedia(t, "a")
	wantFates(t, map[string]string{"a": "done ", "b": "kept not in the plan"}, r.step(t, t.Context(), c, r.cachedRow(t, "a", 9), r.cachedRow(t, "b", 8)))
	wantFates(t, map[string]string{"c": "kept not in the plan"}, r.step(t, t.Context(), c, r.cachedRow(t, "c", 7)))
	if r.flow.Stopping() || len(r.api.befores) != 1 {
		t.Errorf("%v, %v", r.flow.Cause(), r.api.befores)
	}
}

// A quarantine that is lifted between the look at a step and a call would let what is not in the plan go.
func TestAQuarantineThatIsLiftedMeanwhileEndsThePurgeOfTheCache(t *testing.T) {
	for name, earlier := range map[string]bool{"of this step": false, "of an earlier step": true} {
		t.Run(name, func(t *testing.T) {
			r := newAPIRig(t)
			r.api.purge = func(_ int, before time.Time) (int64, error) { return r.purgeBefore(t, before), nil }
			c := r.purger()
			c.Planned = plannedMedia(t, "a", "b")
			kept := r.cachedRow(t, "kept", 10)
			kept.Keep = item.Quarantined
			sql(t, r.db, `UPDATE remote_media_cache SET quarantined_by = 'x' WHERE media_id = 'kept'`)
			a, b := r.cachedRow(t, "a", 9), r.cachedRow(t, "b", 8)
			last := []item.Media{kept, a, b}
			if earlier {
				wantFates(t, map[string]string{"kept": "kept quarantined", "a": "done "}, r.step(t, t.Context(), c, kept, a))
				last = []item.Media{b}
			}
			sql(t, r.db, `UPDATE remote_media_cache SET quarantined_by = NULL WHERE media_id = 'kept'`)
			for id, says := range r.step(t, t.Context(), c, last...) {
				if strings.HasPrefix(says, "done") {
					t.Errorf("%s: %s", id, says)
				}
			}
			r.flow.stopped(t, item.CauseRefused)
			if n := column[int64](t, r.db, `SELECT count(*) FROM remote_media_cache WHERE media_id IN ('kept', 'b')`)[0]; n != 2 {
				t.Errorf("%d of 2 are there", n)
			}
		})
	}
}
