package sandbox_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"synupkeep/internal/sandbox"
)

// publicCache copies the environment to where every uid can use it, with hard links where possible.
func publicCache(t *testing.T, owner int) string {
	t.Helper()
	sandbox.Shared(t) // the environment is installed
	from := os.Getenv("SYNUPKEEP_SANDBOX_CACHE")
	if from == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		from = filepath.Join(base, "synupkeep-sandbox")
	}
	dir, err := os.MkdirTemp("/tmp", "cache-") //nolint:usetesting // others cannot pass the parent of t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	envs, err := filepath.Glob(filepath.Join(from, "venv-*", ".complete"))
	if err != nil || len(envs) == 0 {
		t.Fatalf("no environment in %s: %v", from, err)
	}
	for _, env := range envs {
		if exec.CommandContext(t.Context(), "cp", "-al", filepath.Dir(env), dir).Run() == nil {
			continue
		}
		if out, err := exec.CommandContext(t.Context(), "cp", "-a", filepath.Dir(env), dir).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	if err := errors.Join(os.Chmod(dir, 0o755), os.Chown(dir, owner, owner)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// As root this runs a whole sandbox as another uid; otherwise the shared one has shown the same already.
func TestOrdinaryUser(t *testing.T) {
	if os.Geteuid() != 0 {
		room, messages := newRoom(t, sandbox.Shared(t), sandbox.Shared(t).NewestRoomVersion())
		serves(t, sandbox.Shared(t), room, messages, nil)
		return
	}
	const uid = 65534 // has a passwd entry everywhere, as initdb demands
	cache := publicCache(t, uid)
	binary := filepath.Join(cache, "sandbox.test")
	if out, err := exec.CommandContext(t.Context(), "cp", os.Args[0], binary).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	cmd := exec.CommandContext(t.Context(), binary)
	cmd.Dir = "/"
	cmd.Env = []string{
		"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + cache, "SYNUPKEEP_SANDBOX_CACHE=" + cache,
		childDir + "=" + filepath.Join(cache, "own"),
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	_, end := startChild(t, cmd)
	if err := end.Close(); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the child did not stop well: %v", err)
	}
}
