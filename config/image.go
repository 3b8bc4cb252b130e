package config

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// containerVariable is set in our own image, where the age is that of 1.0.0's when nothing else is said.
const containerVariable = "SYNUPKEEP_CONTAINER"

func (r *reader) inContainer() bool { return r.env(containerVariable) != "" }

// readImage takes the variables of which Synapse's container image makes a configuration where there is no file
// (docker/start.py and docker/conf/homeserver.yaml of Synapse).
func (r *reader) readImage() {
	// Elsewhere a directory of that name is anybody's.
	besideSynapse := r.inContainer() || r.env("SYNAPSE_SERVER_NAME") != "" || r.env("POSTGRES_PASSWORD") != ""
	if dir := r.in.DataDir; dir != "" && besideSynapse {
		for _, store := range []string{filepath.Join(dir, "media_store"), filepath.Join(dir, "media")} {
			if info, err := os.Stat(store); err == nil && info.IsDir() {
				r.fromHomeserver("media-store", dir, store)
				break
			}
		}
	}
	if port := r.env("SYNAPSE_HTTP_PORT"); port != "" {
		r.fromHomeserver("api-url", "SYNAPSE_HTTP_PORT", "http://localhost:"+port)
	}
	r.readImageDatabase()
}

// readImageDatabase: a password means PostgreSQL, none means SQLite.
func (r *reader) readImageDatabase() {
	password := r.secretVariable("POSTGRES_PASSWORD")
	if r.hasDatabase() || password == "" && r.env("SYNAPSE_SERVER_NAME") == "" {
		return
	}
	if password == "" {
		r.noDatabase = true
		r.problem("SYNAPSE_SERVER_NAME", "", "without POSTGRES_PASSWORD the server runs on SQLite", sqliteAdvice)
		return
	}
	or := func(name, fallback string) string {
		if value := r.env(name); value != "" {
			return value
		}
		return fallback
	}
	var words []string
	for _, word := range [][2]string{
		{"host", or("POSTGRES_HOST", "db")},
		{"port", or("POSTGRES_PORT", "5432")},
		{"user", or("POSTGRES_USER", "synapse")},
		{"dbname", or("POSTGRES_DB", "synapse")},
		{"password", password},
	} {
		words = append(words, word[0]+"='"+strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(word[1])+"'")
	}
	r.settings["postgres"] = setting{source: "POSTGRES_PASSWORD", fromEnv: true, values: []string{strings.Join(words, " ")}}
}

// withScheme completes an address of Synapse's image that has none, where SYNAPSE_NO_TLS says which it is: the image answers
// TLS at port 8448, unless it is told not to, and plain HTTP everywhere else.
func (r *reader) withScheme(address string) string {
	const name = "SYNAPSE_NO_TLS"
	said := r.env(name)
	if said == "" || strings.Contains(address, "://") || strings.HasPrefix(address, "unix:") {
		return address
	}
	noTLS := false
	switch strings.ToLower(said) { // as docker/start.py takes it
	case "true", "on", "1", "yes":
		noTLS = true
	case "false", "off", "0", "no":
	default:
		r.problem(name, said, "is neither true nor false", "true, on, 1, yes; false, off, 0, no")
	}
	const portOfTLS = 8448
	if !noTLS && strings.HasSuffix(strings.TrimRight(address, "/"), ":"+strconv.Itoa(portOfTLS)) {
		return "https://" + address
	}
	return "http://" + address
}
