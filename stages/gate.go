package stages

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"synupkeep/internal/printable"
	"synupkeep/internal/synapse"
)

// Tasks is what the server works on, as its database tells.
type Tasks interface {
	Due(ctx context.Context) (int, error)
	OfRoom(ctx context.Context, roomID string) (synapse.Task, bool, error)
	SinceIn(ctx context.Context, roomID string, since time.Time) (ids []string, err error)
	ByID(ctx context.Context, id string) (synapse.Task, bool, error)
	// BrokenExtremities returns the forward extremities of a room that nothing can be sent on.
	BrokenExtremities(ctx context.Context, roomID string) ([]string, error)
}

// Gate lets a purge begin only when the server can start it at once: all its tasks together, ours and others', stay
// within its slots, and ours within InFlight. A purge that we gave up waiting for keeps its place until the server
// has ended it.
type Gate struct {
	Tasks    Tasks
	InFlight int
	// Patience is how long a place is waited for.
	Patience time.Duration
	// Waiting is told once a wait, after a few seconds. It may be nil.
	Waiting func()

	mu      sync.Mutex
	inside  int
	asking  int // let in, and not yet a task on the server
	overdue []string
}

// FullError says that no place became free.
type FullError struct{ Waited time.Duration }

func (e *FullError) Error() string {
	return fmt.Sprintf("the server's task queue has been full for %s", printable.Duration(e.Waited.Round(time.Second)))
}

// errStopping ends a wait for work that is not to be begun any more.
var errStopping = errors.New("the flow is stopping")

// Enter waits for a place. It returns nil, a *FullError, errStopping, an error of the database, or the cause of ctx;
// after nil, Asked and Leave are owed.
func (g *Gate) Enter(ctx context.Context, flow Stopper) error {
	began := time.Now()
	pause := 20 * time.Millisecond
	told := g.Waiting == nil
	for {
		ok, err := g.try(ctx)
		if err != nil || ok {
			return err
		}
		waited := time.Since(began)
		if waited > g.Patience {
			return &FullError{Waited: waited}
		}
		if !told && waited > 5*time.Second {
			told = true
			g.Waiting()
		}
		if flow.Stopping() {
			return errStopping
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
		pause = min(pause*3/2, 2*time.Second)
	}
}

func (g *Gate) try(ctx context.Context) (bool, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.forgetEnded(ctx); err != nil {
		return false, err
	}
	if g.inside+len(g.overdue) >= g.InFlight {
		return false, nil
	}
	due, err := g.Tasks.Due(ctx)
	if err != nil {
		return false, err
	}
	if due+g.asking >= synapse.Slots {
		return false, nil
	}
	g.inside++
	g.asking++
	return true, nil
}

func (g *Gate) forgetEnded(ctx context.Context) error {
	running := g.overdue[:0]
	for i, id := range g.overdue {
		task, ok, err := g.Tasks.ByID(ctx, id)
		if err != nil {
			g.overdue = append(running, g.overdue[i:]...)
			return err
		}
		if ok && task.Running() {
			running = append(running, id)
		}
	}
	g.overdue = running
	return nil
}

// Asked says that the purge of the caller is a task on the server now, or will never be one.
func (g *Gate) Asked() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asking--
}

// Leave gives the place back; with the id of a purge that the server may still work on, only when that has ended.
func (g *Gate) Leave(unfinished string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	if unfinished != "" {
		g.overdue = append(g.overdue, unfinished)
	}
}

// sleep waits, or returns the cause of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
