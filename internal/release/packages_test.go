//go:build packages

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func packagesOf(t *testing.T) (out string) {
	t.Helper()
	nfpm, err := filepath.Abs("../../bin/nfpm")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(nfpm); err != nil {
		t.Fatalf("make bin/nfpm makes what is missing: %v", err)
	}
	return cloned(t, "--nfpm", nfpm)
}

func told(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// TestPackagesAreTheSameBytes when they are made twice.
func TestPackagesAreTheSameBytes(t *testing.T) {
	first, second := packagesOf(t), packagesOf(t)
	for _, kind := range []string{".deb", ".rpm"} {
		if !slices.Equal(read(t, one(t, first, kind)), read(t, one(t, second, kind))) {
			t.Errorf("two %s differ", kind)
		}
	}
}

// TestPackagesInstall into an empty root: what is in them works, and the configuration belongs to whoever edits it.
func TestPackagesInstall(t *testing.T) {
	out := packagesOf(t)
	deb, rpm := one(t, out, ".deb"), one(t, out, ".rpm")
	root := t.TempDir()
	told(t, "dpkg-deb", "--extract", deb, root)
	if text := told(t, filepath.Join(root, "usr/bin/synupkeep"), "version"); !strings.HasPrefix(text, "synupkeep ") {
		t.Error(text)
	}
	for name, mode := range map[string]os.FileMode{
		"usr/bin/synupkeep": 0o755, "etc/synupkeep": os.ModeDir | 0o750, "etc/synupkeep/synupkeep.env": 0o600, "usr/share/doc/synupkeep/docs": os.ModeDir | 0o755,
		"usr/lib/systemd/system/synupkeep.service": 0o644, "usr/lib/systemd/system/synupkeep.timer": 0o644, "usr/share/man/man1/synupkeep.1.gz": 0o644,
		"usr/share/doc/synupkeep/docs/safety.md": 0o644, "usr/share/doc/synupkeep/copyright": 0o644,
	} {
		if info, err := os.Stat(filepath.Join(root, name)); err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if text := told(t, "dpkg-deb", "--info", deb, "conffiles"); strings.TrimSpace(text) != "/etc/synupkeep/synupkeep.env" {
		t.Error(text)
	}
	if text := told(t, "rpm", "--query", "--package", "--configfiles", rpm); strings.TrimSpace(text) != "/etc/synupkeep/synupkeep.env" {
		t.Error(text)
	}
	files := strings.Fields(told(t, "rpm", "--query", "--package", "--list", rpm))
	for _, name := range []string{"/usr/bin/synupkeep", "/usr/lib/systemd/system/synupkeep.timer", "/usr/share/zsh/site-functions/_synupkeep"} {
		if !slices.Contains(files, name) {
			t.Errorf("the rpm has no %s", name)
		}
	}
}

// TestPackagesStopNothingButTheirOwn runs the scripts with a systemctl that notes what it is told.
func TestPackagesStopNothingButTheirOwn(t *testing.T) {
	dir := t.TempDir()
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	said := filepath.Join(dir, "said")
	must(os.WriteFile(filepath.Join(dir, "systemctl"), []byte("#!/bin/sh\necho \"$*\" >> "+said+"\n"), 0o700))
	for _, test := range []struct{ script, argument, want string }{
		{"postinstall", "configure", "daemon-reload\n"},
		{"preremove", "remove", "disable --now synupkeep.timer\nstop synupkeep.service\n"},
		{"preremove", "0", "disable --now synupkeep.timer\nstop synupkeep.service\n"},
		{"preremove", "upgrade", ""},
		{"preremove", "1", ""},
		{"postremove", "remove", "daemon-reload\n"},
	} {
		must(os.WriteFile(said, nil, 0o600))
		// In the scripts only the directory says whether systemd runs: here it always does.
		text := strings.ReplaceAll(string(read(t, "../../deploy/packages/"+test.script+".sh")), "/run/systemd/system", dir)
		cmd := exec.CommandContext(t.Context(), "sh", "-euc", text, "sh", test.argument)
		cmd.Env = []string{"PATH=" + dir + ":/usr/bin:/bin"}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s %s: %v\n%s", test.script, test.argument, err, out)
		}
		if got := string(read(t, said)); got != test.want {
			t.Errorf("%s %s says %q, want %q", test.script, test.argument, got, test.want)
		}
	}
}
