package config

import (
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

// printVersion writes what the build knows of itself.
func printVersion(w io.Writer) error {
	info, _ := debug.ReadBuildInfo()
	_, err := fmt.Fprintln(w, versionLine(info))
	return err
}

// versionLine names the version of the module and, for a build from a checkout, its revision. info may be nil: then the
// program was built without modules.
func versionLine(info *debug.BuildInfo) string {
	version, revision := "(unknown)", ""
	if info != nil {
		if info.Main.Version != "" {
			version = info.Main.Version
		}
		for _, setting := range info.Settings {
			switch {
			case setting.Key == "vcs.revision":
				revision = " revision " + setting.Value + revision
			case setting.Key == "vcs.modified" && setting.Value == "true":
				revision += " (modified)"
			}
		}
	}
	return fmt.Sprintf("synupkeep %s%s, %s %s/%s", version, revision, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
