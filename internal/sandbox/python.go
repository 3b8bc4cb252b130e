package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// errNoPython names what to install when the machine cannot make the virtual environment.
var errNoPython = errors.New("the sandbox needs Python 3.10 or later with the venv module: " +
	"install the packages python3 and python3-venv (Debian, Ubuntu: apt-get install python3 python3-venv)")

// python is an interpreter that can make a virtual environment.
type python struct {
	Path      string `json:"path"`
	Major     int    `json:"major"`
	Minor     int    `json:"minor"`
	Tag       string `json:"tag"` // implementation and platform, such as cpython-311-x86_64-linux-gnu
	Venv      bool   `json:"venv"`
	EnsurePip bool   `json:"ensurepip"`
	Pip       bool   `json:"pip"`
}

// probe prints what python describes. ensurepip can be there without its wheels: Debian splits them off.
const probe = `
import json, sys, sysconfig, importlib.util as u
def has(name): return u.find_spec(name) is not None
def ensurepip():
    try:
        import ensurepip
        return bool(ensurepip.version())
    except Exception:
        return False
print(json.dumps({"path": sys.executable, "major": sys.version_info[0], "minor": sys.version_info[1],
    "tag": str(sys.implementation.cache_tag) + "-" + sysconfig.get_platform(),
    "venv": has("venv"), "ensurepip": ensurepip(), "pip": has("pip")}))
`

// interpreters are the names to try. The system's own come first: unlike one below a home directory, every uid can
// execute them.
func interpreters() []string {
	return []string{
		"/usr/bin/python3", "/usr/local/bin/python3", "python3",
		"python3.13", "python3.12", "python3.11", "python3.10",
	}
}

// findPython returns the first interpreter that can make the environment, with uv (empty: there is none) or by itself.
func findPython(ctx context.Context, uv string, names []string) (python, error) {
	var withPip *python
	var seen []string
	for _, name := range names {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		p, err := probePython(ctx, path)
		if ctx.Err() != nil {
			return python{}, ctx.Err()
		}
		if err != nil {
			seen = append(seen, fmt.Sprintf("%s does not run (%v)", path, err))
			continue
		}
		switch {
		case p.Major != 3 || p.Minor < 10:
			seen = append(seen, fmt.Sprintf("%s is Python %d.%d", path, p.Major, p.Minor))
		case uv != "" || (p.Venv && p.EnsurePip):
			return p, nil
		case p.Venv && p.Pip && withPip == nil:
			withPip = &p
		default:
			seen = append(seen, path+" lacks the module venv or ensurepip")
		}
	}
	if withPip != nil {
		return *withPip, nil
	}
	if len(seen) == 0 {
		return python{}, errNoPython
	}
	return python{}, fmt.Errorf("%w; found: %s", errNoPython, strings.Join(seen, ", "))
}

func probePython(ctx context.Context, path string) (python, error) {
	cmd := exec.CommandContext(ctx, path, "-c", probe)
	cmd.Env = pythonEnv()
	out, err := cmd.Output()
	if err != nil {
		return python{}, err
	}
	var p python
	if err := json.Unmarshal(out, &p); err != nil {
		return python{}, err
	}
	if p.Path == "" {
		return python{}, errors.New("it does not know its own path")
	}
	p.Path, err = filepath.Abs(p.Path)
	return p, err
}

// pythonEnv is the caller's environment without what would lead an interpreter astray or keep it from writing the
// bytecode that makes Synapse start in 1.0 s instead of 2.5 s.
func pythonEnv() []string {
	var env []string
	for _, kv := range os.Environ() {
		switch name, _, _ := strings.Cut(kv, "="); name {
		case "PYTHONDONTWRITEBYTECODE", "PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "PYTHONUSERBASE", "VIRTUAL_ENV",
			"__PYVENV_LAUNCHER__":
		default:
			env = append(env, kv)
		}
	}
	return env
}
