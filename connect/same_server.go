package connect

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"synupkeep/config"
	"synupkeep/internal/item"
	"synupkeep/internal/postgres"
	"synupkeep/internal/synapse"
)

const (
	// agreeWithin is how long the server's and the database's view of a room may differ: in a room where much is said a
	// message comes between two questions now and then.
	agreeWithin = 10 * time.Second
	askAgain    = 250 * time.Millisecond
)

const comparing = "compare the database with the server"

// SameServer compares what the API and the database say: a connection string of another Synapse, or of a copy of this
// one, would have media deleted by what is shown somewhere else, or some time ago.
type SameServer struct {
	API *synapse.Client
	// APIURL is the address of API, for people.
	APIURL string
	DB     *postgres.DB
	// User is whose the token is.
	User string
	// Config says of which server the configuration of Synapse is that was read, if there was one.
	Config *config.Config
	// RetryFor is how long a server that is away is waited for.
	RetryFor time.Duration

	warnings []string
}

// Check returns an *item.RunError when they are not of the same server, and warnings where that could not be told in every
// way.
func (s *SameServer) Check(ctx context.Context) (warnings []string, err error) {
	s.warnings = nil
	for _, step := range []func(context.Context) error{s.checkConfiguration, s.checkUser, s.checkPosition, s.checkLatestRoom} {
		if err := step(ctx); err != nil {
			return s.warnings, err
		}
	}
	return s.warnings, nil
}

func (s *SameServer) serverName() string { return ServerName(s.User) }

// ServerName is the server's part of a user id; empty when there is none.
func ServerName(user string) string {
	_, name, _ := strings.Cut(user, ":")
	return name
}

func otherServer(err error, hint string) error {
	return &item.RunError{Cause: item.CauseRefused, Doing: comparing, Err: err, Hint: hint}
}

// checkConfiguration refuses a homeserver.yaml of another server: database, media store or URL were taken from it.
func (s *SameServer) checkConfiguration(context.Context) error {
	if s.Config == nil || s.Config.Synapse == nil {
		return nil
	}
	named := s.Config.Synapse.ServerName
	if named == "" || named == s.serverName() {
		return nil
	}
	return otherServer(fmt.Errorf("the configuration %s is of %s, and the server at %s is %s", strings.Join(s.Config.Synapse.Files, ", "), named, s.APIURL,
		s.serverName()), "Give --homeserver-config the file of this server: the media store may have been taken from it, or the database.")
}

func (s *SameServer) checkUser(ctx context.Context) error {
	var known bool
	err := s.DB.Reader.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM users WHERE name = $1)`, s.User).Scan(&known)
	if err != nil {
		return Failed("look up the admin in the database", err, DatabaseHint(err))
	}
	if !known && s.serverName() != "" {
		// An application service's sender need not be a registered user: then any user of the same server will do.
		err = s.DB.Reader.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM users WHERE name LIKE '%:' || $1 LIMIT 1)`, s.serverName()).Scan(&known)
		if err != nil {
			return Failed("look up the server's users in the database", err, DatabaseHint(err))
		}
	}
	if !known || s.serverName() == "" {
		return otherServer(fmt.Errorf("%s does not know %s, whose token this is", s.DB.Target(), s.User),
			"The connection string and --api-url belong to different servers.")
	}
	return nil
}

// checkPosition refuses a copy that the server has left behind. The server asks the database for every number that it gives
// to an event, so it can never be further than the database that it writes to.
func (s *SameServer) checkPosition(ctx context.Context) error {
	var position int64
	err := s.patiently(ctx, func() (err error) { position, err = s.API.Position(ctx, s.serverName()); return err })
	switch {
	case errors.Is(err, synapse.ErrNoPosition), err != nil && noSuchCall(err):
		s.cannotTell(err)
		return nil
	case err != nil:
		return Refused(comparing, err, synapse.Advice)
	}
	last, err := synapse.LastPosition(ctx, s.DB.Reader) // read after the server's, or it could be behind by now
	switch {
	case errors.Is(err, synapse.ErrNoPrivilege):
		s.cannotTell(err)
		return nil
	case err != nil:
		return Failed(comparing, err, DatabaseHint(err))
	case position > last:
		return otherServer(fmt.Errorf("the server has come to event %d, and %s only to %d: it is a copy of the server's database "+
			"that was left behind", position, s.DB.Target(), last), sameDatabaseHint)
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

func (s *SameServer) cannotTell(err error) {
	s.warnings = append(s.warnings, "it could not be told in every way whether this is the database of the server at "+
		s.APIURL+", rather than a copy: "+err.Error())
}

// checkLatestRoom compares which events are the latest of a room, that of the newest event in the database: a server that
// is itself a copy, or older than the database, does not know it. On a server without any room nothing can be compared.
func (s *SameServer) checkLatestRoom(ctx context.Context) error {
	for begun := time.Now(); ; {
		var view latest
		err := s.patiently(ctx, func() (err error) { view, err = compareLatestRoom(ctx, s.API, s.DB.Reader); return err })
		switch {
		case err != nil && synapse.IsAnswer(err) && noSuchCall(err):
			s.cannotTell(err)
			return nil
		case err != nil && synapse.IsAnswer(err):
			return Refused(comparing, err, synapse.Advice)
		case err != nil:
			return Failed(comparing, err, DatabaseHint(err))
		case view.agree():
			return nil
		case time.Since(begun) > agreeWithin:
			return otherServer(fmt.Errorf("the latest events of room %s are %s in %s, and %s for the server", view.room,
				list(view.database), s.DB.Target(), list(view.server)), "One of the two is a copy of the other. "+sameDatabaseHint)
		}
		if err := pause(ctx, askAgain); err != nil {
			return err
		}
	}
}

// patiently asks again for as long as a server that is away is waited for, and where it answers 500.
func (s *SameServer) patiently(ctx context.Context, ask func() error) error {
	return asking(ctx, s.RetryFor, ask, synapse.Again())
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
