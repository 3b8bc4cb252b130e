// Package reports_test compares what runs say in their files, and to whoever waits for them, with what they did.
package reports_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"synupkeep/internal/item"
	"synupkeep/internal/sandbox"
	"synupkeep/internal/sandbox/stock"
	"synupkeep/proof/program"
	"synupkeep/sinks"
)

func TestMain(m *testing.M) { os.Exit(program.TestMain(m)) }

const day = 24 * time.Hour

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// planted is a server with old media of each kind, some of it protected, and rooms with old messages.
type planted struct {
	s        *sandbox.Server
	where    program.Where
	rooms    []string
	messages int // old ones of each room
	before   stock.Media
}

func plant(t *testing.T, local, others, rooms int) *planted {
	t.Helper()
	s := sandbox.Shared(t)
	p := &planted{s: s, where: program.Where{Server: s, StateDir: filepath.Join(t.TempDir(), "state")}, messages: 40}
	for range rooms {
		id, err := s.As("alice").CreateRoom(t.Context(), sandbox.RoomOptions{})
		must(t, err)
		p.rooms = append(p.rooms, id)
	}
	var protected string
	must(t, s.Plant(t.Context(), func(ctx context.Context, q *sandbox.Plant) error {
		if err := q.Exec(ctx, "TRUNCATE "+strings.Join(stock.MediaTables(), ", ")); err != nil {
			return err
		}
		for _, tree := range stock.Trees() {
			if err := os.RemoveAll(filepath.Join(s.MediaStore(), tree)); err != nil {
				return err
			}
		}
		for _, id := range p.rooms {
			if err := q.AgeRoom(ctx, id, 60*day); err != nil {
				return err
			}
			if _, err := q.BulkMessages(ctx, id, p.messages, time.Now().Add(-60*day), time.Second); err != nil {
				return err
			}
			if _, err := q.BulkMessages(ctx, id, 2, time.Now().Add(-time.Hour), time.Second); err != nil {
				return err
			}
		}
		var err error
		protected, err = plantMedia(ctx, q, local, others)
		return err
	}))
	if protected != "" {
		must(t, s.Protect(t.Context(), protected))
	}
	p.before = stock.OfMedia(t, s)
	return p
}

func plantMedia(ctx context.Context, q *sandbox.Plant, local, others int) (protected string, err error) {
	at := time.Now().Add(-60 * day)
	m := sandbox.Media{Data: bytes.Repeat([]byte("x"), 300), Thumbnails: 2, Created: at, LastAccess: at}
	mxcs, err := q.LocalMedia(ctx, local, m, time.Second)
	if err != nil {
		return "", err
	}
	if len(mxcs) > 5 {
		protected = mxcs[len(mxcs)/2]
	}
	for i := range others {
		if _, err := q.Preview(ctx, fmt.Sprint("http://page/", i), m); err != nil {
			return "", err
		}
		m.Origin = fmt.Sprint("server", i%3)
		if _, err := q.RemoteMedia(ctx, m); err != nil {
			return "", err
		}
	}
	return protected, nil
}

// where what of media is now.
type fate struct {
	rowless, fileless []string // mxc URIs, sorted
}

// gone looks which media have lost their row, and which their content.
func (p *planted) gone(t testing.TB) (f fate) {
	t.Helper()
	now := stock.OfMedia(t, p.s)
	for key, r := range p.before.Rows {
		content, _ := r.Places()
		if content == "" || r.Table != "local_media_repository" && r.Table != "remote_media_cache" {
			continue
		}
		origin := r.Text("media_origin")
		if origin == "" {
			origin = p.s.ServerName()
		}
		mxc := "mxc://" + origin + "/" + r.Text("media_id")
		if _, there := now.Rows[key]; !there {
			f.rowless = append(f.rowless, mxc)
		}
		if _, there := now.Files[content]; !there {
			f.fileless = append(f.fileless, mxc)
		}
	}
	slices.Sort(f.rowless)
	slices.Sort(f.fileless)
	return f
}

// lines reads a file of outcomes to its end, each line by the schema.
func lines(t testing.TB, path string) (all []sinks.OutcomeLine) {
	t.Helper()
	content, err := os.ReadFile(path)
	must(t, err)
	var text io.Reader = bytes.NewReader(content)
	if strings.HasSuffix(path, ".gz") && len(content) > 0 {
		text, err = gzip.NewReader(text)
		must(t, err)
	}
	s := schema(t, "outcome")
	in := bufio.NewScanner(text)
	for in.Scan() {
		valid(t, s, in.Bytes())
		var l sinks.OutcomeLine
		must(t, json.Unmarshal(in.Bytes(), &l))
		all = append(all, l)
	}
	must(t, in.Err())
	return all
}

// doneKeys are the items that are said to be gone, sorted.
func doneKeys(all []sinks.OutcomeLine, flows ...item.Flow) (keys []string) {
	for _, l := range all {
		if l.Status == item.Done && slices.Contains(flows, l.Flow) {
			keys = append(keys, l.Key)
		}
	}
	slices.Sort(keys)
	return keys
}

func mediaFlows() []item.Flow { return item.Flows()[1:] }

func schema(t testing.TB, name string) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	s, err := c.Compile("../../docs/" + name + ".schema.json")
	must(t, err)
	return s
}

func valid(t testing.TB, s *jsonschema.Schema, text []byte) {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	must(t, err)
	if err := s.Validate(v); err != nil {
		t.Errorf("%v\n%s", err, text)
	}
}

// metrics are the values of a file by name and the label values that are not the server's, joined by spaces.
func metrics(t testing.TB, path string) map[string]float64 {
	t.Helper()
	content, err := os.ReadFile(path)
	must(t, err)
	p := expfmt.NewTextParser(model.LegacyValidation)
	families, err := p.TextToMetricFamilies(bytes.NewReader(content))
	must(t, err)
	values := map[string]float64{}
	for name, family := range families {
		for _, m := range family.GetMetric() {
			name := strings.TrimPrefix(strings.TrimPrefix(name, "synupkeep_"), "last_run_")
			for _, l := range m.GetLabel() {
				if l.GetName() != "server_name" {
					name += " " + l.GetValue()
				}
			}
			values[name] = m.GetGauge().GetValue()
		}
	}
	return values
}

// watcher takes pings.
type watcher struct {
	*httptest.Server

	mu     sync.Mutex
	paths  []string
	bodies []string
}

func newWatcher(t *testing.T) *watcher {
	t.Helper()
	w := &watcher{}
	w.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		w.mu.Lock()
		defer w.mu.Unlock()
		if err != nil {
			t.Error(err)
		}
		w.paths, w.bodies = append(w.paths, r.URL.String()), append(w.bodies, string(body))
	}))
	t.Cleanup(w.Close)
	return w
}

func (w *watcher) got() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.paths)
}
