package doctor

import (
	"errors"
	"fmt"

	"synupkeep/connect"
	"synupkeep/internal/item"
	"synupkeep/internal/synapse"
)

// Result says how a check ended. The words stand in the text and in JSON.
type Result string

// The results.
const (
	OK         Result = "ok"
	Warning    Result = "warning" // a run works, and somebody should know this
	Failure    Result = "failure" // a run would be refused or fail, or the server is broken
	NotChecked Result = "not checked"
)

// finding is what a check found.
type finding struct {
	result  Result
	found   string
	means   string
	do      string
	details []string
	// learn tells the checks that follow. It may be nil.
	learn func(*exam)
}

func fine(format string, args ...any) finding {
	return finding{result: OK, found: fmt.Sprintf(format, args...)}
}

func notChecked(why string) finding { return finding{result: NotChecked, found: why} }

// refused is a failure made of an error that carries its own advice.
func refused(err error, means string) finding {
	f := finding{result: Failure, found: err.Error(), means: means}
	var known *item.RunError
	if errors.As(err, &known) {
		f.do = known.Hint
		if known.Err != nil {
			f.found = known.Err.Error()
		}
	}
	return f
}

// unread is what a check says that could not read the database.
func unread(err error) finding {
	var sql interface{ SQLState() string }
	if errors.As(err, &sql) && sql.SQLState() == "42501" || errors.Is(err, synapse.ErrNoPrivilege) {
		return finding{
			result: Warning, found: "it could not be looked at: " + err.Error(), means: "The database role may not read what this check reads.",
			do: "Connect as the role that Synapse uses.",
		}
	}
	return finding{
		result: Failure, found: "it could not be looked at: " + err.Error(), means: "The database did not answer this question.",
		do: connect.DatabaseHint(err),
	}
}

// few limits details.
const few = 10

// shorten keeps the first few of a list and says how many there are beyond them.
func shorten(list []string, total int) []string {
	if len(list) > few {
		list = list[:few]
	}
	if more := total - len(list); more > 0 {
		list = append(list[:len(list):len(list)], fmt.Sprintf("and %d more", more))
	}
	return list
}

// plural is 1 room, 2 rooms.
func plural[N int | int64](n N, one, many string) string {
	if n == 1 {
		return fmt.Sprintf("%d %s", n, one)
	}
	return fmt.Sprintf("%d %s", n, many)
}
