package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"synupkeep/internal/item"
	"synupkeep/internal/logging"
)

const (
	conn  = "host=db user=synapse dbname=synapse"
	token = "syt_YWRtaW4_secretsecret_1234"
)

func testNow() time.Time { return time.Date(2026, 11, 22, 4, 0, 0, 0, time.UTC) }

func input(env map[string]string, args ...string) Input {
	return Input{
		Args: args, Now: testNow(), Stdout: io.Discard,
		LookupEnv: func(name string) (string, bool) { value, set := env[name]; return value, set },
	}
}

func everyField() cmp.Option {
	return cmp.AllowUnexported(Config{}, Secret{}, ageOrigin{})
}

func mustParse(t *testing.T, env map[string]string, args ...string) *Config {
	t.Helper()
	cfg, command, err := Parse(input(env, args...))
	if err != nil || cfg.Command != command {
		t.Fatalf("Parse(%q) = %s, %v", args, command, err)
	}
	return cfg
}

// wantErrors parses and compares the flags of all problems, in their order.
func wantErrors(t *testing.T, env map[string]string, args []string, flags ...string) string {
	t.Helper()
	cfg, _, err := Parse(input(env, args...))
	if cfg != nil {
		t.Errorf("%q gave a Config beside %v", args, err)
	}
	var problems Errors
	if !errors.As(err, &problems) {
		t.Fatalf("%q: %v is not Errors", args, err)
	}
	var got []string
	for _, problem := range problems {
		got = append(got, problem.Flag)
	}
	if diff := cmp.Diff(flags, got); diff != "" {
		t.Errorf("%q: (-want +got)\n%s%v", args, diff, err)
	}
	return problems.Error()
}

func withToken(more ...string) map[string]string {
	env := map[string]string{tokenVariable: token, "SYNUPKEEP_POSTGRES_CONNECTION_STRING": conn}
	for i := 0; i < len(more); i += 2 {
		env[more[i]] = more[i+1]
	}
	return env
}

func TestDefaults(t *testing.T) {
	cfg := mustParse(t, withToken())
	want := &Config{
		Command: CommandRun, Top: 10, Postgres: NewSecret(conn), Token: Token{Given: NewSecret(token)},
		APIURL: "http://localhost:8008", MediaStore: "/data/media_store", StateDir: "/data/media_store/.synupkeep", Flows: item.Flows(),
		Ages: map[item.Flow]Age{
			item.History: {Delta: day}, item.LocalMedia: {Delta: day}, item.RemoteMedia: {Delta: day}, item.Previews: {Delta: day},
		},
		History:  History{InFlight: 3, Timeout: time.Hour, GapGrace: 72 * time.Hour, ReportHold: 14 * day},
		Media:    Media{DeleteConcurrency: 4, BatchSize: 1000, KeepShown: true, Via: ViaDisk},
		RetryFor: 2 * time.Minute, Level: logging.LevelInfo, LogFormat: "text",
	}
	if len(cfg.Warnings) != 1 || !strings.HasPrefix(cfg.Warnings[0], "less than 7 days are kept of history, local-media") {
		t.Errorf("warnings: %q", cfg.Warnings)
	}
	if diff := cmp.Diff([]string{conn, token, token}, cfg.Secrets()); diff != "" {
		t.Error(diff)
	}
	cfg.Warnings, cfg.origins, cfg.hidden = nil, nil, nil
	if diff := cmp.Diff(want, cfg, everyField()); diff != "" {
		t.Error(diff)
	}
}

func TestEveryFlagAndItsVariable(t *testing.T) {
	values := map[string]string{
		"api-url": "https://hs.example.org/prefix/", "media-store": "/srv/media/", "delta": "30d", "history-delta": "40d",
		"local-media-delta": "50d", "remote-media-delta": "60d", "preview-delta": "70d", "only": "history,previews",
		"skip": "previews", "room": "!a/b:hs", "not-room": "#never:hs", "keep-user": "@*:hs", "keep-media": "abc*",
		"keep-type": "image/*", "remote-dead": "delete", "purge-concurrency": "5", "purge-rate": "1.5", "purge-timeout": "2h",
		"gap-grace": "1d", "report-hold": "1w", "retry-for": "3h", "state-dir": "/var/lib/state/", "delete-concurrency": "64", "batch-size": "10000", "limit-rooms": "7",
		"limit-media": "8", "logging-level": "trace", "log-format": "json", "quiet": "true", "json": "true", "report": "r.json",
		"keep-shown": "false", "keep-pinned": "true", "max-duration": "6h", "media-via": "api", "max-rooms": "9", "max-media": "2.5%",
		"max-bytes": "50GiB", "top": "50", "html": "r.html", "plan": "p.json", "outcomes": "o.jsonl.gz", "metrics": "m.prom",
		"ping": "https://hc.example/uuid", "drift": "report", "drift-grace": "2h",
	}
	env, args := withToken(), []string{"run"}
	run, _ := specOfCommand(CommandRun)
	for _, spec := range run.flags {
		value, listed := values[spec.name]
		if !listed {
			if !slices.Contains([]string{"before", "postgres", "token-file", "homeserver-config"}, spec.name) {
				t.Errorf("--%s is not tested", spec.name)
			}
			continue
		}
		env[spec.variables()[0]] = value
		args = append(args, "--"+spec.name+"="+value)
	}
	byArgs, byEnv := mustParse(t, withToken(), args...), mustParse(t, env, "run")
	if byArgs.origins[item.History].source != "--history-delta" || byEnv.origins[item.History].source != "SYNUPKEEP_HISTORY_DELTA" {
		t.Errorf("origins: %v, %v", byArgs.origins, byEnv.origins)
	}
	for _, cfg := range []*Config{byArgs, byEnv} {
		if got := cfg.LogLevel(); got != logging.LevelError {
			t.Errorf("quiet logs at %s", got)
		}
		if len(cfg.Warnings) != 1 || !strings.HasPrefix(cfg.Warnings[0], "5 purges at once") {
			t.Errorf("warnings: %q", cfg.Warnings)
		}
		want := &Config{
			Command: CommandRun, Postgres: NewSecret(conn), Token: Token{Given: NewSecret(token)},
			Top: 50, HTML: "r.html", Plan: "p.json", Outcomes: "o.jsonl.gz", Metrics: "m.prom", Ping: NewSecret("https://hc.example/uuid"),
			APIURL: "https://hs.example.org/prefix", MediaStore: "/srv/media", StateDir: "/var/lib/state", Flows: []item.Flow{item.History},
			Ages: map[item.Flow]Age{item.History: {Delta: 40 * day}},
			History: History{
				Rooms: []string{"!a/b:hs"}, NotRooms: []string{"#never:hs"}, InFlight: 5, RatePerMinute: 1.5, Timeout: 2 * time.Hour,
				Limit: 7, GapGrace: day, ReportHold: week, KeepPinned: true,
			},
			Media: Media{
				KeepUsers: []string{"@*:hs"}, KeepMedia: []string{"abc*"}, KeepTypes: []string{"image/*"},
				DeleteConcurrency: 64, BatchSize: 10000, Limit: 8, DeleteOfDeadServers: true, Via: ViaAPI,
			},
			Max: Maxima{Rooms: Max{Count: 9}, Media: Max{Percent: 2.5}, Bytes: Max{Count: 50 << 30}}, MaxDuration: 6 * time.Hour,

			RetryFor: 3 * time.Hour, Level: logging.LevelTrace, LogFormat: "json", Quiet: true, JSON: true, Report: "r.json",
		}
		cfg.Warnings, cfg.origins, cfg.hidden = nil, nil, nil
		if diff := cmp.Diff(want, cfg, everyField()); diff != "" {
			t.Error(diff)
		}
	}
}

func TestVariablesOfTheOldRelease(t *testing.T) {
	cfg := mustParse(t, withToken("SYNUPKEEP_SYNAPSE_API_URL", "http://hs:1", "SYNUPKEEP_MEDIA_STORE_PATH", "/m",
		"SYNUPKEEP_DELTA", "2592000", "SYNUPKEEP_LOGGING_LEVEL", "SUCCESS"))
	got := fmt.Sprint(cfg.APIURL, cfg.MediaStore, cfg.Ages[item.Previews].Delta, cfg.Level, cfg.Warnings)
	if want := "http://hs:1/m720h0m0s SUCCESS []"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestPrecedence(t *testing.T) {
	t.Run("arguments win over the environment", func(t *testing.T) {
		cfg := mustParse(t, withToken("SYNUPKEEP_API_URL", "bad", "SYNUPKEEP_DELTA", "bad", "SYNUPKEEP_QUIET", "bad", "SYNUPKEEP_ONLY", "bad"),
			"host=other", "other", "-a", "http://arg", "-d", "30d", "--quiet=false", "--only", "history")
		if cfg.APIURL != "http://arg" || cfg.Postgres.Reveal() != "host=other" || cfg.Token.Given.Reveal() != "other" || cfg.Quiet {
			t.Errorf("%+v", cfg)
		}
	})
	t.Run("an empty variable is unset", func(t *testing.T) {
		mustParse(t, withToken("SYNUPKEEP_DELTA", "", "SYNUPKEEP_JSON", "", "SYNUPKEEP_TOKEN_FILE", "", "SYNUPKEEP_ROOM", ""))
	})
	t.Run("two variables of one flag", func(t *testing.T) {
		env := withToken("SYNUPKEEP_API_URL", "http://a", "SYNUPKEEP_SYNAPSE_API_URL", "http://b")
		wantErrors(t, env, nil, "SYNUPKEEP_SYNAPSE_API_URL")
		env["SYNUPKEEP_SYNAPSE_API_URL"] = "http://a"
		mustParse(t, env)
	})
	t.Run("several values in one variable", func(t *testing.T) {
		cfg := mustParse(t, withToken("SYNUPKEEP_ROOM", "!a,1 #b:hs", "SYNUPKEEP_ONLY", "history previews", "SYNUPKEEP_SKIP", "previews,"+"local-media"))
		if fmt.Sprint(cfg.History.Rooms, cfg.Flows) != "[!a,1 #b:hs] [history]" {
			t.Errorf("%v %v", cfg.History.Rooms, cfg.Flows)
		}
	})
}

func TestArgumentsInAnyOrder(t *testing.T) {
	want := mustParse(t, nil, "-d", "2592000", conn, token)
	for _, args := range [][]string{
		{conn, token, "-d", "2592000"},
		{conn, "-d=2592000", token},
		{conn, "--delta=2592000", token},
		{"--delta", "2592000", "run", conn, token},
		{"run", conn, "--delta", "2592000", token},
		{"run", "-d", "2592000", "--", conn, token},
		{"-d", "2592000", "-d", "2592000", "--", conn, token},
	} {
		if diff := cmp.Diff(want, mustParse(t, nil, args...), everyField()); diff != "" {
			t.Errorf("%q: %s", args, diff)
		}
	}
}

func TestAnyInterleavingGivesTheSameConfig(t *testing.T) {
	flags := [][]string{
		{"-d", "30d"},
		{"--only=history"},
		{"--room", "!-d"},
		{"--room=!b"},
		{"--json"},
		{"--quiet=false"},
		{"-l", "DEBUG"},
		{"--keep-user", "@-x:hs"},
		{"--keep-user", "@y,z:hs"},
		{"-a", "http://hs/"},
		{"--report=-odd"},
		{"--purge-rate", "2"},
	}
	want := mustParse(t, nil, append(slices.Concat(flags...), conn, token)...)
	if fmt.Sprintln(want.History.Rooms, want.Media.KeepUsers, want.Report) != "[!-d !b] [@-x:hs @y,z:hs] -odd\n" {
		t.Fatalf("%+v", want)
	}
	rapid.Check(t, func(t *rapid.T) {
		positionals := [][]string{{conn}, {token}}
		if rapid.Bool().Draw(t, "with run") {
			positionals = slices.Insert(positionals, 0, []string{"run"})
		}
		var args []string
		for left, f := positionals, flags; len(left)+len(f) > 0; {
			if len(f) == 0 || len(left) > 0 && rapid.Bool().Draw(t, "positional") {
				if len(f) == 0 && rapid.Bool().Draw(t, "dashes") {
					args = append(append(args, "--"), slices.Concat(left...)...)
					break
				}
				args, left = append(args, left[0]...), left[1:]
				continue
			}
			args, f = append(args, f[0]...), f[1:]
		}
		cfg, command, err := Parse(input(nil, args...))
		if err != nil || command != CommandRun {
			t.Fatalf("%q: %v", args, err)
		}
		if diff := cmp.Diff(want, cfg, everyField()); diff != "" {
			t.Fatalf("%q: %s", args, diff)
		}
	})
}

func TestUsageErrors(t *testing.T) {
	for _, test := range []struct {
		args  []string
		flags []string
	}{
		{[]string{"plna"}, []string{"argument 1"}},
		{[]string{"plna", "-d", "nonsense"}, []string{"argument 1"}},
		{[]string{""}, []string{"argument 1"}},
		{[]string{"-"}, []string{"argument 1"}},
		{[]string{"--", "run2"}, []string{"argument 1"}},
		{[]string{"run", "sometoken", "-d", "30d"}, []string{"argument 1"}},
		{[]string{"run", "run", "-d", "30d"}, []string{"argument 1"}},
		{[]string{conn, token, "third"}, []string{"arguments"}},
		{[]string{"host=db", "user=synapse", "password=x"}, []string{"arguments"}},
		{[]string{conn, ""}, []string{"argument 2"}},
		{[]string{conn, "two words"}, []string{"argument 2"}},
		{[]string{"--wat"}, []string{"--wat"}},
		{[]string{"---delta=30d", conn}, []string{"an argument that begins with -"}},
		{[]string{"-dtoken", conn}, []string{"-dtoken"}},
		{[]string{"-X1", conn}, []string{"an argument that begins with -"}},
		{[]string{"--delta"}, []string{"--delta"}},
		{[]string{"--report", "--json"}, []string{"--report"}},
		{[]string{"--report", "--", conn}, []string{"--report"}},
		{[]string{"--report="}, []string{"--report"}},
		{[]string{"-d", "-5"}, []string{"--delta"}},
		{[]string{"-d", "1d", "--delta", "2d"}, []string{"--delta"}},
		{[]string{"--json=perhaps"}, []string{"--json"}},
		{[]string{"--postgres", conn, conn}, []string{"--postgres"}},
		{[]string{"--postgres="}, []string{"--postgres"}},
		{[]string{"mysql://db/synapse"}, []string{"argument 1"}},
		{[]string{"version", "x"}, []string{"version"}},
		{[]string{"help", "plna"}, []string{"help"}},
		{[]string{"-a", "localhost:8008"}, []string{"--api-url"}},
		{[]string{"-a", "http://user:pass@hs/"}, []string{"--api-url"}},
		{[]string{"-a", "http://hs/?x"}, []string{"--api-url"}},
		{[]string{"-a", "http://"}, []string{"--api-url"}},
		{[]string{"-l", "WARN", "--log-format", "xml"}, []string{"--logging-level", "--log-format"}},
		{[]string{"--only", "history,rooms"}, []string{"--only"}},
		{[]string{"--only", ""}, []string{"--only"}},
		{[]string{"--only", "history", "--skip", "history"}, []string{"--only, --skip"}},
		{[]string{"--room", "name", "--room", "#name", "--room", "!", "--room", "!a b", "--only=history"}, []string{"--room", "--room", "--room", "--room"}},
		{[]string{"--room", "!a", "--not-room", "!a"}, []string{"--not-room"}},
		{[]string{"--keep-user", "alice", "--keep-user", "@a", "--keep-user", "[", "--keep-user", ""}, []string{"--keep-user", "--keep-user", "--keep-user", "--keep-user"}},
		{[]string{"--keep-media", "mxc://hs/abc", "--keep-media", `a\`}, []string{"--keep-media", "--keep-media"}},
		{[]string{"--keep-type", "image*", "--keep-type", "image/["}, []string{"--keep-type", "--keep-type"}},
		{[]string{"--purge-concurrency", "6", "--purge-rate", "NaN", "--purge-timeout", "0"}, []string{"--purge-concurrency", "--purge-rate", "--purge-timeout"}},
		{[]string{"--delete-concurrency", "0", "--batch-size", "1e3", "--limit-rooms", "-1"}, []string{"--limit-rooms", "--delete-concurrency", "--batch-size"}},
		{[]string{"--gap-grace", "5m", "--report-hold", ""}, []string{"--gap-grace", "--report-hold"}},
		{[]string{"--remote-dead", "maybe"}, []string{"--remote-dead"}},
		{[]string{"--keep-shown=maybe", "--keep-pinned=2"}, []string{"--keep-shown", "--keep-pinned"}},
		{[]string{"--keep-shown", "false"}, []string{"argument 1"}},
		{[]string{"--max-duration", "30m"}, []string{"--max-duration"}},
		{[]string{"--max-duration", "-1"}, []string{"--max-duration"}},
		{[]string{"--media-via", "s3"}, []string{"--media-via"}},
		{[]string{"--media-via", "api", "--only", "previews"}, []string{"--only"}},
		{[]string{"--media-via", "api", "--only", "history,previews"}, []string{"--only"}},
		{[]string{"--media-via", "api", "--skip", "history,local-media,remote-media"}, []string{"--media-via, --skip"}},
		{[]string{"--max-rooms", "-1", "--max-media", "many", "--max-bytes", "1,5T"}, []string{"--max-rooms", "--max-media", "--max-bytes"}},
	} {
		wantErrors(t, withToken(), test.args, test.flags...)
	}
}

func TestNothingIsGuessed(t *testing.T) {
	wantErrors(t, nil, []string{"run"}, "argument 1", "argument 2", "--delta")
	problems := wantErrors(t, withToken(), []string{"run", "--history-delta", "30d", "--skip", "previews"}, "--delta")
	for _, part := range []string{"local-media, remote-media", "SYNUPKEEP_DELTA", "--before", "--local-media-delta, --remote-media-delta"} {
		if !strings.Contains(problems, part) {
			t.Errorf("%q does not name %s", problems, part)
		}
	}
	t.Setenv("PGHOST", "db")
	cfg := mustParse(t, map[string]string{"PGHOST": "db", tokenVariable: token})
	if cfg.Postgres.IsSet() {
		t.Error("a connection string came from nowhere")
	}
}

func TestHelpAndVersionNeedNoConfiguration(t *testing.T) {
	for _, test := range []struct {
		args    string
		command Command
		says    []string
	}{
		{"help", CommandHelp, []string{"Exit codes:", "SYNUPKEEP_DELETE_CONCURRENCY", "$SYNUPKEEP_MEDIA_STORE_PATH", "130, 143"}},
		{"--help", CommandHelp, []string{"Exit codes:"}},
		{"-d bad --wat host=x -h", CommandHelp, []string{"Exit codes:"}},
		{"run --help", CommandHelp, []string{"synupkeep run - delete what is old", "--gap-grace"}},
		{"help run", CommandHelp, []string{"synupkeep run - delete what is old", "--gap-grace"}},
		{"help version", CommandHelp, []string{"print the version"}},
		{"version", CommandVersion, []string{"synupkeep ", ", go1."}},
		{"version --help", CommandHelp, []string{"print the version"}},
	} {
		var out bytes.Buffer
		in := input(map[string]string{"SYNUPKEEP_DELTA": "bad", tokenVariable: token}, strings.Fields(test.args)...)
		in.Stdout = &out
		cfg, command, err := Parse(in)
		if cfg != nil || command != test.command || err != nil {
			t.Errorf("%s: %v, %s, %v", test.args, cfg, command, err)
		}
		for _, part := range test.says {
			if !strings.Contains(out.String(), part) {
				t.Errorf("%s does not print %q:\n%s", test.args, part, out.String())
			}
		}
		if strings.Contains(out.String(), token) {
			t.Errorf("%s prints the token", test.args)
		}
	}
}

func TestRoomAloneWarnsOfMedia(t *testing.T) {
	cfg := mustParse(t, withToken(), "run", "-d", "30d", "--room", "!a:hs")
	if len(cfg.Warnings) != 1 || !strings.Contains(cfg.Warnings[0], "--only history") {
		t.Errorf("%q", cfg.Warnings)
	}
	if cfg := mustParse(t, withToken(), "run", "-d", "30d", "--room", "!a:hs", "--only", "history"); len(cfg.Warnings) != 0 {
		t.Errorf("%q", cfg.Warnings)
	}
}

func TestStateDirectory(t *testing.T) {
	for _, c := range []struct {
		systemd, xdg, flag, want string
		args                     []string
	}{
		{want: "/data/media_store/.synupkeep"},
		{xdg: "/home/x/.local/state", want: "/home/x/.local/state/synupkeep"},
		{xdg: "relative", want: "/data/media_store/.synupkeep"},
		{systemd: "/var/lib/synupkeep:/var/lib/other", xdg: "/x", want: "/var/lib/synupkeep"},
		{systemd: "/var/lib/synupkeep", flag: "/srv/state/", want: "/srv/state"},
		{args: []string{"--media-via", "api"}, want: ""},
		{args: []string{"--media-via", "api", "--media-store", "/srv/media"}, want: ""},
		{args: []string{"--media-via", "api"}, systemd: "/var/lib/synupkeep", want: "/var/lib/synupkeep"},
		{args: []string{"--media-via", "api"}, flag: "/srv/state", want: "/srv/state"},
	} {
		env, args := withToken(), append([]string{conn, "-d", "30d"}, c.args...)
		env["STATE_DIRECTORY"], env["XDG_STATE_HOME"] = c.systemd, c.xdg
		if c.flag != "" {
			args = append(args, "--state-dir", c.flag)
		}
		if got := mustParse(t, env, args...).StateDir; got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}
