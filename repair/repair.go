// Package repair mends rooms that take no messages any more, because a purge (an earlier tool's, or of Synapse's own
// retention) made an outlier of an event that the room's next one must follow. It changes nothing itself: where that loses
// nothing it has Synapse forget the broken forward extremity, by Synapse's own admin API. Every other room it names, with the
// statements that mend it by hand while Synapse is stopped.
package repair

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"synupkeep/config"
	"synupkeep/connect"
	"synupkeep/internal/item"
	"synupkeep/internal/logging"
	"synupkeep/internal/postgres"
	"synupkeep/internal/retry"
	"synupkeep/internal/synapse"
	"synupkeep/sources"
)

const (
	// retryFor is how long a server that is away is waited for: somebody sits before the terminal.
	retryFor = 30 * time.Second
	// mostRooms bounds what one call of the command looks at and names.
	mostRooms = 1000
)

// command is one call of repair rooms.
type command struct {
	cfg  *config.Config
	log  *logging.Logger
	ask  Asker
	say  io.Writer       // where rooms are shown while it goes on; nowhere with --json
	feed context.Context //nolint:containedctx // the soft one of the two contexts of a command

	db     *postgres.DB
	lock   *postgres.Lock
	api    *synapse.Client
	tasks  synapse.Tasks
	tables bool // the state tables are in this database
	server string
	report Report
}

// With returns the command that asks its questions of ask.
func With(ask Asker) func(ctx, feed context.Context, cfg *config.Config, log *logging.Logger, stdout io.Writer) []item.Cause {
	return func(ctx, feed context.Context, cfg *config.Config, log *logging.Logger, stdout io.Writer) []item.Cause {
		c := &command{cfg: cfg, log: log, ask: ask, say: stdout, feed: feed}
		if cfg.JSON {
			c.say = io.Discard
		}
		c.report = newReport(time.Now())
		c.report.Warnings = append(c.report.Warnings, cfg.Warnings...)
		err := c.all(ctx)
		c.close(ctx)
		return c.tell(err, stdout)
	}
}

func (c *command) all(ctx context.Context) error {
	if err := c.prepare(ctx); err != nil {
		return err
	}
	found, err := c.find(ctx)
	if err != nil {
		return err
	}
	return c.each(ctx, found)
}

// prepare reaches the database and the server, and takes the lock of a run: no purge of ours is under way then, and none
// begins.
func (c *command) prepare(ctx context.Context) error {
	for _, step := range []func(context.Context) error{
		func(ctx context.Context) error { return connect.Within(ctx, connect.LookTime, c.openDatabase) },
		func(ctx context.Context) (err error) { c.lock, err = connect.Lock(ctx, c.db); return err },
		c.checkServer,
	} {
		if err := c.stopped(ctx); err != nil {
			return err
		}
		err := step(c.feed) // nothing is begun yet that would have to be finished
		if cause := c.stopped(ctx); cause != nil {
			return cause
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// stopped is why nothing new may be begun.
func (c *command) stopped(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return context.Cause(c.feed)
}

func (c *command) openDatabase(ctx context.Context) (err error) {
	const doing = "open the database"
	if c.db, err = postgres.Open(ctx, c.cfg.Postgres.Reveal()); err != nil {
		return connect.Failed(doing, err, connect.DatabaseHint(err))
	}
	if _, err := connect.Schema(ctx, c.db, synapse.Needs{}); err != nil {
		return err
	}
	if c.tables, err = sources.StateTables(ctx, c.db.Reader); err != nil {
		return connect.Failed(doing, err, connect.DatabaseHint(err))
	}
	c.tasks = synapse.Tasks{DB: c.db.Reader, Retry: retry.Policy{For: retryFor}}
	return nil
}

func (c *command) checkServer(ctx context.Context) error {
	token, err := connect.NewToken(c.cfg.Token, c.log)
	if err != nil {
		return &item.RunError{Cause: item.CauseUsage, Doing: "read the token", Err: err}
	}
	c.api = synapse.NewClient(c.cfg.APIURL, token)
	if c.report.ServerVersion, _, err = connect.Version(ctx, c.api); err != nil {
		return err
	}
	user, err := connect.Admin(ctx, c.api, retryFor)
	if err != nil {
		return err
	}
	c.server = connect.ServerName(user)
	c.report.ServerName = c.server
	same := connect.SameServer{API: c.api, APIURL: c.cfg.APIURL, DB: c.db, User: user, Config: c.cfg, RetryFor: retryFor}
	warnings, err := same.Check(ctx)
	for _, warning := range warnings {
		c.log.Warn(warning)
	}
	c.report.Warnings = append(c.report.Warnings, warnings...)
	return err
}

// find looks for the broken rooms, and only among those of --room where some are named.
func (c *command) find(ctx context.Context) ([]Room, error) {
	const doing = "look for rooms that take no messages"
	only, err := sources.ResolveRooms(ctx, c.db.Reader, c.cfg.History.Rooms)
	var unknown *sources.UnknownRoomError
	if errors.As(err, &unknown) {
		return nil, &item.RunError{Cause: item.CauseUsage, Doing: "look up --room", Err: err, Hint: "Give its id or a local alias."}
	}
	if err != nil {
		return nil, connect.Failed(doing, err, connect.DatabaseHint(err))
	}
	broken, total, err := c.broken(only).Find(ctx, "", mostRooms)
	if err != nil {
		return nil, connect.Failed(doing, err, connect.DatabaseHint(err))
	}
	c.report.Found = total
	ids := make([]string, 0, len(broken))
	for _, room := range broken {
		ids = append(ids, room.ID)
	}
	facts, err := sources.LookUpRooms(ctx, c.db.Reader, ids)
	if err != nil {
		c.log.WithError(err).Warn("what the rooms are called could not be looked up")
	}
	rooms := make([]Room, 0, len(broken))
	for _, room := range broken {
		judged, err := c.judge(ctx, room)
		if err != nil {
			return nil, connect.Failed(doing, err, connect.DatabaseHint(err))
		}
		judged.Name, judged.Alias, judged.Members = facts[room.ID].Name, facts[room.ID].Alias, facts[room.ID].Members
		rooms = append(rooms, judged)
	}
	return rooms, nil
}

func (c *command) broken(only []string) sources.BrokenRooms {
	return sources.BrokenRooms{DB: c.db.Reader, Only: only, Retry: retry.Policy{For: retryFor}}
}

func (c *command) close(ctx context.Context) {
	if c.lock != nil {
		c.lock.Release(context.WithoutCancel(ctx))
	}
	if c.api != nil {
		c.api.Close()
	}
	if c.db != nil {
		c.db.Close()
	}
}

// lost is the end of a command that is not alone any more.
func lost(err error) error {
	return connect.Failed("hold the lock", fmt.Errorf("nothing further was done: %w", err), "Was PostgreSQL restarted? Call it again.")
}
