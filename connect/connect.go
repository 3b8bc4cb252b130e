// Package connect opens the two ends of a homeserver, its database and its admin API, and finds out whether they are of one
// and the same server. What is wrong comes as an *item.RunError, which says what to do about it.
package connect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"synupkeep/internal/item"
	"synupkeep/internal/postgres"
	"synupkeep/internal/retry"
	"synupkeep/internal/synapse"
)

// LookTime bounds what is asked before there is a lock to watch. It takes milliseconds; a database that falls silent
// would otherwise hold everything up without end.
const LookTime = 30 * time.Second

// Within gives a step that asks the database that much time.
func Within(ctx context.Context, limit time.Duration, step func(context.Context) error) error {
	late := fmt.Errorf("no answer within %v", limit)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, late)
	defer cancel()
	err := step(ctx)
	if err != nil && errors.Is(context.Cause(ctx), late) {
		return Failed("look at the database", late, DatabaseHint(late))
	}
	return err
}

// Failed is an *item.RunError with [item.CauseFailed].
func Failed(doing string, err error, hint string) error {
	return &item.RunError{Cause: item.CauseFailed, Doing: doing, Err: err, Hint: hint}
}

// Refused is the *item.RunError of a call that the server did not answer as it should; advice says what to do about it.
func Refused(doing string, err error, advice func(error) string) error {
	cause := item.CauseFailed
	if synapse.Classify(err) == synapse.Unauthorized {
		cause = item.CauseToken
	}
	return &item.RunError{Cause: cause, Doing: doing, Err: err, Hint: cmp.Or(advice(err), "Synapse's own log says what went wrong there.")}
}

// DatabaseHint says what to do about an error of PostgreSQL.
func DatabaseHint(err error) string {
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

// Lock takes the lock of a run.
func Lock(ctx context.Context, db *postgres.DB) (*postgres.Lock, error) {
	lock, err := db.Acquire(ctx)
	const doing = "take the lock"
	switch {
	case errors.Is(err, postgres.ErrLocked):
		return nil, &item.RunError{Cause: item.CauseLocked, Doing: doing, Err: err, Hint: "Wait for that run to end."}
	case errors.Is(err, postgres.ErrPooled):
		return nil, Failed(doing, err, "Connect to PostgreSQL directly, or through a pooler in session mode.")
	case err != nil:
		return nil, Failed(doing, err, DatabaseHint(err))
	}
	return lock, nil
}

// Schema looks at the schema, and whether the role may do what needs says.
func Schema(ctx context.Context, db *postgres.DB, needs synapse.Needs) (synapse.Features, error) {
	const doing = "look at the database's schema"
	features, err := synapse.ReadFeatures(ctx, db.Reader)
	if err == nil {
		err = synapse.CheckPrivileges(ctx, db.Reader, needs)
	}
	switch {
	case errors.Is(err, synapse.ErrNotSynapse):
		return features, Failed(doing, fmt.Errorf("%s: %w", db.Target(), err), "Give the connection string of Synapse's own database.")
	case errors.Is(err, synapse.ErrOldSchema):
		return features, Failed(doing, err, "Upgrade Synapse first.")
	case errors.Is(err, synapse.ErrNoPrivilege):
		return features, Failed(doing, err, "Connect as the role that Synapse uses, or GRANT what is missing (against row-level security: BYPASSRLS).")
	case err != nil:
		return features, Failed(doing, err, DatabaseHint(err))
	}
	return features, nil
}

// Version asks the server for its version, and whether that is one to work on. The call needs no token.
func Version(ctx context.Context, api *synapse.Client) (text string, version synapse.Version, err error) {
	const doing = "speak to Synapse"
	if text, err = api.ServerVersion(ctx); err != nil {
		return "", version, Refused(doing, err, synapse.Advice)
	}
	if version, err = synapse.ParseVersion(text); err != nil {
		return text, version, Failed(doing, err, "")
	}
	if err := synapse.CheckVersion(version); err != nil {
		return text, version, Failed(doing, err, "Upgrade Synapse first.")
	}
	return text, version, nil
}

// Admin proves that the token is an admin's, and returns whose. [Version] answers anybody: only this proves the token.
func Admin(ctx context.Context, api *synapse.Client, retryFor time.Duration) (user string, err error) {
	if err := PastHiccups(ctx, retryFor, func() error { return api.CheckAdmin(ctx) }); err != nil {
		return "", Refused("check that the token is an admin's", err, synapse.Advice)
	}
	if err := PastHiccups(ctx, retryFor, func() (err error) { user, err = api.WhoAmI(ctx); return err }); err != nil {
		return "", Refused("ask whose the token is", err, synapse.WhoAmIAdvice)
	}
	return user, nil
}

// PastHiccups asks again only where the server answers 500. A server that is away at the very beginning is told at once.
func PastHiccups(ctx context.Context, retryFor time.Duration, ask func() error) error {
	return asking(ctx, retryFor, ask, func(error) (bool, time.Duration) { return false, 0 })
}

// asking asks again where the server answers 500: these are the first calls of a run that need its database, and after
// PostgreSQL was restarted it answers so once for each of its connections, 10 by default. Synapse 1.163 has the answer to
// the very first ones in its caches, 1.98 has not.
func asking(ctx context.Context, retryFor time.Duration, ask func() error, again retry.Again) error {
	const most = 20
	hiccups := 0
	quickly := retry.Policy{For: retryFor, First: 50 * time.Millisecond, Most: time.Second}
	_, err := quickly.Do(ctx, ask, func(err error) (bool, time.Duration) {
		if synapse.Classify(err) == synapse.Hiccup {
			hiccups++
			return hiccups <= most, 0
		}
		return again(err)
	})
	return err
}
