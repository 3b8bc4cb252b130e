package pipeline

import (
	"context"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"synupkeep/config"
	"synupkeep/internal/item"
	"synupkeep/internal/sandbox"
	"synupkeep/internal/sandbox/stock"
)

// viaAPI are the settings of a run that cannot see the media store, and has nowhere to keep a state.
func viaAPI(t testing.TB, s *sandbox.Server, flows ...item.Flow) *config.Config {
	t.Helper()
	cfg := settings(s, flows...)
	cfg.Media.Via = config.ViaAPI
	cfg.MediaStore = filepath.Join(t.TempDir(), "no", "store")
	cfg.StateDir = "/proc/no/state"
	return cfg
}

// mediaFront is a reverse proxy before Synapse that notes the calls that delete media, and whether two were under way at
// once on the server.
type mediaFront struct {
	*httptest.Server
	// on is asked at each such call; n counts from 1.
	on func(n int) reaction

	mu      sync.Mutex
	calls   []string
	running int
	overlap bool
	work    sync.WaitGroup
}

// reaction is what becomes of a call. The zero value lets it through.
type reaction struct {
	before  func()        // is called first
	after   func()        // is called when Synapse has answered
	status  int           // the answer in place of Synapse's
	forward bool          // Synapse is asked all the same
	slow    time.Duration // this much later
}

func newMediaFront(t *testing.T, s *sandbox.Server) *mediaFront {
	t.Helper()
	target, err := url.Parse(s.APIURL())
	if err != nil {
		t.Fatal(err)
	}
	f := &mediaFront{}
	proxy := httputil.NewSingleHostReverseProxy(target)
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		deletes := r.Method == http.MethodDelete || strings.HasSuffix(r.URL.Path, "/purge_media_cache")
		if !deletes {
			proxy.ServeHTTP(w, r)
			return
		}
		var todo reaction
		if n := f.note(r); f.on != nil {
			todo = f.on(n)
		}
		if todo.before != nil {
			todo.before()
		}
		f.begins(1)
		switch {
		case todo.status == 0:
			proxy.ServeHTTP(w, r)
			if todo.after != nil {
				todo.after()
			}
			f.begins(-1)
		case !todo.forward:
			f.begins(-1)
			w.WriteHeader(todo.status)
		default:
			again := r.Clone(context.WithoutCancel(r.Context()))
			f.work.Go(func() {
				<-time.After(todo.slow)
				proxy.ServeHTTP(httptest.NewRecorder(), again)
				f.begins(-1)
			})
			w.WriteHeader(todo.status)
		}
	}))
	t.Cleanup(func() {
		f.Close()
		f.work.Wait()
	})
	return f
}

func (f *mediaFront) note(r *http.Request) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, r.Method+" "+r.URL.String())
	f.overlap = f.overlap || f.running > 0
	return len(f.calls)
}

func (f *mediaFront) begins(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.running += n
}

func (f *mediaFront) asked() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

// oneByOne fails when a call came while another was under way.
func (f *mediaFront) oneByOne(t *testing.T) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.overlap {
		t.Errorf("a call came while another was under way: %v", f.calls)
	}
}

// filesAndRows is exactly, but for directories: Synapse leaves the empty ones.
func filesAndRows(t testing.TB, s *sandbox.Server, want stock.Media) {
	t.Helper()
	got := stock.OfMedia(t, s)
	if diff := cmp.Diff(want.Files, got.Files); diff != "" {
		t.Errorf("files (- is missing, + should not be there):\n%s", diff)
	}
	rows := func(v stock.Media) []string { return slices.Sorted(maps.Keys(v.Rows)) }
	if diff := cmp.Diff(rows(want), rows(got)); diff != "" {
		t.Errorf("rows (- is missing, + should not be there):\n%s", diff)
	}
}

// lengths adds up media_length of what is gone.
func lengths(t testing.TB, s *sandbox.Server, before stock.Media, f item.Flow, r result) {
	t.Helper()
	after := stock.OfMedia(t, s)
	var rows, bytes int64
	for key, row := range before.Rows {
		if _, left := after.Rows[key]; left || row.Table != "local_media_repository" && row.Table != "remote_media_cache" {
			continue
		}
		rows++
		n, _ := row.Values["media_length"].(float64)
		bytes += int64(n)
	}
	if sum := r.flow(t, f); sum.Rows != rows || sum.Bytes != bytes || sum.Files != 0 {
		t.Errorf("%s reports %d rows, %d bytes, %d files; gone are %d, %d", f, sum.Rows, sum.Bytes, sum.Files, rows, bytes)
	}
}
