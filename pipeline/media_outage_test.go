package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"path"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"synupkeep/config"
	"synupkeep/internal/item"
	"synupkeep/internal/logging"
	"synupkeep/internal/sandbox"
	"synupkeep/internal/sandbox/stock"
)

// plenty plants n old uploads with a thumbnail each.
func plenty(t testing.TB, s *sandbox.Server, n int) (mxcs []string) {
	t.Helper()
	plantMedia(t, s, func(ctx context.Context, p *sandbox.Plant) (err error) {
		m := sandbox.Media{Data: bytes.Repeat([]byte("x"), 100), Thumbnails: 1, Created: time.Now().Add(-longAgo)}
		mxcs, err = p.LocalMedia(ctx, n, m, time.Second)
		return err
	})
	return mxcs
}

// beside runs, and calls f with the number of rows that are left, again and again, until f says that it has seen enough.
func beside(t testing.TB, s *sandbox.Server, run func() result, f func(left int) bool) <-chan result {
	t.Helper()
	done := make(chan result, 1)
	go func() { done <- run() }()
	until(t, "the run is in the middle", func() bool {
		return f(stock.All[int](t, s, `SELECT count(*)::int FROM local_media_repository`)[0])
	})
	return done
}

// rowsHaveFiles fails if the content file of a row is gone. It returns what lies there and belongs to no row.
func rowsHaveFiles(t testing.TB, s *sandbox.Server) (orphans []string) {
	t.Helper()
	left := stock.OfMedia(t, s)
	named := map[string]bool{}
	for _, r := range left.Rows {
		if r.Table != "local_media_repository" {
			continue
		}
		content, thumbnails := r.Places()
		named[content], named[thumbnails] = true, true
		if _, there := left.Files[content]; !there {
			t.Errorf("%s has a row and no file", content)
		}
	}
	for name := range left.Files {
		if !named[name] && !named[path.Dir(name)] {
			orphans = append(orphans, name)
		}
	}
	return orphans
}

func nothingLeft(t testing.TB, s *sandbox.Server) {
	t.Helper()
	if left := stock.OfMedia(t, s); len(left.Files)+len(left.Rows) > 0 {
		t.Errorf("left are %d rows, %d files", len(left.Rows), len(left.Files))
	}
}

// TestPostgresIsRestartedDuringALargeDeletion costs the run its lock: another one could begin, so it deletes nothing more
// and leaves the rest to the next.
func TestPostgresIsRestartedDuringALargeDeletion(t *testing.T) {
	s := emptied(t)
	const n = 1200
	plenty(t, s, n)
	cfg := settings(s, item.LocalMedia)
	cfg.Media.BatchSize, cfg.RetryFor = 20, 20*time.Second
	done := beside(t, s, func() result { return do(t, cfg) }, func(left int) bool { return left < n-200 })
	restart(t, s, time.Second)
	partial(t, s, <-done, n)
}

// partial checks what a run left that ended early, and that the next one finishes it.
func partial(t testing.TB, s *sandbox.Server, r result, n int) {
	t.Helper()
	sum := r.flow(t, item.LocalMedia)
	if code := item.ExitCode(r.causes); code != 1 || len(r.summary.Errors) == 0 || sum.Done < 200 || sum.Done == int64(n) {
		t.Errorf("exit code %d, want 1 and a partial result: %+v, %+v", code, sum, r.summary.Errors)
	}
	if orphans := rowsHaveFiles(t, s); len(orphans) > 0 {
		t.Errorf("these have no row any more: %v", orphans)
	}
	if left := stock.All[int](t, s, `SELECT count(*)::int FROM local_media_repository`)[0]; int64(n-left) != sum.Rows {
		t.Errorf("%d rows are gone, %d are reported", n-left, sum.Rows)
	}
	r = do(t, settings(s, item.LocalMedia))
	wantCauses(t, r)
	wantCounts(t, r, item.LocalMedia, map[string]int64{"done": int64(n) - sum.Rows})
	nothingLeft(t, s)
	// Synapse has an error for each connection that it lost. They are not for the tests that follow.
	if err := errors.Join(s.StopSynapse(t.Context()), s.StartSynapse(t.Context())); err != nil {
		t.Fatal(err)
	}
}

// restart stops PostgreSQL, in the middle of whatever it does, and starts it again.
func restart(t testing.TB, s *sandbox.Server, pause time.Duration) {
	t.Helper()
	if err := s.StopPostgres(t.Context()); err != nil {
		t.Error(err)
	}
	<-time.After(pause)
	if err := s.StartPostgres(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestPostgresGoesAwayDuringALargeDeletion(t *testing.T) {
	s := emptied(t)
	const n = 1200
	plenty(t, s, n)
	cfg := settings(s, item.LocalMedia)
	cfg.Media.BatchSize, cfg.RetryFor = 20, time.Second
	done := beside(t, s, func() result { return do(t, cfg) }, func(left int) bool { return left < n-200 })
	if err := s.StopPostgres(t.Context()); err != nil {
		t.Error(err)
	}
	r := <-done
	if err := s.StartPostgres(t.Context()); err != nil {
		t.Fatal(err)
	}
	partial(t, s, r, n)
}

// commitCutter passes the frontend protocol of PostgreSQL on and cuts connections at their commits: every third one
// after the server has got it, so that only the answer is lost, every fifth one before.
type commitCutter struct {
	to string

	mu      sync.Mutex
	commits int
	lost    int // commits of which the server never learnt
}

func (c *commitCutter) listen(t *testing.T) *net.TCPAddr {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var open sync.WaitGroup
	open.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			open.Go(func() { c.serve(t, client) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		open.Wait()
	})
	return listener.Addr().(*net.TCPAddr)
}

func (c *commitCutter) serve(t *testing.T, client net.Conn) {
	server, err := net.Dial("tcp", c.to)
	if err != nil {
		t.Error(err)
		return
	}
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(client, server)
		_ = client.Close()
	})
	buffer := make([]byte, 1<<16)
	for {
		n, err := client.Read(buffer)
		if err != nil {
			break
		}
		pass, cut := true, false
		if bytes.Contains(buffer[:n], []byte("Q\x00\x00\x00\x0bcommit\x00")) {
			pass, cut = c.fate()
		}
		if cut {
			_ = client.Close()
		}
		if pass {
			_, _ = server.Write(buffer[:n])
		}
		if cut {
			break
		}
	}
	_ = server.Close()
	back.Wait()
}

func (c *commitCutter) fate() (pass, cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.commits++
	switch {
	case c.commits%5 == 0:
		c.lost++
		return false, true
	case c.commits%3 == 0:
		return true, true
	}
	return true, false
}

func TestConnectionsThatEndWithTheCommitLoseNothing(t *testing.T) {
	s := emptied(t)
	const n = 400
	plenty(t, s, n)
	cutter := &commitCutter{to: net.JoinHostPort(s.PGHost(), strconv.Itoa(s.PGPort()))}
	addr := cutter.listen(t)
	cfg := settings(s, item.LocalMedia)
	cfg.Postgres = config.NewSecret(strings.Replace(s.ConnString(), "port="+strconv.Itoa(s.PGPort()), "port="+strconv.Itoa(addr.Port), 1))
	cfg.Media.BatchSize = 15
	r := do(t, cfg)
	wantCauses(t, r)
	wantCounts(t, r, item.LocalMedia, map[string]int64{"done": n})
	if sum := r.flow(t, item.LocalMedia); sum.Rows != n || sum.Files != 2*n || sum.Missing != 0 {
		t.Errorf("%+v", sum)
	}
	nothingLeft(t, s)
	if cutter.lost < 3 || cutter.commits < 20 {
		t.Errorf("%d of %d commits were lost: too few to tell", cutter.lost, cutter.commits)
	}
}

// TestAHardStopLeavesNothingBehindForEver stops hard at several moments; the next run finishes.
func TestAHardStopLeavesNothingBehindForEver(t *testing.T) {
	s := emptied(t)
	const n = 700
	mxcs := plenty(t, s, n)
	before := stock.OfMedia(t, s)
	cfg := settings(s, item.LocalMedia)
	cfg.Media.BatchSize = 50
	for _, limit := range []int{n - 5, n - 60, n - 300, n - 500} {
		ctx, cancel := context.WithCancelCause(t.Context())
		done := beside(t, s, func() result { return runWith(ctx, t, cfg) }, func(left int) bool { return left < limit })
		cancel(&item.RunError{Cause: item.CauseTerminated, Doing: "stopped by the test", Err: errors.New("stop")})
		r := <-done
		if code := item.ExitCode(r.causes); code != 143 && code != 0 {
			t.Errorf("exit code %d\n%s", code, r.log)
		}
		rowsHaveFiles(t, s)
	}
	wantCauses(t, do(t, cfg))
	stock.Exactly(t, s, before.Without(t, mxcs...))
}

// runWith is do with a context that may end.
func runWith(ctx context.Context, t testing.TB, cfg *config.Config) result {
	t.Helper()
	var out, log bytes.Buffer
	r := result{causes: Run(ctx, ctx, cfg, logging.New(&log, logging.LevelTrace, logging.Text), &out)}
	r.out, r.log = out.String(), log.String()
	if err := json.Unmarshal(out.Bytes(), &r.summary); err != nil {
		t.Errorf("the summary is not JSON: %v\n%s", err, r.out)
	}
	return r
}
