//go:build chromium

package page_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/google/go-cmp/cmp"

	"synupkeep/config"
	"synupkeep/internal/item"
	"synupkeep/internal/logging"
	"synupkeep/internal/sandbox"
	"synupkeep/pipeline"
	"synupkeep/usage"
)

func TestMain(m *testing.M) { os.Exit(sandbox.TestMain(m)) }

// What a plan, the run after it and the usage of a real server say in a browser is what they say as JSON.
func TestPagesOfARealServerInChromium(t *testing.T) {
	s := sandbox.Shared(t)
	rooms := plantedRooms(t, s)
	b := newBrowser(t)
	var curves map[string]string // those of the usage are those of before the plan and the run
	type command func(ctx, feed context.Context, cfg *config.Config, log *logging.Logger, stdout io.Writer) []item.Cause
	for _, is := range []struct {
		name config.Command
		do   command
	}{{config.CommandUsage, usage.Run}, {config.CommandPlan, pipeline.Plan}, {config.CommandRun, pipeline.Run}} {
		t.Run(string(is.name), func(t *testing.T) {
			cfg := &config.Config{
				Command: is.name, Postgres: config.NewSecret(s.ConnString()), APIURL: s.APIURL(), Token: config.Token{Given: config.NewSecret(s.AdminToken())},
				MediaStore: s.MediaStore(), StateDir: t.TempDir(), Flows: item.Flows(), Ages: map[item.Flow]config.Age{}, RetryFor: 10 * time.Second, Top: 10,
				History: config.History{InFlight: 3, Timeout: time.Minute, GapGrace: 72 * time.Hour, Rooms: rooms},
				Media:   config.Media{DeleteConcurrency: 4, BatchSize: 1000, KeepShown: true, Via: config.ViaDisk},
				JSON:    true, HTML: filepath.Join(t.TempDir(), "page.html"),
			}
			for _, f := range item.Flows() {
				cfg.Ages[f] = config.Age{Delta: 30 * day}
			}
			var out, log bytes.Buffer
			if causes := is.do(t.Context(), t.Context(), cfg, logging.New(&log, logging.LevelInfo, logging.Text), &out); len(causes) > 0 {
				t.Fatalf("%v\n%s", causes, log.String())
			}
			var told map[string]any
			decoder := json.NewDecoder(&out)
			decoder.UseNumber()
			if err := decoder.Decode(&told); err != nil {
				t.Fatal(err)
			}
			if is.name == config.CommandUsage {
				curves = wantNumbers(told)
				delete(curves, "exit_code")
			}
			for _, width := range []int64{360, 1280} {
				b.open(t, cfg.HTML, width, width == 360)
				b.fits(t, width)
				b.legible(t)
				b.alone(t, cfg.HTML)
				b.shoot(t, "real-"+string(is.name)+"-"+map[int64]string{360: "phone", 1280: "desk"}[width])
				want := wantNumbers(told)
				maps.Copy(want, curves)
				if diff := cmp.Diff(want, b.numbers(t)); diff != "" {
					t.Errorf("the page says otherwise than the JSON (-JSON +page):\n%s", diff)
				}
			}
		})
	}
}

// numbers are the values that the page shows: by table, row and column.
func (b *browser) numbers(t *testing.T) map[string]string {
	t.Helper()
	return did(t, b, chromedp.Evaluate[map[string]string](`(() => {
		const values = {};
		for (const cell of document.querySelectorAll("[data-table=flows] [data-column]")) {
			const value = cell.querySelector("data");
			const shown = cell.checkVisibility() && getComputedStyle(cell).color !== getComputedStyle(cell.closest("section")).backgroundColor;
			if (value && shown) values[cell.dataset.column + " " + cell.parentNode.dataset.row] = value.value;
		}
		for (const cell of document.querySelectorAll("[data-table^=curve-] [data-row] td:nth-child(2) data")) {
			const row = cell.closest("tr"), table = cell.closest("table");
			values[table.dataset.table + " " + row.dataset.row] = cell.value;
		}
		values.exit_code = document.querySelector("header data").value;
		return values;
	})()`))
}

// wantNumbers are the same of the JSON, in which a run and a plan have no curves.
func wantNumbers(told map[string]any) map[string]string {
	want := map[string]string{"exit_code": told["exit_code"].(json.Number).String()}
	flows, _ := told["flows"].([]any)
	for _, f := range flows {
		flow := f.(map[string]any)
		for key := range flowNumbers {
			if key != "bytes_freed" || flow["flow"] != "history" {
				want[flow["flow"].(string)+" "+key] = flow[key].(json.Number).String()
			}
		}
	}
	curves, _ := told["age_curves"].([]any)
	for _, c := range curves {
		curve := c.(map[string]any)
		name := "curve-" + curve["flow"].(string) + " "
		want[name+"all"] = curve["items"].(json.Number).String()
		for _, p := range curve["points"].([]any) {
			point := p.(map[string]any)
			want[name+point["age"].(string)] = point["items"].(json.Number).String()
		}
	}
	return want
}

// plantedRooms makes rooms and media of all ages, some of it with names that are no good.
func plantedRooms(t *testing.T, s *sandbox.Server) (rooms []string) {
	t.Helper()
	for range 3 {
		id, err := s.As("alice").CreateRoom(t.Context(), sandbox.RoomOptions{})
		if err != nil {
			t.Fatal(err)
		}
		rooms = append(rooms, id)
	}
	err := s.Plant(t.Context(), func(ctx context.Context, p *sandbox.Plant) error {
		for i, id := range rooms {
			if err := p.AgeRoom(ctx, id, 200*day); err != nil {
				return err
			}
			if _, err := p.BulkMessages(ctx, id, 40*(i+1), time.Now().Add(-150*day), time.Hour); err != nil {
				return err
			}
			if _, err := p.BulkMessages(ctx, id, 2, time.Now().Add(-time.Hour), time.Second); err != nil {
				return err
			}
		}
		for i := range 40 {
			at := time.Now().Add(-time.Duration(i*i) * day / 2)
			m := sandbox.Media{Data: bytes.Repeat([]byte("x"), 1000+100*i), Created: at, LastAccess: at, Thumbnails: 1, ContentType: hostile[i%3]}
			if _, err := p.LocalMedia(ctx, 2, m, time.Second); err != nil {
				return err
			}
			m.Origin = []string{"elsewhere.example", "third.example"}[i%2]
			if _, err := p.RemoteMedia(ctx, m); err != nil {
				return err
			}
			if _, err := p.Preview(ctx, fmt.Sprint("https://page.example/", i), m); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rooms
}
