package sinks_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"synupkeep/internal/item"
	"synupkeep/sinks"
)

// TestNoSecretIsInASummary puts one wherever a text comes in, also where the text is cut to its length.
func TestNoSecretIsInASummary(t *testing.T) {
	const secret = "syt_verysecret"
	hide := func(text string) string { return strings.ReplaceAll(text, secret, "***") }
	texts := []string{
		"host=db password=" + secret, "first line\n" + secret + "\nlast line",
		// The text ends within it, after at least half of it: at 500 bytes, and where no more is looked at.
		strings.Repeat("x", 500-len(secret)+3) + secret, strings.Repeat("x", 489) + secret, strings.Repeat("x", 2000-7) + secret,
	}
	for _, text := range texts {
		failure := func() error {
			return fmt.Errorf("around %s: %w", text, &item.RunError{
				Cause: item.CauseFailed, Doing: "do " + text, Err: errors.New(text), Hint: "hint " + text,
			})
		}
		tally := sinks.NewTally(item.Flows())
		tally.Redact = hide
		tally.Add(item.Outcome{Flow: item.History, Key: "!a", Status: item.Failed, Err: failure()})
		tally.Add(item.Outcome{Flow: item.History, Key: "!b", Status: item.Failed, Err: errors.New(text)})
		tally.End(item.LocalMedia, fourOClock, errors.New(text))
		tally.End(item.Previews, fourOClock, failure())
		s := tally.Summary()
		s.AddError(failure())
		s.AddError(errors.Join(errors.New(text), failure()))
		s.Warnings = append(s.Warnings, text)
		s.Errors = append(s.Errors, sinks.RunFailure{Cause: item.CauseFailed, Doing: text, Error: text, Hint: text})
		s.Failures = append(s.Failures, sinks.Failure{Key: "!c", Cause: text, Hint: text})
		s.Flows[2].Error = text

		var out bytes.Buffer
		path := filepath.Join(t.TempDir(), "report.json")
		report, err := sinks.CreateReport(path)
		if err == nil {
			err = errors.Join(report.Write(s), sinks.WriteTable(&out, s), sinks.WriteJSON(&out, s))
		}
		if err != nil {
			t.Fatal(err)
		}
		written, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for name, output := range map[string]string{"table and JSON": out.String(), "report": string(written)} {
			if strings.Contains(output, "verysec") || strings.Contains(output, "syt_v") {
				t.Errorf("%s of a text of %d bytes: %s", name, len(text), output)
			}
			if !strings.Contains(output, "***") {
				t.Errorf("%s: nothing was hidden: the test shows nothing\n%s", name, output)
			}
		}
		if text := s.Errors[0].Text(); strings.Contains(text, "syt_v") {
			t.Errorf("what is logged: %s", text)
		}
	}
}
