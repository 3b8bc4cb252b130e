package logging

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sirupsen/logrus"
	"pgregory.net/rapid"
)

// everything logs one entry of each level.
func everything(log *Logger) {
	log.Critical("critical")
	log.Error("error")
	log.Warn("warning")
	log.Success("success")
	log.Info("info")
	log.Debug("debug")
	log.Trace("trace")
}

func TestALevelShowsItselfAndWhatIsMoreImportant(t *testing.T) {
	all := []string{"CRITICAL critical", "ERROR error", "WARNING warning", "SUCCESS success", "INFO info", "DEBUG debug", "TRACE trace"}
	for i, level := range Levels() {
		var out bytes.Buffer
		everything(New(&out, level, Text))
		var got []string
		for line := range strings.Lines(out.String()) {
			_, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
			got = append(got, rest)
		}
		if diff := cmp.Diff(all[:i+1], got); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", level, diff)
		}
	}
}

func TestHiddenEntriesCostNoWrite(t *testing.T) {
	writes := 0
	log := New(writerFunc(func(p []byte) (int, error) { writes++; return len(p), nil }), LevelSuccess, Text)
	log.Info("not shown at SUCCESS")
	if writes != 0 {
		t.Errorf("%d writes for an entry that is not shown", writes)
	}
	log.Success("shown")
	if writes != 1 {
		t.Errorf("%d writes for one entry", writes)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestParseLevel(t *testing.T) {
	for _, level := range Levels() {
		for _, text := range []string{level.String(), strings.ToLower(level.String())} {
			if got, err := ParseLevel(text); err != nil || got != level {
				t.Errorf("ParseLevel(%q) = %v, %v", text, got, err)
			}
		}
	}
	for _, text := range []string{"", "WARN", "FATAL", "INFO ", "LEVEL(7)", "3"} {
		if level, err := ParseLevel(text); err == nil {
			t.Errorf("ParseLevel(%q) = %v, want an error", text, level)
		}
	}
}

func TestTextIsOneLineInUTC(t *testing.T) {
	var out bytes.Buffer
	log := New(&out, LevelTrace, Text)
	at := time.Date(2026, 11, 21, 23, 0, 1, 0, time.FixedZone("New York", -5*3600))
	log.WithTime(at).WithFields(logrus.Fields{
		"room": "!a:hs", "name": "two words", "evil": "a\nb\x1b[2J", "empty": "", "n": 3, "at": at,
		"error": errors.New("no\nluck"), "took": 90 * time.Second,
	}).Warn("first\nsecond \x1b[31mred \u202e end")
	want := `2026-11-22T04:00:01Z WARNING first\nsecond \x1b[31mred \u202e end at=2026-11-22T04:00:01Z empty="" error="no\nluck"` +
		` evil="a\nb\x1b[2J" n=3 name="two words" room=!a:hs took=1m30s` + "\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

func TestJSONSpellsTheLevelAndKeepsNumbers(t *testing.T) {
	var out bytes.Buffer
	log := New(&out, LevelTrace, JSON).With(logrus.Fields{"flow": "history"})
	log.With(logrus.Fields{
		"n": 3, "f": 0.5, "nan": math.NaN(), "ok": true, "level": "mine", "took": time.Second, "list": []string{"a", "b"},
		"error": errors.New("a\nb"), "nil": nil, "bytes": []byte("raw"),
	}).Success("done\n")
	if strings.Count(out.String(), "\n") != 1 {
		t.Errorf("not one line: %q", out.String())
	}
	var got map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatalf("%v in %s", err, out.String())
	}
	if stamp, _ := got["time"].(string); !regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$`).MatchString(stamp) {
		t.Errorf("time is %q", stamp)
	}
	delete(got, "time")
	want := map[string]any{
		"level": "SUCCESS", "msg": "done\n", "flow": "history", "n": 3.0, "f": 0.5, "nan": "NaN", "ok": true,
		"fields.level": "mine", "took": "1s", "list": "[a b]", "error": "a\nb", "nil": "<nil>", "bytes": "raw",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}

	out.Reset()
	log = New(&out, LevelTrace, JSON)
	everything(log)
	for i, line := range strings.Split(strings.TrimSpace(out.String()), "\n") {
		var entry struct{ Level, Msg string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatal(err)
		}
		if want := Levels()[i].String(); entry.Level != want || entry.Msg != strings.ToLower(want) {
			t.Errorf("%s: %s", want, line)
		}
	}
}

func TestNothingEndsTheProcess(t *testing.T) {
	var out bytes.Buffer
	logger := New(&out, LevelCritical, Text)
	logger.Critical("first")
	logger.Fatal("second") // a mistake: it logs as CRITICAL and goes on
	if got := strings.Count(out.String(), " CRITICAL "); got != 2 {
		t.Errorf("%d entries of two: %s", got, out.String())
	}
}

func TestCriticalDoesNotReachExit(t *testing.T) {
	log := New(&bytes.Buffer{}, LevelTrace, Text)
	log.Logger.ExitFunc = func(int) { panic("exit was reached") }
	everything(log)
}

func TestHideCoversDerivedLoggersInAllForms(t *testing.T) {
	const secret = `p@ss w%rd/'"\`
	forms := map[string]string{
		"raw": secret, "query": url.QueryEscape(secret), "path": url.PathEscape(secret),
		"userinfo": url.UserPassword("u", secret).String(), "keyword": `password='p@ss w%rd/\'"\\'`,
		"go": strconv.Quote(secret), "lower hex": strings.ToLower(url.QueryEscape(secret)),
	}
	for _, format := range []string{Text, JSON} {
		for name, form := range forms {
			var out bytes.Buffer
			log := New(&out, LevelTrace, format)
			before := log.With(logrus.Fields{"early": form})
			log.Hide("", secret)
			before.Debug("a " + form + " z")
			log.WithError(fmt.Errorf("connect: %w", errors.New(form))).Trace("x")
			log.WithField(form, "value").Warn("y")
			log.WithField("list", []string{form}).WithField("struct", struct{ A string }{form}).Error("z")
			log.With(logrus.Fields{"raw": []byte(form), "stringer": stringer(form)}).Critical(form)
			for _, part := range []string{"p@ss", "p%40ss", "w%rd", "w%25rd", "ss w", "ss+w"} {
				if strings.Contains(out.String(), part) {
					t.Errorf("%s, %s: %q shows in\n%s", format, name, part, out.String())
				}
			}
			if got := strings.Count(out.String(), stars); got != 9 {
				t.Errorf("%s, %s: %d stars for 9 secrets in\n%s", format, name, got, out.String())
			}
		}
	}
}

type stringer string

func (s stringer) String() string { return string(s) }

func TestHideTakesTheLongestFirst(t *testing.T) {
	var out bytes.Buffer
	log := New(&out, LevelTrace, Text)
	log.Hide("abc")
	log.Hide("abcdef")
	log.Info("x abcdef y abc z")
	if !strings.HasSuffix(out.String(), " INFO x *** y *** z\n") {
		t.Error(out.String())
	}
	if got := log.Redact("abcdef!"); got != "***!" {
		t.Errorf("Redact gave %q", got)
	}
}

func TestANumberCanBeASecret(t *testing.T) {
	var out bytes.Buffer
	log := New(&out, LevelTrace, JSON)
	log.Hide("424242")
	log.WithField("n", 424242).Info("x")
	if strings.Contains(out.String(), "424242") {
		t.Error(out.String())
	}
}

func TestNoSecretShowsAtTrace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.StringMatching(`[ -~é\n\t]{0,6}XYZZY[ -~é\n\t]{0,6}`).Draw(t, "secret")
		format := rapid.SampledFrom([]string{Text, JSON}).Draw(t, "format")
		var out bytes.Buffer
		log := New(&out, LevelTrace, format)
		log.Hide(secret)
		log.WithField("url", "postgres://u:"+url.QueryEscape(secret)+"@h/db").Trace("connect with " + secret)
		log.WithError(fmt.Errorf("cannot parse %q", secret)).Debug(strconv.Quote(secret))
		if strings.Contains(out.String(), "XYZZY") {
			t.Fatalf("%q shows in %s", secret, out.String())
		}
	})
}

func TestOneLoggerForManyGoroutines(t *testing.T) {
	var out bytes.Buffer
	log := New(&out, LevelTrace, Text)
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			log.Hide(fmt.Sprintf("secret-%d", i))
			log.With(logrus.Fields{"i": i}).Success(fmt.Sprintf("secret-%d", i))
		})
	}
	group.Wait()
	if got := strings.Count(out.String(), " SUCCESS *** i="); got != 8 {
		t.Errorf("%d of 8 whole lines:\n%s", got, out.String())
	}
}
