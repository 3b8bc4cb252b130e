package pipeline

import (
	"context"
	"fmt"
	"time"
)

// clockSlack is how far the local clock may be off without a word.
const clockSlack = time.Minute

// readClock takes the time of the run from the database, and warns of a local clock that tells another one.
func (r *run) readClock(ctx context.Context) (err error) {
	before := r.localClock()
	if r.now, err = r.db.Now(ctx); err != nil {
		return err
	}
	if warning := clockWarning(before, r.now, r.localClock()); warning != "" {
		r.warnings = append(r.warnings, warning)
	}
	return nil
}

// clockWarning compares the database's clock with the middle of the local times before and after it was asked; half of
// the way there and back counts for nothing.
func clockWarning(before, database, after time.Time) string {
	// Without the monotonic part of the local times, which says nothing of what they show.
	before, after = before.Round(0), after.Round(0)
	way := after.Sub(before) / 2
	off, direction := before.Add(way).Sub(database), "ahead of"
	if off < 0 {
		off, direction = -off, "behind"
	}
	if off-way <= clockSlack {
		return ""
	}
	return fmt.Sprintf("the clock of this machine is %v %s the database's. It changes nothing of what is deleted, since every age "+
		"is counted by the database's clock (%s); times in this log are the machine's. Set it right",
		off.Round(time.Second), direction, database.UTC().Format(time.RFC3339))
}
