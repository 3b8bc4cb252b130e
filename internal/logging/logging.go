// Package logging gives logrus the seven levels of synupkeep: CRITICAL, ERROR, WARNING, SUCCESS, INFO, DEBUG, TRACE.
//
// Logrus has neither SUCCESS nor CRITICAL, and its Fatal ends the process. Here SUCCESS is an Info entry with a mark,
// CRITICAL an Error entry with a mark, and nothing ends the process. The logger is a parameter of whoever logs.
package logging

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/sirupsen/logrus"
)

// Level says how much is logged: entries of this level and of all that come before it.
type Level uint8

// The levels, most important first.
const (
	LevelCritical Level = iota
	LevelError
	LevelWarning
	LevelSuccess
	LevelInfo
	LevelDebug
	LevelTrace
)

// The formats of New.
const (
	Text = "text"
	JSON = "json"
)

// Levels returns every level, most important first.
func Levels() []Level {
	return []Level{LevelCritical, LevelError, LevelWarning, LevelSuccess, LevelInfo, LevelDebug, LevelTrace}
}

// String is the level as --logging-level and the log spell it.
func (l Level) String() string {
	names := []string{"CRITICAL", "ERROR", "WARNING", "SUCCESS", "INFO", "DEBUG", "TRACE"}
	if int(l) >= len(names) {
		return fmt.Sprintf("LEVEL(%d)", uint8(l))
	}
	return names[l]
}

// ParseLevel reads a level in capitals or small letters.
func ParseLevel(text string) (Level, error) {
	levels := Levels()
	at := slices.IndexFunc(levels, func(l Level) bool { return strings.EqualFold(l.String(), text) })
	if at < 0 {
		return LevelInfo, fmt.Errorf("%q is not a logging level", text)
	}
	return levels[at], nil
}

// logrus is the level at which logrus must be for entries of l to reach the formatter, which then drops those of the
// same logrus level that are less important.
func (l Level) logrus() logrus.Level {
	switch l {
	case LevelCritical, LevelError:
		return logrus.ErrorLevel
	case LevelWarning:
		return logrus.WarnLevel
	case LevelSuccess, LevelInfo:
		return logrus.InfoLevel
	case LevelDebug:
		return logrus.DebugLevel
	case LevelTrace:
		return logrus.TraceLevel
	}
	return logrus.TraceLevel
}

// Logger is a logrus entry with the two levels that logrus lacks. Loggers that derive from one another share the writer,
// the level and what is hidden; all methods may be called from several goroutines. Make one with New.
type Logger struct {
	*logrus.Entry
	hidden *redactor
}

// New returns a logger that writes entries up to level to w, in the format Text or JSON.
func New(w io.Writer, level Level, format string) *Logger {
	hidden := &redactor{}
	base := logrus.New()
	base.SetOutput(skipEmpty{w})
	base.SetLevel(level.logrus())
	base.SetFormatter(&formatter{level: level, json: format == JSON, hidden: hidden})
	// Whatever calls Fatal by mistake must not end a run between a DELETE and its files.
	base.ExitFunc = func(int) {}
	return &Logger{Entry: logrus.NewEntry(base), hidden: hidden}
}

// Success logs that something was achieved. It is shown at SUCCESS, where INFO is not.
func (l *Logger) Success(msg string) { l.WithField(markKey, LevelSuccess).Info(msg) }

// Critical logs what ends the run. It returns.
func (l *Logger) Critical(msg string) { l.WithField(markKey, LevelCritical).Error(msg) }

// With returns a logger whose entries carry these fields as well.
func (l *Logger) With(fields logrus.Fields) *Logger {
	return &Logger{Entry: l.WithFields(fields), hidden: l.hidden}
}

// Hide makes *** of these texts, also where they are escaped, in every later entry of this logger, of those it derives
// from and of those derived from it. It is the last line of defence: nobody should log a secret in the first place.
func (l *Logger) Hide(secrets ...string) { l.hidden.add(secrets) }

// Redact returns text with *** for all that Hide was told, for texts that go elsewhere than to the log.
func (l *Logger) Redact(text string) string { return l.hidden.redact(text) }

// skipEmpty spares the writer the entries that the formatter dropped.
type skipEmpty struct{ w io.Writer }

func (s skipEmpty) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	return s.w.Write(p)
}
