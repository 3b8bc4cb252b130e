package deploy_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"

	"synupkeep/internal/item"
	"synupkeep/sinks"
)

// scraped is what Prometheus has of one file, at one time.
type scraped []storage.Series

// sample is one value.
type sample struct {
	t int64
	v float64
}

func (s sample) T() int64                      { return s.t }
func (s sample) ST() int64                     { return 0 }
func (s sample) F() float64                    { return s.v }
func (s sample) H() *histogram.Histogram       { return nil }
func (s sample) FH() *histogram.FloatHistogram { return nil }
func (s sample) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (s sample) Copy() chunks.Sample           { return s }

// scrape reads what a run wrote.
func scrape(t *testing.T, text string, at time.Time) scraped {
	t.Helper()
	p := expfmt.NewTextParser(model.LegacyValidation)
	families, err := p.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	var s scraped
	for name, family := range families {
		for _, metric := range family.GetMetric() {
			has := []string{model.MetricNameLabel, name, "instance", "host:9100", "job", "node"}
			for _, l := range metric.GetLabel() {
				has = append(has, l.GetName(), l.GetValue())
			}
			s = append(s, storage.NewListSeries(labels.FromStrings(has...), []chunks.Sample{sample{at.UnixMilli(), metric.GetGauge().GetValue()}}))
		}
	}
	return s
}

// queryable answers as the database of Prometheus does.
func (s scraped) queryable() storage.Queryable {
	return &storage.MockQueryable{MockQuerier: &storage.MockQuerier{
		SelectMockFunction: func(_ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
			return &set{series: slices.DeleteFunc(slices.Clone(s), func(series storage.Series) bool {
				return slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches(series.Labels().Get(m.Name)) })
			})}
		},
	}}
}

// set yields series.
type set struct {
	series []storage.Series
	next   int
}

func (s *set) Next() bool                        { s.next++; return s.next <= len(s.series) }
func (s *set) At() storage.Series                { return s.series[s.next-1] }
func (s *set) Err() error                        { return nil }
func (s *set) Warnings() annotations.Annotations { return nil }

// firing are the alerts whose expression is true at a time.
func firing(t *testing.T, s scraped, at time.Time) (alerts []string) {
	t.Helper()
	groups, errs := rulefmt.ParseFile("prometheus/alerts.yaml", false, model.LegacyValidation)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 10000, Timeout: time.Minute})
	for _, rule := range groups.Groups[0].Rules {
		query, err := engine.NewInstantQuery(t.Context(), s.queryable(), nil, rule.Expr, at)
		if err != nil {
			t.Fatal(err)
		}
		result := query.Exec(t.Context())
		vector, err := result.Vector()
		if err != nil {
			t.Fatalf("%s: %v", rule.Alert, err)
		}
		if len(vector) > 0 {
			alerts = append(alerts, strings.TrimPrefix(rule.Alert, "Synupkeep"))
		}
		query.Close()
	}
	return alerts
}

// TestWhatWakesSomebody evaluates the rules on what runs write, by Prometheus' own engine.
func TestWhatWakesSomebody(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	ended := func(hoursAgo int, causes ...item.Cause) sinks.Summary {
		end := now.Add(time.Duration(-hoursAgo) * time.Hour)
		s := sinks.Summary{ServerName: "example.org", Ending: sinks.Ending{Started: end.Add(-time.Hour), Ended: end}, Flows: []sinks.FlowSummary{{Flow: item.History, Ran: true}}}
		for _, c := range causes {
			s.AddCause(c)
		}
		return s
	}
	failed, purges := ended(8, item.CauseItems), ended(8, item.CauseLeft)
	failed.Flows[0].Failed = 3
	purges.LeftPurges = []sinks.LeftPurge{{RoomID: "!a", PurgeID: "p"}}
	for _, test := range []struct {
		name string
		runs []sinks.Summary // the first long ago
		want []string
	}{
		{"all is well", []sinks.Summary{ended(8)}, nil},
		{"no run for two days", []sinks.Summary{ended(48)}, []string{"DoesNotRun", "NoSuccess"}},
		{"fails since yesterday", []sinks.Summary{ended(32), ended(8, item.CauseFailed)}, []string{"RunFailed"}},
		{"fails for days", []sinks.Summary{ended(80), ended(8, item.CauseFailed)}, []string{"NoSuccess", "RunFailed"}},
		{"never went well", []sinks.Summary{ended(8, item.CauseToken)}, []string{"NoSuccess", "RunFailed"}},
		{"refused", []sinks.Summary{ended(32), ended(8, item.CauseRefused)}, []string{"Refused"}},
		{"refused for days", []sinks.Summary{ended(80), ended(8, item.CauseRefused)}, []string{"NoSuccess", "Refused"}},
		{"items failed", []sinks.Summary{ended(32), failed}, []string{"RunFailed", "ItemsFailed"}},
		{"work is left", []sinks.Summary{ended(32), ended(8, item.CauseLeft)}, nil},
		{"work is left for days", []sinks.Summary{ended(100), ended(8, item.CauseLeft)}, nil},
		{"work is left for a week", []sinks.Summary{ended(200), ended(8, item.CauseLeft)}, []string{"FallsBehind"}},
		{"work was left two days ago, and nothing since", []sinks.Summary{ended(56), ended(48, item.CauseLeft)}, []string{"DoesNotRun"}},
		{"a purge does not end", []sinks.Summary{ended(32), purges}, []string{"PurgesLeft"}},
		{"nothing is known", nil, []string{"MetricsMissing"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "m")
			text := ""
			for _, s := range test.runs {
				m, err := sinks.CreateMetrics(path)
				if err != nil {
					t.Fatal(err)
				}
				if err := m.Write(s); err != nil {
					t.Fatal(err)
				}
				content, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				text = string(content)
			}
			if diff := cmp.Diff(test.want, firing(t, scrape(t, text, now), now)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
