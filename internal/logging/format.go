package logging

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/sirupsen/logrus"

	"synupkeep/internal/printable"
)

// markKey is the field that makes an Info entry a SUCCESS and an Error entry a CRITICAL. It is never printed.
const markKey = "\x00level"

// formatter prints one entry as one line, of which no part can hold a line break, a control character or a secret.
type formatter struct {
	level  Level
	json   bool
	hidden *redactor
}

// Format implements logrus.Formatter. It returns nothing for an entry that is less important than the level.
func (f *formatter) Format(entry *logrus.Entry) ([]byte, error) {
	level := levelOf(entry)
	if level > f.level {
		return nil, nil
	}
	if f.json {
		return f.jsonLine(entry, level)
	}
	return f.textLine(entry, level), nil
}

func levelOf(entry *logrus.Entry) Level {
	if mark, ok := entry.Data[markKey].(Level); ok {
		return mark
	}
	switch entry.Level {
	case logrus.PanicLevel, logrus.FatalLevel:
		return LevelCritical
	case logrus.ErrorLevel:
		return LevelError
	case logrus.WarnLevel:
		return LevelWarning
	case logrus.InfoLevel:
		return LevelInfo
	case logrus.DebugLevel:
		return LevelDebug
	case logrus.TraceLevel:
		return LevelTrace
	}
	return LevelTrace
}

func keysOf(entry *logrus.Entry) []string {
	keys := slices.Sorted(maps.Keys(entry.Data))
	return slices.DeleteFunc(keys, func(key string) bool { return key == markKey })
}

func stamp(entry *logrus.Entry) string { return entry.Time.UTC().Format(time.RFC3339) }

func (f *formatter) textLine(entry *logrus.Entry, level Level) []byte {
	var line bytes.Buffer
	fmt.Fprintf(&line, "%s %s %s", stamp(entry), level, printable.Text(f.hidden.redact(entry.Message)))
	for _, key := range keysOf(entry) {
		value := f.hidden.redact(textOf(entry.Data[key]))
		if needsQuotes(value) {
			value = strconv.Quote(value)
		}
		fmt.Fprintf(&line, " %s=%s", printable.Text(f.hidden.redact(key)), value)
	}
	line.WriteByte('\n')
	return line.Bytes()
}

func (f *formatter) jsonLine(entry *logrus.Entry, level Level) ([]byte, error) {
	head := struct {
		Time  string `json:"time"`
		Level string `json:"level"`
		Msg   string `json:"msg"`
	}{stamp(entry), level.String(), f.hidden.redact(entry.Message)}
	line, err := json.Marshal(head)
	if err != nil {
		return nil, fmt.Errorf("format a log entry: %w", err)
	}
	fields := map[string]any{}
	for _, key := range keysOf(entry) {
		name := f.hidden.redact(key)
		if slices.Contains([]string{"time", "level", "msg"}, name) {
			name = "fields." + name
		}
		fields[name] = f.jsonValue(entry.Data[key])
	}
	if len(fields) > 0 {
		rest, err := json.Marshal(fields)
		if err != nil {
			return nil, fmt.Errorf("format the fields of a log entry: %w", err)
		}
		line = append(append(line[:len(line)-1], ','), rest[1:]...)
	}
	return append(printable.JSON(line), '\n'), nil
}

// jsonValue keeps numbers and truth values as they are; everything else becomes text, so that nothing escapes redaction.
func (f *formatter) jsonValue(value any) any {
	text := textOf(value)
	redacted := f.hidden.redact(text)
	if redacted != text {
		return redacted
	}
	switch value.(type) {
	case fmt.Stringer, error:
		return text
	}
	number := reflect.ValueOf(value)
	switch {
	case !number.IsValid():
		return text
	case number.Kind() == reflect.Bool, number.CanInt(), number.CanUint():
		return value
	case number.CanFloat() && !math.IsNaN(number.Float()) && !math.IsInf(number.Float(), 0): // those are not JSON
		return value
	}
	return text
}

func textOf(value any) string {
	switch v := value.(type) {
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano)
	case []byte:
		return string(v)
	}
	return fmt.Sprint(value)
}

func needsQuotes(text string) bool {
	return text == "" || strings.ContainsFunc(text, func(r rune) bool {
		return r == '"' || r == '=' || r == '\\' || unicode.IsSpace(r) || !unicode.IsPrint(r) || r == unicode.ReplacementChar
	})
}
