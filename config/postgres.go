package config

import (
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

const acceptedPostgres = "a URL such as postgres://user@host:5432/synapse, or keywords such as host=/run/postgresql user=synapse " +
	"dbname=synapse (values with spaces in single quotes)"

// readPostgres finds the connection string and lets the driver check it. What the driver says is not shown: it may quote
// a password.
func (r *reader) readPostgres(cfg *Config, positionals []string) {
	if !r.command.needsDatabase() {
		return
	}
	text, source, fromEnv := r.connectionString(positionals)
	if r.noDatabase {
		return
	}
	if source == "" {
		complete := slices.ContainsFunc([]string{"PGHOST", "PGSERVICE", "PGDATABASE"}, func(name string) bool { return r.env(name) != "" })
		if !complete {
			problem := "no database is given"
			if r.unusable != "" {
				problem += ", and " + r.unusable
			}
			r.problem("argument 1", "", problem, "a connection string as argument 1, in --postgres or in "+
				"SYNUPKEEP_POSTGRES_CONNECTION_STRING, or PGHOST and the other PG* variables")
			return
		}
		source = "the PG* variables"
	}
	if source == "argument 1" && !looksLikeConnection(text) {
		return // arrange has said so
	}
	r.hide(cfg, text)
	parsed, err := pgconn.ParseConfig(text)
	if err != nil {
		r.problem(source, "", "is not a connection string: "+driverComplaint(err), acceptedPostgres)
		return
	}
	cfg.Postgres = NewSecret(text)
	r.hide(cfg, parsed.Password)
	r.hide(cfg, sslPassword(text))
	r.hide(cfg, r.env("PGSSLPASSWORD"))
	if !fromEnv && holdsPassword(text) {
		r.warn("the connection string in " + source + " may hold a password, which every user of this machine can see (ps): " +
			"put it into SYNUPKEEP_POSTGRES_CONNECTION_STRING, or the password into ~/.pgpass or PGPASSWORD")
	}
}

func (r *reader) connectionString(positionals []string) (text, source string, fromEnv bool) {
	flag, given := r.settings["postgres"]
	if given {
		text, source, fromEnv = flag.values[0], flag.source, flag.fromEnv
	}
	if len(positionals) > 0 {
		if given && !fromEnv {
			r.problem("--postgres", "", "argument 1 is a connection string as well", "one of the two; a token goes into "+
				tokenVariable+" or --token-file")
		}
		text, source, fromEnv = positionals[0], "argument 1", false
	}
	if source != "" && source != "argument 1" && strings.TrimSpace(text) == "" {
		r.problem(source, "", "is empty", acceptedPostgres)
	}
	return text, source, fromEnv
}

// hide keeps a text out of errors and, later, out of the log.
func (r *reader) hide(cfg *Config, text string) {
	if strings.TrimSpace(text) == "" {
		return
	}
	r.secrets = append(r.secrets, text)
	cfg.hidden = append(cfg.hidden, NewSecret(text))
}

// driverComplaint says in our own words what the driver did not like. It goes by the driver's text, because the driver
// has no other way to tell, and shows none of it.
func driverComplaint(err error) string {
	text := err.Error()
	for _, known := range [][2]string{
		{"failed to read service", "its service, or the service file, could not be read"},
		{"failed to configure TLS", "its sslmode or a certificate that it or ~/.postgresql names cannot be used"},
		{"invalid port", "its port is not a number from 1 to 65535 (characters such as : / @ in a password are written %3A %2F %40)"},
		{"port numbers to", "it has another number of ports than of hosts"},
		{"invalid connect_timeout", "its connect_timeout is not a number"},
		{"target_session_attrs", "its target_session_attrs is not known"},
		{"protocol_version", "its protocol versions are not known"},
		{"failed to parse as URL", "it is not a URL (characters such as : / @ % in a password are written %3A %2F %40 %25)"},
		{"failed to parse as keyword/value", "its keywords and values cannot be told apart (a quote or a = may be missing)"},
	} {
		if strings.Contains(text, known[0]) {
			return known[1]
		}
	}
	return "it has a setting that the driver does not accept"
}

func isURL(text string) bool {
	return strings.HasPrefix(text, "postgres://") || strings.HasPrefix(text, "postgresql://")
}

// holdsPassword errs on the side of yes: it only decides about a warning.
func holdsPassword(text string) bool {
	if strings.Contains(strings.ToLower(text), "password") {
		return true
	}
	if !isURL(text) {
		return false
	}
	_, rest, _ := strings.Cut(text, "://")
	at := strings.LastIndex(rest, "@")
	return at >= 0 && strings.Contains(rest[:at], ":") || strings.Contains(rest, "?") && strings.Contains(rest, "pass%")
}

// sslPassword is the password of the client's key, which the driver does not hand out.
func sslPassword(text string) string {
	if isURL(text) {
		u, err := url.Parse(text)
		if err != nil {
			return ""
		}
		return u.Query().Get("sslpassword")
	}
	found := regexp.MustCompile(`(?:^|\s)sslpassword\s*=\s*(?:'((?:[^'\\]|\\.)*)'|(\S+))`).FindStringSubmatch(text)
	if found == nil {
		return ""
	}
	return regexp.MustCompile(`\\(.)`).ReplaceAllString(found[1]+found[2], "$1")
}
