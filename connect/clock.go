package connect

import (
	"fmt"
	"time"

	"synupkeep/internal/item"
	"synupkeep/internal/printable"
)

// clockSlack is how far two clocks may be apart without a word.
const clockSlack = time.Minute

// OurClock compares the clock of this machine with the database's: with the middle of the local times before and after it was
// asked; half of the way there and back counts for nothing. It returns a warning, or "".
func OurClock(before, database, after time.Time) string {
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
	return fmt.Sprintf("the clock of this machine is %s %s the database's. It changes nothing of what is deleted, since every age "+
		"is counted by the database's clock (%s); times in this log are the machine's. Set it right",
		printable.Duration(off.Round(time.Second)), direction, database.UTC().Format(time.RFC3339))
}

// ServerClock compares the database's clock with the server's. Ages are counted from the times that the server wrote down:
// with a database that is a month ahead, what came today would go as a month old. One that is ahead by more than slack is an
// *item.RunError.
func ServerClock(database, server time.Time, slack time.Duration) (warning string, err error) {
	switch ahead := database.Sub(server).Round(time.Minute); {
	case ahead > slack:
		return "", &item.RunError{
			Cause: item.CauseRefused, Doing: "compare the clocks of database and server",
			Err: fmt.Errorf("the database's clock (%s) is %s ahead of the server's (%s): everything would seem to be older than it is",
				database.UTC().Format(time.RFC3339), printable.Duration(ahead), server.UTC().Format(time.RFC3339)),
			Hint: "Set the clocks of both machines right.",
		}
	case ahead.Abs() > clockSlack:
		return fmt.Sprintf("the database's clock (%s) and the server's (%s) are %s apart: everything seems to be older or "+
			"younger than it is by as much. Set the clocks of both machines right",
			database.UTC().Format(time.RFC3339), server.UTC().Format(time.RFC3339), printable.Duration(ahead.Abs())), nil
	}
	return "", nil
}

// ServerSlack is how far the database's clock may be ahead of the server's, where that is the youngest age at which
// anything is deleted; 0 if none is known.
func ServerSlack(youngest time.Duration) time.Duration {
	const most = time.Hour
	if youngest == 0 {
		return most
	}
	return min(most, youngest/10)
}
