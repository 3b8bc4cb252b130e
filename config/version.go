package config

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
)

// Version is the version of this program as its build tells it.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "devel"
	}
	return info.Main.Version
}

// build is what a build knows of itself. Its JSON is what version --json prints.
type build struct {
	Version string `json:"version"`
	// Revision is the commit, with Modified if the files were not those of it; empty for a build without its repository.
	Revision string `json:"revision"`
	Modified bool   `json:"modified"`
	// Committed is when, in UTC; empty if that is not known.
	Committed string `json:"committed"`
	Go        string `json:"go"`
	Platform  string `json:"platform"`
}

// buildOf reads what the compiler wrote down. info may be nil: then the program was built without modules.
func buildOf(info *debug.BuildInfo) build {
	b := build{Version: "(unknown)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info == nil {
		return b
	}
	if info.Main.Version != "" {
		b.Version = info.Main.Version
	}
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			b.Revision = setting.Value
		case "vcs.time":
			b.Committed = setting.Value
		case "vcs.modified":
			b.Modified = setting.Value == "true"
		}
	}
	return b
}

// printVersion writes what the build knows of itself.
func printVersion(w io.Writer, asJSON bool) error {
	info, _ := debug.ReadBuildInfo()
	b := buildOf(info)
	if asJSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(b)
	}
	_, err := fmt.Fprintln(w, b.line())
	return err
}

// line names the version of the module and, for a build from a checkout, its revision.
func (b build) line() string {
	revision := ""
	if b.Revision != "" {
		revision = " revision " + b.Revision
	}
	if b.Modified {
		revision += " (modified)"
	}
	return fmt.Sprintf("synupkeep %s%s, %s %s", b.Version, revision, b.Go, b.Platform)
}
