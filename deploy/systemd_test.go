//go:build systemd

package deploy_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// analyze runs systemd-analyze on the units as they are installed.
func analyze(t *testing.T, args ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"synupkeep.service", "synupkeep.timer"} {
		text, err := os.ReadFile(filepath.Join("systemd", name))
		if err != nil {
			t.Fatal(err)
		}
		// The program comes with its package, the user with Synapse's: here something stands for each.
		text = regexp.MustCompile(`(?m)^(ExecStart=)\S+`).ReplaceAll(text, []byte("${1}/bin/true"))
		text = regexp.MustCompile(`(?m)^(User|Group)=.*`).ReplaceAll(text, []byte("${1}=daemon"))
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i, arg := range args {
		args[i] = strings.ReplaceAll(arg, "@", dir)
	}
	out, err := exec.CommandContext(t.Context(), "systemd-analyze", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("systemd-analyze %q: %v\n%s", args, err, out)
	}
	return string(out)
}

func TestUnitsAreUnderstood(t *testing.T) {
	if out := analyze(t, "verify", "--man=no", "--recursive-errors=no", "@/synupkeep.service", "@/synupkeep.timer"); out != "" {
		t.Errorf("systemd-analyze verify says\n%s", out)
	}
}

// TestTheServiceIsConfined: what a service may do is rated from 0, nothing, to 10.
func TestTheServiceIsConfined(t *testing.T) {
	out := analyze(t, "security", "--no-pager", "--offline=true", "@/synupkeep.service")
	found := regexp.MustCompile(`exposure level for \S+: ([0-9.]+)`).FindStringSubmatch(out)
	if found == nil {
		t.Fatal(out)
	}
	if level, err := strconv.ParseFloat(found[1], 64); err != nil || level > 1.8 {
		t.Errorf("%v, %v\n%s", level, err, out)
	}
}
