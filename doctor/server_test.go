package doctor

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"synupkeep/config"
	"synupkeep/internal/homeserver"
	"synupkeep/internal/sandbox"
)

// front stands before the server; answer may answer in its place.
func front(t testing.TB, s *sandbox.Server, answer func(w http.ResponseWriter, r *http.Request) bool, modify func(*http.Response) error) string {
	t.Helper()
	target, err := url.Parse(s.APIURL())
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ModifyResponse = modify
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if answer == nil || !answer(w, r) {
			proxy.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// answering gives this answer to every path that holds that.
func answering(path string, status int, body string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, path) {
			return false
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = fmt.Fprint(w, body)
		return true
	}
}

const unrecognized = `{"errcode": "M_UNRECOGNIZED", "error": "Unrecognized request"}`

func TestWithoutAnAPITheRestIsChecked(t *testing.T) {
	s := sandbox.Shared(t)
	cfg := settings(t, s)
	cfg.APIURL = "http://127.0.0.1:1"
	x := examine(t, cfg, nil)
	x.wants(t, "api", Failure, "connection refused", "--api-url")
	x.but(t, "api")
	for _, name := range []string{"token", "same-server", "purge-api"} {
		if c := x.of(t, name); c.Result != NotChecked || !strings.HasPrefix(c.Found, "no ") {
			t.Errorf("%s: %s: %s", name, c.Result, c.Found)
		}
	}
	x.wants(t, "clocks", OK, "the server's could not be asked")
	x.wants(t, "broken-rooms", OK)
}

func TestAWorkerAndAProxyInThePlaceOfTheServer(t *testing.T) {
	s := sandbox.Shared(t)
	cfg := settings(t, s)
	cfg.APIURL = front(t, s, answering("/_synapse", http.StatusNotFound, unrecognized), nil)
	examine(t, cfg, nil).wants(t, "api", Failure, "M_UNRECOGNIZED", "the main process")
	cfg = settings(t, s)
	cfg.APIURL = front(t, s, answering("/_synapse", http.StatusNotFound, "<html>not here</html>"), nil)
	examine(t, cfg, nil).wants(t, "api", Failure, "reverse proxy", "/_synapse/admin")
}

func TestReleasesThatAreTooOldOrCostMore(t *testing.T) {
	s := sandbox.Shared(t)
	for version, test := range map[string]struct {
		want Result
		says string
	}{
		"1.97.0":  {Failure, "too old"},
		"1.123.1": {Warning, "state_groups_state"},
		"1.150.0": {Warning, "unread counters"},
		"1.163.2": {OK, "Synapse 1.163.2 answers"},
		"?":       {Failure, "not understood"},
	} {
		cfg := settings(t, s)
		cfg.APIURL = front(t, s, answering("/server_version", http.StatusOK, fmt.Sprintf(`{"server_version": %q}`, version)), nil)
		examine(t, cfg, nil).wants(t, "api", test.want, test.says)
	}
}

func TestTokensThatAreNoAdmins(t *testing.T) {
	s := sandbox.Shared(t)
	if err := s.As("nobody").SetDisplayName(t.Context(), "Nobody"); err != nil {
		t.Fatal(err)
	}
	meanwhile(t, s, `INSERT INTO access_tokens (id, user_id, token) VALUES (999999, '@nobody:`+s.ServerName()+`', 'a-users-token')`,
		`DELETE FROM access_tokens WHERE id = 999999`)
	for name, test := range map[string]struct {
		token config.Token
		says  string
	}{
		"of nobody":       {config.Token{Given: config.NewSecret("made-up-token")}, "M_UNKNOWN_TOKEN"},
		"of no admin":     {config.Token{Given: config.NewSecret("a-users-token")}, "You are not a server admin"},
		"in no such file": {config.Token{File: filepath.Join(t.TempDir(), "token")}, "no such file"},
	} {
		cfg := settings(t, s)
		cfg.Token = test.token
		x := examine(t, cfg, nil)
		x.wants(t, "token", Failure, test.says, "exit code 12")
		x.wants(t, "api", OK)
		x.wants(t, "same-server", NotChecked, "no token of an admin")
		x.but(t, "token")
		if strings.Contains(x.text, "made-up-token") || strings.Contains(x.text, "a-users-token") {
			t.Errorf("%s: the token shows:\n%s", name, x.text)
		}
	}
}

func TestADatabaseThatTheServerLeftBehindIsAFailure(t *testing.T) {
	s := sandbox.Shared(t)
	last := one[int64](t, s, `SELECT last_value FROM events_stream_seq`)
	if last < 2 {
		if _, err := s.As("somebody").CreateRoom(t.Context(), sandbox.RoomOptions{}); err != nil {
			t.Fatal(err)
		}
		last = one[int64](t, s, `SELECT last_value FROM events_stream_seq`)
	}
	meanwhile(t, s, `SELECT setval('events_stream_seq', 1)`, fmt.Sprintf(`SELECT setval('events_stream_seq', %d)`, last))
	x := examine(t, settings(t, s), nil)
	x.wants(t, "same-server", Failure, "a copy of the server's database", "--api-url")
	x.but(t, "same-server")
}

func TestAConfigurationOfAnotherServerIsAFailure(t *testing.T) {
	s := sandbox.Shared(t)
	cfg := settings(t, s)
	cfg.Synapse = &homeserver.Config{ServerName: "other.example", Files: []string{"/etc/homeserver.yaml"}}
	x := examine(t, cfg, nil)
	x.wants(t, "same-server", Failure, "/etc/homeserver.yaml is of other.example", s.ServerName())
	x.but(t, "same-server")
	cfg.Synapse.ServerName = s.ServerName()
	examine(t, cfg, nil).wants(t, "same-server", OK)
}

func TestAServerWhosePositionCannotBeAskedIsAWarning(t *testing.T) {
	s := sandbox.Shared(t)
	cfg := settings(t, s)
	cfg.APIURL = front(t, s, answering("/messages", http.StatusNotFound, unrecognized), nil)
	examine(t, cfg, nil).wants(t, "same-server", Warning, "could not be told in every way")
}

func TestAnAddressThatDoesNotPurgeIsAFailure(t *testing.T) {
	s := sandbox.Shared(t)
	cfg := settings(t, s)
	cfg.APIURL = front(t, s, answering("/purge_history_status", http.StatusNotFound, unrecognized), nil)
	x := examine(t, cfg, nil)
	x.wants(t, "purge-api", Failure, "M_UNRECOGNIZED", "main process")
	x.but(t, "purge-api")
	cfg = settings(t, s, "--skip", "history")
	examine(t, cfg, nil).wants(t, "purge-api", NotChecked, "history is not one of the flows")
}

func TestAnAddressThatServesNoMediaIsAFailure(t *testing.T) {
	s := sandbox.Shared(t)
	cfg := settings(t, s, "--media-via", "api")
	examine(t, cfg, nil).wants(t, "media-api", OK)
	cfg.APIURL = front(t, s, answering("/media", http.StatusNotFound, unrecognized), nil)
	x := examine(t, cfg, nil)
	x.wants(t, "media-api", Failure, "M_UNRECOGNIZED", "media resource")
	x.but(t, "media-api")
}

func TestClocksThatAreApart(t *testing.T) {
	s := sandbox.Shared(t)
	x := examine(t, settings(t, s), func(e *exam) { e.world.clock = func() time.Time { return time.Now().Add(3 * time.Hour) } })
	x.wants(t, "clocks", Warning, "3h ahead of the database's", "chrony")
	x.but(t, "clocks")
	for _, test := range []struct {
		off  time.Duration
		want Result
		says string
	}{
		{-2 * time.Hour, Failure, "2h ahead of the server's"},
		{-10 * time.Minute, Warning, "10m apart"},
		{5 * time.Hour, Warning, "5h apart"},
		{0, OK, "agree"},
	} {
		cfg := settings(t, s)
		cfg.APIURL = front(t, s, nil, func(r *http.Response) error {
			r.Header.Set("Date", time.Now().Add(test.off).UTC().Format(http.TimeFormat))
			return nil
		})
		x := examine(t, cfg, nil)
		x.wants(t, "clocks", test.want, test.says)
		x.but(t, "clocks")
	}
}
