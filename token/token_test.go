package token_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"synupkeep/config"
	"synupkeep/internal/item"
	"synupkeep/internal/logging"
	"synupkeep/internal/sandbox"
	"synupkeep/internal/synapse"
	"synupkeep/token"
)

func TestMain(m *testing.M) { os.Exit(sandbox.TestMain(m)) }

const password = "correct horse battery staple"

func typing(text string) token.Ask {
	return func(context.Context, string) (string, error) { return text, nil }
}

// get runs the command and returns its causes, what it printed and what it logged.
func get(t *testing.T, cfg *config.Config, ask token.Ask) (causes []item.Cause, stdout, log string) {
	t.Helper()
	var out, said bytes.Buffer
	logger := logging.New(&said, logging.LevelTrace, logging.Text)
	logger.Hide(cfg.Secrets()...)
	causes = token.Get(ask)(t.Context(), t.Context(), cfg, logger, &out)
	if strings.Contains(out.String()+said.String(), password) {
		t.Errorf("the password shows:\n%s%s", &out, &said)
	}
	return causes, out.String(), said.String()
}

func configuration(t *testing.T, s *sandbox.Server, user string) *config.Config {
	t.Helper()
	return &config.Config{
		Command: config.CommandToken, APIURL: strings.TrimRight(s.APIURL(), "/"), User: user,
		Token: config.Token{File: filepath.Join(t.TempDir(), "token")},
	}
}

// newUser makes a user with a password.
func newUser(t *testing.T, s *sandbox.Server, name string, admin bool) {
	t.Helper()
	body, err := json.Marshal(map[string]any{"password": password, "admin": admin})
	if err != nil {
		t.Fatal(err)
	}
	url := strings.TrimRight(s.APIURL(), "/") + "/_synapse/admin/v2/users/@" + name + ":" + s.ServerName()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.AdminToken())
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // only its status counts
	if resp.StatusCode >= http.StatusBadRequest {
		t.Fatalf("make %s: %s", name, resp.Status)
	}
}

type fixed string

func (f fixed) Token() string { return string(f) }
func (fixed) Renew() bool     { return false }

// worksForAnAdmin reads the file, whose mode nobody else may read, and tries the token.
func worksForAnAdmin(t *testing.T, cfg *config.Config) {
	t.Helper()
	info, err := os.Stat(cfg.Token.File)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	text, err := cfg.Token.Read()
	if err != nil {
		t.Fatal(err)
	}
	client := synapse.NewClient(cfg.APIURL, fixed(text.Reveal()))
	defer client.Close()
	if err := client.CheckAdmin(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestATokenByPassword(t *testing.T) {
	s := sandbox.Shared(t)
	newUser(t, s, "keeper", true)
	for _, name := range []string{"keeper", "@keeper:" + s.ServerName()} {
		cfg := configuration(t, s, name)
		causes, out, log := get(t, cfg, typing(password))
		if causes != nil || !strings.Contains(out, cfg.Token.File) {
			t.Fatalf("%v\n%s%s", causes, out, log)
		}
		worksForAnAdmin(t, cfg)
	}
}

// nothingWritten says that no file was left, the temporary one included.
func nothingWritten(t *testing.T, cfg *config.Config) {
	t.Helper()
	left, err := os.ReadDir(filepath.Dir(cfg.Token.File))
	if err != nil || len(left) != 0 {
		t.Errorf("%v, %v", left, err)
	}
}

func TestWhatIsRefused(t *testing.T) {
	s := sandbox.Shared(t)
	newUser(t, s, "plain", false)
	newUser(t, s, "other", true)
	tests := []struct {
		name, user string
		ask        token.Ask
		cause      item.Cause
		says       string
	}{
		{"a wrong password", "other", typing("wrong"), item.CauseToken, "log in as other"},
		{"no such user", "nobody", typing(password), item.CauseToken, "log in as nobody"},
		{"a user who is no admin", "plain", typing(password), item.CauseToken, "UPDATE users SET admin = 1"},
		{"nobody to ask", "other", func(context.Context, string) (string, error) { return "", token.ErrNobody }, item.CauseUsage, "standard input"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cfg := configuration(t, s, test.user)
			causes, out, log := get(t, cfg, test.ask)
			if len(causes) != 1 || causes[0] != test.cause || !strings.Contains(log, test.says) || out != "" {
				t.Errorf("%v\n%s%s", causes, out, log)
			}
			nothingWritten(t, cfg)
		})
	}
}

// A session that is of no use to anybody is ended.
func TestNoSessionIsLeftOfAUserWhoIsNoAdmin(t *testing.T) {
	s := sandbox.Shared(t)
	newUser(t, s, "visitor", false)
	get(t, configuration(t, s, "visitor"), typing(password))
	db, err := s.DB(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close(t.Context()) //nolint:errcheck // it only read
	var sessions int
	if err := db.QueryRow(t.Context(), `SELECT count(*) FROM access_tokens WHERE user_id LIKE '@visitor:%'`).Scan(&sessions); err != nil {
		t.Fatal(err)
	}
	if sessions != 0 {
		t.Errorf("%d sessions are left", sessions)
	}
}

func TestAnEarlierTokenStaysWhenThereIsNoNewOne(t *testing.T) {
	s := sandbox.Shared(t)
	cfg := configuration(t, s, "nobody")
	if err := os.WriteFile(cfg.Token.File, []byte("earlier"), 0o600); err != nil {
		t.Fatal(err)
	}
	get(t, cfg, typing("wrong"))
	if text, err := os.ReadFile(cfg.Token.File); err != nil || string(text) != "earlier" {
		t.Errorf("%q, %v", text, err)
	}
}

// faked is a server that answers as a real one with another configuration does.
func faked(t *testing.T, answers map[string]string) *config.Config {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, known := answers[r.URL.Path]
		if !known {
			w.WriteHeader(http.StatusNotFound)
			answer = `{"errcode":"M_UNRECOGNIZED","error":"Unrecognized request"}`
		}
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(server.Close)
	return &config.Config{APIURL: server.URL, User: "admin", Token: config.Token{File: filepath.Join(t.TempDir(), "token")}}
}

func TestServersThatGiveOutNoTokens(t *testing.T) {
	version := `{"server_version":"1.163.2"}`
	const versionPath = "/_synapse/admin/v1/server_version"
	never := func(context.Context, string) (string, error) {
		return "", errors.New("the password is asked for although it is of no use")
	}
	for _, path := range []string{"/_matrix/client/v1/auth_metadata", "/_matrix/client/unstable/org.matrix.msc2965/auth_metadata"} {
		cfg := faked(t, map[string]string{versionPath: version, path: `{"issuer":"https://auth.example/"}`})
		if causes, _, log := get(t, cfg, never); len(causes) != 1 || causes[0] != item.CauseFailed || !strings.Contains(log, "mas-cli manage issue-compatibility-token") {
			t.Errorf("%v %s", causes, log)
		}
		nothingWritten(t, cfg)
	}
	cfg := faked(t, map[string]string{versionPath: version, "/_matrix/client/v3/login": `{"flows":[{"type":"m.login.sso"}]}`})
	if causes, _, log := get(t, cfg, never); len(causes) != 1 || !strings.Contains(log, "takes no passwords") {
		t.Errorf("%v %s", causes, log)
	}
	cfg = faked(t, nil)
	cfg.APIURL = "http://127.0.0.1:1"
	if causes, _, log := get(t, cfg, never); len(causes) != 1 || !strings.Contains(log, "speak to Synapse") {
		t.Errorf("%v %s", causes, log)
	}
}

func TestAPlaceThatCannotBeWrittenIsFoundBeforeAnybodyTypes(t *testing.T) {
	cfg := faked(t, nil)
	cfg.Token.File = filepath.Join(t.TempDir(), "none", "token")
	causes, _, log := get(t, cfg, typing(password))
	if len(causes) != 1 || causes[0] != item.CauseUsage || !strings.Contains(log, "--token-file") {
		t.Errorf("%v %s", causes, log)
	}
}

func TestANewAdminByTheRegistrationSecret(t *testing.T) {
	s := sandbox.Own(t, sandbox.Options{ExtraConfig: "registration_shared_secret: an open secret\n"})
	cfg := configuration(t, s, "synupkeep")
	cfg.Register = config.NewSecret("an open secret")
	if causes, _, log := get(t, cfg, nil); causes != nil {
		t.Fatalf("%v\n%s", causes, log)
	}
	worksForAnAdmin(t, cfg)
	again := configuration(t, s, "synupkeep")
	again.Register = cfg.Register
	if causes, _, log := get(t, again, nil); len(causes) != 1 || !strings.Contains(log, "--user") {
		t.Errorf("a name that is taken: %v\n%s", causes, log)
	}
	wrong := configuration(t, s, "another")
	wrong.Register = config.NewSecret("a wrong secret")
	if causes, _, log := get(t, wrong, nil); len(causes) != 1 || !strings.Contains(log, "registration_shared_secret") || strings.Contains(log, "a wrong secret") {
		t.Errorf("a wrong secret: %v\n%s", causes, log)
	}
}

func TestATokenThatWorksIsLeftAsItIsWhereNoneIsNeeded(t *testing.T) {
	s := sandbox.Shared(t)
	newUser(t, s, "needed", true)
	cfg := configuration(t, s, "needed")
	cfg.IfNeeded = true
	unasked := func(context.Context, string) (string, error) {
		t.Error("somebody was asked for a password")
		return "", token.ErrNobody
	}
	held := func() string {
		t.Helper()
		content, err := os.ReadFile(cfg.Token.File)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		return string(content)
	}
	for _, what := range []string{"", "\n", "two words\n", "syt_of_yesterday\n"} {
		if what != "" {
			if err := os.WriteFile(cfg.Token.File, []byte(what), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if causes, out, log := get(t, cfg, typing(password)); causes != nil || held() == what {
			t.Fatalf("%q in the file: %v\n%s%s", what, causes, out, log)
		}
		worksForAnAdmin(t, cfg)
		before := held()
		if causes, out, log := get(t, cfg, unasked); causes != nil || held() != before || !strings.Contains(out, "nothing was done") {
			t.Errorf("%v\n%s%s", causes, out, log)
		}
	}
	// A server that is away says nothing of the token.
	before := held()
	away := *cfg
	away.APIURL = "http://127.0.0.1:1"
	if causes, _, _ := get(t, &away, unasked); item.ExitCode(causes) != 1 || held() != before {
		t.Errorf("%v", causes)
	}
}
