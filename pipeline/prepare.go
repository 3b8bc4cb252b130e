package pipeline

import (
	"context"
	"errors"
	"slices"

	"synupkeep/connect"
	"synupkeep/internal/item"
	"synupkeep/internal/postgres"
	"synupkeep/internal/synapse"
	"synupkeep/sources"
)

// prepare finds out, before the first delete, that everything is as the flows need it. Each step says what is wrong and
// what to do about it. locked is called when the lock is ours.
func (r *run) prepare(locked func()) error {
	lock := func(ctx context.Context) (err error) {
		if r.lock, err = connect.Lock(ctx, r.db); err == nil {
			locked()
		}
		return err
	}
	if r.plan != nil {
		lock = soon(r.sayAtWork)
	}
	for _, step := range []func(context.Context) error{
		r.at("reading the plan", r.readPlan),
		r.at("opening the database", soon(r.openDatabase)),
		r.at("looking at the database's schema", soon(r.checkSchema)),
		r.at("taking the lock", lock),
		r.at("speaking to Synapse", r.checkServer),
		r.at("comparing the server with the plan", r.checkPlan), r.checkHistory,
		r.at("looking up rooms", r.resolveRooms),
		r.at("looking at the media store", r.openStore), r.openJournal,
	} {
		if err := context.Cause(r.feed); err != nil {
			return err
		}
		err := step(r.feed) // nothing is begun yet that would have to be finished
		if cause := context.Cause(r.feed); cause != nil {
			return cause
		}
		if err != nil {
			return err
		}
	}
	for _, warning := range r.warnings {
		r.log.Warn(warning)
	}
	return nil
}

// soon has a step fail when a database that has fallen silent would hold it up without end.
func soon(step func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error { return connect.Within(ctx, connect.LookTime, step) }
}

func (r *run) openDatabase(ctx context.Context) (err error) {
	open := postgres.Open
	if r.plan != nil {
		open = postgres.Look
	}
	if r.db, err = open(ctx, r.cfg.Postgres.Reveal()); err != nil {
		return connect.Failed("open the database", err, connect.DatabaseHint(err))
	}
	if err := r.readClock(ctx); err != nil {
		return connect.Failed("open the database", err, connect.DatabaseHint(err))
	}
	if err := r.cfg.CheckAges(r.now); err != nil {
		return &item.RunError{Cause: item.CauseUsage, Doing: "compare the cut-offs with the database's clock", Err: err}
	}
	begin, err := r.begin()
	if err != nil {
		return err
	}
	for _, f := range r.cfg.Flows {
		r.cutOffs[f] = r.cfg.Ages[f].CutOff(begin)
		r.tally.SetCutOff(f, r.cutOffs[f])
	}
	return nil
}

// checkSchema looks at the schema, and whether the role may do what a run does. A plan needs to read; what a run would lack
// it says.
func (r *run) checkSchema(ctx context.Context) (err error) {
	needs := connect.Needs(r.cfg)
	if r.plan == nil {
		r.features, err = connect.Schema(ctx, r.db, needs)
		return err
	}
	if r.features, err = connect.Schema(ctx, r.db, synapse.Needs{AccountData: needs.AccountData}); err != nil {
		return err
	}
	if err = synapse.CheckPrivileges(ctx, r.db.Reader, needs); errors.Is(err, synapse.ErrNoPrivilege) {
		r.warnings = append(r.warnings, "a run with this connection string would be refused: "+err.Error())
		return nil
	}
	if err != nil {
		return connect.Failed("look at the role's privileges", err, connect.DatabaseHint(err))
	}
	return nil
}

func (r *run) checkServer(ctx context.Context) error {
	token, err := connect.NewToken(r.cfg.Token, r.log)
	if err != nil {
		return &item.RunError{Cause: item.CauseUsage, Doing: "read the token", Err: err}
	}
	newClient := synapse.NewClient
	if r.plan != nil {
		newClient = synapse.NewLooker
	}
	r.api = newClient(r.cfg.APIURL, token)
	text, version, err := connect.Version(ctx, r.api)
	r.serverVersion, r.version = text, version
	if text != "" { // it has answered, and its answers are dated
		if err := r.checkServerClock(); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	user, err := connect.Admin(ctx, r.api, r.cfg.RetryFor)
	if err != nil {
		return err
	}
	r.serverName = connect.ServerName(user)
	same := connect.SameServer{API: r.api, APIURL: r.cfg.APIURL, DB: r.db, User: user, Config: r.cfg, RetryFor: r.cfg.RetryFor}
	warnings, err := same.Check(ctx)
	r.warnings = append(r.warnings, warnings...)
	return err
}

func (r *run) checkHistory(context.Context) error {
	if !slices.Contains(r.cfg.Flows, item.History) {
		return nil
	}
	if err := synapse.CheckHistory(r.version, r.features); err != nil {
		return connect.Failed("see whether history can be purged", err, "Or leave history out: --skip history.")
	}
	r.warnings = append(r.warnings, synapse.HistoryWarnings(r.version)...)
	return nil
}

func (r *run) resolveRooms(ctx context.Context) (err error) {
	const doing = "look up --room and --not-room"
	for _, list := range []struct {
		names []string
		ids   *[]string
	}{{r.cfg.History.Rooms, &r.onlyRooms}, {r.cfg.History.NotRooms, &r.neverRooms}} {
		*list.ids, err = sources.ResolveRooms(ctx, r.db.Reader, list.names)
		var unknown *sources.UnknownRoomError
		if errors.As(err, &unknown) {
			return &item.RunError{Cause: item.CauseUsage, Doing: doing, Err: err, Hint: "Give its id or a local alias."}
		}
		if err != nil {
			return connect.Failed(doing, err, connect.DatabaseHint(err))
		}
	}
	return nil
}
