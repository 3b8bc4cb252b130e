package reports_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"synupkeep/internal/item"
	"synupkeep/internal/postgres"
	"synupkeep/internal/sandbox/stock"
	"synupkeep/proof/program"
)

// TestWhatIsWrittenIsWhatIsGone compares every file of a run with the server before and after it, and with one another.
func TestWhatIsWrittenIsWhatIsGone(t *testing.T) {
	for _, name := range []string{"outcomes.jsonl", "outcomes.jsonl.gz"} {
		t.Run(name, func(t *testing.T) {
			p := plant(t, 30, 10, 3)
			dir := t.TempDir()
			at := func(name string) string { return filepath.Join(dir, name) }
			w := newWatcher(t)
			r := program.Run(t, p.where, "--outcomes", at(name), "--report", at("report"), "--metrics", at("m.prom"), "--ping", w.URL+"/uuid?a=1",
				"-l", "TRACE")
			sum := r.Summary(t)
			if r.Code != 0 {
				t.Fatalf("exit code %d\n%s", r.Code, r.Log)
			}
			all := lines(t, at(name))
			now, gone := stock.OfMedia(t, p.s), p.gone(t)
			if diff := cmp.Diff(gone.rowless, doneKeys(all, mediaFlows()...)); diff != "" || !slices.Equal(gone.rowless, gone.fileless) || len(gone.rowless) != 29+10+20 {
				t.Errorf("%d media are gone (-gone +written):\n%s", len(gone.rowless), diff)
			}
			slices.Sort(p.rooms)
			if rooms := doneKeys(all, item.History); !slices.Equal(slices.DeleteFunc(rooms, func(id string) bool { return !slices.Contains(p.rooms, id) }), p.rooms) {
				t.Errorf("rooms %v, want %v", rooms, p.rooms)
			}
			var files, bytes int64
			for name, size := range p.before.Files {
				if _, there := now.Files[name]; !there && !strings.HasPrefix(name, ".synupkeep") {
					files++
					bytes += size
				}
			}
			for _, l := range all {
				files, bytes = files-l.Files, bytes-l.Bytes
				if !l.Run.Equal(sum.Started) || l.Time.Before(sum.Started.Add(-1e6)) || l.Time.After(sum.Ended) {
					t.Errorf("written at %v in the run of %v: %v %v", l.Time, l.Run, sum.Started, sum.Ended)
				}
			}
			if files != 0 || bytes != 0 {
				t.Errorf("%d files with %d bytes more are gone than are written down", files, bytes)
			}
			report, err := os.ReadFile(at("report"))
			must(t, err)
			valid(t, schema(t, "report"), report)
			valid(t, schema(t, "report"), []byte(r.Out))
			p.sameNumbers(t, metrics(t, at("m.prom")), r)
			if diff := cmp.Diff([]string{"/uuid/start?a=1", "/uuid?a=1"}, w.got()); diff != "" || !strings.Contains(w.bodies[1], "(exit code 0)") {
				t.Errorf("%s %v", diff, w.bodies)
			}
			if strings.Contains(r.Log+r.Out+string(report), "uuid") {
				t.Error("the URL of --ping is written")
			}
		})
	}
}

// sameNumbers compares the metrics with the summary.
func (p *planted) sameNumbers(t *testing.T, got map[string]float64, r program.Result) {
	t.Helper()
	sum := r.Summary(t)
	want := map[string]float64{
		"exit_code": float64(r.Code), "warnings": float64(len(sum.Warnings)), "errors": float64(len(sum.Errors)),
		"start_timestamp_seconds": float64(sum.Started.UnixMilli()) / 1000, "end_timestamp_seconds": float64(sum.Ended.UnixMilli()) / 1000,
		"duration_seconds": sum.DurationS,
	}
	if r.Code == 0 {
		want["success_timestamp_seconds"] = 0 // below
	}
	for _, f := range sum.Flows {
		flow := " " + string(f.Flow)
		for name, n := range map[string]int64{
			"items" + flow + " done": f.Done, "items" + flow + " kept": f.KeptTotal, "items" + flow + " skipped": f.SkippedTotal,
			"items" + flow + " left": f.LeftTotal, "items" + flow + " failed": f.Failed, "rows_deleted" + flow: f.Rows,
			"files_deleted" + flow: f.Files, "freed_bytes" + flow: f.Bytes, "retries" + flow: f.Retries,
			"items_bytes" + flow + " done": f.Sizes[item.Done],
		} {
			want[name] = float64(n)
		}
		for reason, n := range f.Kept {
			want["kept_items"+flow+" "+string(reason)] = float64(n)
		}
	}
	delete(want, "success_timestamp_seconds")
	for name, n := range want {
		if value, ok := got[name]; !ok || value != n {
			t.Errorf("%s is %v (%t), want %v", name, value, ok, n)
		}
	}
	if success := got["last_success_timestamp_seconds"]; r.Code == 0 && success != got["end_timestamp_seconds"] {
		t.Errorf("the last success is %v, the run ended at %v", success, got["end_timestamp_seconds"])
	}
	if got["kept_items local-media protected"] != 1 || got["items_bytes local-media done"] != 29*300 {
		t.Errorf("protected %v, bytes %v", got["kept_items local-media protected"], got["items_bytes local-media done"])
	}
}

// TestNothingIsDeletedThatCouldNotBeWrittenDown: each file is there before the first delete, or nothing is deleted.
func TestNothingIsDeletedThatCouldNotBeWrittenDown(t *testing.T) {
	p := plant(t, 10, 2, 0)
	p.where.ModesBind = true
	closed := filepath.Join(t.TempDir(), "closed")
	must(t, os.Mkdir(closed, 0o555))
	other := filepath.Join(t.TempDir(), "precious")
	must(t, os.WriteFile(other, []byte("precious\n"), 0o600))
	for name, args := range map[string][]string{
		"outcomes":                  {"--outcomes", filepath.Join(closed, "o")},
		"metrics":                   {"--metrics", filepath.Join(closed, "m")},
		"report":                    {"--report", filepath.Join(closed, "r")},
		"somebody else's file":      {"--outcomes", other},
		"no directory for outcomes": {"--outcomes", filepath.Join(closed, "none", "o")},
	} {
		w := newWatcher(t)
		good := filepath.Join(t.TempDir(), "m")
		if name != "metrics" {
			args = append(args, "--metrics", good)
		}
		r := program.Run(t, p.where, append(args, "--ping", w.URL)...)
		if sum := r.Summary(t); r.Code != 2 || len(sum.Errors) != 1 || sum.Errors[0].Hint == "" {
			t.Errorf("%s: exit code %d: %+v\n%s", name, r.Code, sum.Errors, r.Log)
		}
		stock.Exactly(t, p.s, p.before)
		if name != "metrics" {
			if m := metrics(t, good); m["exit_code"] != 2 || m["cause usage"] != 1 || m["last_success_timestamp_seconds"] != 0 {
				t.Errorf("%s: the metrics say %v", name, m)
			}
		}
		if got := w.got(); !slices.Equal(got, []string{"/start", "/fail"}) {
			t.Errorf("%s: pings %v", name, got)
		}
	}
	if content, err := os.ReadFile(other); err != nil || string(content) != "precious\n" {
		t.Errorf("%q, %v", content, err)
	}
}

// TestARunThatAnotherOneKeepsFromItsWorkLeavesTheMetricsAlone: they are the other one's to write. Its file of outcomes is there,
// and empty.
func TestARunThatAnotherOneKeepsFromItsWorkLeavesTheMetricsAlone(t *testing.T) {
	p := plant(t, 10, 2, 0)
	dir := t.TempDir()
	m, o := filepath.Join(dir, "m"), filepath.Join(dir, "o")
	if r := program.Run(t, p.where, "--metrics", m, "--limit-media", "1"); r.Code != 10 {
		t.Fatal(r.Log)
	}
	before, err := os.ReadFile(m)
	must(t, err)
	db, err := postgres.Open(t.Context(), p.s.ConnString())
	must(t, err)
	defer db.Close()
	lock, err := db.Acquire(t.Context())
	must(t, err)
	defer lock.Release(t.Context())
	w := newWatcher(t)
	r := program.Run(t, p.where, "--metrics", m, "--outcomes", o, "--ping", w.URL)
	after, err := os.ReadFile(m)
	must(t, err)
	if r.Code != 11 || string(after) != string(before) || !slices.Equal(w.got(), []string{"/start", "/fail"}) {
		t.Errorf("exit code %d, pings %v, metrics\n%s", r.Code, w.got(), after)
	}
	if got := lines(t, o); len(got) != 0 {
		t.Errorf("%v", got)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("left behind: %v %v", entries, err)
	}
}

// TestNobodyToPingIsNoFailure: whoever waits for pings may be away; the work is done all the same, and well.
func TestNobodyToPingIsNoFailure(t *testing.T) {
	p := plant(t, 3, 1, 0)
	nobody := httptest.NewServer(http.NotFoundHandler())
	defer nobody.Close()
	r := program.Run(t, p.where, "--ping", nobody.URL+"/s3cret-uuid", "-l", "TRACE")
	if sum := r.Summary(t); r.Code != 0 || len(sum.Errors) > 0 || len(p.gone(t).rowless) != 3+1+2 {
		t.Errorf("exit code %d: %+v", r.Code, sum)
	}
	if strings.Contains(r.Log+r.Out, "s3cret") || strings.Count(r.Log, "--ping could not be told") != 2 {
		t.Error(r.Log)
	}
}
