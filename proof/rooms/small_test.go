package rooms

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"synupkeep/internal/item"
	"synupkeep/internal/sandbox/dag"
	"synupkeep/stages"
)

// TestCutOfEverySmallRoom takes the cut of every room of up to six events that dag.EverySmall lists (its comment says what
// that is) and judges each as TestCutOfAnyRoom does. Of a shape, a cut depends on nothing but the depths of the events and
// on which of them are ends; that it does not depend on more is what the first part shows, with all 10,106 shapes there are.
// Together these are 35,838 rooms. Of those that are purged a third is asked about a second time, all of them when
// SYNUPKEEP_TEST_FOR is set.
func TestCutOfEverySmallRoom(t *testing.T) {
	ctx := t.Context()
	db, rules := tables(t)
	rules.KeepPinned = true
	begin := time.Now()
	all := dag.EverySmall(rules)
	// 10,106 = 1 + 1 + 3 + 21 + 315 + 9,765: the i-th event follows one of 2^(i-1)-1 sets of earlier ones.
	if all.Shapes != 10_106 || all.Profiles != 56 || len(all.Rooms) != 35_838 {
		t.Errorf("%d graphs with %d profiles and %d rooms: these are not all", all.Shapes, all.Profiles, len(all.Rooms))
	}
	judgeAll(ctx, t, db, rules, all.Rooms)
	t.Logf("%d rooms judged after %v", len(all.Rooms), time.Since(begin))
}

func judgeAll(ctx context.Context, t *testing.T, db *pgxpool.Pool, rules dag.Rules, rooms []dag.Room) {
	t.Helper()
	replace(ctx, t, db, rooms)
	verdicts := takeAll(ctx, t, db, rules, rooms)
	listed, err := probe(ctx, db, rules)
	if err != nil {
		t.Fatal(err)
	}
	var purged, again []dag.Room
	for i, r := range rooms {
		want := agrees(t, r, rules, verdicts[i])
		found(t, listed[r.ID], r, want, rules)
		if want.Purge {
			after, err := r.Purge(want.Depth)
			if err != nil {
				t.Fatal(err)
			}
			if purged = append(purged, after); len(purged)%3 == 0 || os.Getenv(testFor) != "" {
				again = append(again, after)
			}
		}
	}
	if len(purged) < len(rooms)/3 {
		t.Errorf("only %d of %d rooms had anything to purge", len(purged), len(rooms))
	}
	replace(ctx, t, db, again)
	for i, v := range takeAll(ctx, t, db, rules, again) {
		if v.Status != item.Kept || v.Cut.Messages != 0 {
			t.Fatalf("after the purge: %+v\n%s", v, text(again[i]))
		}
	}
	t.Logf("%d of %d rooms had something to purge", len(purged), len(rooms))
}

// replace fills the tables with these rooms and no others.
func replace(ctx context.Context, t *testing.T, db *pgxpool.Pool, rooms []dag.Room) {
	t.Helper()
	err := pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, dag.Clear(), pgx.QueryExecModeSimpleProtocol); err != nil {
			return err
		}
		return dag.Write(ctx, tx, rooms...)
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(ctx, `ANALYZE`); err != nil {
		t.Fatal(err)
	}
}

func takeAll(ctx context.Context, t *testing.T, db *pgxpool.Pool, rules dag.Rules, rooms []dag.Room) []stages.Verdict {
	t.Helper()
	verdicts := make([]stages.Verdict, len(rooms))
	c := cutter(db, rules)
	g, ctx := errgroup.WithContext(ctx)
	const workers = 3
	for worker := range workers {
		g.Go(func() (err error) {
			for i := worker; i < len(rooms) && err == nil; i += workers {
				verdicts[i], err = c.Take(ctx, rooms[i].ID)
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	return verdicts
}
