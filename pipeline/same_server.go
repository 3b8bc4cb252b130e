package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"synupkeep/internal/item"
	"synupkeep/internal/postgres"
	"synupkeep/internal/retry"
	"synupkeep/internal/synapse"
)

const (
	// agreeWithin is how long the server's and the database's view of a room may differ: in a room where much is said a
	// message comes between two questions now and then.
	agreeWithin = 10 * time.Second
	askAgain    = 250 * time.Millisecond
)

const comparing = "compare the database with the server"

// checkSameServer compares what the API and the database say: a connection string of another Synapse, or of a copy of this
// one, would have media deleted by what is shown somewhere else, or some time ago.
func (r *run) checkSameServer(ctx context.Context, user string) error {
	if err := r.checkUser(ctx, user); err != nil {
		return err
	}
	if err := r.checkPosition(ctx); err != nil {
		return err
	}
	return r.checkLatestRoom(ctx)
}

func otherServer(err error, hint string) error {
	return &item.RunError{Cause: item.CauseRefused, Doing: comparing, Err: err, Hint: hint}
}

func (r *run) checkUser(ctx context.Context, user string) error {
	var known bool
	err := r.db.Reader.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM users WHERE name = $1)`, user).Scan(&known)
	if err != nil {
		return failed("look up the admin in the database", err, databaseHint(err))
	}
	if !known && r.serverName != "" {
		// An application service's sender need not be a registered user: then any user of the same server will do.
		err = r.db.Reader.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM users WHERE name LIKE '%:' || $1 LIMIT 1)`, r.serverName).Scan(&known)
		if err != nil {
			return failed("look up the server's users in the database", err, databaseHint(err))
		}
	}
	if !known || r.serverName == "" {
		return otherServer(fmt.Errorf("%s does not know %s, whose token this is", r.db.Target(), user),
			"The connection string and --api-url belong to different servers.")
	}
	return nil
}

// checkPosition refuses a copy that the server has left behind. The server asks the database for every number that it gives
// to an event, so it can never be further than the database that it writes to.
func (r *run) checkPosition(ctx context.Context) error {
	var position int64
	err := r.patiently(ctx, func() (err error) { position, err = r.api.Position(ctx, r.serverName); return err })
	switch {
	case errors.Is(err, synapse.ErrNoPosition), err != nil && noSuchCall(err):
		r.cannotTell(err)
		return nil
	case err != nil:
		return r.refusedBy(comparing, err)
	}
	last, err := synapse.LastPosition(ctx, r.db.Reader) // read after the server's, or it could be behind by now
	switch {
	case errors.Is(err, synapse.ErrNoPrivilege):
		r.cannotTell(err)
		return nil
	case err != nil:
		return failed(comparing, err, databaseHint(err))
	case position > last:
		return otherServer(fmt.Errorf("the server has come to event %d, and %s only to %d: it is a copy of the server's database "+
			"that was left behind", position, r.db.Target(), last), sameDatabaseHint)
	}
	return nil
}

const sameDatabaseHint = "Give the connection string of the database section in the homeserver.yaml of the very server that " +
	"--api-url leads to."

// noSuchCall says whether an answer means that the server, or what stands before it, does not have this call.
func noSuchCall(err error) bool {
	class := synapse.Classify(err)
	return class == synapse.NotFound || class == synapse.Misrouted || class == synapse.Permanent
}

func (r *run) cannotTell(err error) {
	r.warnings = append(r.warnings, "it could not be told in every way whether this is the database of the server at "+
		r.cfg.APIURL+", rather than a copy: "+err.Error())
}

// checkLatestRoom compares which events are the latest of a room, that of the newest event in the database: a server that
// is itself a copy, or older than the database, does not know it. On a server without any room nothing can be compared.
func (r *run) checkLatestRoom(ctx context.Context) error {
	for begun := time.Now(); ; {
		var view latest
		err := r.patiently(ctx, func() (err error) { view, err = compareLatestRoom(ctx, r.api, r.db.Reader); return err })
		switch {
		case err != nil && synapse.IsAnswer(err) && noSuchCall(err):
			r.cannotTell(err)
			return nil
		case err != nil && synapse.IsAnswer(err):
			return r.refusedBy(comparing, err)
		case err != nil:
			return failed(comparing, err, databaseHint(err))
		case view.agree():
			return nil
		case time.Since(begun) > agreeWithin:
			return otherServer(fmt.Errorf("the latest events of room %s are %s in %s, and %s for the server", view.room,
				list(view.database), r.db.Target(), list(view.server)), "One of the two is a copy of the other. "+sameDatabaseHint)
		}
		if err := pause(ctx, askAgain); err != nil {
			return err
		}
	}
}

// patiently asks again for as long as a server that is away is waited for, and where it answers 500.
func (r *run) patiently(ctx context.Context, ask func() error) error {
	return r.asking(ctx, ask, synapse.Again())
}

// pastHiccups asks again only where the server answers 500. A server that is away at the very beginning is told at once.
func (r *run) pastHiccups(ctx context.Context, ask func() error) error {
	return r.asking(ctx, ask, func(error) (bool, time.Duration) { return false, 0 })
}

// asking asks again where the server answers 500: these are the first calls of a run that need its database, and after
// PostgreSQL was restarted it answers so once for each of its connections, 10 by default. Synapse 1.163 has the answer to
// the very first ones in its caches, 1.98 has not.
func (r *run) asking(ctx context.Context, ask func() error, again retry.Again) error {
	const most = 20
	hiccups := 0
	quickly := retry.Policy{For: r.cfg.RetryFor, First: 50 * time.Millisecond, Most: time.Second}
	_, err := quickly.Do(ctx, ask, func(err error) (bool, time.Duration) {
		if synapse.Classify(err) == synapse.Hiccup {
			hiccups++
			return hiccups <= most, 0
		}
		return again(err)
	})
	return err
}

// latest is how a room ends, as the server says and as the database said right after it.
type latest struct {
	room             string
	server, database []string
}

func (v latest) agree() bool { return slices.Equal(v.server, v.database) }

func compareLatestRoom(ctx context.Context, api *synapse.Client, db postgres.Querier) (v latest, err error) {
	if v.room, err = synapse.LatestRoom(ctx, db); err != nil || v.room == "" {
		return v, err
	}
	if v.server, err = api.ForwardExtremities(ctx, v.room); err != nil {
		return v, err
	}
	v.database, err = synapse.ForwardExtremities(ctx, db, v.room)
	return v, err
}

// list shows a few of many event ids.
func list(events []string) string {
	const few = 3
	switch {
	case len(events) == 0:
		return "none"
	case len(events) > few:
		return strings.Join(events[:few], ", ") + fmt.Sprintf(" and %d more", len(events)-few)
	}
	return strings.Join(events, ", ")
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
