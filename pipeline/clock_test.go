package pipeline

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"

	"synupkeep/config"
	"synupkeep/connect"
	"synupkeep/internal/item"
	"synupkeep/internal/logging"
	"synupkeep/internal/sandbox/stock"
)

func TestClockIsComparedWithHalfTheWayTolerated(t *testing.T) {
	database := time.Date(2026, 11, 22, 4, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		before, after time.Duration // local, as they are off the database's
		says          string
	}{
		{0, 0, ""},
		{time.Minute, time.Minute, ""},
		{-time.Minute, -time.Minute, ""},
		{61 * time.Second, 61 * time.Second, "1m1s ahead of"},
		{-61 * time.Second, -61 * time.Second, "1m1s behind"},
		{-10 * time.Minute, 10 * time.Minute, ""},              // a slow answer
		{55 * time.Second, 75 * time.Second, ""},               // 65 s off, 10 s of them on the way
		{80 * time.Second, 90 * time.Second, "1m25s ahead of"}, // more than the way can have taken
		{-3 * time.Hour, -3*time.Hour + 2*time.Second, "2h59m59s behind"},
		{50 * 365 * 24 * time.Hour, 50 * 365 * 24 * time.Hour, "18250d ahead of"},
	} {
		got := connect.OurClock(database.Add(test.before), database, database.Add(test.after))
		if test.says == "" && got != "" || !strings.Contains(got, test.says) {
			t.Errorf("%v, %v: %q, want %q", test.before, test.after, got, test.says)
		}
	}
}

// TestAClockThatIsWrongIsOnlyAWarning runs on a machine whose clock is off: the same media goes and stays.
func TestAClockThatIsWrongIsOnlyAWarning(t *testing.T) {
	for name, test := range map[string]struct {
		off  time.Duration
		says string
	}{
		"right":                {0, ""},
		"half a minute off":    {30 * time.Second, ""},
		"a year ahead":         {365 * day, "365d ahead of the database's"},
		"forty days behind":    {-40 * day, "40d behind the database's"},
		"as good as no clock":  {-56 * 365 * day, " behind the database's"},
		"more than the cutoff": {31 * day, "31d ahead of the database's"},
	} {
		t.Run(name, func(t *testing.T) {
			s := emptied(t)
			old, young := upload(t, s, "clock", 31*day), upload(t, s, "clock", 29*day)
			var out, log bytes.Buffer
			r := newRun(settings(s, item.LocalMedia), logging.New(&log, logging.LevelTrace, logging.Text))
			r.localClock = func() time.Time { return time.Now().Add(test.off) }
			if causes := r.all(t.Context(), t.Context(), &out); len(causes) > 0 {
				t.Errorf("%v\n%s", causes, log.String())
			}
			left := stock.All[string](t, s, `SELECT media_id FROM local_media_repository`)
			if len(left) != 1 || left[0] != idOf(young) {
				t.Errorf("%q are left of %s (old) and %s (young)", left, idOf(old), idOf(young))
			}
			if warned := strings.Contains(log.String(), "the clock of this machine"); warned != (test.says != "") ||
				!strings.Contains(log.String(), test.says) {
				t.Errorf("want a warning of %q:\n%s", test.says, log.String())
			}
		})
	}
}

// TestADatabaseThatIsAheadOfTheServerIsRefused has the server, whose clock ages are counted from, tell another time than the
// database.
func TestADatabaseThatIsAheadOfTheServerIsRefused(t *testing.T) {
	for name, test := range map[string]struct {
		off     time.Duration // of the server
		age     time.Duration
		refused bool
		says    string
	}{
		"a month ahead":                  {-31 * day, 30 * day, true, "31d ahead of the server's"},
		"an hour ahead":                  {-time.Hour - time.Minute, 30 * day, true, "1h1m ahead of the server's"},
		"almost an hour":                 {-time.Hour + time.Minute, 30 * day, false, "59m apart"},
		"almost an hour, and young ages": {-time.Hour + time.Minute, time.Hour, true, "59m ahead of the server's"},
		"seconds":                        {-30 * time.Second, 30 * day, false, ""},
		"a month behind":                 {31 * day, 30 * day, false, "31d apart"},
	} {
		t.Run(name, func(t *testing.T) {
			s := emptied(t)
			upload(t, s, "clock", 31*day)
			before := stock.OfMedia(t, s)
			cfg := settings(s, item.LocalMedia)
			cfg.Ages[item.LocalMedia] = config.Age{Delta: test.age}
			cfg.APIURL = altering(t, s, func(path string, w http.ResponseWriter) bool {
				if path != "/_synapse/admin/v1/server_version" {
					return false
				}
				w.Header().Set("Date", time.Now().Add(test.off).UTC().Format(http.TimeFormat))
				_, _ = w.Write([]byte(`{"server_version":"1.163.2"}`))
				return true
			})
			r := do(t, cfg)
			if !strings.Contains(r.out+r.log, test.says) || test.says == "" && strings.Contains(r.log, "the server's") {
				t.Errorf("want %q:\n%s\n%s", test.says, r.out, r.log)
			}
			if !test.refused {
				wantCauses(t, r)
				return
			}
			wantCauses(t, r, item.CauseRefused)
			stock.Exactly(t, s, before)
		})
	}
}
