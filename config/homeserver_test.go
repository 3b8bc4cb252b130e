package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"synupkeep/internal/item"
)

const homeserverYAML = `server_name: hs.example
database: {name: psycopg2, args: {user: synapse, password: yamlsecret, dbname: fromyaml, host: dbhost}}
media_store_path: /srv/media
listeners: [{port: 8010, type: http, resources: [{names: [client]}]}]
`

// data is a directory as Synapse's container image has it, with these files in it.
func data(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i < len(files); i += 2 {
		if err := os.WriteFile(filepath.Join(dir, files[i]), []byte(files[i+1]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func parseIn(t *testing.T, dir string, env map[string]string, args ...string) *Config {
	t.Helper()
	in := input(env, args...)
	in.DataDir = dir
	cfg, _, err := Parse(in)
	if err != nil {
		t.Fatalf("Parse(%q): %v", args, err)
	}
	return cfg
}

func errorsIn(t *testing.T, dir string, env map[string]string, args ...string) string {
	t.Helper()
	in := input(env, args...)
	in.DataDir = dir
	if _, _, err := Parse(in); err != nil {
		return err.Error()
	}
	t.Fatalf("Parse(%q): no error", args)
	return ""
}

func onlyToken(more ...string) map[string]string {
	env := map[string]string{tokenVariable: token}
	for i := 0; i < len(more); i += 2 {
		env[more[i]] = more[i+1]
	}
	return env
}

func TestSynapsesConfigurationIsFoundByItself(t *testing.T) {
	dir := data(t, "homeserver.yaml", homeserverYAML)
	cfg := parseIn(t, dir, onlyToken(), "run", "--delta", "30d")
	if cfg.MediaStore != "/srv/media" || cfg.APIURL != "http://localhost:8010" || !strings.Contains(cfg.Postgres.Reveal(), "dbname='fromyaml'") {
		t.Errorf("%s, %s, %s", cfg.MediaStore, cfg.APIURL, cfg.Postgres.Reveal())
	}
	if cfg.Synapse == nil || cfg.Synapse.ServerName != "hs.example" {
		t.Errorf("%+v", cfg.Synapse)
	}
	if !strings.Contains(strings.Join(cfg.Secrets(), " "), "yamlsecret") {
		t.Error("the logger would show the password")
	}
	if len(cfg.Warnings) != 0 {
		t.Errorf("%q", cfg.Warnings)
	}
}

func TestWhatIsSaidWinsOverSynapsesConfiguration(t *testing.T) {
	dir := data(t, "homeserver.yaml", homeserverYAML)
	cfg := parseIn(t, dir, onlyToken("SYNUPKEEP_MEDIA_STORE_PATH", "/mnt", "PGHOST", "other"), "run", "--delta", "30d", "-a", "http://hs:1")
	if cfg.MediaStore != "/mnt" || cfg.APIURL != "http://hs:1" || cfg.Postgres.Reveal() != "" {
		t.Errorf("%s, %s, %s", cfg.MediaStore, cfg.APIURL, cfg.Postgres.Reveal())
	}
	cfg = parseIn(t, dir, onlyToken(), "host=arg", "--delta", "30d")
	if cfg.Postgres.Reveal() != "host=arg" {
		t.Errorf("%s", cfg.Postgres.Reveal())
	}
}

func TestAConfigurationThatIsNamedMustBeReadable(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none.yaml")
	wantErrors(t, withToken(), []string{"run", "--delta", "30d", "--homeserver-config", none}, "--homeserver-config")
	// What is found by itself and is no configuration is not needed here.
	dir := data(t, "homeserver.yaml", "- yamlsecret")
	cfg := parseIn(t, dir, withToken(), "run", "--delta", "30d")
	if len(cfg.Warnings) != 1 || !strings.Contains(cfg.Warnings[0], "homeserver.yaml") || strings.Contains(cfg.Warnings[0], "yamlsecret") {
		t.Errorf("%q", cfg.Warnings)
	}
}

// A warning that nobody sees, since nothing else says where the database is, would leave them to guess.
func TestWhyAConfigurationThatWasFoundCannotBeUsedIsSaidWithTheErrors(t *testing.T) {
	dir := data(t, "homeserver.yaml", "- yamlsecret")
	text := errorsIn(t, dir, onlyToken(), "run", "--delta", "30d")
	if !strings.Contains(text, "no database is given, and Synapse's configuration cannot be used") || strings.Contains(text, "yamlsecret") {
		t.Error(text)
	}
}

func TestSQLiteIsRefusedWithTheWayOut(t *testing.T) {
	dir := data(t, "homeserver.yaml", "server_name: x\ndatabase: {name: sqlite3, args: {database: /data/homeserver.db}}\n")
	if text := errorsIn(t, dir, onlyToken(), "run", "--delta", "30d"); !strings.Contains(text, "runs on SQLite") || !strings.Contains(text, "synapse_port_db") {
		t.Error(text)
	}
	if text := errorsIn(t, "", onlyToken("SYNAPSE_SERVER_NAME", "hs.example"), "run", "--delta", "30d"); !strings.Contains(text, "runs on SQLite") {
		t.Error(text)
	}
	// A database that is named counts.
	parseIn(t, dir, withToken(), "run", "--delta", "30d")
}

func TestTheVariablesOfSynapsesImage(t *testing.T) {
	cfg := parseIn(t, "", onlyToken("POSTGRES_PASSWORD", `p'w\`), "run", "--delta", "30d")
	if want := `host='db' port='5432' user='synapse' dbname='synapse' password='p\'w\\'`; cfg.Postgres.Reveal() != want {
		t.Errorf("got %s, want %s", cfg.Postgres.Reveal(), want)
	}
	secret := filepath.Join(data(t, "password", "filesecret\n"), "password")
	cfg = parseIn(t, "", onlyToken("POSTGRES_PASSWORD_FILE", secret, "POSTGRES_HOST", "pg", "POSTGRES_DB", "d", "POSTGRES_USER", "u"), "run", "--delta", "30d")
	if want := `host='pg' port='5432' user='u' dbname='d' password='filesecret'`; cfg.Postgres.Reveal() != want {
		t.Errorf("got %s, want %s", cfg.Postgres.Reveal(), want)
	}
	if !strings.Contains(strings.Join(cfg.Secrets(), " "), "filesecret") {
		t.Error("the logger would show the password")
	}
	// A configuration that is there is what Synapse goes by, whatever else is set.
	dir := data(t, "homeserver.yaml", homeserverYAML)
	cfg = parseIn(t, "", onlyToken("POSTGRES_PASSWORD", "x", homeserverVariable, filepath.Join(dir, "homeserver.yaml")), "run", "--delta", "30d")
	if !strings.Contains(cfg.Postgres.Reveal(), "fromyaml") {
		t.Error(cfg.Postgres.Reveal())
	}
}

func TestSecretsInFiles(t *testing.T) {
	dir := data(t, "token", token+"\n", "dsn", "host=fromfile password=dsnsecret\n")
	cfg := parseIn(t, "", map[string]string{
		tokenVariable + "_FILE": filepath.Join(dir, "token"), "SYNUPKEEP_POSTGRES_CONNECTION_STRING_FILE": filepath.Join(dir, "dsn"),
	}, "run", "--delta", "30d", "--only", string(item.History))
	if cfg.Token.File != filepath.Join(dir, "token") || cfg.Postgres.Reveal() != "host=fromfile password=dsnsecret" {
		t.Errorf("%s, %s", cfg.Token.File, cfg.Postgres.Reveal())
	}
	text := errorsIn(t, "", onlyToken("SYNUPKEEP_POSTGRES_CONNECTION_STRING_FILE", filepath.Join(dir, "none")), "run", "--delta", "30d")
	if !strings.Contains(text, "SYNUPKEEP_POSTGRES_CONNECTION_STRING_FILE") || !strings.Contains(text, "no such file") {
		t.Error(text)
	}
}

func TestMediaOfAWorkerIsNotAskedOfTheMainProcessWithoutAWord(t *testing.T) {
	dir := data(t, "homeserver.yaml", homeserverYAML+"enable_media_repo: false\ninstance_map: {main: {host: h, port: 1}, media1: {host: h, port: 2}}\n")
	cfg := parseIn(t, dir, onlyToken(), "run", "--delta", "30d", "--media-via", "api")
	if text := strings.Join(cfg.Warnings, " "); !strings.Contains(text, "enable_media_repo is false") || !strings.Contains(text, "(media1)") {
		t.Errorf("%q", cfg.Warnings)
	}
	if cfg := parseIn(t, dir, onlyToken(), "run", "--delta", "30d"); len(cfg.Warnings) != 0 {
		t.Errorf("%q", cfg.Warnings)
	}
}

func TestAListenerThatIsASocket(t *testing.T) {
	dir := data(t, "homeserver.yaml", "database: {name: psycopg2, args: {dbname: d}}\nmedia_store_path: /m\n"+
		"listeners: [{path: /run/synapse/main.sock, type: http, resources: [{names: [client]}]}]\n")
	if cfg := parseIn(t, dir, onlyToken(), "run", "--delta", "30d"); cfg.APIURL != "unix:///run/synapse/main.sock" {
		t.Errorf("%s", cfg.APIURL)
	}
	for _, url := range []string{"unix://host/path", "unix:", "unix:path", "unix:///a?b", "unix:///a#b", "unix:///a%20b"} {
		wantErrors(t, withToken(), []string{"run", "--delta", "30d", "--api-url", url}, "--api-url")
	}
}
