// Bench measures synupkeep against baselines on a real Synapse and a real PostgreSQL, side by side in one run, and prints
// the ratio of the medians. Everything that is compared begins from the same snapshot, in turns.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"synupkeep/config"
	"synupkeep/internal/item"
	"synupkeep/internal/logging"
	"synupkeep/internal/sandbox"
	"synupkeep/pipeline"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := bench(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// contender is one of the things that are compared: run does the work once and is timed.
type contender struct {
	name string
	run  func(ctx context.Context) error
}

// comparison is a row of the result.
type comparison struct {
	name     string
	ours     contender
	baseline contender
	// ratio turns the medians into the number that the target is about.
	target string
	faster bool // the ratio says how many times faster we are, else how many times longer we take
	runs   int
	// before is done once, after says at the end what else there is to say; both may be nil.
	before func(ctx context.Context) error
	after  func() string
}

// driftFiles is how many files the store of drift has.
var driftFiles = flag.Int("drift-files", 200_000, "how many files drift walks; the benchmark that counts has 1000000") //nolint:gochecknoglobals // a flag

func bench(ctx context.Context) error {
	runs := flag.Int("runs", 5, "how often each contender runs")
	slow := flag.Int("slow-runs", 3, "the same for baselines that take more than a minute")
	only := flag.String("only", "history,local-media,shown,drift", "what to measure")
	flag.Parse()
	server, err := sandbox.Start(ctx, sandbox.Options{Log: os.Stderr})
	if err != nil {
		return err
	}
	defer func() { _ = server.Stop() }() // it is a temporary one
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(out, "what\tours, median\tagainst\tmedian\tratio\ttarget\t")
	for _, group := range []struct {
		name string
		rows func(ctx context.Context, s *sandbox.Server, runs, slow int) ([]comparison, func(context.Context) error, error)
	}{{"history", historyRows}, {"local-media", localMediaRows}, {"shown", shownRows}, {"drift", driftRows}} {
		if !slices.Contains(strings.Split(*only, ","), group.name) {
			continue
		}
		rows, reset, err := group.rows(ctx, server, *runs, *slow)
		if err != nil {
			return fmt.Errorf("%s: %w", group.name, err)
		}
		for _, row := range rows {
			if err := row.measure(ctx, reset, out); err != nil {
				return fmt.Errorf("%s: %w", row.name, err)
			}
		}
	}
	return nil
}

// measure takes turns, so that a machine whose speed drifts does not decide.
func (c comparison) measure(ctx context.Context, reset func(context.Context) error, out *tabwriter.Writer) error {
	var ours, theirs []time.Duration
	if c.before != nil {
		if err := c.before(ctx); err != nil {
			return err
		}
	}
	for range c.runs {
		for _, side := range []struct {
			contender
			times *[]time.Duration
		}{{c.baseline, &theirs}, {c.ours, &ours}} {
			if err := reset(ctx); err != nil {
				return err
			}
			began := time.Now()
			if err := side.run(ctx); err != nil {
				return fmt.Errorf("%s: %w", side.name, err)
			}
			took := time.Since(began)
			fmt.Fprintf(os.Stderr, "%s: %s %v\n", c.name, side.name, took.Round(time.Millisecond))
			*side.times = append(*side.times, took)
		}
	}
	us, them := median(ours), median(theirs)
	ratio := fmt.Sprintf("%.2f times its time", us.Seconds()/them.Seconds())
	if c.faster {
		ratio = fmt.Sprintf("%.1f times faster", them.Seconds()/us.Seconds())
	}
	if c.after != nil {
		ratio += ", " + c.after()
	}
	_, err := fmt.Fprintf(out, "%s\t%v\t%s\t%v\t%s\t%s\t\n", c.name, us.Round(time.Millisecond), c.baseline.name,
		them.Round(time.Millisecond), ratio, c.target)
	return errors.Join(err, out.Flush())
}

func median(times []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(times))
	return sorted[len(sorted)/2]
}

// cutOffAge is far younger than what is planted.
const cutOffAge = 30 * 24 * time.Hour

// synupkeep is a whole run with one flow, planning included. Everything must be done in the end.
func synupkeep(server *sandbox.Server, flow item.Flow, inFlight int) contender {
	return contender{name: "synupkeep", run: func(ctx context.Context) error {
		cfg := &config.Config{
			Postgres: config.NewSecret(server.ConnString()), APIURL: server.APIURL(),
			Token:      config.Token{Given: config.NewSecret(server.AdminToken())},
			MediaStore: server.MediaStore(), StateDir: filepath.Join(server.Dir(), "state"), Flows: []item.Flow{flow}, Quiet: true,
			Ages:     map[item.Flow]config.Age{flow: {Delta: cutOffAge}},
			History:  config.History{InFlight: inFlight, Timeout: time.Hour, GapGrace: 72 * time.Hour, ReportHold: 14 * 24 * time.Hour},
			Media:    config.Media{DeleteConcurrency: 4, BatchSize: 1000, KeepShown: true, Via: config.ViaDisk},
			RetryFor: time.Minute,
		}
		log := logging.New(os.Stderr, logging.LevelError, logging.Text)
		if causes := pipeline.Run(ctx, ctx, cfg, log, io.Discard); len(causes) > 0 {
			return fmt.Errorf("the run ended with %v", causes)
		}
		return left(ctx, server, flow)
	}}
}
