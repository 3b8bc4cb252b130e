//go:build image

package image_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"

	"synupkeep/internal/sandbox"
)

// service is how compose.yaml starts one of synupkeep's containers. Only the address of Synapse is another one here.
func service(t *testing.T, name string, s *server, more ...string) (from start, of types.ServiceConfig) {
	t.Helper()
	project, err := loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir: "..", ConfigFiles: []types.ConfigFile{{Filename: "../compose.yaml"}},
		Environment: map[string]string{"SYNAPSE_SERVER_NAME": s.ServerName(), "POSTGRES_PASSWORD": "x", "SYNAPSE_REGISTRATION_SHARED_SECRET": "x"},
	})
	if err != nil {
		t.Fatal(err)
	}
	of = project.Services[name]
	env := map[string]string{}
	for key, value := range of.Environment {
		env[key] = *value
	}
	env["SYNUPKEEP_API_URL"] = s.APIURL()
	for _, one := range more {
		key, value, _ := strings.Cut(one, "=")
		env[key] = value
	}
	from = start{container: container(t), user: of.User, volumes: []string{s.data + ":/data", s.MediaStore() + ":/data/media"}}
	for _, key := range slices.Sorted(maps.Keys(env)) {
		from.env = append(from.env, key+"="+env[key])
	}
	return from, of
}

func TestTheContainersOfComposeGetTheirTokenRunAndSayHowTheyAre(t *testing.T) {
	s := seed(t, sandbox.Own(t, sandbox.Options{ExtraConfig: "registration_shared_secret: an open secret\n"}))
	s.lay(t, 991, 991, `"registration_shared_secret": "an open secret"`)
	from, token := service(t, "token", &s)
	for _, want := range []string{"the token of synupkeep is in /data/synupkeep.token", "nothing was done"} {
		if stdout, stderr := from.mustRun(t, token.Command...); !strings.Contains(stdout, want) {
			t.Errorf("%q is missing: %s\n%s", want, stdout, stderr)
		}
	}
	path := filepath.Join(s.data, "synupkeep.token")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 || ownerOf(t, path) != "991:991" {
		t.Errorf("%v, %v", info, err)
	}

	from, cron := service(t, "synupkeep", &s, "SYNUPKEEP_RUN_NOW=true", "SYNUPKEEP_DELTA=30d")
	running := from.begin(t, cron.Command...)
	running.until(t, "waiting for the next run")
	s.done(t)
	check := cron.HealthCheck.Test[2:] // behind CMD /synupkeep
	if stdout, _ := from.mustRun(t, check...); !strings.Contains(stdout, `"healthy":true`) || !strings.Contains(stdout, `"exit_code":0`) {
		t.Errorf("%s", stdout)
	}
	running.end(t, syscall.SIGTERM)
	if code, _, stderr := from.run(t, check...); code != 1 {
		t.Errorf("nobody is there, and the exit code %d\n%s", code, stderr)
	}
}
