// Package rooms proves the cut on made-up rooms: on thousands of random ones, on all small ones, and on some that are real,
// planted in a running Synapse and purged by it.
package rooms

import (
	"context"
	"flag"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"synupkeep/internal/item"
	"synupkeep/internal/postgres"
	"synupkeep/internal/sandbox"
	"synupkeep/internal/sandbox/dag"
	"synupkeep/sources"
	"synupkeep/stages"
)

func TestMain(m *testing.M) {
	flag.Parse()
	given := map[string]bool{}
	flag.Visit(func(f *flag.Flag) { given[f.Name] = true })
	for name, value := range map[string]string{"rapid.checks": checks, "rapid.seed": os.Getenv("SYNUPKEEP_TEST_SEED")} {
		if value == "" || given[name] {
			continue
		}
		if err := flag.Set(name, value); err != nil {
			panic(err)
		}
	}
	os.Exit(sandbox.TestMain(m))
}

// testFor is how long the random tests go on, such as 10m.
const testFor = "SYNUPKEEP_TEST_FOR"

// checks is how many rooms rapid draws, unless -rapid.checks says otherwise.
const checks = "1000"

// repeat calls f once, or with new seeds until SYNUPKEEP_TEST_FOR is over. rapid logs the seed of a failure itself.
func repeat(t *testing.T, f func()) {
	t.Helper()
	begin, long := time.Now(), time.Duration(0)
	if text := os.Getenv(testFor); text != "" {
		var err error
		if long, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	for f(); time.Since(begin) < long && !t.Failed(); {
		f()
	}
}

// tables are empty ones, and the rules of a run with the defaults by the database's clock.
func tables(t *testing.T) (*pgxpool.Pool, dag.Rules) {
	t.Helper()
	db, drop, err := dag.Tables(t.Context(), sandbox.Shared(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := drop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	var now time.Time
	if err := db.QueryRow(t.Context(), `SELECT clock_timestamp()`).Scan(&now); err != nil {
		t.Fatal(err)
	}
	return db, dag.Defaults(now)
}

// cutter is the one of a run with these rules.
func cutter(db postgres.Querier, rules dag.Rules) *stages.Cutter {
	return &stages.Cutter{
		DB: db, CutOff: rules.CutOff, Now: rules.Now, GapGrace: rules.GapGrace, SlidingSync: true, KeepPinned: rules.KeepPinned,
		Holds: &stages.Holds{DB: db, ReportsSince: rules.ReportsSince},
	}
}

// failer is a *testing.T or a *rapid.T.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// agrees holds a verdict against what the room itself says.
func agrees(t failer, r dag.Room, rules dag.Rules, v stages.Verdict) dag.Want {
	t.Helper()
	want := r.Judge(rules)
	if want.Why != dag.WhyNoTip {
		got := dag.Want{Depth: v.Cut.Depth, Messages: v.Cut.Messages, Pinned: v.Cut.Pinned, Purge: want.Purge, Why: want.Why}
		if got != want {
			t.Fatalf("cut at %d (%s) with %d messages below it, %d of them pinned; %+v is wanted.\nOne step higher: %v\n%s",
				v.Cut.Depth, v.Cut.HeldBy, v.Cut.Messages, v.Cut.Pinned, want, r.Harm(rules, v.Cut.Depth+1), text(r))
		}
	}
	if (v.Status == item.Done) != want.Purge || !want.Purge && want.Why != dag.WhyNothing && string(v.Reason) != want.Why {
		t.Fatalf("cut at %d: %s, %q; %+v is wanted\n%s", v.Cut.Depth, v.Status, v.Reason, want, text(r))
	}
	if e := r.Event(v.Cut.EventID); want.Purge && (e == nil || e.Depth != v.Cut.Depth || !e.Named()) {
		t.Fatalf("the server is given %q to cut at %d\n%s", v.Cut.EventID, v.Cut.Depth, text(r))
	}
	return want
}

// foundBySender says whether phase A has to find a room that is to be purged. It goes by the sender's clock: one of the
// messages that go has to be old by that.
func foundBySender(r dag.Room, want dag.Want, rules dag.Rules) bool {
	return r.Has(func(e dag.Event) bool {
		return !e.State && !e.Outlier && e.Depth < want.Depth && e.Sent != nil && *e.Sent < rules.CutOff.UnixMilli()
	})
}

// found fails when phase A overlooks a room.
func found(t failer, room item.Room, r dag.Room, want dag.Want, rules dag.Rules) {
	t.Helper()
	if want.Purge && room.Verdict != "" && foundBySender(r, want, rules) {
		t.Fatalf("phase A says %q of a room with %+v\n%s", room.Verdict, want, text(r))
	}
}

// probe asks phase A about all rooms.
func probe(ctx context.Context, db postgres.Querier, rules dag.Rules) (map[string]item.Room, error) {
	all := map[string]item.Room{}
	for room, err := range (sources.Rooms{DB: db, CutOff: rules.CutOff, Page: 1000}).Each(ctx) {
		if err != nil {
			return nil, err
		}
		all[room.ID] = room
	}
	return all, nil
}
