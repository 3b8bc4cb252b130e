package crowds_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"synupkeep/internal/item"
	"synupkeep/internal/sandbox/stock"
	"synupkeep/proof/program"
)

// TestACrowdLosesNothing lets clients do what clients do while run after run deletes, and compares what the server told
// them with what is there afterwards.
func TestACrowdLosesNothing(t *testing.T) {
	seed := rand.Uint64()
	if given := os.Getenv("SYNUPKEEP_TEST_SEED"); given != "" {
		var err error
		seed, err = strconv.ParseUint(given, 10, 64)
		must(t, err)
	}
	t.Logf("SYNUPKEEP_TEST_SEED=%d", seed)
	begun := time.Now()
	var long time.Duration
	if given := os.Getenv("SYNUPKEEP_TEST_FOR"); given != "" {
		var err error
		long, err = time.ParseDuration(given)
		must(t, err)
	}
	c := newCrowd(t)
	for round := uint64(0); round == 0 || time.Since(begun) < long; round++ {
		c.begin(t, seed+round)
		runs := c.meanwhile(t)
		after, back := judge(t, c)
		c.nothingMissing(t)
		t.Logf("round %d: %+v; pictures that somebody came to show while they were deleted: %d after the commit, %d before it and put back",
			round, runs, after, back)
		if t.Failed() {
			t.FailNow()
		}
	}
}

// counts says what the runs and the clients did.
type counts struct {
	Runs, Refused  int // refused because another one was running
	Rooms, Uploads int64
	Did            map[string]int
}

// least is how many runs there are at least while the crowd is there.
const least = 5

// meanwhile lets runs go on while the clients live, and a last one when they have gone.
func (c *crowd) meanwhile(t *testing.T) counts {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var together sync.WaitGroup
	defer together.Wait()
	defer cancel()
	for _, m := range c.members {
		together.Go(func() { m.live(ctx, t.Context()) })
	}
	together.Go(func() {
		if err := c.s.WithDB(t.Context(), func(all context.Context, db *pgx.Conn) error {
			for ctx.Err() == nil {
				if err := c.refresh(all, db); err != nil {
					return err
				}
				select {
				case <-ctx.Done():
				case <-time.After(30 * time.Millisecond):
				}
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	})
	n := counts{Did: map[string]int{}}
	for n.Runs < least || n.Refused == 0 {
		r, refused := c.twice(t)
		if refused {
			n.Refused++
		}
		c.add(t, &n, r)
	}
	cancel()
	together.Wait()
	c.add(t, &n, program.Run(t, c.where))
	for _, m := range c.members {
		for what, times := range m.did {
			n.Did[what] += times
		}
		for _, err := range m.wrong {
			t.Errorf("a client was told what it would not have been told without a run: %v\n%s", err, c.synapseSays(t))
		}
	}
	if n.Rooms < planted/2 || n.Uploads < pictures/8 {
		t.Errorf("only %d rooms and %d uploads went: the test shows little", n.Rooms, n.Uploads)
	}
	return n
}

// synapseSays is the end of what Synapse has logged of errors.
func (c *crowd) synapseSays(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(c.s.Dir(), "synapse.log"))
	must(t, err)
	if at := bytes.LastIndex(content, []byte(" ERROR synapse.http.server")); at > 0 {
		content = content[at:]
	}
	return string(content[:min(len(content), 8000)])
}

// logged says whether a text stands in Synapse's log.
func (c *crowd) logged(text string) bool {
	content, err := os.ReadFile(filepath.Join(c.s.Dir(), "synapse.log"))
	return err == nil && bytes.Contains(content, []byte(text))
}

// twice runs the program, and once more while that lasts. refused says that the second one was refused as it has to be.
func (c *crowd) twice(t *testing.T) (_ program.Result, refused bool) {
	t.Helper()
	limits := []string{"--limit-rooms", "8", "--limit-media", "250", "--batch-size", "20", "--purge-concurrency", "2"}
	first := program.Start(t, c.where, limits...)
	for locked := false; !locked; {
		select {
		case <-first.Ended():
			return first.Wait(t), false
		case <-time.After(10 * time.Millisecond):
			locked = stock.All[bool](t, c.s, `SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_stat_activity a USING (pid)
				WHERE l.locktype = 'advisory' AND l.granted AND a.application_name LIKE 'synupkeep%')`)[0]
		}
	}
	second := program.Start(t, c.where, limits...).Wait(t)
	select {
	case <-first.Ended():
		return first.Wait(t), false // it may have been over before the second one came to the lock
	default:
	}
	if second.Code != item.ExitCode([]item.Cause{item.CauseLocked}) {
		t.Errorf("a second run: exit code %d\n%s", second.Code, second.Log)
	}
	return first.Wait(t), true
}

func (c *crowd) add(t *testing.T, n *counts, r program.Result) {
	t.Helper()
	n.Runs++
	if r.Code != 0 && r.Code != item.ExitCode([]item.Cause{item.CauseLeft}) {
		t.Errorf("run %d: exit code %d\n%s\n%s", n.Runs, r.Code, r.Out, r.Log)
	}
	sum := r.Summary(t)
	t.Logf("run %d: exit code %d after %.1f s", n.Runs, r.Code, sum.DurationS)
	for _, f := range sum.Flows {
		switch f.Flow {
		case item.History:
			n.Rooms += f.Done
		case item.LocalMedia:
			n.Uploads += f.Done
		case item.RemoteMedia, item.Previews:
		}
	}
}

// nothingMissing: what the server acknowledged is there, and every room takes messages.
func (c *crowd) nothingMissing(t *testing.T) {
	t.Helper()
	if hurt := stock.Hurt(t, c.s); len(hurt) > 0 {
		t.Errorf("hurt rooms: %v", hurt)
	}
	gone := map[string]bool{}
	for _, id := range stock.All[string](t, c.s, `SELECT key FROM ledger WHERE what = 'deletion'`) {
		gone["mxc://"+c.s.ServerName()+"/"+id] = true
	}
	for _, m := range c.members {
		var ids []string
		for _, e := range m.events {
			ids = append(ids, e.id)
		}
		missing := stock.All[string](t, c.s, `SELECT id FROM unnest($1::text[]) id WHERE NOT EXISTS (SELECT FROM events e
			JOIN event_json j USING (event_id) JOIN event_to_state_groups g USING (event_id) WHERE e.event_id = id AND NOT e.outlier)`, ids)
		if len(missing) > 0 {
			t.Errorf("%s sent %d events, these are missing: %v", m.as.UserID(), len(ids), missing)
		}
		for _, u := range m.uploads {
			if err := m.downloads(t.Context(), u); err != nil {
				t.Error(err)
			}
		}
		if m.avatar != "" && !gone[m.avatar] { // what is gone has been judged
			if status, _, err := m.as.Download(t.Context(), m.avatar); err != nil || status != http.StatusOK {
				t.Errorf("the avatar of %s: status %d, %v", m.as.UserID(), status, err)
			}
		}
		for _, room := range m.own {
			id, err := m.as.Send(t.Context(), room, "afterwards")
			if err == nil {
				_, err = m.as.Event(t.Context(), room, id)
			}
			if err != nil {
				t.Errorf("room %s takes no message: %v", room, err)
			}
		}
	}
}
