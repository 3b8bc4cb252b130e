package sinks

import (
	"bytes"
	"io"
	"maps"
	"runtime"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"synupkeep/internal/item"
)

// Metrics is a text file for the node exporter of Prometheus: how the last run ended, and when one last ended well. Every
// label but the server's own name is of a closed set: no room, no user and no type of an event is named, whatever strangers
// make up.
type Metrics struct {
	// Warnings are what was found when the file was opened.
	Warnings []string

	path    string
	file    *File
	earlier earlier
}

// CreateMetrics makes sure, before anything is deleted, that the file can be written, and reads from the one that is there
// when a run last ended well. That it is damaged is a warning: then nothing is known of it. The mode is 0644, since the node
// exporter is another user and nothing in it is secret. See CreateFile.
func CreateMetrics(path string) (*Metrics, error) {
	f, err := createMetrics(path)
	if err != nil {
		return nil, err
	}
	m := &Metrics{path: path, file: f}
	m.earlier, m.Warnings = readEarlier(path, time.Now())
	return m, nil
}

func createMetrics(path string) (*File, error) {
	return CreateFile(path, FileKind{
		What: "the metrics", Flag: "metrics", Mode: 0o644, Missing: "what the run did is done, and in its output, but there are no new metrics",
	})
}

// Write puts the file in its place, as often as it is called: at the end of a run, and once more if that ended otherwise
// after all.
func (m *Metrics) Write(s Summary) error {
	if m.file == nil {
		var err error
		if m.file, err = createMetrics(m.path); err != nil {
			return err
		}
	}
	defer func() { m.file = nil }()
	return m.file.Write(func(w io.Writer) error { return writeMetrics(w, s, m.earlier) })
}

// Abandon leaves the file of an earlier run as it is.
func (m *Metrics) Abandon() error {
	if m.file == nil {
		return nil
	}
	return m.file.Abandon()
}

// writeMetrics writes the text format of Prometheus.
func writeMetrics(w io.Writer, s Summary, before earlier) error {
	s = s.normal()
	server, success := before.of(s.ServerName)
	if s.ExitCode == 0 {
		success = stamp(s.Ended)
	}
	registry := prometheus.NewPedanticRegistry()
	g := gauges{prometheus.WrapRegistererWith(prometheus.Labels{serverLabel: server}, registry)}
	g.run(s, success)
	g.flows(s.Flows)
	families, err := registry.Gather()
	if err != nil {
		return err
	}
	var text bytes.Buffer
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(&text, family); err != nil {
			return err
		}
	}
	_, err = w.Write(text.Bytes())
	return err
}

// stamp is a time in seconds, 0 for none.
func stamp(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}

const (
	serverLabel   = "server_name"
	lastSuccess   = "synupkeep_last_success_timestamp_seconds"
	lastRunPrefix = "synupkeep_last_run_"
)

// gauges registers what is measured. All of it is a state: each run replaces what the last one said.
type gauges struct{ prometheus.Registerer }

func (g gauges) set(name, help string, value float64) {
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	g.MustRegister(gauge)
	gauge.Set(value)
}

func (g gauges) vector(name, help string, labels ...string) *prometheus.GaugeVec {
	vector := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: lastRunPrefix + name, Help: help}, labels)
	g.MustRegister(vector)
	return vector
}

func (g gauges) run(s Summary, success float64) {
	g.set(lastSuccess, "When a run last ended with exit code 0; 0 if none has.", success)
	g.set(lastRunPrefix+"start_timestamp_seconds", "When the last run began.", stamp(s.Started))
	g.set(lastRunPrefix+"end_timestamp_seconds", "When the last run ended.", stamp(s.Ended))
	g.set(lastRunPrefix+"duration_seconds", "How long the last run took.", s.DurationS)
	g.set(lastRunPrefix+"exit_code", "The exit code of the last run; 0 is all done.", float64(s.ExitCode))
	g.set(lastRunPrefix+"errors", "What ended the last run or a flow of it.", float64(len(s.Errors)))
	g.set(lastRunPrefix+"warnings", "What the last run warned of.", float64(len(s.Warnings)))
	g.set(lastRunPrefix+"left_purges", "Purges that the server still worked on when the last run ended.",
		float64(int64(len(s.LeftPurges))+s.LeftPurgesNotNamed))
	causes := g.vector("cause", "1 for each reason why the exit code of the last run is not 0.", "cause")
	for _, c := range item.Causes() {
		causes.WithLabelValues(string(c)).Set(0)
	}
	for _, c := range s.Causes {
		causes.WithLabelValues(string(c)).Set(1)
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "synupkeep_build_info", Help: "1; the labels say which program it is.",
		ConstLabels: prometheus.Labels{"version": line(s.Version), "goversion": runtime.Version()},
	})
	g.MustRegister(build)
	build.Set(1)
}

func (g gauges) flows(flows []FlowSummary) {
	perFlow := []struct {
		vector *prometheus.GaugeVec
		value  func(FlowSummary) float64
	}{
		{g.vector("flow_ran", "1 if the flow was begun.", "flow"), func(f FlowSummary) float64 { return truth(f.Ran) }},
		{g.vector("flow_error", "1 if the flow could not do its work.", "flow"), func(f FlowSummary) float64 { return truth(f.Error != "") }},
		{g.vector("flow_duration_seconds", "How long the flow took.", "flow"), func(f FlowSummary) float64 { return f.DurationS }},
		{
			g.vector("flow_cut_off_timestamp_seconds", "Everything older was due; 0 if the run ended before it was known.", "flow"),
			func(f FlowSummary) float64 { return stamp(f.CutOff) },
		},
		{g.vector("rows_deleted", "Messages in history, media rows elsewhere.", "flow"), func(f FlowSummary) float64 { return float64(f.Rows) }},
		{g.vector("files_deleted", "Files, thumbnails included.", "flow"), func(f FlowSummary) float64 { return float64(f.Files) }},
		{g.vector("files_missing", "Content files that were not there any more.", "flow"), func(f FlowSummary) float64 { return float64(f.Missing) }},
		{
			g.vector("freed_bytes", "Bytes freed on disk, thumbnails included; history frees nothing that can be counted at once.", "flow"),
			func(f FlowSummary) float64 { return float64(f.Bytes) },
		},
		{g.vector("retries", "Calls that had to be made again.", "flow"), func(f FlowSummary) float64 { return float64(f.Retries) }},
	}
	items := g.vector("items", "Rooms or media by what became of them.", "flow", "status")
	sizes := g.vector("items_bytes", "Sizes of media by what became of them, as the database has them, without thumbnails.", "flow", "status")
	kept := g.vector("kept_items", "Rooms or media that are kept, by what keeps them; those that no item is kept for are left out.", "flow", "reason")
	skipped := g.vector("skipped_items", "Rooms or media that were skipped, by why; as kept_items.", "flow", "reason")
	left := g.vector("left_items", "Rooms or media that are left for the next run, by why; as kept_items.", "flow", "reason")
	held := g.vector("held_rooms", "Rooms that were purged, by what held their cut; as kept_items.", "flow", "reason")
	found := g.vector("findings", "Drift that was found, by its kind; as kept_items.", "flow", "finding")
	foundBytes := g.vector("findings_bytes", "What that had on disk.", "flow", "finding")
	for _, f := range flows {
		flow := flowLabel(f.Flow)
		for _, finding := range f.Findings {
			found.WithLabelValues(flow, reasonLabel(finding.Finding)).Add(float64(finding.Items))
			foundBytes.WithLabelValues(flow, reasonLabel(finding.Finding)).Add(float64(finding.Bytes))
		}
		for _, m := range perFlow {
			m.vector.WithLabelValues(flow).Add(m.value(f))
		}
		for status, n := range map[item.Status]int64{
			item.Done: f.Done, item.Kept: f.KeptTotal, item.Skipped: f.SkippedTotal, item.Failed: f.Failed, item.Left: f.LeftTotal,
		} {
			items.WithLabelValues(flow, string(status)).Add(float64(n))
			sizes.WithLabelValues(flow, string(status)).Add(float64(f.Sizes[status]))
		}
		addReasons(kept, flow, f.Kept)
		addReasons(skipped, flow, f.Skipped)
		addReasons(left, flow, f.Left)
		addReasons(held, flow, f.HeldBy)
	}
}

func truth(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

func addReasons(vector *prometheus.GaugeVec, flow string, counts map[item.Reason]int64) {
	for _, r := range slices.Sorted(maps.Keys(counts)) {
		vector.WithLabelValues(flow, reasonLabel(r)).Add(float64(counts[r]))
	}
}

// otherLabel is what is in no closed set.
const otherLabel = "other"

func flowLabel(f item.Flow) string {
	if slices.Contains(item.AllFlows(), f) {
		return string(f)
	}
	return otherLabel
}

// reasonLabel is a reason that the program has a word for: the types of state events are one.
func reasonLabel(r item.Reason) string {
	switch {
	case slices.Contains(item.Reasons(), r):
		return string(r)
	case r == item.StateEvent(""), ofState(r):
		return string(item.StateEvent(""))
	}
	return otherLabel
}
