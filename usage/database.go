package usage

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"synupkeep/connect"
	"synupkeep/internal/postgres"
	"synupkeep/internal/printable"
	"synupkeep/internal/synapse"
	"synupkeep/sinks"
)

// open connects and finds out what this database is. Its error ends everything.
func (r *reader) open(ctx context.Context) (err error) {
	if r.db, err = postgres.Examine(ctx, r.cfg.Postgres.Reveal(), r.timeout); err != nil {
		return connect.Failed("open the database", err, connect.DatabaseHint(err))
	}
	if err = connect.Within(ctx, connect.LookTime, r.look); err != nil {
		r.db.Close()
	}
	return err
}

func (r *reader) look(ctx context.Context) (err error) {
	const doing = "look at the database"
	r.features, err = synapse.ReadFeatures(ctx, r.db.Reader)
	switch {
	case errors.Is(err, synapse.ErrNotSynapse):
		return connect.Failed(doing, fmt.Errorf("%s: %w", r.db.Target(), err), "Give the connection string of Synapse's own database.")
	case errors.Is(err, synapse.ErrOldSchema):
		return connect.Failed(doing, err, "Upgrade Synapse first.")
	case err != nil:
		return connect.Failed(doing, err, r.hint(err))
	}
	d := &sinks.UsageDatabase{Schema: r.features.SchemaVersion}
	var behind *float64 // seconds
	var populating bool
	err = r.db.Reader.QueryRow(ctx, `
		SELECT clock_timestamp(), current_database(), pg_database_size(current_database()), current_setting('server_version'),
			pg_is_in_recovery(), EXTRACT(EPOCH FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8,
			EXISTS (SELECT 1 FROM background_updates WHERE update_name = 'events_populate_state_key_rejections')`).
		Scan(&r.now, &d.Name, &d.Bytes, &d.Postgres, &d.Standby, &behind, &populating)
	if err != nil {
		return connect.Failed(doing, err, r.hint(err))
	}
	r.now = r.now.UTC()
	r.usage.Database = d
	if d.Standby {
		r.warnOfStandby(behind)
	}
	if populating {
		r.warn("Synapse has not finished its background update events_populate_state_key_rejections: old state events count as messages here")
	}
	if r.usage.ServerName, err = r.serverName(ctx); err != nil {
		return connect.Failed("look for the name of the server", err, r.hint(err))
	}
	return nil
}

func (r *reader) warn(text string) { r.usage.Warnings = append(r.usage.Warnings, text) }

// warnOfStandby says what a standby does not know. What it counts for itself it begins anew, and is told of no vacuum.
func (r *reader) warnOfStandby(behind *float64) {
	since := ""
	if behind != nil {
		since = fmt.Sprintf(" (the last change it has made is %s old)", printable.Duration(time.Duration(*behind*float64(time.Second)).Round(time.Second)))
	}
	r.warn("this is a standby: the numbers are as far as it has come" + since + "; of dead rows and vacuum it does not know")
}

// serverName is that of Synapse's configuration, else that of any user: every one is of this server.
func (r *reader) serverName(ctx context.Context) (name string, err error) {
	if r.cfg.Synapse != nil && r.cfg.Synapse.ServerName != "" {
		return r.cfg.Synapse.ServerName, nil
	}
	err = r.db.Reader.QueryRow(ctx, `SELECT substring(name from ':(.+)$') FROM users WHERE name LIKE '@%:%' LIMIT 1`).Scan(&name)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil // nobody has registered yet
	}
	return name, err
}
