package config

import (
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestTheManualHasEveryCommandAndFlag, and nothing in it is taken for a request of roff that is none.
func TestTheManualHasEveryCommandAndFlag(t *testing.T) {
	page := ManualPage("2.0.0", time.Date(2026, 11, 22, 23, 0, 0, 0, time.FixedZone("", -2*3600)))
	if !strings.HasPrefix(page, `.TH SYNUPKEEP 1 "2026-11-23" "synupkeep 2.0.0"`) {
		t.Error(page[:80])
	}
	for _, c := range commands() {
		if !strings.Contains(page, `.SS "synupkeep `+escaped(c.usageText)+"\"\n") {
			t.Errorf("no %s", c.command)
		}
	}
	for _, f := range flagSpecs() {
		if !strings.Contains(page, `\fB\-\-`+escaped(f.name)+`\fR`) {
			t.Errorf("no --%s", f.name)
		}
		for _, variable := range f.variables() {
			if !strings.Contains(page, variable) {
				t.Errorf("no %s", variable)
			}
		}
	}
	for line := range strings.Lines(page) {
		known := false
		for _, request := range []string{".TH ", ".SH ", ".SS ", ".PP\n", ".nf\n", ".fi\n", ".TP\n", ".br\n"} {
			known = known || strings.HasPrefix(line, request)
		}
		if (strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'")) && !known || line == "\n" {
			t.Errorf("%q", line)
		}
	}
}

// TestManReadsTheManual where there is a man, groff or mandoc that can say what it does not understand.
func TestManReadsTheManual(t *testing.T) {
	for _, reader := range [][]string{{"groff", "-man", "-Tutf8", "-ww", "-z"}, {"mandoc", "-T", "lint", "-W", "error"}} {
		program, err := exec.LookPath(reader[0])
		if err != nil {
			t.Logf("no %s is here to read it", reader[0])
			continue
		}
		cmd := exec.CommandContext(t.Context(), program, reader[1:]...)
		cmd.Stdin = strings.NewReader(ManualPage("2.0.0", time.Now()))
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%q: %v\n%s", reader, err, out)
		}
	}
}
