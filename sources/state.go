package sources

import (
	"context"
	"errors"
	"fmt"

	"synupkeep/internal/postgres"
	"synupkeep/internal/references"
	"synupkeep/internal/retry"
	"synupkeep/internal/synapse"
)

// State reads what tells a database from every other one, and from itself at an earlier time.
type State struct {
	DB         Database
	ServerName string
	Retry      retry.Policy
}

// Read returns it. High is the last stream ordering that the database gave out, 0 where our role may not ask; the anchors
// are a few of the newest events.
func (s State) Read(ctx context.Context) (head references.Head, err error) {
	_, err = s.Retry.Do(ctx, func() error {
		head, err = s.read(ctx)
		return err
	}, postgres.Again)
	if err != nil {
		return head, fmt.Errorf("read which database this is: %w", err)
	}
	return head, nil
}

func (s State) read(ctx context.Context) (head references.Head, err error) {
	refs := References{DB: s.DB, ServerName: s.ServerName, Retry: s.Retry}
	if head.Transaction, head.Database, err = refs.database(ctx); err != nil {
		return head, err
	}
	head.High, err = synapse.LastPosition(ctx, s.DB)
	if err != nil && !errors.Is(err, synapse.ErrNoPrivilege) {
		return head, err
	}
	head.Anchors, err = anchors(ctx, s.DB, 16, 0)
	return head, err
}

// StateError says why a database is not that one as it went on.
type StateError struct{ Why string }

func (e *StateError) Error() string { return e.Why }

// GoesOn says whether the database is the one that was like this, as it went on: a *StateError says why it is not.
func (s State) GoesOn(ctx context.Context, was references.Head) error {
	now, err := s.Read(ctx)
	if err != nil {
		return err
	}
	switch {
	case was.Database != now.Database:
		return &StateError{fmt.Sprintf("that was made of the database %s, and this is %s", was.Database, now.Database)}
	case was.Transaction > now.Transaction:
		return &StateError{fmt.Sprintf("the database had come to transaction %d, and is at %d", was.Transaction, now.Transaction)}
	case now.High != 0 && was.High > now.High:
		return &StateError{fmt.Sprintf("the database's events had come to %d, and are at %d", was.High, now.High)}
	}
	same, other, err := References{DB: s.DB, Retry: s.Retry}.compare(ctx, was.Anchors)
	switch {
	case err != nil:
		return fmt.Errorf("read which database this is: %w", err)
	case other > 0:
		return &StateError{"other events are in the places of those that were the newest"}
	case same == 0 && len(was.Anchors) > 0:
		return &StateError{"none of the events that were the newest is there any more"}
	}
	return nil
}
