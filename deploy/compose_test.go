package deploy_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/google/go-cmp/cmp"

	"synupkeep/config"
)

// compose loads compose.yaml as docker compose does, with the environment of an .env.
func compose(t *testing.T, env map[string]string) (*types.Project, error) {
	t.Helper()
	return loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir: ".", ConfigFiles: []types.ConfigFile{{Filename: "compose.yaml"}}, Environment: maps.Clone(env), // it adds to it
	})
}

// threeValues are those of compose.env.example, set.
func threeValues(t *testing.T) map[string]string {
	t.Helper()
	env, err := dotenv.Read("compose.env.example")
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range env {
		if value != "" {
			t.Errorf("%s is set already", name)
		}
		env[name] = "value-of-" + name
	}
	return env
}

func TestComposeWorksAsItStandsAfterThreeValuesAreSet(t *testing.T) {
	env := threeValues(t)
	if len(env) != 3 {
		t.Errorf("%d values are to be set: %v", len(env), env)
	}
	if _, err := compose(t, env); err != nil {
		t.Error(err)
	}
	for name := range env {
		without := map[string]string{}
		for other, value := range env {
			if other != name {
				without[other] = value
			}
		}
		if _, err := compose(t, without); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: %v", name, err)
		}
	}
}

func TestEveryCommentedValueOfTheExampleIsOneThatComposeTakes(t *testing.T) {
	content, err := os.ReadFile("compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile("compose.env.example")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(example)) {
		name, _, is := strings.Cut(strings.TrimPrefix(line, "#"), "=")
		if is && !strings.Contains(name, " ") && !strings.Contains(string(content), "${"+name) {
			t.Errorf("%s does nothing", name)
		}
	}
}

func TestTheContainersOfSynupkeepMayDoNoMoreThanTheyNeed(t *testing.T) {
	project, err := compose(t, threeValues(t))
	if err != nil {
		t.Fatal(err)
	}
	synapse := project.Services["synapse"]
	for _, name := range []string{"token", "synupkeep"} {
		s := project.Services[name]
		if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || len(s.CapAdd) != 0 || s.Privileged ||
			!slices.Equal(s.SecurityOpt, []string{"no-new-privileges:true"}) || len(s.Ports) != 0 {
			t.Errorf("%s: %+v", name, s)
		}
		// Whoever deletes files must be their owner.
		if want := *synapse.Environment["UID"] + ":" + *synapse.Environment["GID"]; s.User != want {
			t.Errorf("%s runs as %s, and Synapse as %s", name, s.User, want)
		}
		if diff := cmp.Diff(synapse.Volumes, s.Volumes); diff != "" {
			t.Errorf("%s and Synapse share other volumes: %s", name, diff)
		}
	}
	s := project.Services["synupkeep"]
	if s.StopGracePeriod == nil || time.Duration(*s.StopGracePeriod) < 90*time.Second {
		t.Errorf("a run that is told to stop has %v", s.StopGracePeriod)
	}
	for _, name := range []string{"db", "synapse", "synupkeep"} {
		if check := project.Services[name].HealthCheck; check == nil || len(check.Test) < 2 || check.Disable {
			t.Errorf("nobody sees whether %s is well", name)
		}
	}
	if project.Services["token"].DependsOn["synapse"].Condition != types.ServiceConditionHealthy ||
		s.DependsOn["token"].Condition != types.ServiceConditionCompletedSuccessfully {
		t.Error("synupkeep begins before it has its token")
	}
}

// homeserverYAML is of the words that Synapse's image makes of the variables (docker/conf/homeserver.yaml).
const homeserverYAML = `server_name: "hs.example"
listeners: [{port: 8008, tls: false, bind_addresses: ['::'], type: http, resources: [{names: [client]}, {names: [federation]}]}]
database: {name: psycopg2, args: {user: synapse, password: secret, database: synapse, host: db, port: "5432", cp_min: 5, cp_max: 10}}
media_store_path: "/data/media"
registration_shared_secret: "a shared secret"
`

func TestSynupkeepUnderstandsWhatComposeTellsIt(t *testing.T) {
	project, err := compose(t, threeValues(t))
	if err != nil {
		t.Fatal(err)
	}
	data := t.TempDir()
	for file, text := range map[string]string{"homeserver.yaml": homeserverYAML, "synupkeep.token": "syt_token\n"} {
		if err := os.WriteFile(filepath.Join(data, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	parse := func(service string, args []string) *config.Config {
		t.Helper()
		env := project.Services[service].Environment
		cfg, _, err := config.Parse(config.Input{
			Args: args, DataDir: data, Now: time.Now(), Stdout: t.Output(),
			LookupEnv: func(name string) (string, bool) {
				value := env[name]
				if value == nil {
					return "", false
				}
				return strings.Replace(*value, "/data/", data+"/", 1), true
			},
		})
		if err != nil {
			t.Fatalf("%s: %v", service, err)
		}
		if len(cfg.Warnings) != 0 {
			t.Errorf("%s: %q", service, cfg.Warnings)
		}
		return cfg
	}
	cfg := parse("synupkeep", project.Services["synupkeep"].Command)
	if cfg.Command != config.CommandCron || cfg.MediaStore != "/data/media" || cfg.APIURL != "http://synapse:8008" ||
		!strings.Contains(cfg.Postgres.Reveal(), "host='db'") || cfg.Synapse.ServerName != "hs.example" {
		t.Errorf("%+v", cfg)
	}
	cfg = parse("token", project.Services["token"].Command)
	if cfg.Command != config.CommandToken || !cfg.IfNeeded || cfg.Register.Reveal() != "a shared secret" {
		t.Errorf("%+v", cfg)
	}
	check := project.Services["synupkeep"].HealthCheck.Test
	if !slices.Equal(check[:2], []string{"CMD", "/synupkeep"}) {
		t.Errorf("%q", check)
	}
	if asked, cron := parse("synupkeep", check[2:]), parse("synupkeep", []string{"cron"}); asked.Cron.Listen != cron.Cron.Listen {
		t.Errorf("cron answers at %s, and is asked at %s", cron.Cron.Listen, asked.Cron.Listen)
	}
}
