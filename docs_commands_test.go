package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"synupkeep/config"
	"synupkeep/internal/sandbox"
)

// standIns are tools that no test can run as it is. In their place stands one that only notes its arguments; a command of
// synupkeep among these must be one that it understands.
func standIns() map[string]string {
	return map[string]string{
		"apt-get":    "installs on the machine",
		"curl":       "asks servers that are not there",
		"docker":     "needs a daemon; make test-image runs the image",
		"dpkg":       "installs on the machine",
		"git":        "need not be installed; a test is not always run in a checkout",
		"go":         "runs the very tests that this is one of",
		"kubectl":    "needs a cluster; deploy decodes the files",
		"mail":       "sends a mail",
		"make":       "takes minutes; its targets are checked to exist",
		"mas-cli":    "belongs to Matrix Authentication Service",
		"podman":     "make test-image runs the image",
		"psql":       "need not be installed",
		"rpm":        "installs on the machine",
		"sandbox":    "is what the test runs on",
		"sudo":       "there may be none, or it may ask",
		"systemctl":  "needs systemd; make test-units reads the units",
		"journalctl": "needs systemd",
	}
}

// TestEveryCommandInTheDocsWorks runs what README and docs show in blocks of sh, document by document, each in a directory
// of its own, on a real server.
func TestEveryCommandInTheDocsWorks(t *testing.T) {
	d := newDocRunner(t)
	documents, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := 0
	for _, document := range append([]string{"README.md", "CONTRIBUTING.md", "deploy/README.md"}, documents...) {
		content, err := os.ReadFile(document)
		if errors.Is(err, os.ErrNotExist) && document == "deploy/README.md" {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Run(document, func(t *testing.T) {
			dir := d.newDir(t)
			for _, block := range codeBlocks(t, string(content)) {
				if block.language == "sh" {
					blocks++
					d.run(t, dir, block)
				}
			}
		})
	}
	if blocks < 15 {
		t.Errorf("%d blocks of commands: are they found?", blocks)
	}
}

type codeBlock struct {
	language, text string
	line           int
}

// codeBlocks finds the blocks of a document. Each must say what it is in: what is not said is not run.
func codeBlocks(t *testing.T, document string) (blocks []codeBlock) {
	t.Helper()
	known := []string{"sh", "text", "json", "yaml", "ini", "go", "sql", "diff"}
	var open *codeBlock
	inList, blank := false, true
	for i, line := range strings.Split(document, "\n") {
		trimmed := strings.TrimSpace(line)
		switch {
		case open != nil && trimmed == "```":
			blocks, open = append(blocks, *open), nil
		case open != nil:
			open.text += line + "\n"
		case strings.HasPrefix(trimmed, "```"):
			open = &codeBlock{language: strings.TrimPrefix(trimmed, "```"), line: i + 1}
			if !slices.Contains(known, open.language) {
				t.Errorf("line %d: a block of %q, which is none of %q", i+1, open.language, known)
			}
		case strings.HasPrefix(line, "    ") && blank && !inList:
			t.Errorf("line %d: an indented block: write it as ```sh, ```text and so on", i+1)
		case trimmed != "" && !strings.HasPrefix(line, " "):
			inList = regexp.MustCompile(`^([-*]|\d+\.) `).MatchString(line)
		}
		blank = trimmed == ""
	}
	return blocks
}

// docRunner runs blocks with bash.
type docRunner struct {
	s    *sandbox.Server
	bin  string
	env  []string
	home string
}

func newDocRunner(t *testing.T) *docRunner {
	t.Helper()
	s := sandbox.Own(t, sandbox.Options{})
	plantOld(t, s)
	d := &docRunner{s: s, bin: t.TempDir(), home: t.TempDir()}
	for name := range standIns() {
		d.script(t, name, fmt.Sprintf("printf '%%s\\n' \"$(printf '%%q ' %s \"$@\")\" >> \"$STAND_INS\"\n", name))
	}
	program, err := exec.LookPath("synupkeep") // testscript has put it there
	if err != nil {
		t.Fatal(err)
	}
	// Each call is noted with its exit code: in a pipe it would be lost.
	d.script(t, "synupkeep", fmt.Sprintf("%q \"$@\"\ncode=$?\nprintf '%%s\\n' \"$code $*\" >> \"$CALLS\"\nexit $code\n", program))
	jq, err := exec.LookPath("jq-in-go")
	if err != nil {
		t.Fatal(err)
	}
	d.script(t, "jq", fmt.Sprintf("exec %q \"$@\"\n", jq))
	token := filepath.Join(d.home, "the-token")
	if err := os.WriteFile(token, []byte(s.AdminToken()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.env = []string{
		"PATH=" + d.bin + ":" + os.Getenv("PATH"), "HOME=" + d.home, "LANG=C.UTF-8",
		"SYNUPKEEP_POSTGRES_CONNECTION_STRING=" + s.ConnString(), "SYNUPKEEP_TOKEN_FILE=" + token,
		"SYNUPKEEP_SYNAPSE_API_URL=" + s.APIURL(), "SYNUPKEEP_MEDIA_STORE_PATH=" + s.MediaStore(),
	}
	d.newAdmin(t)
	d.script(t, "pidof", fmt.Sprintf("echo %d\n", d.atWork(t, program)))
	return d
}

// An admin who can log in: that of the sandbox has a token only.
const passwordUser, adminPassword = "admin-of-the-docs", "correct horse battery staple"

func (d *docRunner) newAdmin(t *testing.T) {
	t.Helper()
	url := d.s.APIURL() + "/_synapse/admin/v2/users/@" + passwordUser + ":" + d.s.ServerName()
	body := strings.NewReader(`{"password": "` + adminPassword + `", "admin": true}`)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+d.s.AdminToken())
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // only its status counts
	if resp.StatusCode >= http.StatusBadRequest {
		t.Fatalf("make %s: %s", passwordUser, resp.Status)
	}
}

func (d *docRunner) script(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(d.bin, name), []byte("#!/bin/bash\n"+text), 0o700); err != nil {
		t.Fatal(err)
	}
}

// atWork starts a synupkeep that stays, for what is done with one.
func (d *docRunner) atWork(t *testing.T, program string) (pid int) {
	t.Helper()
	c := exec.CommandContext(t.Context(), program, "cron", "--delta", "90d", "--schedule", "@yearly")
	c.Env = append(slices.Clone(d.env), "SYNUPKEEP_STATE_DIR="+t.TempDir())
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	c.WaitDelay = 10 * time.Second
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Wait() })
	return c.Process.Pid
}

// newDir is a directory as a reader of a document would have it.
func (d *docRunner) newDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"docs", "deploy", "testdata/compat"} { // what a checkout has
		if err := os.CopyFS(filepath.Join(dir, name), os.DirFS(name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range map[string]string{"password": adminPassword + "\n", "token": d.s.AdminToken() + "\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// here puts what there is in the place of what only the reader has.
func (d *docRunner) here(dir, text string) string {
	text = regexp.MustCompile(`(?m)(^|[ ;])bin/(synupkeep|sandbox)\b`).ReplaceAllString(text, "${1}${2}")
	return strings.NewReplacer(
		"/var/lib/node_exporter/textfile/", dir+"/",
		"/var/lib/matrix-synapse/media", d.s.MediaStore(),
		"/etc/synupkeep/", dir+"/",
		"host=localhost dbname=synapse user=synapse password=secret", d.s.ConnString(),
		"host=standby dbname=synapse user=synapse", d.s.ConnString(),
		"last-week.json", "plan.json",
		"https://hc-ping.com/0123abcd", d.s.APIURL()+"/ping",
		"syt_secret", d.s.AdminToken(), "mct_secret", d.s.AdminToken(),
		"@admin:example.org", passwordUser,
	).Replace(text)
}

func (d *docRunner) run(t *testing.T, dir string, block codeBlock) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	calls, standIns := filepath.Join(d.home, "calls"), filepath.Join(d.home, "stand-ins")
	_, _ = os.Create(calls)
	_, _ = os.Create(standIns)
	c := exec.CommandContext(ctx, "bash", "-e", "-c", d.here(dir, block.text))
	c.Dir = dir
	c.Env = append(slices.Clone(d.env), "SYNUPKEEP_STATE_DIR="+filepath.Join(dir, "state"), "CALLS="+calls, "STAND_INS="+standIns)
	output, err := c.CombinedOutput()
	const limitReached = 10 // as the first night in the README: look sees to the others
	if err != nil && c.ProcessState.ExitCode() != limitReached {
		t.Errorf("line %d: %v\n%s\n%s", block.line, err, block.text, output)
	}
	d.look(t, block, calls, standIns, output)
}

// look reads how synupkeep ended, and what was noted of it among the arguments of others.
func (d *docRunner) look(t *testing.T, block codeBlock, calls, standIns string, output []byte) {
	t.Helper()
	for line := range strings.Lines(read(t, calls)) {
		code, args, _ := strings.Cut(strings.TrimSpace(line), " ")
		if code != "0" && code != "10" {
			t.Errorf("line %d: exit code %s of synupkeep %s\n%s", block.line, code, args, output)
		}
	}
	for line := range strings.Lines(read(t, standIns)) {
		if words := strings.Fields(line); words[0] == "make" {
			makeKnows(t, block.line, words[1:])
		} else if args := synupkeepArguments(words); args != nil {
			understood(t, block.line, args)
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// synupkeepArguments are those behind the program or its image.
func synupkeepArguments(words []string) []string {
	isProgram := regexp.MustCompile(`(^|/)synupkeep(:[\w.]+)?$`)
	if slices.Contains(words[:2], "install") { // it is a file there
		return nil
	}
	for i, word := range words[1:] {
		if isProgram.MatchString(word) && i+2 < len(words) && !strings.HasPrefix(word, "-") {
			return words[i+2:]
		}
	}
	return nil
}

func understood(t *testing.T, line int, args []string) {
	t.Helper()
	env := map[string]string{
		"SYNUPKEEP_POSTGRES": "dbname=synapse", "SYNUPKEEP_SYNAPSE_AUTH_TOKEN": "syt_token", "SYNUPKEEP_DELTA": "90d",
		"SYNUPKEEP_REGISTRATION_SHARED_SECRET": "secret",
	}
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], `\`, "")
	}
	_, _, err := config.Parse(config.Input{
		Args: args, Now: time.Now(), Stdout: io.Discard,
		LookupEnv: func(name string) (string, bool) { value, set := env[name]; return value, set },
	})
	if err != nil && !strings.Contains(err.Error(), "no such file") { // files of the reader's
		t.Errorf("line %d: synupkeep %q: %v", line, args, err)
	}
}

func makeKnows(t *testing.T, line int, targets []string) {
	t.Helper()
	makefile := read(t, "Makefile")
	for _, target := range targets {
		if !strings.Contains(target, "=") && !regexp.MustCompile(`(?m)^`+regexp.QuoteMeta(target)+`:`).MatchString(makefile) {
			t.Errorf("line %d: make has no target %s", line, target)
		}
	}
}
