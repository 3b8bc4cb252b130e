package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"synupkeep/connect"
	"synupkeep/internal/item"
	"synupkeep/internal/postgres"
	"synupkeep/internal/synapse"
	"synupkeep/sources"
)

// lookTime bounds what is asked before there is a lock to watch. It takes milliseconds; a database that falls silent
// would otherwise hold the run up without end.
const lookTime = 30 * time.Second

// prepare finds out, before the first delete, that everything is as the flows need it. Each step says what is wrong and
// what to do about it. locked is called when the lock is ours.
func (r *run) prepare(locked func()) error {
	lock := func(ctx context.Context) error {
		err := r.takeLock(ctx)
		if err == nil {
			locked()
		}
		return err
	}
	if r.plan != nil {
		lock = within(lookTime, r.sayAtWork)
	}
	for _, step := range []func(context.Context) error{
		r.at("reading the plan", r.readPlan),
		r.at("opening the database", within(lookTime, r.openDatabase)),
		r.at("looking at the database's schema", within(lookTime, r.checkSchema)),
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

// within gives a step that much time.
func within(limit time.Duration, step func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		late := fmt.Errorf("no answer within %v", limit)
		ctx, cancel := context.WithTimeoutCause(ctx, limit, late)
		defer cancel()
		err := step(ctx)
		if err != nil && errors.Is(context.Cause(ctx), late) {
			return failed("look at the database", late, databaseHint(late))
		}
		return err
	}
}

func failed(doing string, err error, hint string) error {
	return &item.RunError{Cause: item.CauseFailed, Doing: doing, Err: err, Hint: hint}
}

func (r *run) openDatabase(ctx context.Context) (err error) {
	open := postgres.Open
	if r.plan != nil {
		open = postgres.Look
	}
	if r.db, err = open(ctx, r.cfg.Postgres.Reveal()); err != nil {
		return failed("open the database", err, databaseHint(err))
	}
	if err := r.readClock(ctx); err != nil {
		return failed("open the database", err, databaseHint(err))
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

// databaseHint says what to do about an error of PostgreSQL.
func databaseHint(err error) string {
	text := err.Error()
	switch {
	case errors.Is(err, postgres.ErrStandby):
		return "Connect to the primary. Of several hosts in a connection string, target_session_attrs=read-write finds it."
	case strings.Contains(text, "row-level security"):
		return "A policy hides rows from our role: connect as the role that Synapse uses, or as one with BYPASSRLS."
	case strings.Contains(text, "28P01"), strings.Contains(text, "28000"):
		return "Compare user and password with the database section of Synapse's homeserver.yaml."
	case strings.Contains(text, "3D000"):
		return "Give the name of Synapse's database, as in the database section of its homeserver.yaml."
	case strings.Contains(text, "57014"):
		return "A query took longer than the statement timeout: is the server busy, or are its statistics old (ANALYZE)?"
	}
	return "Is PostgreSQL running and reachable from here, and is the connection string right?"
}

func (r *run) checkSchema(ctx context.Context) (err error) {
	const doing = "look at the database's schema"
	r.features, err = synapse.ReadFeatures(ctx, r.db.Reader)
	if err == nil {
		err = r.checkPrivileges(ctx)
	}
	switch {
	case errors.Is(err, synapse.ErrNotSynapse):
		return failed(doing, fmt.Errorf("%s: %w", r.db.Target(), err), "Give the connection string of Synapse's own database.")
	case errors.Is(err, synapse.ErrOldSchema):
		return failed(doing, err, "Upgrade Synapse first.")
	case errors.Is(err, synapse.ErrNoPrivilege):
		return failed(doing, err, "Connect as the role that Synapse uses, or GRANT what is missing (against row-level security: BYPASSRLS).")
	case err != nil:
		return failed(doing, err, databaseHint(err))
	}
	return nil
}

// checkPrivileges looks whether the role may do what a run does. A plan needs to read; what a run would lack it says.
func (r *run) checkPrivileges(ctx context.Context) error {
	needs := r.needs()
	if r.plan == nil {
		return synapse.CheckPrivileges(ctx, r.db.Reader, needs)
	}
	err := synapse.CheckPrivileges(ctx, r.db.Reader, synapse.Needs{AccountData: needs.AccountData})
	if err != nil {
		return err
	}
	if err := synapse.CheckPrivileges(ctx, r.db.Reader, needs); errors.Is(err, synapse.ErrNoPrivilege) {
		r.warnings = append(r.warnings, "a run with this connection string would be refused: "+err.Error())
	} else if err != nil {
		return err
	}
	return nil
}

// needs are the privileges that the flows of this run need beside reading.
func (r *run) needs() synapse.Needs { return connect.Needs(r.cfg) }

func (r *run) checkServer(ctx context.Context) error {
	const doing = "speak to Synapse"
	token, err := newToken(r.cfg.Token, r.log)
	if err != nil {
		return &item.RunError{Cause: item.CauseUsage, Doing: "read the token", Err: err}
	}
	newClient := synapse.NewClient
	if r.plan != nil {
		newClient = synapse.NewLooker
	}
	r.api = newClient(r.cfg.APIURL, token)
	if r.serverVersion, err = r.api.ServerVersion(ctx); err != nil {
		return r.refusedBy(doing, err)
	}
	if err := r.checkServerClock(); err != nil {
		return err
	}
	if r.version, err = synapse.ParseVersion(r.serverVersion); err != nil {
		return failed(doing, err, "")
	}
	if err := synapse.CheckVersion(r.version); err != nil {
		return failed(doing, err, "Upgrade Synapse first.")
	}
	// server_version answers anybody: only a call that needs an admin proves the token.
	if err := r.pastHiccups(ctx, func() error { return r.api.CheckAdmin(ctx) }); err != nil {
		return r.refusedBy("check that the token is an admin's", err)
	}
	var user string
	if err := r.pastHiccups(ctx, func() (err error) { user, err = r.api.WhoAmI(ctx); return err }); err != nil {
		return r.refused("ask whose the token is", err, synapse.WhoAmIAdvice)
	}
	_, r.serverName, _ = strings.Cut(user, ":")
	return r.checkSameServer(ctx, user)
}

func (r *run) refusedBy(doing string, err error) error { return r.refused(doing, err, synapse.Advice) }

func (r *run) refused(doing string, err error, advice func(error) string) error {
	cause := item.CauseFailed
	if synapse.Classify(err) == synapse.Unauthorized {
		cause = item.CauseToken
	}
	return &item.RunError{Cause: cause, Doing: doing, Err: err, Hint: cmp.Or(advice(err), "Synapse's own log says what went wrong there.")}
}

func (r *run) takeLock(ctx context.Context) (err error) {
	r.lock, err = r.db.Acquire(ctx)
	const doing = "take the lock"
	switch {
	case errors.Is(err, postgres.ErrLocked):
		return &item.RunError{Cause: item.CauseLocked, Doing: doing, Err: err, Hint: "Wait for that run to end."}
	case errors.Is(err, postgres.ErrPooled):
		return failed(doing, err, "Connect to PostgreSQL directly, or through a pooler in session mode.")
	case err != nil:
		return failed(doing, err, databaseHint(err))
	}
	return nil
}

func (r *run) checkHistory(context.Context) error {
	if !slices.Contains(r.cfg.Flows, item.History) {
		return nil
	}
	if err := synapse.CheckHistory(r.version, r.features); err != nil {
		return failed("see whether history can be purged", err, "Or leave history out: --skip history.")
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
			return failed(doing, err, databaseHint(err))
		}
	}
	return nil
}
