package pipeline

import (
	"context"
	"fmt"
	"time"

	"synupkeep/internal/item"
)

const (
	// clockSlack is how far the local clock may be off without a word.
	clockSlack = time.Minute
	// serverSlack is how far the clocks of server and database may be apart, and a tenth of the youngest cut-off.
	serverSlack = time.Hour
)

// readClock takes the time of the run from the database, and warns of a local clock that tells another one.
func (r *run) readClock(ctx context.Context) (err error) {
	before := r.localClock()
	if r.now, err = r.db.Now(ctx); err != nil {
		return err
	}
	r.nowRead = time.Now()
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

// checkServerClock compares the database's clock with the server's, right after an answer of the server. Ages are counted from
// the times that the server wrote down: with a database that is a month ahead, what came today would go as a month old.
func (r *run) checkServerClock() error {
	server, told := r.api.Date()
	if !told {
		return nil
	}
	database := r.now.Add(time.Since(r.nowRead))
	switch ahead := database.Sub(server).Round(time.Minute); {
	case ahead > r.slack():
		return &item.RunError{
			Cause: item.CauseRefused, Doing: "compare the clocks of database and server",
			Err: fmt.Errorf("the database's clock (%s) is %v ahead of the server's (%s): everything would seem to be older than it is",
				database.UTC().Format(time.RFC3339), ahead, server.UTC().Format(time.RFC3339)),
			Hint: "Set the clocks of both machines right.",
		}
	case ahead.Abs() > clockSlack:
		r.warnings = append(r.warnings, fmt.Sprintf("the database's clock (%s) and the server's (%s) are %v apart: everything seems to be older or "+
			"younger than it is by as much. Set the clocks of both machines right",
			database.UTC().Format(time.RFC3339), server.UTC().Format(time.RFC3339), ahead.Abs()))
	}
	return nil
}

func (r *run) slack() time.Duration {
	slack := serverSlack
	for _, cutOff := range r.cutOffs {
		slack = min(slack, r.now.Sub(cutOff)/10)
	}
	return slack
}
