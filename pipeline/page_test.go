package pipeline

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"synupkeep/internal/item"
	"synupkeep/internal/logging"
	"synupkeep/internal/sandbox"
	"synupkeep/internal/sandbox/stock"
)

// stocked is a number of the page's table of before and after.
func stocked(t *testing.T, page, row string) (before, after string) {
	t.Helper()
	found := regexp.MustCompile(`data-row="` + row + `">.*?<data value="(\d+)">.*?<data value="(\d+)">`).FindStringSubmatch(page)
	if found == nil {
		t.Fatalf("there is no %s in the page:\n%s", row, page)
	}
	return found[1], found[2]
}

// The page of a run has what was there before the first delete and at the end, that of a plan what would be left.
func TestThePageHasWhatWasBeforeAndAfter(t *testing.T) {
	s := emptied(t)
	plant(t, s, func(ctx context.Context, p *sandbox.Plant) error {
		for n, at := range map[int]time.Time{10: time.Now().Add(-longAgo), 3: time.Now()} {
			m := sandbox.Media{Data: []byte("12345"), Created: at, LastAccess: at}
			if _, err := p.LocalMedia(ctx, n, m, time.Second); err != nil {
				return err
			}
		}
		return nil
	})
	cfg := settings(s, item.LocalMedia)
	cfg.HTML = filepath.Join(t.TempDir(), "page.html")
	page := func() string {
		t.Helper()
		content, err := os.ReadFile(cfg.HTML)
		if err != nil {
			t.Fatal(err)
		}
		return string(content)
	}
	var out, log bytes.Buffer
	planned := *cfg
	planned.Command = "plan"
	if causes := Plan(t.Context(), t.Context(), &planned, logging.New(&log, logging.LevelInfo, logging.Text), &out); len(causes) > 0 {
		t.Fatal(causes, log.String())
	}
	plan := page()
	endsWith(t, do(t, cfg))
	if content := page(); !strings.Contains(plan, "after (planned)") || strings.Contains(content, "after (") {
		t.Error("what is left was not read, or it was read of a plan")
	}
	for name, content := range map[string]string{"plan": plan, "run": page()} {
		if before, after := stocked(t, content, "local-media-items"); before != "13" || after != "3" {
			t.Errorf("%s: %s media before and %s after", name, before, after)
		}
		if before, after := stocked(t, content, "local-media-bytes"); before != "65" || after != "15" {
			t.Errorf("%s: %s bytes before and %s after", name, before, after)
		}
		if !strings.Contains(content, "Free space") || !strings.Contains(content, "curve-local-media") {
			t.Errorf("%s: no free space, or no curve", name)
		}
	}
}

// A page that cannot be written ends the run before anything is deleted.
func TestWithoutAPlaceForThePageNothingIsDeleted(t *testing.T) {
	s := emptied(t)
	plant(t, s, func(ctx context.Context, p *sandbox.Plant) error {
		_, err := p.LocalMedia(ctx, 2, sandbox.Media{Created: time.Now().Add(-longAgo)}, time.Second)
		return err
	})
	before := stock.OfMedia(t, s)
	cfg := settings(s, item.LocalMedia)
	cfg.HTML = filepath.Join(t.TempDir(), "missing", "page.html")
	r := do(t, cfg)
	endsWith(t, r, item.CauseUsage)
	if len(r.summary.Errors) != 1 || !strings.Contains(r.summary.Errors[0].Doing, "create the page") {
		t.Errorf("%+v", r.summary.Errors)
	}
	stock.Exactly(t, s, before)
}

// A run that was stopped has its page, which says so.
func TestThePageOfAStoppedRunIsWritten(t *testing.T) {
	s := emptied(t)
	cfg := settings(s, item.LocalMedia)
	cfg.HTML = filepath.Join(t.TempDir(), "page.html")
	feed, stop := context.WithCancelCause(t.Context())
	stop(&item.RunError{Cause: item.CauseTerminated, Doing: "stopped by a signal"})
	var out, log bytes.Buffer
	causes := Run(t.Context(), feed, cfg, logging.New(&log, logging.LevelInfo, logging.Text), &out)
	content, err := os.ReadFile(cfg.HTML)
	if len(causes) != 1 || causes[0] != item.CauseTerminated || err != nil || !strings.Contains(string(content), "stopped by SIGTERM") {
		t.Errorf("%v %v\n%s", causes, err, content)
	}
}
