package faults_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"synupkeep/internal/sandbox/stock"
	"synupkeep/proof/program"
)

// TestRandomFaults lets run after run suffer what comes, each beginning where the one before ended, and after each few of
// them one that nobody disturbs, which has to end as if they had not been. SYNUPKEEP_TEST_FOR says for how long; a
// failure comes again with its seed in SYNUPKEEP_TEST_SEED, as far as the machine is as fast.
func TestRandomFaults(t *testing.T) {
	t.Parallel()
	seed, rounds, end := uint64(time.Now().UnixNano()), 1, time.Time{}
	if given := os.Getenv("SYNUPKEEP_TEST_SEED"); given != "" {
		var err error
		seed, err = strconv.ParseUint(given, 10, 64)
		must(t, err)
	}
	if given := os.Getenv("SYNUPKEEP_TEST_FOR"); given != "" {
		d, err := time.ParseDuration(given)
		must(t, err)
		end = time.Now().Add(d)
	}
	t.Logf("SYNUPKEEP_TEST_SEED=%d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	w := lend(t)
	round := 0
	for ; !t.Failed() && (round < rounds || time.Now().Before(end)); round++ {
		w.back(t)
		for range 1 + rng.IntN(3) {
			if w.suffersAnything(t, rng) == 0 {
				break // nothing is left to disturb
			}
		}
		w.finishes(t)
	}
	t.Logf("%d rounds", round)
}

// suffersAnything runs while faults come and go, and returns the exit code.
func (w *world) suffersAnything(t *testing.T, rng *rand.Rand) int {
	t.Helper()
	x := w.through(t)
	then := stock.OfServer(t, w.s)
	p := program.Start(t, x.where(t), slowly()...)
	var plan []string
	var heals []func()
	for range 1 + rng.IntN(3) {
		pause := time.Duration(rng.IntN(700)) * time.Millisecond
		lasts := time.Duration(rng.IntN(2500)) * time.Millisecond
		name, inflict := x.anything(t, rng)
		stays := rng.IntN(3) == 0 // until the run has ended
		plan = append(plan, fmt.Sprintf("%s after %v for %v, or until the end: %v", name, pause, lasts, stays))
		pass(p, pause)
		heal := inflict()
		if stays {
			heals = append(heals, heal)
			continue
		}
		pass(p, lasts)
		heal()
	}
	// No more than half a minute: what stays may be a silence.
	pass(p, 30*time.Second)
	for _, heal := range heals {
		heal()
	}
	r := p.Wait(t)
	sum, now := r.Summary(t), w.halfWay(t)
	for _, f := range sum.Flows[1:] {
		files, length := filesGone(then, now, string(f.Flow))
		if rows := rowsGone(then, now, string(f.Flow)); f.Rows > rows || f.Files > files || f.Bytes > length {
			t.Errorf("%s says that %d rows and %d files with %d bytes are gone, that are %d, %d, %d",
				f.Flow, f.Rows, f.Files, f.Bytes, rows, files, length)
		}
	}
	if r.Code == 0 {
		w.same(t)
	}
	t.Logf("exit code %d after %.1f s, causes %v: %s", r.Code, sum.DurationS, sum.Causes, strings.Join(plan, "; "))
	if t.Failed() {
		t.Logf("%+v\n%s", sum, r.Log)
	}
	return r.Code
}

// pass lets some time go by, or less if the run ends.
func pass(p *program.Process, d time.Duration) {
	select {
	case <-p.Ended():
	case <-time.After(d):
	}
}

// anything is a fault.
func (x *through) anything(t *testing.T, rng *rand.Rand) (name string, inflict func() (heal func())) {
	t.Helper()
	d, at := &x.api, "Synapse"
	if rng.IntN(2) == 0 {
		d, at = &x.pg, "PostgreSQL"
	}
	stream := []string{"upstream", "downstream"}[rng.IntN(2)]
	toxic := func(kind, attributes string) (string, func() func()) {
		return fmt.Sprintf("%s %s %s of %s", kind, attributes, stream, at), func() func() { return d.toxic(t, kind, stream, attributes) }
	}
	switch rng.IntN(12) {
	case 0:
		return toxic("latency", fmt.Sprintf(`"latency":%d,"jitter":%d`, rng.IntN(100), rng.IntN(100)))
	case 1:
		return toxic("bandwidth", fmt.Sprintf(`"rate":%d`, 20+rng.IntN(100)))
	case 2:
		return toxic("slow_close", fmt.Sprintf(`"delay":%d`, rng.IntN(1000)))
	case 3:
		return toxic("timeout", `"timeout":0`)
	case 4:
		return toxic("timeout", fmt.Sprintf(`"timeout":%d`, 1+rng.IntN(1000)))
	case 5:
		return toxic("reset_peer", fmt.Sprintf(`"timeout":%d`, rng.IntN(200)))
	case 6:
		return toxic("limit_data", fmt.Sprintf(`"bytes":%d`, 1+rng.IntN(20000)))
	case 7:
		return "down " + at, func() func() { return d.down(t) }
	case 8:
		return "cut " + at, func() func() { return d.cut(t) }
	case 9:
		return "Synapse is stopped", func() func() { return x.synapseAway(t, syscall.SIGTERM) }
	case 10:
		return "Synapse is killed", func() func() { return x.synapseAway(t, syscall.SIGKILL) }
	default:
		sig := []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT}[rng.IntN(2)]
		return fmt.Sprintf("PostgreSQL gets %v", sig), func() func() { return x.postgresAway(t, sig) }
	}
}

func (w *world) synapseAway(t *testing.T, sig syscall.Signal) (back func()) {
	t.Helper()
	if pid := w.s.SynapsePID(); pid != 0 {
		must(t, syscall.Kill(pid, sig))
		until(t, "Synapse has ended", func() bool { return w.s.SynapsePID() == 0 })
	}
	return func() { w.bothBack(t) }
}

// postgresAway ends PostgreSQL. Synapse is restarted with it: a purge that was under way never ends otherwise.
func (w *world) postgresAway(t *testing.T, sig syscall.Signal) (back func()) {
	t.Helper()
	if w.s.WithDB(t.Context(), func(context.Context, *pgx.Conn) error { return nil }) == nil {
		w.endPostgres(t, sig)
	}
	return func() {
		must(t, w.s.StopSynapse(t.Context()))
		w.bothBack(t)
	}
}

// bothBack starts what is down: Synapse does not start without its database.
func (w *world) bothBack(t *testing.T) {
	t.Helper()
	must(t, errors.Join(w.s.StartPostgres(t.Context()), w.s.StartSynapse(t.Context())))
}
