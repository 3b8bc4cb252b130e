package sinks_test

import (
	"errors"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"golang.org/x/sys/unix"

	"synupkeep/internal/item"
	"synupkeep/sinks"
)

// measured are the values in a file, by name and labels without the server's.
func measured(t *testing.T, path string) map[string]float64 {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(read(t, path)))
	if err != nil {
		t.Fatalf("%v\n%s", err, read(t, path))
	}
	values := map[string]float64{}
	for name, family := range families {
		if family.GetHelp() == "" {
			t.Errorf("%s says nothing of itself", name)
		}
		for _, m := range family.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				if l.GetName() != "server_name" {
					labels = append(labels, l.GetName()+"="+l.GetValue())
				}
			}
			values[strings.TrimPrefix(name, "synupkeep_")+"{"+strings.Join(labels, ",")+"}"] = m.GetGauge().GetValue()
		}
	}
	return values
}

func writeMetrics(t *testing.T, path string, s sinks.Summary) (warnings []string) {
	t.Helper()
	m, err := sinks.CreateMetrics(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Write(s); err != nil {
		t.Fatal(err)
	}
	return m.Warnings
}

// unix seconds of fourOClock.
const atFour = 1795320000

func TestMetricsTellTheNumbersOfTheSummary(t *testing.T) {
	path := filepath.Join(t.TempDir(), "synupkeep.prom")
	s := goodRun()
	s.Warnings = []string{"one"}
	s.Flows[1].Sizes = map[item.Status]int64{item.Done: 7, item.Kept: 9}
	s.LeftPurges, s.LeftPurgesNotNamed = []sinks.LeftPurge{{RoomID: "!a"}}, 2
	writeMetrics(t, path, s)
	got := measured(t, path)
	took := (62*time.Second + 400*time.Millisecond + 4200*time.Millisecond + 43*time.Millisecond).Seconds()
	for name, want := range map[string]float64{
		"last_success_timestamp_seconds{}":                              atFour + took,
		"last_run_start_timestamp_seconds{}":                            atFour,
		"last_run_end_timestamp_seconds{}":                              atFour + took,
		"last_run_duration_seconds{}":                                   took,
		"last_run_exit_code{}":                                          0,
		"last_run_errors{}":                                             0,
		"last_run_warnings{}":                                           1,
		"last_run_left_purges{}":                                        3,
		"last_run_cause{cause=work left}":                               0,
		"last_run_items{flow=history,status=done}":                      20,
		"last_run_items{flow=history,status=kept}":                      11,
		"last_run_items{flow=local-media,status=done}":                  488,
		"last_run_items{flow=local-media,status=skipped}":               1,
		"last_run_items{flow=previews,status=failed}":                   0,
		"last_run_items_bytes{flow=local-media,status=done}":            7,
		"last_run_items_bytes{flow=local-media,status=kept}":            9,
		"last_run_items_bytes{flow=history,status=left}":                0,
		"last_run_kept_items{flow=local-media,reason=avatar}":           12,
		"last_run_kept_items{flow=history,reason=gap}":                  2,
		"last_run_skipped_items{flow=local-media,reason=in use}":        1,
		"last_run_held_rooms{flow=history,reason=young event}":          15,
		"last_run_rows_deleted{flow=history}":                           15*1200 + 5*60,
		"last_run_files_deleted{flow=local-media}":                      480*4 + 7,
		"last_run_files_missing{flow=local-media}":                      1,
		"last_run_freed_bytes{flow=local-media}":                        480*300_000 + 7*2_000_000,
		"last_run_retries{flow=history}":                                5,
		"last_run_flow_ran{flow=previews}":                              1,
		"last_run_flow_error{flow=previews}":                            0,
		"last_run_flow_duration_seconds{flow=remote-media}":             0.035,
		"last_run_flow_cut_off_timestamp_seconds{flow=remote-media}":    atFour - 30*24*3600,
		"build_info{goversion=" + runtime.Version() + ",version=2.0.0}": 1,
	} {
		if value, ok := got[name]; !ok || math.Abs(value-want) > 1e-6 {
			t.Errorf("%s is %v (%t), want %v", name, value, ok, want)
		}
	}
	if !strings.Contains(read(t, path), `synupkeep_last_run_exit_code{server_name="example.org"} 0`) {
		t.Error(read(t, path))
	}
}

func TestMetricsTellHowARunFailed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m")
	writeMetrics(t, path, severalCauses())
	got := measured(t, path)
	for name, want := range map[string]float64{
		"last_success_timestamp_seconds{}":               0,
		"last_run_exit_code{}":                           1,
		"last_run_errors{}":                              2,
		"last_run_cause{cause=failed}":                   1,
		"last_run_cause{cause=items failed}":             1,
		"last_run_cause{cause=interrupted}":              1,
		"last_run_cause{cause=work left}":                1,
		"last_run_cause{cause=locked}":                   0,
		"last_run_items{flow=history,status=failed}":     1,
		"last_run_left_items{flow=history,reason=limit}": 1,
		"last_run_flow_error{flow=local-media}":          1,
	} {
		if value, ok := got[name]; !ok || value != want {
			t.Errorf("%s is %v (%t), want %v", name, value, ok, want)
		}
	}
}

// The last success moves with exit code 0 only, and is carried over from file to file.
func TestTheLastSuccessOutlivesRunsThatFail(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m")
	success := func() float64 { return measured(t, path)["last_success_timestamp_seconds{}"] }
	end := func(s sinks.Summary, hours int) sinks.Summary {
		s.Ended = fourOClock.Add(time.Duration(hours) * time.Hour)
		return s
	}
	for i, step := range []struct {
		summary sinks.Summary
		want    float64
	}{
		{failures(), 0},
		{nothingToDo(), atFour + 3600},
		{failures(), atFour + 3600},
		{interrupted(), atFour + 3600},
		{refused(), atFour + 3600},
		{goodRun(), atFour + 5*3600},
		{severalCauses(), atFour + 5*3600},
	} {
		if warnings := writeMetrics(t, path, end(step.summary, i)); len(warnings) > 0 {
			t.Errorf("%d: %v", i, warnings)
		}
		if success() != step.want {
			t.Errorf("%d: %v, want %v", i, success(), step.want)
		}
	}
	unknown := end(refused(), 8) // before the server could be asked for its name
	unknown.ServerName = ""
	writeMetrics(t, path, unknown)
	if success() != atFour+5*3600 || !strings.Contains(read(t, path), `server_name="example.org"`) {
		t.Errorf("without a name: %s", read(t, path))
	}
	other := end(refused(), 9)
	other.ServerName = "other.example"
	writeMetrics(t, path, other)
	if success() != 0 || strings.Contains(read(t, path), `"example.org"`) {
		t.Errorf("the success of another server counts: %s", read(t, path))
	}
}

func TestADamagedFileOfAnEarlierRunIsSaid(t *testing.T) {
	const name = "synupkeep_last_success_timestamp_seconds"
	for what, content := range map[string]string{
		"empty": "", "no metrics": "{}", "binary": "\x00\x01", "cut short": "# TYPE " + name + " gauge\n" + name,
		"another": "a 1\n", "no number": "# TYPE " + name + " gauge\n" + name + " NaN\n", "negative": "# TYPE " + name + " gauge\n" + name + " -1\n",
		"in the future": "# TYPE " + name + " gauge\n" + name + " 9e9\n", "twice": "# TYPE " + name + " gauge\n" + name + "{a=\"1\"} 1\n" + name + "{a=\"2\"} 2\n",
		"infinite": "# TYPE " + name + " gauge\n" + name + " +Inf\n", "no gauge": "# TYPE " + name + " counter\n" + name + " 1\n",
	} {
		t.Run(what, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "m")
			if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
			warnings := writeMetrics(t, path, failures())
			if len(warnings) != 1 || !strings.Contains(warnings[0], path) || !strings.Contains(warnings[0], "cannot be read") {
				t.Errorf("warnings %q", warnings)
			}
			if got := measured(t, path)["last_success_timestamp_seconds{}"]; got != 0 {
				t.Errorf("last success %v", got)
			}
		})
	}
}

// What strangers make up names no series: they would fill a database.
func TestLabelsAreOfClosedSets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m")
	tally := sinks.NewTally(nil)
	for _, f := range append(item.Flows(), "made-up") {
		for _, status := range append(item.Statuses(), "made up") {
			for _, r := range append(item.Reasons(), "made up", "no such", item.StateEvent(""), item.StateEvent("evil.type"), item.StateEvent("evil.other")) {
				tally.Add(item.Outcome{Flow: f, Status: status, Reason: r, Key: "!evil:example.org"})
			}
		}
	}
	s := tally.Summary()
	s.ServerName = "example.org"
	writeMetrics(t, path, s)
	for _, evil := range []string{"evil", "made up", "made-up", "no such"} {
		if strings.Contains(read(t, path), evil) {
			t.Errorf("%s is in\n%s", evil, read(t, path))
		}
	}
	got := measured(t, path)
	for name, want := range map[string]float64{
		"last_run_kept_items{flow=history,reason=state}": 3, "last_run_kept_items{flow=history,reason=other}": 2,
		"last_run_kept_items{flow=other,reason=gap}": 1,
	} {
		if got[name] != want {
			t.Errorf("%s is %v, want %v", name, got[name], want)
		}
	}
}

func TestMetricsTakeTheirPlaceWhole(t *testing.T) {
	defer unix.Umask(unix.Umask(0o077))
	dir := t.TempDir()
	path := filepath.Join(dir, "m")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := sinks.CreateMetrics(path)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := filepath.Glob(filepath.Join(dir, "*.prom"))
	if err != nil || len(entries) > 0 || read(t, path) != "old" {
		t.Errorf("before the end: %v, %q", entries, read(t, path))
	}
	for _, s := range []sinks.Summary{goodRun(), failures()} { // once more, if it ended otherwise after all
		if err := m.Write(s); err != nil {
			t.Fatal(err)
		}
		if got := measured(t, path)["last_run_exit_code{}"]; got != float64(s.ExitCode) {
			t.Errorf("exit code %v, want %d", got, s.ExitCode)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o644 {
		t.Errorf("the node exporter, another user, cannot read it: %v, %v", info.Mode(), err)
	}
	if m, err = sinks.CreateMetrics(path); err != nil {
		t.Fatal(err)
	}
	before := read(t, path)
	if err := errors.Join(m.Abandon(), m.Abandon()); err != nil || read(t, path) != before {
		t.Errorf("abandoned: %v", err)
	}
	all, err := os.ReadDir(dir)
	if err != nil || len(all) != 1 {
		t.Errorf("left behind: %v, %v", all, err)
	}
}

func TestMetricsThatCannotBe(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{dir, "/dev/null", filepath.Join(dir, "none", "m")} {
		_, err := sinks.CreateMetrics(path)
		var run *item.RunError
		if !errors.As(err, &run) || run.Cause != item.CauseUsage || !strings.Contains(err.Error(), "the metrics "+path) {
			t.Errorf("%s: %v", path, err)
		}
	}
	m, err := sinks.CreateMetrics(filepath.Join(dir, "m"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "m"), 0o700); err != nil {
		t.Fatal(err)
	}
	var run *item.RunError
	if err := m.Write(goodRun()); !errors.As(err, &run) || run.Cause != item.CauseFailed {
		t.Errorf("%v", err)
	}
	if entries, err := fs.ReadDir(os.DirFS(dir), "."); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// Every series of a run is there from the first one on, so that rates and alerts do not begin with a hole.
func TestARefusedRunHasTheSeriesOfAGoodOne(t *testing.T) {
	names := func(s sinks.Summary) []string {
		path := filepath.Join(t.TempDir(), "m")
		writeMetrics(t, path, s)
		var all []string
		for _, name := range slices.Sorted(maps.Keys(measured(t, path))) {
			if !strings.Contains(name, "reason=") {
				all = append(all, name)
			}
		}
		return all
	}
	if diff := cmp.Diff(names(goodRun()), names(refused())); diff != "" {
		t.Errorf("(-good +refused):\n%s", diff)
	}
}
