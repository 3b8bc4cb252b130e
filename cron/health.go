package cron

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// grace is how late a run may begin before /health says so.
const grace = 10 * time.Minute

// health is what /health answers.
type health struct {
	mu    sync.Mutex
	state state
}

// state is the JSON of /health.
type state struct {
	// Healthy is false when the last run did not end with 0 or 10, and when the next one is overdue.
	Healthy bool `json:"healthy"`
	// Running says that a run is at work, since Begun.
	Running  bool      `json:"running"`
	Begun    time.Time `json:"begun,omitzero"`
	Ended    time.Time `json:"ended,omitzero"`
	ExitCode *int      `json:"exit_code"` // of the last run that ended; null before it
	Next     time.Time `json:"next,omitzero"`
}

func newHealth() *health { return &health{} }

func (h *health) wait(next time.Time) { h.change(func(s *state) { s.Next = next.UTC() }) }

func (h *health) begin(now time.Time) {
	h.change(func(s *state) { s.Running, s.Begun, s.Next = true, now.UTC(), time.Time{} })
}

func (h *health) end(now time.Time, code int) {
	h.change(func(s *state) { s.Running, s.Ended, s.ExitCode = false, now.UTC(), &code })
}

func (h *health) change(f func(*state)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f(&h.state)
}

// now is the state at a time.
func (h *health) now(at time.Time) state {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.state
	const workLeft = 10 // the time budget was used up, as is meant
	s.Healthy = s.ExitCode == nil || *s.ExitCode == 0 || *s.ExitCode == workLeft
	if !s.Running && !s.Next.IsZero() && at.After(s.Next.Add(grace)) {
		s.Healthy = false
	}
	return s
}

// server answers HTTP until it is closed.
type server struct {
	http *http.Server
	done chan struct{}
}

// serve answers at an address; without one there is no server. metrics is the file that the runs write, or empty.
func (h *health) serve(ctx context.Context, address, metrics string) (*server, error) {
	if address == "" {
		return nil, nil //nolint:nilnil // nobody asked for one
	}
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", h.answer)
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) { answerMetrics(w, metrics) })
	s := &server{
		http: &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 5 * time.Second, WriteTimeout: 10 * time.Second},
		done: make(chan struct{}),
	}
	go func() {
		defer close(s.done)
		_ = s.http.Serve(listener) // it ends with close
	}()
	return s, nil
}

func (s *server) close() {
	if s == nil {
		return
	}
	_ = s.http.Close()
	<-s.done
}

func (h *health) answer(w http.ResponseWriter, _ *http.Request) {
	s := h.now(time.Now())
	w.Header().Set("Content-Type", "application/json")
	if !s.Healthy {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(s) // whoever asked may have gone
}

// answerMetrics hands out what the last run wrote with --metrics.
func answerMetrics(w http.ResponseWriter, file string) {
	if file == "" {
		http.Error(w, "give --metrics a file: it holds what the last run wrote", http.StatusNotFound)
		return
	}
	content, err := os.ReadFile(file)
	switch {
	case errors.Is(err, os.ErrNotExist):
		content = nil // before the first run
	case err != nil:
		http.Error(w, "the file of --metrics cannot be read", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_, _ = w.Write(content)
}
