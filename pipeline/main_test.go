package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"synupkeep/config"
	"synupkeep/internal/item"
	"synupkeep/internal/logging"
	"synupkeep/internal/sandbox"
	"synupkeep/sinks"
)

func TestMain(m *testing.M) {
	if given := os.Getenv(childEnv); given != "" {
		os.Exit(child(given))
	}
	os.Exit(sandbox.TestMain(m))
}

// result is what one run said.
type result struct {
	causes  []item.Cause
	summary sinks.Summary
	log     string
	out     string
}

func (r result) flow(t testing.TB, f item.Flow) sinks.FlowSummary {
	t.Helper()
	for _, s := range r.summary.Flows {
		if s.Flow == f {
			return s
		}
	}
	t.Fatalf("the summary has no flow %s:\n%s", f, r.out)
	return sinks.FlowSummary{}
}

// settings are those of a run on the sandbox with a cut-off of 30 days.
func settings(s *sandbox.Server, flows ...item.Flow) *config.Config {
	cfg := &config.Config{
		Command:    config.CommandRun,
		Postgres:   config.NewSecret(s.ConnString()),
		APIURL:     s.APIURL(),
		Token:      config.Token{Given: config.NewSecret(s.AdminToken())},
		MediaStore: s.MediaStore(),
		StateDir:   filepath.Join(s.Dir(), "state"),
		Flows:      flows,
		Ages:       map[item.Flow]config.Age{},
		RetryFor:   10 * time.Second,
		History: config.History{
			InFlight: 3, Timeout: time.Minute, GapGrace: 72 * time.Hour, ReportHold: 14 * 24 * time.Hour,
		},
		Media: config.Media{DeleteConcurrency: 4, BatchSize: 1000, KeepShown: true, Via: config.ViaDisk},
		JSON:  true,
	}
	for _, f := range flows {
		cfg.Ages[f] = config.Age{Delta: 30 * 24 * time.Hour}
	}
	return cfg
}

// do runs and reads the summary back.
func do(t testing.TB, cfg *config.Config) result {
	t.Helper()
	var out, log bytes.Buffer
	causes := Run(t.Context(), t.Context(), cfg, logging.New(&log, logging.LevelTrace, logging.Text), &out)
	r := result{causes: causes, log: log.String(), out: out.String()}
	asTheSchemaSays(t, out.Bytes())
	if err := json.Unmarshal(out.Bytes(), &r.summary); err != nil {
		t.Fatalf("the summary is not JSON: %v\n%s\n%s", err, out.String(), log.String())
	}
	return r
}

func mustDo[T any](t testing.TB, f func(context.Context) (T, error)) T {
	t.Helper()
	v, err := f(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return v
}
