package doctor

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"synupkeep/config"
	"synupkeep/internal/printable"
)

// report is all that was found. Its JSON is a public interface, described in doc.go.
type report struct {
	Schema        int            `json:"schema"`
	Version       string         `json:"version"`
	Command       config.Command `json:"command"`
	Checked       time.Time      `json:"checked"`
	ServerName    string         `json:"server_name"`
	ServerVersion string         `json:"server_version"`
	Database      string         `json:"database"`
	Result        Result         `json:"result"`
	ExitCode      int            `json:"exit_code"`
	Counts        counts         `json:"counts"`
	Checks        []result       `json:"checks"`
}

type counts struct {
	OK         int `json:"ok"`
	Warning    int `json:"warning"`
	Failure    int `json:"failure"`
	NotChecked int `json:"not_checked"`
}

type result struct {
	Name     string   `json:"name"`
	Result   Result   `json:"result"`
	Found    string   `json:"found"`
	Means    string   `json:"means"`
	Do       string   `json:"do"`
	Details  []string `json:"details"`
	Duration float64  `json:"duration_s"`
}

const schemaVersion = 1

func (r *report) add(name string, f finding, took time.Duration) {
	r.Checks = append(r.Checks, result{
		Name: name, Result: f.result, Found: f.found, Means: f.means, Do: f.do, Details: append([]string{}, f.details...), Duration: took.Seconds(),
	})
}

func (r *report) complete(e *exam, exitCode int) {
	r.Schema, r.Version, r.Command, r.ExitCode = schemaVersion, config.Version(), e.cfg.Command, exitCode
	r.ServerName, r.ServerVersion, r.Result = e.serverName, e.serverVersion, OK
	if e.db != nil {
		r.Database = e.db.Target()
	}
	for _, c := range r.Checks {
		r.Result = worse(r.Result, c.Result)
		switch c.Result {
		case OK:
			r.Counts.OK++
		case Warning:
			r.Counts.Warning++
		case Failure:
			r.Counts.Failure++
		case NotChecked:
			r.Counts.NotChecked++
		}
	}
}

// redact keeps secrets out of every text.
func (r *report) redact(hide func(string) string) {
	for i := range r.Checks {
		c := &r.Checks[i]
		c.Found, c.Means, c.Do = hide(c.Found), hide(c.Means), hide(c.Do)
		for k := range c.Details {
			c.Details[k] = hide(c.Details[k])
		}
	}
}

func (r *report) write(w io.Writer, cfg *config.Config) error {
	if cfg.JSON {
		return printable.WriteJSON(w, r)
	}
	return r.writeText(w, cfg.Quiet)
}

// width is how wide lines are made, where a word is not longer.
const width = 110

// writeText writes what asks for somebody last, where a terminal still shows it. With quiet, nothing else.
func (r *report) writeText(w io.Writer, quiet bool) error {
	var b strings.Builder
	if !quiet {
		r.head(&b)
	}
	column := 0
	for _, c := range r.Checks {
		column = max(column, len(c.Name))
	}
	if !quiet {
		if r.writeEach(&b, OK, column) {
			b.WriteString("\n")
		}
		r.writeNotChecked(&b)
	}
	r.writeEach(&b, Warning, column)
	r.writeEach(&b, Failure, column)
	if !quiet || r.Result != OK {
		paragraph(&b, "", "", r.verdict())
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeEach writes the checks with a result, if there are any.
func (r *report) writeEach(b *strings.Builder, which Result, column int) (some bool) {
	for _, c := range r.Checks {
		if c.Result == which {
			c.write(b, column)
			some = true
		}
	}
	return some
}

// writeNotChecked writes what was not checked, by why.
func (r *report) writeNotChecked(b *strings.Builder) {
	var reasons []string
	names := map[string][]string{}
	for _, c := range r.Checks {
		if c.Result != NotChecked {
			continue
		}
		if names[c.Found] == nil {
			reasons = append(reasons, c.Found)
		}
		names[c.Found] = append(names[c.Found], c.Name)
	}
	for _, why := range reasons {
		paragraph(b, "not checked  ", strings.Repeat(" ", 13), why+": "+strings.Join(names[why], ", "))
	}
	if len(reasons) > 0 {
		b.WriteString("\n")
	}
}

func (r *report) head(b *strings.Builder) {
	about := "synupkeep doctor"
	if r.ServerName != "" {
		about += ": " + r.ServerName
	}
	if r.ServerVersion != "" {
		about += ", Synapse " + r.ServerVersion
	}
	paragraph(b, "", "", about)
	b.WriteString("\n")
}

func (c result) write(b *strings.Builder, column int) {
	label := fmt.Sprintf("%-11s  %-*s  ", c.Result, column, c.Name)
	if c.Result == OK {
		paragraph(b, label, strings.Repeat(" ", len(label)), c.Found)
		return
	}
	paragraph(b, fmt.Sprintf("%-11s  %s: ", strings.ToUpper(string(c.Result)), c.Name), strings.Repeat(" ", 13), c.Found)
	for _, detail := range c.Details {
		paragraph(b, strings.Repeat(" ", 13)+"- ", strings.Repeat(" ", 15), detail)
	}
	if c.Means != "" {
		paragraph(b, strings.Repeat(" ", 13), strings.Repeat(" ", 13), c.Means)
	}
	if c.Do != "" {
		paragraph(b, strings.Repeat(" ", 13)+"What to do: ", strings.Repeat(" ", 13), c.Do)
	}
	b.WriteString("\n")
}

// verdict is the last line.
func (r *report) verdict() string {
	counted := fmt.Sprintf("%s, %s, %d ok, %d not checked", plural(r.Counts.Failure, "failure", "failures"), plural(r.Counts.Warning, "warning", "warnings"),
		r.Counts.OK, r.Counts.NotChecked)
	switch r.Result {
	case Failure:
		return "Verdict: something is wrong (" + counted + "). Begin with the first failure: others may come of it."
	case Warning:
		return "Verdict: a run would work; somebody should look at the warnings (" + counted + ")."
	case OK, NotChecked:
	}
	return "Verdict: all is well (" + counted + ")."
}

// paragraph breaks a text into lines. A line of it is never mistaken for one of ours: what a terminal might act upon is
// written as in Go.
func paragraph(b *strings.Builder, first, rest, text string) {
	line, fresh := first, true
	for word := range strings.FieldsSeq(text) {
		word = printable.Text(word)
		if !fresh && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			b.WriteString(strings.TrimRight(line, " ") + "\n")
			line, fresh = rest, true
		}
		if !fresh {
			line += " "
		}
		line, fresh = line+word, false
	}
	b.WriteString(strings.TrimRight(line, " ") + "\n")
}
