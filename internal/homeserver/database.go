package homeserver

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Database is one of Synapse's databases.
type Database struct {
	Label  string   // under databases; "master" where there is one only
	Engine string   // psycopg2 or sqlite3
	Stores []string // main, state
	// Connection is a connection string in keyword form, with the password if there is one; empty for SQLite.
	Connection string
	// File is the file of SQLite.
	File string
}

// Errors of Main.
var (
	// ErrNoDatabase means that no file says where the database is.
	ErrNoDatabase = errors.New("it names no database")
	// ErrSQLite means that the server runs on SQLite.
	ErrSQLite = errors.New("the server runs on SQLite")

	errBoth = errors.New("it has both database and databases: Synapse takes one of them")
)

// Main is the database that holds rooms, events and media. What holds the state of rooms may be another.
func (c *Config) Main() (Database, error) {
	at := slices.IndexFunc(c.Databases, func(d Database) bool { return slices.Contains(d.Stores, "main") })
	switch {
	case at < 0:
		return Database{}, ErrNoDatabase
	case c.Databases[at].Engine != "psycopg2":
		return c.Databases[at], ErrSQLite
	}
	return c.Databases[at], nil
}

func databases(all section) (list []Database, err error) {
	one, many := all.section("database"), all.section("databases")
	switch {
	case len(one) > 0 && len(many) > 0:
		return nil, errBoth
	case len(many) > 0:
		for _, label := range slices.Sorted(maps.Keys(many)) {
			d, err := database(label, many.section(label))
			if err != nil {
				return nil, err
			}
			list = append(list, d)
		}
	case len(one) > 0:
		d, err := database("master", one)
		if err != nil {
			return nil, err
		}
		list = append(list, d)
	}
	// An old way to say SQLite, which counts only where nothing else is said.
	if path := all.text("database_path"); path != "" && (len(list) == 0 || list[0].Engine == "sqlite3") {
		list = []Database{{Label: "master", Engine: "sqlite3", Stores: []string{"main", "state"}, File: path}}
	}
	return list, nil
}

func database(label string, s section) (Database, error) {
	d := Database{Label: label, Engine: s.text("name"), Stores: s.texts("data_stores")}
	if d.Engine == "" {
		d.Engine = "sqlite3"
	}
	if s["data_stores"] == nil {
		d.Stores = []string{"main", "state"}
	}
	args := s.section("args")
	switch d.Engine {
	case "sqlite3":
		d.File = args.text("database")
	case "psycopg2":
		d.Connection = connection(args)
	default:
		return d, fmt.Errorf("database %s: %q is no engine that Synapse has", label, d.Engine)
	}
	return d, nil
}

// connection makes a connection string of what Synapse hands to psycopg2: keywords of libpq, database for dbname, a dsn
// that the others complete, and what is for Twisted's pool. Keywords that our driver would take for settings of the server
// are left out: they tune the connection and do not choose the server.
func connection(args section) string {
	known := []string{
		"host", "port", "user", "password", "dbname", "sslmode", "sslcert", "sslkey", "sslrootcert", "sslpassword", "sslsni", "passfile",
		"service", "servicefile", "connect_timeout", "target_session_attrs", "krbsrvname", "options",
	}
	values := map[string]string{}
	for key := range args {
		name := strings.ToLower(key)
		switch name {
		case "database":
			name = "dbname"
		case "hostaddr":
			name = "host"
		}
		if value := args.text(key); value != "" && slices.Contains(known, name) && (values[name] == "" || key == "hostaddr") {
			values[name] = value
		}
	}
	var words []string
	if dsn := args.text("dsn"); dsn != "" {
		words = append(words, dsn)
	}
	for _, name := range known {
		if value, set := values[name]; set {
			words = append(words, name+"="+quoted(value))
		}
	}
	return strings.Join(words, " ")
}

// quoted is a value of a connection string.
func quoted(value string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(value) + "'"
}
