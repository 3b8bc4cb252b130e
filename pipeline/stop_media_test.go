package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"synupkeep/internal/item"
	"synupkeep/internal/logging"
	"synupkeep/internal/sandbox"
	"synupkeep/internal/sandbox/stock"
	"synupkeep/sinks"
)

// TestStopsDuringDeletions stops run after run in the middle of its deletions, in each way there is. Every report adds up,
// what they report together is what there was, and the last run leaves what one undisturbed run leaves.
func TestStopsDuringDeletions(t *testing.T) {
	s := emptied(t)
	var gone []string
	plantMedia(t, s, func(ctx context.Context, p *sandbox.Plant) (err error) {
		old := time.Now().Add(-longAgo)
		m := sandbox.Media{Data: bytes.Repeat([]byte("x"), 500), Thumbnails: 2, Created: old, LastAccess: old}
		if gone, err = p.LocalMedia(ctx, 900, m, time.Second); err != nil {
			return err
		}
		for i := range 120 {
			preview, err := p.Preview(ctx, fmt.Sprint("http://page/", i), m)
			if err != nil {
				return err
			}
			gone = append(gone, "mxc://"+s.ServerName()+"/"+preview.PageID, "mxc://"+s.ServerName()+"/"+preview.ImageID)
			remote := m
			remote.Origin = fmt.Sprint("server", i%3)
			mxc, err := p.RemoteMedia(ctx, remote)
			if err != nil {
				return err
			}
			gone = append(gone, mxc)
		}
		_, err = p.LocalMedia(ctx, 20, sandbox.Media{Data: []byte("young"), Thumbnails: 1, Created: time.Now()}, time.Second)
		return err
	})
	before := stock.OfMedia(t, s)
	cfg := settings(s, item.Flows()[1:]...)
	cfg.StateDir = filepath.Join(t.TempDir(), "state")
	cfg.Media.BatchSize = 50

	var rows, files, filesLeft int64
	add := func(r result) {
		for _, f := range r.summary.Flows {
			rows, files, filesLeft = rows+f.Rows, files+f.Files, filesLeft+f.Left[item.FilesLeft]
		}
	}
	for i, stop := range []func(s stops){
		func(s stops) { s.first() },
		func(s stops) { s.first(); s.second() },
		func(s stops) { s.second() }, // as when a signal comes twice at once
		func(s stops) { s.first(); s.second() },
	} {
		stops := newStops(t)
		done := 0
		r := doStopped(t, cfg, stops, time.Hour, func(line string) {
			// The first file of a batch in the middle: its row went with those of others.
			if strings.Contains(line, " done") && strings.Contains(line, "item=") {
				if done++; done == 130+7*i {
					stop(stops)
				}
			}
		})
		endsWith(t, r, item.CauseTerminated, item.CauseLeft)
		if len(r.summary.Failures) > 0 {
			t.Errorf("stop %d: %+v", i, r.summary.Failures)
		}
		add(r)
	}
	t.Logf("%d media had lost their rows and not their files", filesLeft)
	if filesLeft == 0 {
		t.Error("no run was stopped between rows and files: the test shows nothing")
	}
	last := do(t, cfg)
	wantCauses(t, last)
	after := before.Without(t, gone...)
	stock.Exactly(t, s, after)
	add(last)
	// What a run finishes from the journal has its row counted where it was deleted.
	if all := int64(len(before.Files) - len(after.Files)); rows != int64(len(gone)) || files != all {
		t.Errorf("%d rows and %d files are reported of %d and %d", rows, files, len(gone), all)
	}
}

// TestAHungRunIsReported: what does not end after a second signal keeps nobody from knowing what was done.
func TestAHungRunIsReported(t *testing.T) {
	s := emptied(t)
	mxcs := plenty(t, s, 40)
	cfg := settings(s, item.LocalMedia)
	cfg.StateDir = filepath.Join(t.TempDir(), "state")
	cfg.Report = filepath.Join(t.TempDir(), "report.json")
	stops, release := newStops(t), make(chan struct{})
	done := 0
	log := &hearer{hear: func(line string) {
		if strings.Contains(line, " done") && strings.Contains(line, "item=") {
			if done++; done == 12 {
				stops.first()
				stops.second()
				<-release // a pipe that nobody reads
			}
		}
	}}
	r := newRun(cfg, logging.New(log, logging.LevelTrace, logging.Text))
	r.patience = 100 * time.Millisecond
	var out bytes.Buffer
	ended := make(chan []item.Cause, 1)
	go func() { ended <- r.all(stops.ctx, stops.feed, &out) }()
	var report sinks.Summary
	until(t, "the report is written", func() bool {
		text, err := os.ReadFile(cfg.Report)
		return err == nil && json.Unmarshal(text, &report) == nil
	})
	if f := report.Flows[0]; f.Done != 12 || f.Examined != 12 || report.ServerName != s.ServerName() {
		t.Errorf("%+v", report)
	}
	if len(report.Errors) == 0 || report.Errors[0].Doing != "stop at once" || !strings.Contains(report.Errors[0].Error, "not in the numbers") {
		t.Errorf("%+v", report.Errors)
	}
	close(release)
	if causes := <-ended; item.ExitCode(causes) != 1 {
		t.Errorf("causes %v", causes)
	}
	until(t, "the lock is free", func() bool {
		return stock.All[int](t, s, `SELECT count(*)::int FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1`)[0] == 0
	})
	wantCauses(t, do(t, cfg))
	if orphans := rowsHaveFiles(t, s); len(orphans) > 0 || len(mxcs) != 40 {
		t.Errorf("these have no row any more: %v", orphans)
	}
	nothingLeft(t, s)
}
