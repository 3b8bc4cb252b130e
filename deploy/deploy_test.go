// Package deploy_test checks what operators take over as it is: rules and dashboards.
package deploy_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"

	"synupkeep/internal/item"
	"synupkeep/sinks"
)

// written is what a run writes: the names of the metrics, with all that each label takes.
func written(t *testing.T) map[string]map[string][]string {
	t.Helper()
	now := time.Now()
	tally := sinks.NewTally(item.Flows())
	for _, f := range item.Flows() {
		tally.Begin(f, now)
		tally.SetCutOff(f, now)
		for _, status := range item.Statuses() {
			for _, reason := range item.Reasons() {
				tally.Add(item.Outcome{Flow: f, Status: status, Reason: reason, Rows: 1})
			}
		}
		tally.End(f, now, nil)
	}
	s := tally.Summary()
	s.ServerName, s.Started, s.Ended = "example.org", now, now
	path := filepath.Join(t.TempDir(), "synupkeep.prom")
	m, err := sinks.CreateMetrics(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Write(s); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	text := expfmt.NewTextParser(model.LegacyValidation)
	families, err := text.TextToMetricFamilies(file)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]map[string][]string{}
	for name, family := range families {
		names[name] = map[string][]string{"instance": nil, "job": nil}
		for _, metric := range family.GetMetric() {
			for _, l := range metric.GetLabel() {
				names[name][l.GetName()] = append(names[name][l.GetName()], l.GetValue())
			}
		}
	}
	return names
}

// check fails when an expression is none, or asks for what no run writes.
func check(t *testing.T, where, expr string, names map[string]map[string][]string) {
	t.Helper()
	parsed, err := parser.ParseExpr(expr)
	if err != nil {
		t.Errorf("%s: %s: %v", where, expr, err)
		return
	}
	selectors := 0
	parser.Inspect(parsed, func(node parser.Node, _ []parser.Node) error {
		selector, ok := node.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		selectors++
		has, known := names[selector.Name]
		if !known {
			t.Errorf("%s: no run writes %s", where, selector.Name)
			return nil
		}
		for _, m := range selector.LabelMatchers {
			values, labeled := has[m.Name]
			switch {
			case m.Name == model.MetricNameLabel:
			case !labeled:
				t.Errorf("%s: %s has no label %s", where, selector.Name, m.Name)
			case m.Name != "server_name" && !slices.ContainsFunc(values, m.Matches):
				t.Errorf("%s: no %s of %s is %s", where, m.Name, selector.Name, m)
			}
		}
		return nil
	})
	if selectors == 0 {
		t.Errorf("%s: %s asks for nothing", where, expr)
	}
}

func TestTheRulesAreRules(t *testing.T) {
	names := written(t)
	groups, errs := rulefmt.ParseFile("prometheus/alerts.yaml", false, model.LegacyValidation)
	for _, err := range errs {
		t.Error(err)
	}
	if groups == nil || len(groups.Groups) != 1 {
		t.Fatal(groups)
	}
	seen := map[string]bool{}
	for _, rule := range groups.Groups[0].Rules {
		check(t, rule.Alert, rule.Expr, names)
		if seen[rule.Alert] || rule.Annotations["summary"] == "" || rule.Annotations["description"] == "" || rule.Labels["severity"] == "" {
			t.Errorf("%s: twice, or without a severity or a word to whoever is woken: %+v", rule.Alert, rule)
		}
		seen[rule.Alert] = true
	}
	for _, alert := range []string{"DoesNotRun", "NoSuccess", "RunFailed", "Refused", "ItemsFailed", "FallsBehind"} {
		if !seen["Synupkeep"+alert] {
			t.Errorf("no alert %s", alert)
		}
	}
}

func TestTheDashboardAsksForWhatThereIs(t *testing.T) {
	names := written(t)
	content, err := os.ReadFile("grafana/synupkeep.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Title, UID string
		Panels     []struct {
			Title   string
			GridPos struct{ X, Y, W, H int }
			Targets []struct{ Expr string }
		}
		Templating struct {
			List []struct{ Name, Definition string }
		}
	}
	if err := json.Unmarshal(content, &dashboard); err != nil {
		t.Fatal(err)
	}
	if len(dashboard.Panels) < 10 || dashboard.UID == "" {
		t.Errorf("%d panels", len(dashboard.Panels))
	}
	for i, p := range dashboard.Panels {
		if len(p.Targets) == 0 {
			t.Errorf("%s shows nothing", p.Title)
		}
		for _, target := range p.Targets {
			check(t, p.Title, strings.ReplaceAll(target.Expr, "$server_name", ".*"), names)
		}
		for _, q := range dashboard.Panels[:i] {
			a, b := p.GridPos, q.GridPos
			if a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
				t.Errorf("%s lies upon %s", p.Title, q.Title)
			}
		}
	}
	for _, v := range dashboard.Templating.List {
		if name, ok := strings.CutPrefix(v.Definition, "label_values("); ok {
			name, _, _ = strings.Cut(name, ",")
			check(t, v.Name, name, names)
		}
	}
}
