package cron

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
	_ "time/tzdata"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"synupkeep/config"
	"synupkeep/internal/item"
	"synupkeep/internal/logging"
	"synupkeep/internal/schedule"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func cfg(t *testing.T, expr, zone string) *config.Config {
	t.Helper()
	loc, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	s, err := schedule.Parse(expr, loc)
	if err != nil {
		t.Fatal(err)
	}
	return &config.Config{Cron: config.Cron{Schedule: s}}
}

func quiet() *logging.Logger { return logging.New(io.Discard, logging.LevelError, logging.Text) }

// begins runs a cron for some time and returns when its runs began, each taking as long as is said.
func begins(t *testing.T, c *config.Config, from time.Time, lasting, each time.Duration, causes ...item.Cause) (at []string, ended []item.Cause) {
	t.Helper()
	time.Sleep(time.Until(from))
	feed, stop := context.WithCancel(t.Context())
	defer stop()
	time.AfterFunc(lasting, stop)
	run := With(func(_, _ context.Context, _ *config.Config, _ *logging.Logger, _ io.Writer) []item.Cause {
		at = append(at, time.Now().In(c.Cron.Schedule.Next(from).Location()).Format("01-02 15:04 MST"))
		time.Sleep(each)
		return causes
	})
	ended = run(t.Context(), feed, c, quiet(), io.Discard)
	return at, ended
}

func TestRunsThroughTheChangesOfTheClock(t *testing.T) {
	tests := []struct {
		name, expr string
		from       time.Time
		want       []string
	}{
		{"forward", "30 2 * * *", time.Date(2000, time.March, 24, 12, 0, 0, 0, time.UTC), []string{"03-25 02:30 CET", "03-26 03:00 CEST", "03-27 02:30 CEST"}},
		{"back", "30 2 * * *", time.Date(2000, time.October, 27, 12, 0, 0, 0, time.UTC), []string{"10-28 02:30 CEST", "10-29 02:30 CEST", "10-30 02:30 CET"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got, causes := begins(t, cfg(t, test.expr, "Europe/Berlin"), test.from, 72*time.Hour, 20*time.Minute)
				if diff := cmp.Diff(test.want, got); diff != "" || causes != nil {
					t.Error(diff, causes)
				}
			})
		})
	}
}

// A year has as many runs as days.
func TestAYear(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from := time.Date(2000, time.January, 2, 0, 0, 0, 0, time.UTC)
		got, _ := begins(t, cfg(t, "15 2 * * *", "Europe/Berlin"), from, 365*24*time.Hour, time.Hour)
		if len(got) != 365 {
			t.Errorf("%d runs", len(got))
		}
	})
}

func TestRunsNeverOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from := time.Date(2000, time.January, 2, 0, 10, 0, 0, time.UTC)
		got, _ := begins(t, cfg(t, "0 * * * *", "UTC"), from, 9*time.Hour, 150*time.Minute)
		if diff := cmp.Diff([]string{"01-02 01:00 UTC", "01-02 04:00 UTC", "01-02 07:00 UTC"}, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestARunThatFailedIsFollowedByTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from := time.Date(2000, time.January, 2, 0, 10, 0, 0, time.UTC)
		got, causes := begins(t, cfg(t, "0 * * * *", "UTC"), from, 3*time.Hour, time.Minute, item.CauseFailed)
		if len(got) != 3 || causes != nil {
			t.Errorf("%v, %v", got, causes)
		}
	})
}

// A stop waits for the run that is under way, and is what it ended with.
func TestAStopDrainsTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := cfg(t, "0 4 * * *", "UTC")
		c.Cron.RunNow = true
		feed, stop := context.WithCancel(t.Context())
		finished := false
		run := With(func(_, feed context.Context, _ *config.Config, _ *logging.Logger, _ io.Writer) []item.Cause {
			time.AfterFunc(time.Hour, stop)
			<-feed.Done()
			time.Sleep(25 * time.Second) // what runs is finished
			finished = true
			return []item.Cause{item.CauseTerminated}
		})
		causes := run(t.Context(), feed, c, quiet(), io.Discard)
		if diff := cmp.Diff([]item.Cause{item.CauseTerminated}, causes); diff != "" || !finished {
			t.Error(diff, finished)
		}
	})
}

func TestJitterIsWithinItsBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := cfg(t, "0 4 * * *", "UTC")
		c.Cron.Jitter = time.Hour
		d := &daemon{cfg: c, log: quiet(), health: newHealth(), random: func() float64 { return 0.999 }}
		from := time.Date(2000, time.January, 2, 0, 0, 0, 0, time.UTC)
		if due := d.next(from); due.Before(from.Add(4*time.Hour+59*time.Minute)) || due.After(from.Add(5*time.Hour)) {
			t.Errorf("due %v", due)
		}
		d.random = func() float64 { return 0 }
		if due := d.next(from); !due.Equal(from.Add(4 * time.Hour)) {
			t.Errorf("due %v", due)
		}
	})
}

func TestHealth(t *testing.T) {
	now := time.Date(2026, time.November, 22, 4, 0, 0, 0, time.UTC)
	h := newHealth()
	check := func(at time.Time, healthy bool, what string) {
		t.Helper()
		if got := h.now(at); got.Healthy != healthy {
			t.Errorf("%s: %+v", what, got)
		}
	}
	check(now, true, "before anything")
	h.wait(now)
	check(now.Add(grace), true, "about to run")
	check(now.Add(grace+time.Second), false, "overdue")
	h.begin(now)
	check(now.Add(24*time.Hour), true, "a long run")
	h.end(now, 10)
	check(now, true, "work is left")
	h.end(now, 3)
	check(now, false, "items failed")
	h.begin(now)
	check(now, false, "what failed is not well because the next one runs")
	h.end(now, 0)
	check(now, true, "all done")
}

func TestHTTP(t *testing.T) {
	c := cfg(t, "0 4 * * *", "UTC")
	c.Cron.RunNow = true
	c.Cron.Listen = free(t)
	c.Metrics = filepath.Join(t.TempDir(), "m.prom")
	feed, stop := context.WithCancel(t.Context())
	ran, ended := make(chan struct{}), make(chan []item.Cause)
	go func() {
		ended <- With(func(context.Context, context.Context, *config.Config, *logging.Logger, io.Writer) []item.Cause {
			defer close(ran)
			if err := os.WriteFile(c.Metrics, []byte("synupkeep_x 1\n"), 0o600); err != nil {
				t.Error(err)
			}
			return []item.Cause{item.CauseItems}
		})(t.Context(), feed, c, quiet(), io.Discard)
	}()
	<-ran
	var s state
	for s.ExitCode == nil { // the run has returned; what it returned is noted a moment later
		code, body := get(t, "http://"+c.Cron.Listen+"/health")
		if err := json.Unmarshal(body, &s); err != nil {
			t.Fatalf("%v: %s", err, body)
		}
		if s.ExitCode != nil && (code != http.StatusServiceUnavailable || *s.ExitCode != 3 || s.Healthy) {
			t.Errorf("%d %s", code, body)
		}
	}
	if code, body := get(t, "http://"+c.Cron.Listen+"/metrics"); code != http.StatusOK || string(body) != "synupkeep_x 1\n" {
		t.Errorf("%d %s", code, body)
	}
	if causes := With(nil)(t.Context(), feed, c, quiet(), io.Discard); len(causes) != 1 || causes[0] != item.CauseFailed {
		t.Errorf("a port that is taken: %v", causes)
	}
	stop()
	if causes := <-ended; causes != nil {
		t.Errorf("ended with %v", causes)
	}
}

func free(t *testing.T) string {
	t.Helper()
	var listen net.ListenConfig
	l, err := listen.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return address
}

func get(t *testing.T, url string) (int, []byte) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if err := response.Body.Close(); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, body
}
