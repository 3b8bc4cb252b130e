package sinks

import (
	"fmt"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"

	"synupkeep/internal/item"
)

// verdict says in one line how the run ended: what decided, what else there was, and the exit code. It is the line that
// is left when a mail or a log keeps only the last one.
func verdict(s Summary) string {
	var words []string
	if len(s.Causes) == 0 {
		words = append(words, finished(s))
	} else {
		words = append(words, decided(s, s.Causes[0]))
		for _, c := range s.Causes[1:] {
			words = append(words, besides(s, c))
		}
	}
	return fmt.Sprintf("%s (exit code %d)", strings.Join(words, "; "), s.ExitCode)
}

func finished(s Summary) string {
	if what := achieved(s); what != "" {
		return "done: " + what
	}
	return "done: there was nothing to delete"
}

func decided(s Summary, c item.Cause) string {
	switch c {
	case item.CauseUsage:
		return "wrong usage: " + because(s, c)
	case item.CauseToken:
		return "token not accepted: " + because(s, c)
	case item.CauseLocked:
		return "another run is at work: " + because(s, c)
	case item.CauseRefused:
		return "refused: " + because(s, c)
	case item.CauseFailed:
		return "could not do its work: " + because(s, c)
	case item.CauseInterrupt:
		return "stopped by SIGINT: " + sofar(s)
	case item.CauseTerminated:
		return "stopped by SIGTERM: " + sofar(s)
	case item.CauseItems:
		return "done, but " + failedItems(s, "failed")
	case item.CauseLeft:
		return "not all done: " + sofar(s) + ", " + leftItems(s)
	}
	return "could not do its work: " + because(s, c)
}

// besides words a cause that did not decide.
func besides(s Summary, c item.Cause) string {
	switch c {
	case item.CauseUsage:
		return "wrong usage"
	case item.CauseToken:
		return "token not accepted"
	case item.CauseLocked:
		return "another run is at work"
	case item.CauseRefused:
		return "a part was refused"
	case item.CauseFailed:
		return "a part could not do its work"
	case item.CauseInterrupt:
		return "stopped by SIGINT"
	case item.CauseTerminated:
		return "stopped by SIGTERM"
	case item.CauseItems:
		return failedItems(s, "failed")
	case item.CauseLeft:
		return leftItems(s)
	}
	return line(string(c))
}

// because gives the error that stands behind a cause, and what had been done before it came.
func because(s Summary, c item.Cause) string {
	i := slices.IndexFunc(s.Errors, func(e RunFailure) bool { return e.Cause == c })
	text := "no error was given"
	if i >= 0 {
		text = s.Errors[i].Text()
	}
	return text + "; " + sofar(s)
}

func sofar(s Summary) string {
	if what := achieved(s); what != "" {
		return what + " so far"
	}
	// A failed item may have lost rows or files, and a purge may still be under way.
	for _, f := range s.Flows {
		if f.Failed > 0 || f.Rows > 0 || f.Files > 0 {
			return "no item was finished"
		}
	}
	if len(s.LeftPurges) > 0 {
		return "no item was finished"
	}
	return "nothing was deleted"
}

// achieved says what the flows did; it is empty if they did nothing.
func achieved(s Summary) string {
	var words []string
	for _, f := range s.Flows {
		if f.Flow == item.Drift && allFound(f) > 0 {
			words = append(words, ofDrift(f))
		}
		if f.Done == 0 || f.Flow == item.Drift {
			continue
		}
		switch f.Flow {
		case item.History:
			words = append(words, number(f.Done, "room", "rooms")+" purged")
		case item.LocalMedia:
			words = append(words, number(f.Done, "local media item", "local media items")+" deleted")
		case item.RemoteMedia:
			words = append(words, number(f.Done, "remote media item", "remote media items")+" deleted")
		case item.Previews:
			words = append(words, number(f.Done, "URL preview", "URL previews")+" deleted")
		case item.Drift: // see above
		default:
			words = append(words, number(f.Done, "item", "items")+" done in "+line(string(f.Flow)))
		}
	}
	return strings.Join(words, ", ")
}

// ofDrift says what was found, whether it was to be deleted or not.
func ofDrift(f FlowSummary) string {
	text := number(allFound(f), "finding", "findings") + " of drift"
	switch f.Done {
	case 0:
		return text
	case allFound(f):
		return text + " deleted"
	}
	return text + ", " + humanize.Comma(f.Done) + " of them deleted"
}

func failedItems(s Summary, how string) string {
	var n int64
	for _, f := range s.Flows {
		n += f.Failed
	}
	if n == 0 {
		return "something " + how
	}
	return number(n, "item", "items") + " " + how
}

func leftItems(s Summary) string {
	var n int64
	for _, f := range s.Flows {
		n += f.LeftTotal
	}
	if n == 0 {
		return "work is left for the next run"
	}
	return number(n, "item is", "items are") + " left for the next run"
}
