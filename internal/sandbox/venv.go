package sandbox

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// environment is an installed virtual environment.
type environment struct {
	dir string // the environment itself
	key string // names it in the cache; changes with the requirements and the interpreter
	lib string // its site-packages directory

	requirements []byte
}

// python is the interpreter. Scripts of the environment are not used: their first line names an absolute path.
func (e environment) python() string { return filepath.Join(e.dir, "bin", "python") }

// cacheDir is where environments and cluster templates are kept between runs.
func cacheDir(mode rootMode) (string, error) {
	if dir := os.Getenv("SYNUPKEEP_SANDBOX_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	if mode == credentials { // root's home is closed to the uid that PostgreSQL runs as
		return "/var/cache/synupkeep-sandbox", nil
	}
	base, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("sandbox cache: %w; set SYNUPKEEP_SANDBOX_CACHE", err)
	}
	return filepath.Join(base, "synupkeep-sandbox"), nil
}

// install returns the environment of the cache and makes it first when it is missing or was left half made. The first
// time takes about 25 s, with uv on the PATH 7 s.
func install(ctx context.Context, cache string, requirements []byte, progress io.Writer) (environment, error) {
	uv, err := exec.LookPath("uv")
	if err != nil {
		uv = ""
	}
	py, err := findPython(ctx, uv, interpreters())
	if err != nil {
		return environment{}, err
	}
	e := newEnvironment(cache, py, requirements)
	if e.complete() {
		return e, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return environment{}, fmt.Errorf("sandbox cache: %w", err)
	}
	lock, err := lockFile(ctx, e.dir+".lock")
	if err != nil {
		return environment{}, err
	}
	defer func() { _ = lock.Close() }()
	if e.complete() {
		return e, nil
	}
	say(progress, "making the virtual environment %s (once)", e.dir)
	if err := e.build(ctx, py, uv); err != nil {
		return environment{}, fmt.Errorf("virtual environment %s: %w", e.dir, err)
	}
	return e, nil
}

// newEnvironment names the environment of these requirements, which need not be there yet.
func newEnvironment(cache string, py python, requirements []byte) environment {
	sum := sha256.Sum256(append([]byte(py.Tag+"\x00"+py.Path+"\x00"), requirements...))
	e := environment{requirements: requirements, key: fmt.Sprintf("py%d.%d-%s", py.Major, py.Minor, hex.EncodeToString(sum[:6]))}
	e.dir = filepath.Join(cache, "venv-"+e.key)
	e.lib = filepath.Join(e.dir, "lib", fmt.Sprintf("python%d.%d", py.Major, py.Minor), "site-packages")
	return e
}

func (e environment) marker() string { return filepath.Join(e.dir, ".complete") }

func (e environment) complete() bool {
	_, err := os.Stat(e.marker())
	return err == nil
}

// build installs into an empty directory and writes the marker last, so that an interrupted build is seen and redone.
func (e environment) build(ctx context.Context, py python, uv string) error {
	if err := os.RemoveAll(e.dir); err != nil {
		return err
	}
	lockfile := e.dir + ".requirements.txt"
	if err := os.WriteFile(lockfile, e.requirements, 0o644); err != nil {
		return err
	}
	defer func() { _ = os.Remove(lockfile) }()
	steps := [][]string{}
	pip := []string{"install", "--no-compile", "--only-binary", ":all:", "--require-hashes", "--no-deps", "-r", lockfile}
	switch {
	case uv != "":
		steps = append(steps,
			[]string{uv, "venv", "--quiet", "--python", py.Path, e.dir},
			[]string{uv, "pip", "sync", "--quiet", "--only-binary", ":all:", "--require-hashes", "--python", e.python(), lockfile})
	case py.EnsurePip:
		steps = append(steps,
			[]string{py.Path, "-m", "venv", e.dir},
			append([]string{e.python(), "-m", "pip", "--disable-pip-version-check", "--quiet"}, pip...))
	default: // ensurepip is missing: a pip outside of the environment installs into it
		steps = append(steps,
			[]string{py.Path, "-m", "venv", "--without-pip", e.dir},
			append([]string{py.Path, "-m", "pip", "--disable-pip-version-check", "--quiet", "--python", e.python()}, pip...))
	}
	steps = append(steps, []string{e.python(), "-m", "compileall", "-q", "-j", "0", e.lib})
	for _, step := range steps {
		if err := runStep(ctx, step); err != nil {
			return err
		}
	}
	return os.WriteFile(e.marker(), nil, 0o644)
}

func runStep(ctx context.Context, step []string) error {
	cmd := exec.CommandContext(ctx, step[0], step[1:]...)
	cmd.Env = pythonEnv()
	cmd.Dir = "/"
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(step, " "), err, tail(out, 4000))
	}
	return nil
}

// tail returns the last n bytes, from the start of a line.
func tail(b []byte, n int) string {
	if len(b) > n {
		b = b[len(b)-n:]
		if _, after, found := strings.Cut(string(b), "\n"); found {
			return after
		}
	}
	return string(b)
}

func say(w io.Writer, format string, args ...any) {
	if w != nil {
		_, _ = fmt.Fprintf(w, "sandbox: "+format+"\n", args...)
	}
}
