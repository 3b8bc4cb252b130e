package config

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestEachCommandTakesItsOwnFlags(t *testing.T) {
	cfg := mustParse(t, withToken(), "plan", "--delta", "30d", "--out", "plan.json", "--top=3")
	if cfg.Command != CommandPlan || cfg.Out != "plan.json" || cfg.Top != 3 {
		t.Errorf("plan: %+v", cfg)
	}
	cfg = mustParse(t, withToken(), "repair", "rooms", "--yes", "--room", "!a:hs")
	if cfg.Command != CommandRepair || !cfg.Yes || len(cfg.Warnings) != 0 || cmp.Diff([]string{"!a:hs"}, cfg.History.Rooms) != "" {
		t.Errorf("repair: %+v", cfg)
	}
	wantErrors(t, withToken(), []string{"run", "--delta", "30d", "--out", "plan.json"}, "--out")
	wantErrors(t, withToken(), []string{"plan", "--delta", "30d", "--ping", "https://hc.example/x", "--outcomes", "o"}, "--ping", "--outcomes")
	wantErrors(t, withToken(), []string{"doctor", "--yes"}, "--yes")
	wantErrors(t, withToken(), []string{"usage", "--delta", "30d"}, "--delta")
	wantErrors(t, withToken(), []string{"--out", "plan.json"}, "--out") // the form of 1.0.0 is a run
}

// One environment serves all commands: what one of them does not take is passed over.
func TestVariablesOfOtherCommandsArePassedOver(t *testing.T) {
	env := withToken("SYNUPKEEP_OUT", "plan.json", "SYNUPKEEP_PING", "nonsense", "SYNUPKEEP_DELTA", "nonsense", "SYNUPKEEP_YES", "nonsense")
	if cfg := mustParse(t, env, "usage"); cfg.Out != "" || cfg.Ping.IsSet() {
		t.Errorf("usage: %+v", cfg)
	}
}

func TestOnlyWhatDeletesNeedsAnAge(t *testing.T) {
	mustParse(t, withToken(), "doctor")
	mustParse(t, withToken(), "usage")
	mustParse(t, withToken(), "repair", "rooms")
	wantErrors(t, withToken(), []string{"plan"}, "--delta")
	wantErrors(t, withToken(), []string{"run"}, "--delta")
	if cfg := mustParse(t, withToken(), "doctor", "--delta", "30d"); len(cfg.Ages) != 4 {
		t.Errorf("doctor --delta: %v", cfg.Ages)
	}
}

func TestUsageNeedsNoToken(t *testing.T) {
	env := map[string]string{"SYNUPKEEP_POSTGRES": conn}
	mustParse(t, env, "usage")
	wantErrors(t, env, []string{"doctor"}, "argument 2")
}

func TestRepairSaysWhat(t *testing.T) {
	for _, args := range [][]string{{"repair"}, {"repair", "media"}, {"repair", "host=db"}} {
		wantErrors(t, withToken(), args, "repair")
	}
	if cfg := mustParse(t, withToken(), "repair", "rooms", "host=other"); cfg.Postgres.Reveal() != "host=other" {
		t.Errorf("connection string: %s", cfg.Postgres.Reveal())
	}
}

func TestTwoOutputsNeverShareAFile(t *testing.T) {
	wantErrors(t, withToken(), []string{"run", "--delta", "30d", "--report", "dir/../x", "--html", "x"}, "--html")
	wantErrors(t, withToken(), []string{"run", "--delta", "30d", "--plan", "x", "--report", "x"}, "--report")
}

func TestThePingURLIsASecret(t *testing.T) {
	cfg := mustParse(t, withToken(), "run", "--delta", "30d", "--ping", "https://hc.example/a-uuid")
	if !strings.Contains(strings.Join(cfg.Secrets(), " "), "https://hc.example/a-uuid") {
		t.Error("the logger would not hide it")
	}
	text := wantErrors(t, withToken(), []string{"run", "--delta", "30d", "--ping", "hc.example/a-uuid"}, "--ping")
	if strings.Contains(text, "a-uuid") {
		t.Errorf("the error shows it: %s", text)
	}
}

// What help says of each command: what it does, three examples that are valid, exit codes, variables.
func TestHelpOfEachCommand(t *testing.T) {
	for _, spec := range commands() {
		if !spec.connects {
			continue
		}
		var out strings.Builder
		none := func(string) (string, bool) { return "", false }
		if _, _, err := Parse(Input{Args: []string{string(spec.command), "--help"}, LookupEnv: none, Now: time.Now(), Stdout: &out}); err != nil {
			t.Fatal(err)
		}
		text := out.String()
		wants := []string{"Exit codes:", "Examples:", "130, 143"}
		if spec.command != CommandHealth { // it speaks to a synupkeep
			wants = append(wants, "[$SYNUPKEEP_API_URL")
		}
		for _, want := range wants {
			if !strings.Contains(text, want) {
				t.Errorf("help of %s lacks %q", spec.command, want)
			}
		}
		if len(spec.examples) != 3 {
			t.Errorf("%s has %d examples", spec.command, len(spec.examples))
		}
		for _, example := range spec.examples {
			words := shellWords(example)
			env := withToken("SYNUPKEEP_REGISTRATION_SHARED_SECRET", "x")
			if cfg := mustParse(t, env, words[1:]...); cfg.Command != spec.command {
				t.Errorf("%q is a %s", example, cfg.Command)
			}
		}
		for line := range strings.Lines(text[:strings.Index(text, "OPTIONS:")]) {
			if len(line) > 130 {
				t.Errorf("help of %s is too wide: %q", spec.command, line)
			}
		}
	}
}

// shellWords are those of a command without its comment and what stands behind a pipe.
func shellWords(line string) (words []string) {
	word, quoted := "", false
	for _, c := range line + " " {
		switch {
		case c == '\'':
			quoted = !quoted
		case quoted || !strings.ContainsRune(" #|<", c):
			word += string(c)
		default:
			if word != "" {
				words = append(words, word)
			}
			word = ""
			if c != ' ' {
				return words
			}
		}
	}
	return words
}

func TestCron(t *testing.T) {
	cfg := mustParse(t, withToken("SYNUPKEEP_DOCKER_CRON_SCHEDULE", "30 2 * * *", "TZ", "Europe/Berlin"), "cron", "--delta", "30d", "--jitter", "1h", "--listen", ":9464", "--run-now")
	before := time.Date(2026, time.March, 28, 12, 0, 0, 0, time.UTC)
	if next := cfg.Cron.Schedule.Next(before); !next.Equal(time.Date(2026, time.March, 29, 1, 0, 0, 0, time.UTC)) {
		t.Errorf("next at %v", next)
	}
	if cfg.Cron.Jitter != time.Hour || cfg.Cron.Listen != ":9464" || !cfg.Cron.RunNow {
		t.Errorf("%+v", cfg.Cron)
	}
	cfg = mustParse(t, withToken("TZ", "UTC"), "cron", "--delta", "30d")
	if next := cfg.Cron.Schedule.Next(before); !next.Equal(time.Date(2026, time.March, 29, 4, 0, 0, 0, time.UTC)) {
		t.Errorf("by default next at %v", next)
	}
	wantErrors(t, withToken("TZ", "Europe/Berln"), []string{"cron", "--delta", "30d"}, "TZ")
	wantErrors(t, withToken(), []string{"cron", "--delta", "30d", "--schedule", "4 o'clock", "--listen", "9464"}, "--schedule", "--listen")
	wantErrors(t, withToken(), []string{"cron"}, "--delta")
	wantErrors(t, withToken(), []string{"run", "--delta", "30d", "--run-now"}, "--run-now")
}

func TestToken(t *testing.T) {
	cfg := mustParse(t, nil, "token", "--user", "@admin:hs", "--token-file", "dir/token")
	if cfg.User != "@admin:hs" || cfg.Token.File != "dir/token" || cfg.Register.IsSet() || cfg.Postgres.IsSet() {
		t.Errorf("%+v", cfg)
	}
	cfg = mustParse(t, map[string]string{"SYNAPSE_REGISTRATION_SHARED_SECRET": "s3cret"}, "token", "--register", "--token-file", "t")
	if cfg.User != "synupkeep" || cfg.Register.Reveal() != "s3cret" || !strings.Contains(strings.Join(cfg.Secrets(), " "), "s3cret") {
		t.Errorf("%+v", cfg)
	}
	dir := data(t, "homeserver.yaml", "database: {name: sqlite3}\nregistration_shared_secret: yamlsecret\n")
	if cfg := parseIn(t, dir, nil, "token", "--register", "--token-file", "t"); cfg.Register.Reveal() != "yamlsecret" {
		t.Errorf("%+v", cfg)
	}
	wantErrors(t, nil, []string{"token"}, "--token-file", "--user")
	wantErrors(t, nil, []string{"token", "--token-file", "t", "--register"}, "--register")
	wantErrors(t, nil, []string{"token", "--token-file", "t", "--user", "admin", "hunter2"}, "token")
	wantErrors(t, withToken(), []string{"token", "--token-file", "t", "--register", "--user", "@a:hs"}, "--user", "--register")
}
