package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"synupkeep/config"
	"synupkeep/internal/flow"
	"synupkeep/internal/item"
	"synupkeep/internal/journal"
	"synupkeep/internal/logging"
	"synupkeep/internal/postgres"
	"synupkeep/internal/sandbox"
	"synupkeep/internal/sandbox/stock"
	"synupkeep/sinks"
)

// seeded is a server of many rooms, with everything that a flow may come upon.
func seeded(t *testing.T) *sandbox.Server {
	t.Helper()
	s := sandbox.Own(t, sandbox.Options{})
	if err := s.Seed(t.Context()); err != nil {
		t.Fatal(err)
	}
	newGallery(t, s)
	pins(t, s)
	lose(t, s, "local_content/*/*/*", 40)
	lose(t, s, "remote_content/*/*/*/*", 30)
	lose(t, s, "url_cache/*/*", 20)
	lose(t, s, "local_thumbnails/*/*/*/*", 90)
	rowless(t, s)
	odd := sandbox.Media{Created: time.Now().Add(-longAgo), LastAccess: time.Now().Add(-longAgo)}
	plant(t, s, func(ctx context.Context, p *sandbox.Plant) error { return p.RawLocalRow(ctx, "../../odd", odd) })
	return s
}

// pins pins an old message in a room that will be purged.
func pins(t *testing.T, s *sandbox.Server) {
	t.Helper()
	var room [2]string
	for i, column := range []string{"room_id", "event_id"} {
		room[i] = stock.All[string](t, s, `SELECT e.`+column+` FROM events e JOIN room_stats_state r USING (room_id)
			WHERE r.name = 'Old 3' AND e.type = 'm.room.message' ORDER BY e.stream_ordering LIMIT 1`)[0]
	}
	owner := stock.All[string](t, s, `SELECT creator FROM rooms WHERE room_id = $1`, room[0])[0]
	user := s.As(strings.TrimPrefix(strings.Split(owner, ":")[0], "@"))
	if _, err := user.SetState(t.Context(), room[0], "m.room.pinned_events", "", map[string]any{"pinned": []string{room[1]}}); err != nil {
		t.Fatal(err)
	}
}

// lose takes each n-th file of a tree away.
func lose(t *testing.T, s *sandbox.Server, pattern string, n int) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(s.MediaStore(), pattern))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %v, %v", pattern, files, err)
	}
	for i := 0; i < len(files); i += n {
		if err := os.Remove(files[i]); err != nil {
			t.Fatal(err)
		}
	}
}

// rowless takes rows away whose files stay.
func rowless(t *testing.T, s *sandbox.Server) {
	t.Helper()
	for _, table := range []string{"local_media_repository", "remote_media_cache"} {
		execSQL(t, s, `DELETE FROM `+table+` WHERE media_id IN (SELECT media_id FROM `+table+` WHERE quarantined_by IS NULL ORDER BY media_id LIMIT 12)`)
	}
}

// makePlan makes a plan and reads the summary back.
func makePlan(t testing.TB, cfg *config.Config) result {
	t.Helper()
	planned := *cfg
	planned.Command = config.CommandPlan
	var out, log bytes.Buffer
	causes := Plan(t.Context(), t.Context(), &planned, logging.New(&log, logging.LevelTrace, logging.Text), &out)
	r := result{causes: causes, log: log.String(), out: out.String()}
	asTheSchemaSays(t, out.Bytes())
	if err := json.Unmarshal(out.Bytes(), &r.summary); err != nil {
		t.Fatalf("the summary is not JSON: %v\n%s\n%s", err, out.String(), log.String())
	}
	return r
}

// agrees fails unless a run did what the plan before it said, to the item and the byte.
func agrees(t *testing.T, plan, run result) {
	t.Helper()
	numbers := cmp.Options{
		cmpopts.IgnoreFields(sinks.FlowSummary{}, "CutOff", "DurationS"),
		cmpopts.IgnoreFields(sinks.RoomShare{}, "Events"), // there are fewer after the run
	}
	if diff := cmp.Diff(plan.summary.Flows, run.summary.Flows, numbers); diff != "" {
		t.Errorf("the run (+) did not do what the plan (-) said:\n%s\n%s", diff, run.log)
	}
	if plan.summary.Command != "plan" || run.summary.Command != "run" {
		t.Errorf("commands %q and %q", plan.summary.Command, run.summary.Command)
	}
}

// TestAPlanChangesNothingAndTheRunAfterItDoesWhatItSaid compares every table, every file with its times and what the server has
// to do before and after a plan, and then the numbers of the plan with those of the run.
func TestAPlanChangesNothingAndTheRunAfterItDoesWhatItSaid(t *testing.T) {
	s := seeded(t)
	if err := s.Snapshot(t.Context(), "seeded"); err != nil {
		t.Fatal(err)
	}
	all := item.Flows()
	viaAPI := func(c *config.Config) {
		c.Media.Via, c.Flows, c.StateDir, c.Media.DeleteOfDeadServers = config.ViaAPI, all[:3], "", true
	}
	for name, change := range map[string]func(*config.Config){
		"everything":         func(*config.Config) {},
		"history alone":      func(c *config.Config) { c.Flows = []item.Flow{item.History} },
		"local media alone":  func(c *config.Config) { c.Flows = []item.Flow{item.LocalMedia} },
		"remote media alone": func(c *config.Config) { c.Flows = []item.Flow{item.RemoteMedia} },
		"previews alone":     func(c *config.Config) { c.Flows = []item.Flow{item.Previews} },
		"limits":             func(c *config.Config) { c.History.Limit, c.Media.Limit = 5, 23 },
		"what is shown goes": func(c *config.Config) { c.Media.KeepShown = false },
		"what is pinned and what is of dead servers": func(c *config.Config) {
			c.History.KeepPinned, c.Media.DeleteOfDeadServers = true, true
		},
		"through the API":              viaAPI,
		"through the API with a limit": func(c *config.Config) { viaAPI(c); c.Media.Limit = 23 },
		"what an earlier run began":    func(c *config.Config) { began(t, s, c) },
		"drift alone":                  func(c *config.Config) { drifts(c, item.Drift) },
		"drift beside the others":      func(c *config.Config) { drifts(c, append(all, item.Drift)...) },
		"drift beside what an earlier run began": func(c *config.Config) {
			drifts(c, append(all, item.Drift)...)
			began(t, s, c)
		},
		"drift with a limit": func(c *config.Config) { drifts(c, append(all, item.Drift)...); c.Media.Limit = 7 },
		"drift is told of":   func(c *config.Config) { drifts(c, append(all, item.Drift)...); c.Drift.Delete = nil },
		"some policies and a report": func(c *config.Config) {
			c.Media.KeepTypes, c.Media.KeepUsers = []string{"text/*"}, []string{"@user03:*"}
			c.History.NotRooms = stock.All[string](t, s, `SELECT room_id FROM room_stats_state WHERE name LIKE 'Old 1%'`)
			c.Report = filepath.Join(t.TempDir(), "report.json")
		},
	} {
		t.Run(name, func(t *testing.T) {
			if err := s.Reset(t.Context(), "seeded"); err != nil {
				t.Fatal(err)
			}
			cfg := settings(s, all...)
			cfg.StateDir = filepath.Join(t.TempDir(), "state")
			change(cfg)
			for _, f := range cfg.Flows {
				cfg.Ages[f] = config.Age{Before: time.Now().Add(-30 * aDay)} // of both
			}
			compared := name == "everything" || name == "through the API" || name == "drift alone" || cfg.Report != "" || name == "what an earlier run began"
			var before map[string]string
			if compared { // which takes a while
				before = atRest(t, s, cfg)
			}
			plan := makePlan(t, cfg)
			if compared {
				if diff := cmp.Diff(before, asItIs(t, s, cfg)); diff != "" {
					t.Errorf("the plan has changed something:\n%s", diff)
				}
			}
			if done(plan) == 0 {
				t.Errorf("nothing was planned:\n%s", plan.out)
			}
			if files, err := os.ReadDir(filepath.Dir(cfg.Report)); cfg.Report != "" && (err != nil || len(files) != 1) {
				t.Errorf("beside the report: %v, %v", files, err)
			}
			agrees(t, plan, do(t, cfg))
			if name != "everything" {
				return
			}
			if again := makePlan(t, cfg); done(again) != 0 {
				t.Errorf("after the run there is still something:\n%s", again.out)
			}
		})
	}
}

// drifts has drift deleted, whatever may be.
func drifts(c *config.Config, flows ...item.Flow) {
	c.Flows = flows
	c.Drift = config.Drift{Delete: slices.Concat(item.Deletable(), item.DeletableByName()), UploadLifetime: aDay}
}

// atRest waits until the server does nothing by itself.
func atRest(t *testing.T, s *sandbox.Server, cfg *config.Config) map[string]string {
	t.Helper()
	now := asItIs(t, s, cfg)
	until(t, "the server is at rest", func() bool {
		before := now
		now = asItIs(t, s, cfg)
		return cmp.Equal(before, now)
	})
	return now
}

// began leaves a journal as a run does that is killed between the commit and the files.
func began(t *testing.T, s *sandbox.Server, cfg *config.Config) {
	t.Helper()
	j, _, err := journal.Open(cfg.StateDir, "journal-localhost.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	var rows []journal.Row
	for i, id := range stock.All[string](t, s, `SELECT media_id FROM local_media_repository
		WHERE url_cache IS NULL AND length(media_id) = 24 ORDER BY created_ts LIMIT 9`) {
		rows = append(rows, journal.Row{Origin: "localhost", ID: id, FileID: id})
		if i < 6 { // the deletion of the others was rolled back
			execSQL(t, s, `DELETE FROM local_media_repository WHERE media_id = $1`, id)
		}
	}
	if _, err := j.Begin(item.LocalMedia, rows); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

func done(r result) (n int64) {
	for _, f := range r.summary.Flows {
		n += f.Done
	}
	return n
}

// asItIs has every table, as a sum of its rows, and every file and directory with all that is known of it.
func asItIs(t testing.TB, s *sandbox.Server, cfg *config.Config) map[string]string {
	t.Helper()
	all := map[string]string{}
	for table, sum := range stock.OfTables(t, s) {
		all["table "+table] = sum
	}
	for _, dir := range []string{s.MediaStore(), cfg.StateDir} {
		maps.Copy(all, treeOf(t, dir))
	}
	return all
}

func treeOf(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if os.IsNotExist(err) && path == dir {
			return nil
		}
		if err != nil {
			return err
		}
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		inode := info.Sys().(*syscall.Stat_t).Ino
		all["file "+path] = fmt.Sprintf("%v, %d bytes, %v, inode %d", info.Mode(), info.Size(), info.ModTime(), inode)
		return nil
	})
	if err != nil && dir != "" {
		t.Fatal(err)
	}
	return all
}

// With a limit it is the order that decides what goes, so one room is decided on after the other: two at once would now and
// then change places between a plan and its run.
func TestWithALimitRoomsAreDecidedOnInOrder(t *testing.T) {
	for limit, want := range map[int]int{0: 2, 1: 1, 100: 1} {
		r := newRun(&config.Config{History: config.History{Limit: limit}}, logging.New(io.Discard, logging.LevelInfo, logging.Text))
		r.db = &postgres.DB{}
		p := flow.New(t.Context(), t.Context())
		if got := r.historyStages(p).deciding; got != want {
			t.Errorf("with a limit of %d, %d at once", limit, got)
		}
		if err := p.Wait(); err != nil {
			t.Error(err)
		}
	}
}
