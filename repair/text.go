package repair

import (
	"fmt"
	"io"
	"strings"
	"time"

	"synupkeep/internal/item"
	"synupkeep/internal/printable"
)

// show writes to whoever reads along; a reader that went away stops nothing.
func (c *command) show(format string, args ...any) { _, _ = fmt.Fprintf(c.say, format, args...) }

// tell writes the report, and returns why the exit code should be other than 0.
func (c *command) tell(err error, stdout io.Writer) []item.Cause {
	c.report.end(time.Now(), err, c.log.Redact)
	for _, e := range c.report.Errors {
		text := e.Doing
		if e.Error != "" {
			text += ": " + e.Error
		}
		c.log.WithField("hint", e.Hint).Error(text)
	}
	causes := c.report.Causes
	write := func() error { _, err := io.WriteString(stdout, c.report.summary()); return err }
	if c.cfg.JSON {
		write = func() error { return c.report.json(stdout) }
	}
	if err := write(); err != nil {
		c.log.WithError(err).Error("the report could not be printed")
		causes = append(causes, item.CauseFailed)
	}
	return causes
}

func (r *Report) json(w io.Writer) error {
	full := *r
	full.Causes, full.Errors, full.Warnings = list(r.Causes), list(r.Errors), list(r.Warnings)
	full.Rooms = list(r.Rooms)
	for i := range full.Rooms {
		room := &full.Rooms[i]
		room.Broken, room.LosesNamed, room.SQL = list(room.Broken), list(room.LosesNamed), list(room.SQL)
	}
	return printable.WriteJSON(w, full)
}

// list is never null in JSON.
func list[T any](of []T) []T {
	if of == nil {
		return []T{}
	}
	return of
}

func (r *Report) heading() string {
	text := fmt.Sprintf("%s of %s %s no messages any more", count(r.Found, "room"), shown(r.ServerName), choose(r.Found == 1, "takes", "take"))
	if more := r.Found - int64(len(r.Rooms)); more > 0 {
		text += fmt.Sprintf("; these are the first %d, the others come with the next call", len(r.Rooms))
	}
	return text + ":"
}

// text shows a room and what would be done.
func (r *Room) text() string {
	var b strings.Builder
	b.WriteString(shown(r.ID))
	if r.Name != "" {
		b.WriteString("  " + shown(r.Name))
	}
	if r.Alias != "" {
		b.WriteString("  " + shown(r.Alias))
	}
	fmt.Fprintf(&b, "\n  members      %d, %d of them of this server\n", r.Members, r.LocalMembers)
	fmt.Fprintf(&b, "  wrong        %s\n", r.wrong())
	for _, broken := range r.Broken {
		fmt.Fprintf(&b, "               %s: %s%s\n", shown(broken.EventID), broken.words(), choose(broken.Current, ", part of the room's state", ""))
	}
	if r.Repair == DropExtremities {
		fmt.Fprintf(&b, "  repair       Synapse forgets that these are latest events, and goes on from %s.\n", shown(r.Keeps))
		b.WriteString("               The state of the room stays as it is, and so does every message.\n")
		return b.String()
	}
	return b.String() + r.unsafe()
}

// unsafe says why nothing is done, and what else to do.
func (r *Room) unsafe() string {
	var b strings.Builder
	fmt.Fprintf(&b, "  not repaired %s\n", shown(r.Why))
	for _, key := range r.LosesNamed {
		fmt.Fprintf(&b, "               %s\n", shown(strings.TrimSpace(key.Type+" "+key.Key)))
	}
	if more := r.Loses - int64(len(r.LosesNamed)); more > 0 {
		fmt.Fprintf(&b, "               and %d more\n", more)
	}
	fmt.Fprintf(&b, "  instead      %s\n", shown(r.Advice))
	for _, line := range r.SQL {
		fmt.Fprintf(&b, "    %s\n", line)
	}
	return b.String()
}

func (r *Room) wrong() string {
	if r.Extremities == 0 {
		return "it has no latest event, which the next one would follow"
	}
	return fmt.Sprintf("the next message would follow %s, of which %s cannot be followed:", count(r.Extremities, "latest event"),
		choose(int64(len(r.Broken)) == r.Extremities, "all", fmt.Sprintf("%d", len(r.Broken))+choose(len(r.Broken) == 10, " or more", "")))
}

// words say what is wrong with a latest event.
func (b Broken) words() string {
	switch b.Wrong {
	case "outlier":
		return "a purge took it out of the history"
	case "missing":
		return "it is no event of this room in the database"
	case "no state":
		return "the state after it is gone"
	}
	return shown(string(b.Wrong))
}

// result says in a line what became of a room.
func (r *Room) result() string {
	switch r.Status {
	case Repaired:
		return fmt.Sprintf("  repaired     the server forgot %s; it makes messages of this room again\n", count(r.Forgotten, "latest event"))
	case Declined:
		return "  left as it is\n"
	case Changed, Failed:
		text := fmt.Sprintf("  %-12s %s\n", r.Status, shown(r.Why))
		if r.Advice != "" {
			text += fmt.Sprintf("  %-12s %s\n", "", shown(r.Advice))
		}
		return text
	case NotSafe, NotAsked, NotReached:
	}
	return ""
}

// summary is the end of the text.
func (r *Report) summary() string {
	switch {
	case r.Found == 0 && len(r.Errors) > 0:
		return "Nothing was done.\n"
	case r.Found == 0:
		return "No room is broken.\n"
	}
	text := fmt.Sprintf("\n%s repaired, %d still broken.\n", count(r.Repaired, "room"), r.StillBroken)
	for _, note := range []struct {
		status Status
		says   string
	}{
		{NotAsked, "Nothing was done: there is no terminal to ask at. With --yes it does not ask.\n"},
		{Failed, "It ended at the first room that was not mended; the rooms after it were not touched.\n"},
	} {
		for i := range r.Rooms {
			if r.Rooms[i].Status == note.status {
				text += note.says
				break
			}
		}
	}
	return text
}

func count(n int64, what string) string {
	return fmt.Sprintf("%d %s%s", n, what, choose(n == 1, "", "s"))
}

func choose(cond bool, yes, no string) string {
	if cond {
		return yes
	}
	return no
}

// mostShown is how much of a text from elsewhere is shown, in bytes.
const mostShown = 500

// shown makes a text from elsewhere fit for a line of a terminal.
func shown(text string) string {
	text = printable.Text(text)
	if len(text) > mostShown {
		text = strings.ToValidUTF8(text[:mostShown], "") + "…"
	}
	return text
}
