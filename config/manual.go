package config

import (
	"fmt"
	"strings"
	"time"
)

// Completions are the scripts of [CommandCompletion] by shell.
func Completions() map[string]string {
	all := map[string]string{}
	for _, shell := range shells() {
		all[shell] = completion(shell)
	}
	return all
}

// ManualPage is synupkeep(1) for man, made of the descriptions of commands and flags that help prints, too.
func ManualPage(version string, date time.Time) string {
	var m manual
	m.line(`.TH SYNUPKEEP 1 "%s" "synupkeep %s" "User Commands"`, date.UTC().Format(time.DateOnly), escaped(version))
	m.heading("NAME")
	m.text(`synupkeep \- keeps a Matrix Synapse homeserver small`)
	m.heading("SYNOPSIS")
	m.verbatim(usageText)
	m.heading("DESCRIPTION")
	m.paragraphs(description)
	m.heading("COMMANDS")
	for _, c := range commands() {
		m.line(`.SS "synupkeep %s"`, escaped(c.usageText))
		m.paragraphs(strings.ToUpper(c.usage[:1]) + c.usage[1:] + ".")
		m.paragraphs(strings.TrimSuffix(c.description, sayingThings))
		if len(c.examples) > 0 {
			m.paragraphs("Examples:")
			m.verbatim(strings.Join(c.examples, "\n"))
		}
		if c.exitCodes != "" && c.exitCodes != runExitCodes {
			m.paragraphs("Exit codes:")
			m.verbatim(c.exitCodes)
		}
	}
	m.heading("OPTIONS")
	m.paragraphs("Behind each flag stand the commands that take it, and the variables that can be set in its place.")
	for _, f := range flagSpecs() {
		m.flag(f)
	}
	m.heading("EXIT STATUS")
	m.verbatim(runExitCodes)
	m.heading("FILES")
	m.paragraphs("/etc/synupkeep/synupkeep.env: variables for the systemd service.\n\n/etc/synupkeep/token: the access token for it.\n\n" +
		"/data/homeserver.yaml: Synapse's configuration in its container; it is found without a flag.")
	m.heading("SEE ALSO")
	m.paragraphs("systemctl(1), psql(1), /usr/share/doc/synupkeep")
	return m.String()
}

// manual is a page under way.
type manual struct{ strings.Builder }

// escaped is text that roff takes as it is.
func escaped(text string) string {
	return strings.NewReplacer(`\`, `\e`, `-`, `\-`, "'", `\(aq`, "`", `\(ga`, `"`, `\(dq`, "^", `\(ha`, "~", `\(ti`).Replace(text)
}

func (m *manual) line(format string, args ...any) {
	_, _ = fmt.Fprintf(m, format+"\n", args...) // a strings.Builder takes all
}

func (m *manual) heading(name string) { m.line(".SH %s", name) }

// text writes a line that is no request.
func (m *manual) text(line string) {
	if strings.HasPrefix(line, ".") {
		line = `\&` + line
	}
	m.line("%s", line)
}

// paragraphs are divided by empty lines. What is indented in them stays as it is.
func (m *manual) paragraphs(text string) {
	for paragraph := range strings.SplitSeq(strings.Trim(text, "\n"), "\n\n") {
		if strings.HasPrefix(paragraph, "  ") {
			m.verbatim(paragraph)
			continue
		}
		if paragraph == "" {
			continue
		}
		m.line(".PP")
		for line := range strings.SplitSeq(paragraph, "\n") {
			m.text(escaped(line))
		}
	}
}

func (m *manual) verbatim(text string) {
	m.line(".PP\n.nf")
	for line := range strings.SplitSeq(strings.Trim(text, "\n"), "\n") {
		m.text(escaped(line))
	}
	m.line(".fi")
}

func (m *manual) flag(f flagSpec) {
	value := ""
	if _, after, found := strings.Cut(f.usage, "`"); found {
		value, _, _ = strings.Cut(after, "`")
	}
	m.line(".TP")
	name := `\fB\-\-` + escaped(f.name) + `\fR`
	if f.alias != "" {
		name += `, \fB\-` + escaped(f.alias) + `\fR`
	}
	if value != "" {
		name += ` \fI` + escaped(value) + `\fR`
	}
	m.line("%s", name)
	usage := plain(f.usage)
	if f.fallback != "" {
		usage += " (default: " + f.fallback + ")"
	}
	var of []string
	for _, c := range f.commands {
		of = append(of, string(c))
	}
	m.text(escaped(usage) + ".")
	m.line(".br")
	m.text(escaped(strings.Join(of, ", ") + "; " + strings.Join(f.variables(), ", ")))
}
