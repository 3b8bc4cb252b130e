package doctor

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"synupkeep/config"
	"synupkeep/internal/item"
	"synupkeep/internal/logging"
	"synupkeep/internal/sandbox"
	"synupkeep/internal/synapse"
)

// settings are those of a nightly run on this server.
func settings(t testing.TB, s *sandbox.Server, args ...string) *config.Config {
	t.Helper()
	env := map[string]string{
		"SYNUPKEEP_POSTGRES_CONNECTION_STRING": s.ConnString(), "SYNUPKEEP_SYNAPSE_AUTH_TOKEN": s.AdminToken(),
		"SYNUPKEEP_SYNAPSE_API_URL": s.APIURL(), "SYNUPKEEP_MEDIA_STORE_PATH": s.MediaStore(), "SYNUPKEEP_DELTA": "30d",
		"SYNUPKEEP_STATE_DIR": t.TempDir(),
	}
	cfg, _, err := config.Parse(config.Input{
		Args: append([]string{"doctor"}, args...), Stdout: &bytes.Buffer{},
		LookupEnv: func(name string) (string, bool) { value, ok := env[name]; return value, ok },
	})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// examined are the findings of an exam, by name.
type examined struct {
	report
	causes []item.Cause
	text   string
}

// examine makes all checks, as they are or as change makes them.
func examine(t testing.TB, cfg *config.Config, change func(*exam)) examined {
	t.Helper()
	return examineIn(t.Context(), t, cfg, change, checks())
}

func examineIn(ctx context.Context, t testing.TB, cfg *config.Config, change func(*exam), all []check) examined {
	t.Helper()
	var log, out bytes.Buffer
	logger := logging.New(&log, logging.LevelTrace, logging.Text)
	logger.Hide(cfg.Secrets()...)
	e := &exam{cfg: cfg, log: logger, world: realWorld(), limits: usual()}
	if change != nil {
		change(e)
	}
	cfg.JSON = true
	var found examined
	found.causes = e.run(ctx, ctx, &out, all)
	if err := json.Unmarshal(out.Bytes(), &found.report); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	if len(all) == len(checks()) {
		asTheSchemaSays(t, out.Bytes())
	}
	var text strings.Builder
	if err := found.writeText(&text, false); err != nil {
		t.Fatal(err)
	}
	found.text = text.String()
	if log.Len() > 0 {
		t.Errorf("log: %s", log.String())
	}
	return found
}

// asTheSchemaSays compares what is written with docs/doctor.schema.json.
func asTheSchemaSays(t testing.TB, text []byte) {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	schema, err := c.Compile("../docs/doctor.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err == nil {
		err = schema.Validate(value)
	}
	if err != nil {
		t.Errorf("%v\n%s", err, text)
	}
}

// of is one of the checks.
func (x examined) of(t testing.TB, name string) result {
	t.Helper()
	for _, c := range x.Checks {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("there is no check %s", name)
	return result{}
}

// wants looks for a result with these texts in it, and that what is not well is explained.
func (x examined) wants(t testing.TB, name string, want Result, texts ...string) {
	t.Helper()
	c := x.of(t, name)
	if name == "api" && want == OK && x.costsMore() {
		want = Warning
	}
	if c.Result != want {
		t.Errorf("%s: %s, want %s: %s", name, c.Result, want, c.Found)
	}
	all := strings.Join(append([]string{c.Found, c.Means, c.Do}, c.Details...), "\n")
	for _, text := range texts {
		if !strings.Contains(all, text) {
			t.Errorf("%s does not say %q:\n%s", name, text, all)
		}
	}
	if (c.Result == Warning || c.Result == Failure) && (c.Means == "" || c.Do == "") {
		t.Errorf("%s says neither what it means nor what to do: %+v", name, c)
	}
	failed := x.Counts.Failure > 0
	if got := item.ExitCode(x.causes); failed != (got == 3) || x.ExitCode != got {
		t.Errorf("exit code %d (%d in JSON) with %d failures", got, x.ExitCode, x.Counts.Failure)
	}
}

// costsMore says that the release of this sandbox is one of those that doctor warns of.
func (x examined) costsMore() bool {
	version, err := synapse.ParseVersion(x.ServerVersion)
	return err == nil && len(synapse.HistoryWarnings(version)) > 0
}

// but is everything that is not well, beside some checks.
func (x examined) but(t testing.TB, names ...string) {
	t.Helper()
	if x.costsMore() {
		names = append(names, "api")
	}
	for _, c := range x.Checks {
		if c.Result != OK && c.Result != NotChecked && !strings.Contains(" "+strings.Join(names, " ")+" ", " "+c.Name+" ") {
			t.Errorf("%s: %s: %s %q", c.Name, c.Result, c.Found, c.Details)
		}
	}
}

// do runs SQL as a superuser.
func do(t testing.TB, s *sandbox.Server, sql string, args ...any) {
	t.Helper()
	err := s.WithDB(context.WithoutCancel(t.Context()), func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, sql, args...)
		return err
	})
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}
