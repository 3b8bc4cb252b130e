package deploy_test

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"synupkeep/config"
	"synupkeep/internal/item"
)

// secretOf stands for what a Secret holds.
const secretOf = "syt_in_a_secret"

// decode reads a manifest as the API server does with --validate=strict: a key that it does not know is an error.
func decode[T any](t *testing.T, path string) (manifest T) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(text, &manifest, yaml.DisallowUnknownFields); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return manifest
}

// parsed is what the program makes of arguments and environment.
func parsed(t *testing.T, env map[string]string, args ...string) (*config.Config, config.Command) {
	t.Helper()
	cfg, command, err := config.Parse(config.Input{
		Args: args, Now: time.Now(), Stdout: io.Discard,
		LookupEnv: func(name string) (string, bool) { value, set := env[name]; return value, set },
	})
	if err != nil {
		t.Fatalf("%q with %v: %v", args, env, err)
	}
	return cfg, command
}

func TestTheCronJobIsWhatARunNeeds(t *testing.T) {
	job := decode[batchv1.CronJob](t, "kubernetes/cronjob.yaml")
	if job.APIVersion != "batch/v1" || job.Kind != "CronJob" || job.Spec.ConcurrencyPolicy != batchv1.ForbidConcurrent {
		t.Errorf("%+v", job.TypeMeta)
	}
	if zone, err := time.LoadLocation(*job.Spec.TimeZone); err != nil || zone == time.Local {
		t.Errorf("%v, %v", zone, err)
	}
	spec := job.Spec.JobTemplate.Spec
	isSafe(t, spec, batchv1.PodFailurePolicyActionFailJob)
	c := spec.Template.Spec.Containers[0]
	env := map[string]string{}
	for _, v := range c.Env {
		if env[v.Name] = v.Value; v.ValueFrom != nil && v.ValueFrom.SecretKeyRef != nil {
			env[v.Name] = secretOf
		}
	}
	t.Setenv("PGPASSWORD", env["PGPASSWORD"])
	cfg, command := parsed(t, env, c.Args...)
	if command != config.CommandRun || cfg.Token.Given.Reveal() != secretOf || cfg.MaxDuration != 4*time.Hour {
		t.Errorf("%s: %+v", command, cfg)
	}
	volumes := c.VolumeMounts
	if len(volumes) != 1 || !strings.HasPrefix(cfg.MediaStore, volumes[0].MountPath+"/") || volumes[0].ReadOnly {
		t.Errorf("the media store %s is on none of %+v", cfg.MediaStore, volumes)
	}
}

// TestEachIndexIsOneServer with the configuration and token of its own.
func TestEachIndexIsOneServer(t *testing.T) {
	job := decode[batchv1.Job](t, "kubernetes/indexed-job.yaml")
	if job.APIVersion != "batch/v1" || job.Kind != "Job" || *job.Spec.CompletionMode != batchv1.IndexedCompletion || *job.Spec.MaxFailedIndexes > *job.Spec.Completions {
		t.Errorf("%+v", job.Spec)
	}
	isSafe(t, job.Spec, batchv1.PodFailurePolicyActionFailIndex)
	dir := t.TempDir()
	for name, content := range map[string]string{
		"2.token": secretOf,
		"2.homeserver.yaml": "server_name: two.example\ndatabase: {name: psycopg2, args: {host: db2, dbname: synapse, user: synapse, password: x}}\n" +
			"listeners: [{port: 8008, resources: [{names: [client]}]}]\nmedia_store_path: /data/media\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := job.Spec.Template.Spec.Containers[0]
	var args []string
	for _, arg := range c.Args {
		arg = strings.ReplaceAll(arg, "$(JOB_COMPLETION_INDEX)", "2") // as the kubelet does
		args = append(args, strings.ReplaceAll(arg, c.VolumeMounts[0].MountPath, dir))
	}
	cfg, command := parsed(t, nil, args...)
	if command != config.CommandPlan || cfg.Media.Via != config.ViaAPI || !strings.Contains(cfg.Postgres.Reveal(), "db2") {
		t.Errorf("%s: %+v", command, cfg)
	}
	if token, err := cfg.Token.Read(); err != nil || token.Reveal() != secretOf {
		t.Errorf("%v", err)
	}
}

// isSafe looks at what both have in common.
func isSafe(t *testing.T, job batchv1.JobSpec, giveUp batchv1.PodFailurePolicyAction) {
	t.Helper()
	pod := job.Template.Spec
	c := pod.Containers[0]
	// Half a minute for purges, a quarter for files, and the report.
	if *pod.TerminationGracePeriodSeconds < 60 || pod.RestartPolicy != corev1.RestartPolicyNever {
		t.Errorf("%d s, %s", *pod.TerminationGracePeriodSeconds, pod.RestartPolicy)
	}
	if !*pod.SecurityContext.RunAsNonRoot || *pod.SecurityContext.RunAsUser == 0 || *pod.AutomountServiceAccountToken ||
		*c.SecurityContext.AllowPrivilegeEscalation || !*c.SecurityContext.ReadOnlyRootFilesystem ||
		!slices.Equal(c.SecurityContext.Capabilities.Drop, []corev1.Capability{"ALL"}) {
		t.Errorf("%+v %+v", pod.SecurityContext, c.SecurityContext)
	}
	var want, got []int32
	for _, cause := range item.Causes() {
		switch cause {
		case item.CauseFailed, item.CauseInterrupt, item.CauseTerminated: // tried again
		default:
			want = append(want, int32(item.ExitCode([]item.Cause{cause})))
		}
	}
	slices.Sort(want)
	for _, rule := range job.PodFailurePolicy.Rules {
		if rule.Action == giveUp && *rule.OnExitCodes.ContainerName == c.Name && rule.OnExitCodes.Operator == batchv1.PodFailurePolicyOnExitCodesOpIn {
			got = append(got, rule.OnExitCodes.Values...)
		}
	}
	if !slices.Equal(want, got) {
		t.Errorf("given up after exit codes %v, want %v", got, want)
	}
}
