package config

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestNoVerbPrintsASecret(t *testing.T) {
	cfg := mustParse(t, nil, "postgres://u:dbpassword@h/db", token)
	if len(cfg.Secrets()) != 3 {
		t.Errorf("%d secrets of three: connection string, password, token", len(cfg.Secrets()))
	}
	asJSON, err := json.Marshal(cfg.Token)
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{string(asJSON)}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		texts = append(texts, fmt.Sprintf(verb, cfg), fmt.Sprintf(verb, *cfg), fmt.Sprintf(verb, cfg.Postgres), fmt.Sprintf(verb, &cfg.Token))
	}
	for _, text := range texts {
		for _, secret := range []string{"dbpassword", "secretsecret", fmt.Sprintf("%x", "dbpassword")} {
			if strings.Contains(text, secret) {
				t.Errorf("%s shows in %s", secret, text)
			}
		}
	}
}

func TestPasswordsOfTheConnectionStringAreSecrets(t *testing.T) {
	for _, test := range []struct{ conn, secret string }{
		{"postgres://u:p%40ss@h/db", "p@ss"},
		{`host=h password='p\'a ss'`, "p'a ss"},
		{`host=h sslpassword='p\'a ss'`, "p'a ss"},
		{"host=h sslpassword=simple user=u", "simple"},
		{"postgres://h/db?sslpassword=p%40ss", "p@ss"},
	} {
		cfg := mustParse(t, withToken(), test.conn)
		if !strings.Contains(strings.Join(cfg.Secrets(), "\n"), test.secret) {
			t.Errorf("%s: %q is not hidden", test.conn, test.secret)
		}
		if len(cfg.Warnings) != 2 || !strings.Contains(cfg.Warnings[0], "(ps)") || !strings.Contains(cfg.Warnings[0], "SYNUPKEEP_POSTGRES_CONNECTION_STRING") {
			t.Errorf("%s: warnings %q", test.conn, cfg.Warnings)
		}
		cfg = mustParse(t, withToken("SYNUPKEEP_POSTGRES_CONNECTION_STRING", test.conn), "-d", "30d")
		if len(cfg.Warnings) != 0 {
			t.Errorf("%s in the environment: warnings %q", test.conn, cfg.Warnings)
		}
	}
	if cfg := mustParse(t, withToken(), "postgres://u@h/db", "-d", "30d"); len(cfg.Warnings) != 0 {
		t.Errorf("without a password: warnings %q", cfg.Warnings)
	}
}

func TestTheDriversVariablesAndPassFileAreHonoured(t *testing.T) {
	passfile := filepath.Join(t.TempDir(), "pgpass")
	if err := os.WriteFile(passfile, []byte("dbhost:5432:synapse:synapse:from-pgpass\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PGPASSFILE", passfile)
	cfg := mustParse(t, withToken(), "host=dbhost user=synapse dbname=synapse", "-d", "30d")
	if !strings.Contains(strings.Join(cfg.Secrets(), "\n"), "from-pgpass") {
		t.Error("the password of the pass file is not hidden")
	}
	t.Setenv("PGPORT", "many")
	problems := wantErrors(t, map[string]string{"PGHOST": "h", tokenVariable: token}, nil, "the PG* variables")
	if !strings.Contains(problems, "its port") {
		t.Error(problems)
	}
}

func TestTokenSources(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := file("good", "  "+token+"\n\n", 0o640)
	env := map[string]string{"SYNUPKEEP_POSTGRES": conn, "SYNUPKEEP_DELTA": "30d"}
	both := map[string]string{"SYNUPKEEP_POSTGRES": conn, "SYNUPKEEP_DELTA": "30d", tokenVariable: "other"}

	cfg := mustParse(t, env, "--token-file", good)
	if got, err := cfg.Token.Read(); err != nil || got.Reveal() != token || cfg.Token.Given.IsSet() || len(cfg.Warnings) != 0 {
		t.Errorf("%v, %v, %+v", got, err, cfg)
	}
	if cfg := mustParse(t, both, "--token-file", good); cfg.Token.File != good || cfg.Token.Given.IsSet() {
		t.Errorf("--token-file does not win over the environment: %+v", cfg.Token)
	}
	both["SYNUPKEEP_TOKEN_FILE"] = good
	wantErrors(t, both, nil, "SYNUPKEEP_TOKEN_FILE")
	if cfg := mustParse(t, both, conn, "arg"); cfg.Token.Given.Reveal() != "arg" || cfg.Token.File != "" {
		t.Errorf("argument 2 does not win over the environment: %+v", cfg.Token)
	}
	problems := wantErrors(t, env, []string{conn, token, "--token-file", good}, "--token-file")
	if !strings.Contains(problems, "argument 2") {
		t.Errorf("%q does not name both sources", problems)
	}
	if cfg := mustParse(t, env, "--token-file", file("open", token, 0o644)); len(cfg.Warnings) != 1 || !strings.Contains(cfg.Warnings[0], "chmod") {
		t.Errorf("warnings %q", cfg.Warnings)
	}
	cfg = mustParse(t, env, conn, token)
	if len(cfg.Warnings) != 1 || !strings.Contains(cfg.Warnings[0], "--token-file") || !strings.Contains(cfg.Warnings[0], tokenVariable) {
		t.Errorf("warnings %q", cfg.Warnings)
	}
	for _, bad := range []string{
		filepath.Join(dir, "absent"), dir, "/dev/null", "",
		file("empty", "\n", 0o600), file("words", "SECRETWORD two", 0o600), file("long", strings.Repeat("SECRETWORD", 1000), 0o600),
	} {
		problems := wantErrors(t, env, []string{"--token-file", bad}, "--token-file")
		if strings.Contains(problems, "SECRETWORD") {
			t.Errorf("the content shows in %v", problems)
		}
	}
	wantErrors(t, map[string]string{"SYNUPKEEP_POSTGRES": conn}, nil, "argument 2")
	if _, err := (Token{File: filepath.Join(dir, "absent")}).Read(); err == nil || !strings.Contains(err.Error(), "absent") {
		t.Errorf("Read of a file that is not there: %v", err)
	}
}

func TestATokenInTheWrongPlaceDoesNotShow(t *testing.T) {
	env := withToken("SYNUPKEEP_DELTA", "30d")
	for _, args := range [][]string{
		{"-d", token},
		{"--only", token},
		{"--room", token},
		{"-l", token},
		{"-a", token},
		{"--batch-size", token},
		{token},
		{"run", token},
		{"help", token},
		{"version", token},
		{conn, token, token},
		{"--json=" + token},
		{"--wat=" + token},
		{"-" + token},
		{"--" + token},
		{"--before", "mat_AbCdEfsecretsecret"},
		{"-d", "host=h password=secretsecret"},
		{"-a", "http://u:secretsecret@h"},
		{conn, "secretsecret", "-d", "secretsecret"},
		{"--keep-user", token},
		{"--remote-dead", token},
		{"--purge-rate", token},
	} {
		_, _, err := Parse(input(env, args...))
		if err == nil {
			t.Errorf("%q is accepted", args)
			continue
		}
		if strings.Contains(err.Error(), "secretsecret") {
			t.Errorf("%q: %v", args, err)
		}
	}
}

// checkConnection fails when the password shows in what Parse returns for a connection string.
func checkConnection(t interface {
	Helper()
	Fatalf(string, ...any)
}, text, password string,
) {
	t.Helper()
	for _, args := range [][]string{{text, token}, {"--postgres", text}, {"run", "-d", "30d", "--postgres=" + text}, {text, "-d", "x", "x y"}} {
		cfg, _, err := Parse(input(map[string]string{tokenVariable: token}, args...))
		shown := fmt.Sprintf("%v %+v", err, cfg)
		if strings.Contains(shown, password) || strings.Contains(shown, url.QueryEscape(password)) {
			t.Fatalf("%q: the password shows in %s", text, shown)
		}
	}
}

func connectionForms(password string) []string {
	quoted := strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(password)
	return []string{
		"postgres://u:" + password + "@h/db", "postgresql://u:" + url.QueryEscape(password) + "@h:x/db",
		"postgres://u:" + url.QueryEscape(password) + "@h/db?sslmode=" + url.QueryEscape(password),
		"postgres://h/db?password=" + password + "&port=x", "postgres://u:" + password, "http://u:" + password + "@h",
		"host=h password=" + password, "host=h password='" + quoted + "' port=x", "password='" + password, "pass word=" + password,
		"host=h port=" + password, "host=h target_session_attrs='" + quoted + "'", "host=h sslmode='" + quoted + "'",
		"host=h sslrootcert='" + quoted + "'", "service='" + quoted + "' host=h", "connect_timeout='" + quoted + "'", "=" + password,
	}
}

func TestThePasswordNeverShows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		password := rapid.StringMatching(`[ -~]{0,8}XYZZY[ -~é\n\t]{0,8}`).Draw(t, "password")
		checkConnection(t, rapid.SampledFrom(connectionForms(password)).Draw(t, "form"), "XYZZY")
	})
}

func FuzzConnectionString(f *testing.F) {
	for _, password := range []string{"p%zz@:/?#", "p' \\x", "a=b", "://", "%", "p\x00q"} {
		f.Add("postgres://u:", password, "@h/db")
		f.Add("host=h password='", password, "' port=x")
	}
	f.Fuzz(func(t *testing.T, before, password, after string) {
		password = "XYZZY" + password + "XYZZY"
		if strings.Contains(before+after, "XYZZY") {
			return
		}
		checkConnection(t, before+password+after, "XYZZY")
	})
}
