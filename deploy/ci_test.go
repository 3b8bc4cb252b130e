package deploy_test

import (
	"bufio"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/mattn/go-shellwords"
	"sigs.k8s.io/yaml"

	"synupkeep/config"
)

// settingsOf reads deploy/ci/synupkeep.env as a shell does that is told to export it.
func settingsOf(t *testing.T) map[string]string {
	t.Helper()
	file, err := os.Open("ci/synupkeep.env")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	env := map[string]string{"SYNUPKEEP_SYNAPSE_AUTH_TOKEN": secretOf}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "#") {
			continue
		}
		words, err := shellwords.Parse(lines.Text())
		name, value, found := strings.Cut(strings.Join(words, " "), "=")
		if err != nil || !found || len(words) != 1 {
			t.Fatalf("%q: %v", lines.Text(), err)
		}
		env[name] = value
	}
	return env
}

// runsOf parses each command line of a script with which the program is called.
func runsOf(t *testing.T, script ...string) (all []config.Command) {
	t.Helper()
	for _, text := range script {
		for line := range strings.Lines(text) {
			words, err := shellwords.Parse(line)
			if err != nil || len(words) == 0 || words[0] != "synupkeep" {
				continue
			}
			if at := slices.Index(words, "||"); at >= 0 {
				words = words[:at]
			}
			_, command := parsed(t, settingsOf(t), words[1:]...)
			all = append(all, command)
		}
	}
	return all
}

func TestGitLabPlansInAMergeRequestAndRunsOnSchedule(t *testing.T) {
	type job struct {
		Extends      string   `json:"extends"`
		BeforeScript []string `json:"before_script"`
		Script       []string `json:"script"`
		Rules        []struct {
			If string `json:"if"`
		} `json:"rules"`
		AllowFailure struct {
			ExitCodes []int `json:"exit_codes"`
		} `json:"allow_failure"`
		ResourceGroup string `json:"resource_group"`
		Interruptible *bool  `json:"interruptible"`
	}
	text, err := os.ReadFile("ci/gitlab-ci.yml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Common job `json:".synupkeep"`
		Plan   job `json:"plan"`
		Apply  job `json:"apply"`
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		job    job
		source string
		want   config.Command
	}{{file.Plan, "merge_request_event", config.CommandPlan}, {file.Apply, "schedule", config.CommandRun}} {
		if runs := runsOf(t, test.job.Script...); !slices.Equal(runs, []config.Command{test.want}) || test.job.Extends != ".synupkeep" {
			t.Errorf("%s: %v", test.source, runs)
		}
		if len(test.job.Rules) != 1 || test.job.Rules[0].If != `$CI_PIPELINE_SOURCE == "`+test.source+`"` {
			t.Errorf("%s: %+v", test.source, test.job.Rules)
		}
		if !slices.Equal(test.job.AllowFailure.ExitCodes, []int{10}) {
			t.Errorf("%s: %+v", test.source, test.job.AllowFailure)
		}
	}
	if *file.Common.Interruptible || file.Apply.ResourceGroup == "" {
		t.Error("a run may be cut short, or two may be at once")
	}
	if runs := runsOf(t, file.Common.BeforeScript...); !slices.Equal(runs, []config.Command{config.CommandVersion, config.CommandDoctor}) {
		t.Errorf("%v", runs)
	}
}

func TestGitHubPlansInAPullRequestAndRunsOnSchedule(t *testing.T) {
	type step struct {
		Name string            `json:"name"`
		Uses string            `json:"uses"`
		With map[string]string `json:"with"`
		If   string            `json:"if"`
		Run  string            `json:"run"`
	}
	// Every key is named here: one that is misspelt there would be passed over by GitHub's runner, or refused.
	workflow := decode[struct {
		Name string `json:"name"`
		On   struct {
			PullRequest struct {
				Branches []string `json:"branches"`
			} `json:"pull_request"`
			Schedule []struct {
				Cron string `json:"cron"`
			} `json:"schedule"`
		} `json:"true"` // what YAML 1.1 makes of on
		Permissions map[string]string `json:"permissions"`
		Concurrency struct {
			Group            string `json:"group"`
			CancelInProgress *bool  `json:"cancel-in-progress"`
		} `json:"concurrency"`
		Jobs struct {
			Synupkeep struct {
				RunsOn         []string          `json:"runs-on"`
				Environment    string            `json:"environment"`
				TimeoutMinutes int               `json:"timeout-minutes"`
				Env            map[string]string `json:"env"`
				Steps          []step            `json:"steps"`
			} `json:"synupkeep"`
		} `json:"jobs"`
	}](t, "ci/github.yml")
	runs := map[string][]config.Command{}
	for _, s := range workflow.Jobs.Synupkeep.Steps {
		runs[s.If] = append(runs[s.If], runsOf(t, s.Run)...)
	}
	for when, want := range map[string]config.Command{
		"": config.CommandDoctor, "github.event_name == 'pull_request'": config.CommandPlan, "github.event_name == 'schedule'": config.CommandRun,
	} {
		if !slices.Equal(runs[when], []config.Command{want}) {
			t.Errorf("%q: %v", when, runs[when])
		}
	}
	if workflow.Concurrency.Group == "" || *workflow.Concurrency.CancelInProgress {
		t.Error("a run may be cut short, or two may be at once")
	}
	if len(workflow.On.Schedule) != 1 || !slices.Equal(workflow.On.PullRequest.Branches, []string{"main"}) {
		t.Errorf("%+v", workflow.On)
	}
}
