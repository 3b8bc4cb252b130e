package pipeline

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"synupkeep/config"
	"synupkeep/internal/item"
	"synupkeep/internal/logging"
	"synupkeep/internal/planfile"
	"synupkeep/internal/sandbox"
	"synupkeep/internal/sandbox/stock"
	"synupkeep/sinks"
)

// planTo makes a plan, writes it to a file and returns the configuration of the run that carries it out.
func planTo(t testing.TB, cfg *config.Config) (*config.Config, result) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "plan.json")
	made, run := *cfg, *cfg
	made.Command, made.Out, run.Plan = config.CommandPlan, path, path
	var out, log bytes.Buffer
	causes := Plan(t.Context(), t.Context(), &made, logging.New(&log, logging.LevelTrace, logging.Text), &out)
	r := result{causes: causes, log: log.String(), out: out.String()}
	asTheSchemaSays(t, out.Bytes())
	if err := json.Unmarshal(out.Bytes(), &r.summary); err != nil {
		t.Fatalf("the summary is not JSON: %v\n%s\n%s", err, out.String(), log.String())
	}
	return &run, r
}

// itemsOf are the keys of the items of a plan, by flow.
func itemsOf(t testing.TB, path string) map[item.Flow][]string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var whole map[string]json.RawMessage
	if err := json.Unmarshal(text, &whole); err != nil {
		t.Fatal(err)
	}
	found := map[item.Flow][]string{}
	for _, f := range item.Flows() {
		var items []struct{ Room, Media string }
		if len(whole[string(f)]) == 0 {
			continue
		}
		if err := json.Unmarshal(whole[string(f)], &items); err != nil {
			t.Fatal(err)
		}
		for _, i := range items {
			found[f] = append(found[f], i.Room+i.Media)
		}
	}
	return found
}

// doneBy runs and returns the keys of what it did, by flow, beside what it says.
func doneBy(t testing.TB, cfg *config.Config) (map[item.Flow][]string, result) {
	t.Helper()
	with := *cfg
	with.Outcomes = filepath.Join(t.TempDir(), "outcomes.jsonl")
	r := do(t, &with)
	file, err := os.Open(with.Outcomes)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	done := map[item.Flow][]string{}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var o sinks.OutcomeLine
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			t.Fatal(err)
		}
		if o.Status == item.Done {
			done[o.Flow] = append(done[o.Flow], o.Key)
		}
	}
	for _, keys := range done {
		slices.Sort(keys)
	}
	return done, r
}

func without(keys []string, some ...string) []string {
	return slices.DeleteFunc(slices.Clone(keys), func(key string) bool { return slices.Contains(some, key) })
}

// TestARunCarriesOutItsPlanAndNothingBeyondIt has all sorts of things happen between plan and run.
func TestARunCarriesOutItsPlanAndNothingBeyondIt(t *testing.T) {
	s := emptied(t)
	restored(t, s)
	talks := map[string]*talk{}
	for _, name := range []string{"plain", "held lower then", "young then", "reported since", "purged since", "deleted since"} {
		talks[name] = newTalk(t, s, name, sandbox.RoomOptions{}, 0)
	}
	old := sandbox.Media{Data: []byte("picture"), Thumbnails: 1, Created: time.Now().Add(-longAgo), LastAccess: time.Now().Add(-longAgo)}
	var local, remote, previews []string
	plant(t, s, func(ctx context.Context, p *sandbox.Plant) (err error) {
		for name, r := range talks {
			if name == "young then" {
				r.messages, err = p.BulkMessages(ctx, r.id, 20, time.Now().Add(-time.Hour), time.Second)
			} else {
				err = r.plantOld(ctx, p, 20)
			}
			if err != nil {
				return err
			}
		}
		if local, err = p.LocalMedia(ctx, 6, old, time.Second); err != nil {
			return err
		}
		for range 6 {
			m := old
			m.Origin = "elsewhere.example"
			mxc, err := p.RemoteMedia(ctx, m)
			if err != nil {
				return err
			}
			remote = append(remote, mxc)
		}
		v, err := p.Preview(ctx, "http://page/1", old)
		previews = []string{"mxc://" + s.ServerName() + "/" + v.PageID, "mxc://" + s.ServerName() + "/" + v.ImageID}
		return err
	})
	const reported = `INSERT INTO event_reports (id, received_ts, room_id, event_id, user_id, reason, content)
		SELECT COALESCE(max(id), 0) + 1, $1, $2, $3, '@bob:localhost', 'rude', '{}' FROM event_reports`
	lower := talks["held lower then"]
	execSQL(t, s, reported, time.Now().UnixMilli(), lower.id, lower.messages[8])
	avatar, quarantined := local[0], remote[0]
	if err := s.As("lonely").SetAvatar(t.Context(), avatar); err != nil {
		t.Fatal(err)
	}
	execSQL(t, s, `UPDATE remote_media_cache SET quarantined_by = 'x' WHERE media_id = $1`, idOf(quarantined))

	run, plan := planTo(t, settings(s, item.Flows()...))
	endsWith(t, plan)
	planned := itemsOf(t, run.Plan)
	for name, r := range talks {
		if got, want := slices.Contains(planned[item.History], r.id), name != "young then"; got != want {
			t.Fatalf("the room %q is in the plan: %t", name, got)
		}
	}
	want := map[item.Flow][]string{
		item.LocalMedia: slices.Sorted(slices.Values(local[1:])), item.RemoteMedia: slices.Sorted(slices.Values(remote[1:])),
		item.Previews: slices.Sorted(slices.Values(previews)),
	}
	for f, keys := range want {
		if diff := cmp.Diff(keys, planned[f]); diff != "" {
			t.Fatalf("%s of the plan:\n%s", f, diff)
		}
	}
	for _, f := range plan.summary.Flows {
		if f.Done != int64(len(planned[f.Flow])) {
			t.Errorf("%s: the plan says %d and holds %d", f.Flow, f.Done, len(planned[f.Flow]))
		}
	}

	// What happens until the run.
	ctx := t.Context()
	execSQL(t, s, `DELETE FROM event_reports WHERE room_id = $1`, lower.id)
	sinceReported := talks["reported since"]
	execSQL(t, s, reported, time.Now().UnixMilli(), sinceReported.id, sinceReported.messages[0])
	purgeTo(t, s, talks["purged since"].id, talks["purged since"].messages[20])
	deleteRoom := map[string]any{"purge": true, "block": false}
	if err := s.Admin().Do(ctx, http.MethodDelete, "/_synapse/admin/v1/rooms/"+talks["deleted since"].id, nil, deleteRoom, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.As("lonely").SetAvatar(ctx, local[1]); err != nil { // local[0] is shown no more
		t.Fatal(err)
	}
	execSQL(t, s, `UPDATE remote_media_cache SET quarantined_by = NULL WHERE media_id = $1`, idOf(quarantined))
	execSQL(t, s, `UPDATE local_media_repository SET quarantined_by = 'x' WHERE media_id = $1`, idOf(local[2]))
	execSQL(t, s, `UPDATE remote_media_cache SET last_access_ts = $2 WHERE media_id = $1`, idOf(remote[1]), time.Now().UnixMilli())
	execSQL(t, s, `DELETE FROM local_media_repository WHERE media_id = $1`, idOf(local[3]))
	var late []string
	plant(t, s, func(ctx context.Context, p *sandbox.Plant) (err error) {
		if err := p.AgeRoom(ctx, talks["young then"].id, 60*day); err != nil {
			return err
		}
		if late, err = p.LocalMedia(ctx, 2, old, time.Second); err != nil {
			return err
		}
		m := old
		m.Origin = "elsewhere.example"
		mxc, err := p.RemoteMedia(ctx, m)
		late = append(late, mxc)
		return err
	})
	for _, r := range talks {
		r.before = rowsOf(t, s, r.id)
	}
	before := stock.OfMedia(t, s)

	done, r := doneBy(t, run)
	endsWith(t, r)
	if p := r.summary.Approved; p == nil || p.File != run.Plan || time.Since(p.Made).Abs() > time.Hour {
		t.Errorf("the plan is said to be %+v", p)
	}
	gone := map[item.Flow][]string{
		item.History:    without(planned[item.History], sinceReported.id, talks["purged since"].id, talks["deleted since"].id),
		item.LocalMedia: slices.Sorted(slices.Values(local[4:])), item.RemoteMedia: slices.Sorted(slices.Values(remote[2:])),
		item.Previews: slices.Sorted(slices.Values(previews)),
	}
	if diff := cmp.Diff(gone, done); diff != "" {
		t.Errorf("done:\n%s\n%s", diff, r.log)
	}
	stock.Exactly(t, s, before.Without(t, slices.Concat(local[4:], remote[2:], previews)...))
	talks["plain"].goes, lower.goes = 20, 8
	for _, name := range []string{"young then", "reported since", "purged since"} {
		talks[name].goes = 0
	}
	for name, room := range talks {
		if name != "deleted since" {
			t.Run(name, func(t *testing.T) { room.check(t, s) })
		}
	}
	wantReasons(t, r, item.LocalMedia, map[item.Reason]int64{item.NotPlanned: 3, item.Avatar: 1, item.Quarantined: 1})
	wantReasons(t, r, item.RemoteMedia, map[item.Reason]int64{item.NotPlanned: 2})
	history := r.flow(t, item.History)
	if history.Kept[item.NotPlanned] != 1 || history.Kept[item.Reported] != 1 || history.HeldBy[item.Planned] != 1 {
		t.Errorf("%+v", history)
	}
	for _, says := range []string{
		"history: of the plan 1 rooms could not be found any more", "local-media: of the plan 1 media could not be found any more",
		"remote-media: of the plan 1 media could not be found any more",
	} {
		if !slices.ContainsFunc(r.summary.Warnings, func(w string) bool { return strings.HasPrefix(w, says) }) {
			t.Errorf("%q is not among %q", says, r.summary.Warnings)
		}
	}

	again, r := doneBy(t, run)
	endsWith(t, r)
	if len(again) > 0 {
		t.Errorf("a second time: %v", again)
	}
	// All of it was due, and only the plan was in its way.
	ordinary, r := doneBy(t, settings(s, item.Flows()...))
	endsWith(t, r)
	if diff := cmp.Diff(slices.Sorted(slices.Values(append(late[:2:2], avatar))), ordinary[item.LocalMedia]); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(slices.Sorted(slices.Values([]string{late[2], quarantined})), ordinary[item.RemoteMedia]); diff != "" {
		t.Error(diff)
	}
	for _, name := range []string{"young then", "held lower then"} {
		if !slices.Contains(ordinary[item.History], talks[name].id) {
			t.Errorf("a run without the plan does not purge the room %q", name)
		}
	}
}

func wantReasons(t *testing.T, r result, f item.Flow, want map[item.Reason]int64) {
	t.Helper()
	if diff := cmp.Diff(want, r.flow(t, f).Kept); diff != "" {
		t.Errorf("%s, kept:\n%s", f, diff)
	}
}

// purgeTo purges a room up to an event, as somebody else does.
func purgeTo(t *testing.T, s *sandbox.Server, room, event string) {
	t.Helper()
	var answer struct {
		ID string `json:"purge_id"`
	}
	body := map[string]any{"delete_local_events": true, "purge_up_to_event_id": event}
	if err := s.Admin().Do(t.Context(), http.MethodPost, "/_synapse/admin/v1/purge_history/"+room, nil, body, &answer); err != nil {
		t.Fatal(err)
	}
	until(t, "the purge ends", func() bool {
		return stock.All[string](t, s, `SELECT status FROM scheduled_tasks WHERE id = $1`, answer.ID)[0] == "complete"
	})
}

// An ordinary night: the plan is approved, and carried out on a server that did not change.
func TestAPlanIsCarriedOutToTheItem(t *testing.T) {
	for name, change := range map[string]func(*config.Config){
		"on disk": func(*config.Config) {},
		"through the API": func(c *config.Config) {
			c.Media.Via, c.StateDir, c.Flows = config.ViaAPI, "", []item.Flow{item.LocalMedia, item.RemoteMedia}
		},
		"through the API, with a limit": func(c *config.Config) {
			c.Media.Via, c.StateDir, c.Flows, c.Media.Limit = config.ViaAPI, "", []item.Flow{item.LocalMedia, item.RemoteMedia}, 3
		},
		"with a limit":  func(c *config.Config) { c.Media.Limit = 3 },
		"with maxima":   func(c *config.Config) { c.Max.Media.Count = 1000 },
		"a plan of one": func(c *config.Config) { c.Media.KeepMedia = []string{"[!a]*"} },
		"nothing to do": func(c *config.Config) {
			c.Ages = map[item.Flow]config.Age{item.LocalMedia: {Delta: 300 * day}, item.RemoteMedia: {Delta: 300 * day}, item.Previews: {Delta: 300 * day}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := emptied(t)
			plenty(t, s, 12)
			plant(t, s, func(ctx context.Context, p *sandbox.Plant) error {
				for i := range 12 {
					ago := time.Now().Add(-longAgo - time.Duration(i)*time.Hour)
					if _, err := p.RemoteMedia(ctx, sandbox.Media{Origin: "elsewhere.example", Data: []byte("x"), Created: ago, LastAccess: ago}); err != nil {
						return err
					}
				}
				return nil
			})
			cfg := settings(s, item.LocalMedia, item.RemoteMedia, item.Previews)
			change(cfg)
			before := stock.OfMedia(t, s)
			run, plan := planTo(t, cfg)
			stock.Exactly(t, s, before)
			planned := itemsOf(t, run.Plan)
			plant(t, s, func(ctx context.Context, p *sandbox.Plant) error { // what is in no plan
				ago := time.Now().Add(-31 * day)
				m := sandbox.Media{Data: []byte("late"), Created: ago, LastAccess: ago}
				_, err := p.LocalMedia(ctx, 1, m, time.Second)
				m.Origin = "late.example"
				_, again := p.RemoteMedia(ctx, m)
				return errors.Join(err, again)
			})
			before = stock.OfMedia(t, s)
			done, r := doneBy(t, run)
			for _, f := range cfg.Flows {
				if was, is := plan.flow(t, f).CutOff, r.flow(t, f).CutOff; !was.Equal(is) {
					t.Errorf("%s: the cut-off was %v, is %v", f, was, is)
				}
			}
			if diff := cmp.Diff(planned, done); diff != "" {
				t.Errorf("the run (+) did not do the plan (-):\n%s\n%s\n%s", diff, plan.log, r.log)
			}
			if name == "nothing to do" && len(planned) > 0 || name != "nothing to do" && len(planned) == 0 {
				t.Errorf("the plan holds %v", planned)
			}
			after := before.Without(t, slices.Concat(slices.Collect(maps.Values(done))...)...)
			if cfg.Media.Via == config.ViaAPI {
				filesAndRows(t, s, after) // Synapse leaves empty directories behind
			} else {
				stock.Exactly(t, s, after)
			}
			endsWith(t, plan)
			endsWith(t, r) // what a limit kept out of the plan is not left by the run
		})
	}
}

// forge writes a plan anew with another head and a checksum that fits.
func forge(t *testing.T, path string, change func(*planfile.Head)) {
	t.Helper()
	p, err := planfile.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	w, err := planfile.NewWriter(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for f, keys := range itemsOf(t, path) {
		for _, key := range keys {
			if f == item.History {
				err = errors.Join(err, w.AddRoom(planfile.Room{ID: key, Depth: p.Rooms()[key].Depth, EventID: "$x"}))
			} else {
				err = errors.Join(err, w.AddMedia(f, planfile.Media{Key: key}))
			}
		}
	}
	flows := slices.Collect(maps.Keys(p.Totals))
	change(&p.Head)
	var b bytes.Buffer
	if err := errors.Join(err, w.Write(&b, p.Head, flows), w.Close(), os.WriteFile(path, b.Bytes(), 0o600)); err != nil {
		t.Fatal(err)
	}
}

// TestAPlanOfSomethingElseIsRefused before anything is deleted, and says what is wrong.
func TestAPlanOfSomethingElseIsRefused(t *testing.T) {
	s := emptied(t)
	room := newTalk(t, s, "old", sandbox.RoomOptions{}, 0)
	plant(t, s, func(ctx context.Context, p *sandbox.Plant) error {
		_, err := p.LocalMedia(ctx, 3, sandbox.Media{Data: []byte("x"), Created: time.Now().Add(-longAgo)}, time.Second)
		return errors.Join(err, room.plantOld(ctx, p, 20))
	})
	front := newFront(t, s)
	cfg := only(s, front, []*talk{room})
	cfg.Flows, cfg.Ages[item.LocalMedia] = []item.Flow{item.History, item.LocalMedia}, config.Age{Delta: 30 * day}
	run, plan := planTo(t, cfg)
	endsWith(t, plan)
	whole, err := os.ReadFile(run.Plan)
	if err != nil {
		t.Fatal(err)
	}
	back := func(by time.Duration) func(*planfile.Head) {
		return func(h *planfile.Head) {
			h.MadeAt = h.MadeAt.Add(by)
			for f, at := range h.CutOffs {
				h.CutOffs[f] = at.Add(by)
			}
		}
	}
	edit := func(from, to string) func(*config.Config) {
		return func(c *config.Config) {
			if !bytes.Contains(whole, []byte(from)) {
				t.Fatalf("%q is not in %s", from, whole)
			}
			if err := os.WriteFile(c.Plan, bytes.Replace(whole, []byte(from), []byte(to), 1), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	forged := func(change func(*planfile.Head)) func(*config.Config) {
		return func(c *config.Config) { forge(t, c.Plan, change) }
	}
	before := stock.OfMedia(t, s)
	for _, c := range []struct {
		name, says, hint string
		change           func(*config.Config)
		cause            item.Cause
	}{
		{"another age", "--delta was 30d, is 60d", "make a new plan with these", func(c *config.Config) {
			c.Ages = map[item.Flow]config.Age{item.History: {Delta: 60 * day}, item.LocalMedia: {Delta: 60 * day}}
		}, item.CauseRefused},
		{"other flows", "the choice of flows (--only, --skip) was [history local-media], is history", "", func(c *config.Config) { c.Flows = c.Flows[:1] }, item.CauseRefused},
		{"another age of one flow", "--history-delta was 30d, is 60d", "", func(c *config.Config) {
			c.Ages = map[item.Flow]config.Age{item.History: {Delta: 60 * day}, item.LocalMedia: {Delta: 30 * day}}
		}, item.CauseRefused},
		{"a policy more", "--keep-user was not given, is @a:*", "", func(c *config.Config) { c.Media.KeepUsers = []string{"@a:*"} }, item.CauseRefused},
		{"another room", "--room was " + room.id + ", is not given", "", func(c *config.Config) { c.History.Rooms = nil }, item.CauseRefused},
		{"cut short", "it was cut short or edited", "A plan is not edited", func(c *config.Config) {
			if err := os.WriteFile(c.Plan, whole[:len(whole)-200], 0o600); err != nil {
				t.Fatal(err)
			}
		}, item.CauseRefused},
		{"edited", "it was cut short or edited", "--keep-media", edit(`"depth":`, `"depth":1`), item.CauseRefused},
		{"no plan", "it is not a plan of synupkeep", "that synupkeep plan --out wrote", func(c *config.Config) { c.Plan = "approved.go" }, item.CauseRefused},
		{"no file", "no such file", "--plan FILE", func(c *config.Config) { c.Plan += ".none" }, item.CauseUsage},
		{"eight days old", "8 days ago, and a plan is good for 7 days", "Make a new plan", forged(back(-8 * day)), item.CauseRefused},
		{"made tomorrow", "and it is ", "was its clock put back?", forged(back(day)), item.CauseRefused},
		{"another cut-off", "the cut-off of history is", "Make a new plan", forged(func(h *planfile.Head) {
			h.CutOffs[item.History] = h.CutOffs[item.History].Add(time.Hour)
		}), item.CauseRefused},
		{"another server", "it is of other.example, and this is " + s.ServerName(), "the right plan", forged(func(h *planfile.Head) { h.Server.Name = "other.example" }), item.CauseRefused},
		{"another database", "made of another database", "Make a new plan", forged(func(h *planfile.Head) { h.Server.Database += "x" }), item.CauseRefused},
		{"a later transaction", "had come to transaction", "", forged(func(h *planfile.Head) { h.Server.Transaction += 1 << 40 }), item.CauseRefused},
		{"a later position", "events had come to", "", forged(func(h *planfile.Head) { h.Server.Position += 1 << 40 }), item.CauseRefused},
		{"other events", "other events are in the places", "", forged(func(h *planfile.Head) { h.Server.NewestEvents[0].ID += "x" }), item.CauseRefused},
		{"events that are gone", "none of the events", "", forged(func(h *planfile.Head) {
			h.Server.NewestEvents = []planfile.Event{{Stream: 1 << 50, ID: "$x"}}
		}), item.CauseRefused},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := os.WriteFile(run.Plan, whole, 0o600); err != nil {
				t.Fatal(err)
			}
			changed := *run
			c.change(&changed)
			r := do(t, &changed)
			endsWith(t, r, c.cause)
			if len(r.summary.Errors) != 1 {
				t.Fatalf("errors %+v", r.summary.Errors)
			}
			e := r.summary.Errors[0]
			if !strings.Contains(e.Error, c.says) || !strings.Contains(e.Hint, c.hint) || !strings.HasPrefix(e.Hint, "Nothing was deleted. ") {
				t.Errorf("got %+v, want %q", e, c.says)
			}
			stock.Exactly(t, s, before)
		})
	}
	if asked := front.asked(); len(asked) > 0 {
		t.Fatalf("purges were asked for: %v", asked)
	}
	if err := os.WriteFile(run.Plan, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	r := do(t, run)
	endsWith(t, r)
	wantCounts(t, r, item.LocalMedia, map[string]int64{"done": 3})
	wantCounts(t, r, item.History, map[string]int64{"done": 1})
}

// A plan is of the server as it went on: after a restore it is of no server any more.
func TestAPlanFromBeforeARestoreIsRefused(t *testing.T) {
	s := emptied(t)
	restored(t, s) // in the end, too
	plenty(t, s, 3)
	if err := s.Snapshot(t.Context(), "yesterday"); err != nil {
		t.Fatal(err)
	}
	run, plan := planTo(t, settings(s, item.LocalMedia))
	endsWith(t, plan)
	if err := s.Reset(t.Context(), "yesterday"); err != nil {
		t.Fatal(err)
	}
	before := stock.OfMedia(t, s)
	r := do(t, run)
	endsWith(t, r, item.CauseRefused)
	if e := r.summary.Errors; len(e) != 1 || !strings.Contains(e[0].Error, "before it was restored") {
		t.Errorf("%+v", e)
	}
	stock.Exactly(t, s, before)
}

// TestAKilledRunOfAPlanIsFinishedByTheNextOne, and neither goes beyond the plan.
func TestAKilledRunOfAPlanIsFinishedByTheNextOne(t *testing.T) {
	k := newKilling(t)
	for _, f := range []item.Flow{item.LocalMedia, item.RemoteMedia} {
		t.Run(string(f), func(t *testing.T) {
			k.of(t, f)
			cfg := settings(k.s, f)
			cfg.StateDir, cfg.History = k.stateDir, config.History{InFlight: 3, Timeout: time.Minute, GapGrace: 72 * time.Hour}
			run, plan := planTo(t, cfg)
			endsWith(t, plan)
			plant(t, k.s, func(ctx context.Context, p *sandbox.Plant) error {
				old := sandbox.Media{Data: []byte("late"), Created: time.Now().Add(-longAgo), LastAccess: time.Now().Add(-longAgo)}
				if f == item.LocalMedia {
					_, err := p.LocalMedia(ctx, 3, old, time.Second)
					return err
				}
				old.Origin = "late.example"
				_, err := p.RemoteMedia(ctx, old)
				return err
			})
			before := stock.OfMedia(t, k.s)
			v := k.startWith(t, k.s.PGPort(), run.Plan)
			if n := k.killAfterFile(t, v, 2); n == len(k.gone[f]) {
				t.Log("it had done everything already")
			}
			k.unlocked(t)
			r := do(t, run)
			endsWith(t, r)
			stock.Exactly(t, k.s, before.Without(t, k.gone[f]...))
			if left := k.journaled(t); len(left) > 0 {
				t.Errorf("still in the journal: %v", left)
			}
		})
	}
}

// Half a plan would look like a small one: it is not written, and the one of yesterday stays.
func TestAPlanThatIsNotWholeIsNotWritten(t *testing.T) {
	s := emptied(t)
	plenty(t, s, 5)
	path := filepath.Join(t.TempDir(), "plan.json")
	if err := os.WriteFile(path, []byte("yesterday's"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := settings(s, item.LocalMedia)
	cfg.Command, cfg.Out, cfg.Max.Media.Count = config.CommandPlan, path, 4
	var out, log bytes.Buffer
	causes := Plan(t.Context(), t.Context(), cfg, logging.New(&log, logging.LevelInfo, logging.Text), &out)
	if !slices.Equal(causes, []item.Cause{item.CauseRefused}) || !strings.Contains(out.String(), path+" was not written") {
		t.Errorf("%v\n%s\n%s", causes, out.String(), log.String())
	}
	text, err := os.ReadFile(path)
	entries, _ := os.ReadDir(filepath.Dir(path))
	if string(text) != "yesterday's" || err != nil || len(entries) != 1 {
		t.Errorf("%q, %v, %v", text, err, entries)
	}
}

// Before anything is read it is known that the plan can be written.
func TestAPlanThatCannotBeWrittenIsNotMade(t *testing.T) {
	s := emptied(t)
	cfg := settings(s, item.LocalMedia)
	cfg.Command, cfg.Out = config.CommandPlan, filepath.Join(t.TempDir(), "none", "plan.json")
	var out, log bytes.Buffer
	causes := Plan(t.Context(), t.Context(), cfg, logging.New(&log, logging.LevelInfo, logging.Text), &out)
	if !slices.Equal(causes, []item.Cause{item.CauseUsage}) || strings.Contains(log.String(), "flow begins") {
		t.Errorf("%v\n%s", causes, log.String())
	}
}

func TestWhatIsInAPlan(t *testing.T) {
	media := func(key string, status item.Status) item.Outcome {
		return item.Outcome{Flow: item.LocalMedia, Key: key, Status: status, Bytes: 5, Media: &item.Media{}}
	}
	finished := media("finished", item.Done)
	finished.Finished = true
	items, err := planfile.NewWriter(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	out := planOut{items: items}
	for _, o := range []item.Outcome{
		media("goes", item.Done), media("stays", item.Kept), media("fails", item.Failed), media("left", item.Left), finished,
		{Flow: item.History, Key: "!cut", Status: item.Done, Reason: item.Redaction, Rows: 7, Cut: &item.Cut{Depth: 9, EventID: "$e"}},
		{Flow: item.History, Key: "!waits", Status: item.Done},
		{Flow: item.History, Key: "!stays", Status: item.Kept, Cut: &item.Cut{Depth: 9, EventID: "$e"}},
	} {
		if err := out.add(o); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if err := items.Write(&b, planfile.Head{}, []item.Flow{item.History, item.LocalMedia}); err != nil {
		t.Fatal(err)
	}
	_, got, _ := strings.Cut(b.String(), `  "history": [`)
	const want = `
    {"room":"!cut","depth":9,"event":"$e","held_by":"redaction","messages":7},
    {"room":"!waits","depth":0,"messages":0,"under_way":true}
  ],
  "local-media": [
    {"media":"goes","bytes":5}
  ],
`
	if !strings.HasPrefix(got, want) {
		t.Error(got)
	}
	if err := errors.Join(items.Close(), out.add(media("late", item.Done))); err == nil {
		t.Error("what cannot be added is an error")
	}
}
