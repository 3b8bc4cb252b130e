package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"synupkeep/internal/homeserver"
)

const homeserverVariable = "SYNAPSE_CONFIG_PATH"

// sqliteAdvice is what to do about a server that runs on SQLite.
const sqliteAdvice = "PostgreSQL, which large servers need anyway: synapse_port_db moves a server, see " +
	"https://element-hq.github.io/synapse/latest/postgres.html#porting-from-sqlite"

// readHomeserver takes from Synapse's own configuration what neither the arguments nor the environment say: the database,
// the media store, the URL of the admin API. Without such a file it takes the variables of Synapse's container image.
func (r *reader) readHomeserver(cfg *Config) {
	if _, given := r.settings["postgres"]; !given {
		const name = "SYNUPKEEP_POSTGRES_CONNECTION_STRING"
		if text := r.secretVariable(name); text != "" {
			r.settings["postgres"] = setting{source: name + "_FILE", fromEnv: true, values: []string{text}}
		}
	}
	paths, source, mustBe := r.homeserverFiles()
	if len(paths) == 0 {
		r.readImage()
		return
	}
	found, err := homeserver.Read(paths...)
	if err != nil && !mustBe {
		if !errors.Is(err, fs.ErrNotExist) {
			r.unusable = "Synapse's configuration cannot be used: " + err.Error()
			r.warn(r.unusable)
		}
		r.readImage()
		return
	}
	if err != nil {
		r.problem(source, "", "cannot be used: "+err.Error(), "Synapse's homeserver.yaml, or a directory of such files")
		return
	}
	cfg.Synapse = found
	name := found.Files[0]
	if via, _, _ := r.single("media-via"); found.NoMediaRepo && via == string(ViaAPI) && r.command.takes("media-via") {
		r.warn("enable_media_repo is false in " + strings.Join(found.Files, ", ") + ": a worker answers for media (" + strings.Join(found.Workers, ", ") +
			"), and --api-url must lead to it too, as that of a reverse proxy does")
	}
	r.fromHomeserver("media-store", name, r.storeOf(found))
	if apis := found.AdminAPI(); len(apis) > 0 {
		r.fromHomeserver("api-url", name, apis[0].URL())
	}
	if !r.hasDatabase() {
		r.databaseOf(found, name)
	}
}

// homeserverFiles finds the files; mustBe is set when somebody named them.
func (r *reader) homeserverFiles() (paths []string, source string, mustBe bool) {
	if s, given := r.settings["homeserver-config"]; given {
		return s.values, s.source, true
	}
	if path := r.env(homeserverVariable); path != "" {
		return []string{path}, homeserverVariable, false // of Synapse's image, which makes one of the environment if there is none
	}
	if dir := r.env("SYNAPSE_CONFIG_DIR"); dir != "" {
		return []string{filepath.Join(dir, "homeserver.yaml")}, "SYNAPSE_CONFIG_DIR", false
	}
	if r.in.DataDir == "" {
		return nil, "", false
	}
	path := filepath.Join(r.in.DataDir, "homeserver.yaml")
	if _, err := os.Stat(path); err != nil {
		return nil, "", false
	}
	return []string{path}, path, false
}

// fromHomeserver gives a flag that nobody gave its value.
func (r *reader) fromHomeserver(name, source, value string) {
	if _, given := r.settings[name]; !given && value != "" {
		r.settings[name] = setting{source: source, fromEnv: true, values: []string{value}}
	}
}

// storeOf is the media store, unless only Synapse knows where that is.
func (r *reader) storeOf(found *homeserver.Config) string {
	if filepath.IsAbs(found.MediaStore) {
		return found.MediaStore
	}
	if _, given := r.settings["media-store"]; !given && r.command.takes("media-store") {
		r.warn("media_store_path in " + found.Files[0] + " is relative to the directory that Synapse runs in: give --media-store")
	}
	return ""
}

// hasDatabase says whether the database is named by something that wins over Synapse's configuration.
func (r *reader) hasDatabase() bool {
	if _, given := r.settings["postgres"]; given || r.hasConnectionArgument || !r.command.needsDatabase() {
		return true
	}
	for _, name := range []string{"PGHOST", "PGSERVICE", "PGDATABASE"} {
		if r.env(name) != "" {
			return true
		}
	}
	return false
}

func (r *reader) databaseOf(found *homeserver.Config, name string) {
	main, err := found.Main()
	switch {
	case errors.Is(err, homeserver.ErrSQLite):
		r.noDatabase = true
		r.problem(name, "", "the server runs on SQLite", sqliteAdvice)
	case err == nil:
		r.settings["postgres"] = setting{source: name, fromEnv: true, values: []string{main.Connection}}
		r.secrets = append(r.secrets, main.Connection)
	}
}

// secretVariable reads a variable, or the file that the variable of its name and _FILE names, as secrets are handed to
// containers.
func (r *reader) secretVariable(name string) string {
	file := r.env(name + "_FILE")
	if value := r.env(name); value != "" || file == "" {
		return value
	}
	content, _, err := readSecretFile(file)
	if err != nil {
		r.problem(name+"_FILE", file, err.Error(), "a file that holds the value of "+name+" and nothing else")
		return ""
	}
	r.secrets = append(r.secrets, content)
	return content
}
