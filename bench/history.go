package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/sync/errgroup"

	"synupkeep/internal/item"
	"synupkeep/internal/sandbox"
)

const (
	rooms    = 60
	messages = 60
)

// target is a room and the event that all of its history is older than.
type target struct{ room, event string }

func historyRows(ctx context.Context, s *sandbox.Server, runs, slow int) ([]comparison, func(context.Context) error, error) {
	targets, err := seedHistory(ctx, s)
	if err != nil {
		return nil, nil, err
	}
	reset := func(ctx context.Context) error { return s.Reset(ctx, "history") }
	name := fmt.Sprintf("history, %d rooms of %d old messages", rooms, messages)
	return []comparison{
		{
			name: name, runs: slow, faster: true, target: "15 times faster", ours: synupkeep(s, item.History, 3),
			baseline: bareLoop(s, "one at a time, a status poll each second", targets, 1, time.Second),
		},
		{
			name: name, runs: runs, target: "at most 0.85", ours: synupkeep(s, item.History, 3),
			baseline: bareLoop(s, "one at a time, 20 ms polls", targets, 1, 20*time.Millisecond),
		},
		{
			name: name + ", 5 in flight", runs: runs, target: "at most 1.2", ours: synupkeep(s, item.History, 5),
			baseline: bareLoop(s, "a bare loop, 5 in flight, 20 ms polls", targets, 5, 20*time.Millisecond),
		},
	}, reset, nil
}

func seedHistory(ctx context.Context, s *sandbox.Server) ([]target, error) {
	targets := make([]target, rooms)
	alice := s.As("alice")
	for i := range targets {
		var err error
		if targets[i].room, err = alice.CreateRoom(ctx, sandbox.RoomOptions{}); err != nil {
			return nil, err
		}
		if _, err = alice.Send(ctx, targets[i].room, "first"); err != nil {
			return nil, err
		}
	}
	err := s.Plant(ctx, func(ctx context.Context, p *sandbox.Plant) error {
		for _, t := range targets {
			if err := p.AgeRoom(ctx, t.room, 90*24*time.Hour); err != nil {
				return err
			}
			if _, err := p.BulkMessages(ctx, t.room, messages-1, time.Now().Add(-80*24*time.Hour), time.Second); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i := range targets {
		if targets[i].event, err = alice.Send(ctx, targets[i].room, "young"); err != nil {
			return nil, err
		}
	}
	return targets, s.Snapshot(ctx, "history")
}

// bareLoop purges rooms whose cut is known beforehand through the admin API, and does nothing else.
func bareLoop(s *sandbox.Server, name string, targets []target, inFlight int, poll time.Duration) contender {
	return contender{name: name, run: func(ctx context.Context) error {
		group, purging := errgroup.WithContext(ctx)
		group.SetLimit(inFlight)
		for _, t := range targets {
			group.Go(func() error {
				if err := purge(purging, s, t, poll); err != nil {
					return fmt.Errorf("%s: %w", t.room, err)
				}
				return nil
			})
		}
		if err := group.Wait(); err != nil {
			return err
		}
		return left(ctx, s, item.History)
	}}
}

func purge(ctx context.Context, s *sandbox.Server, t target, poll time.Duration) error {
	var started struct {
		PurgeID string `json:"purge_id"`
	}
	err := s.Admin().Do(ctx, http.MethodPost, "/_synapse/admin/v1/purge_history/"+url.PathEscape(t.room), nil,
		map[string]any{"delete_local_events": true, "purge_up_to_event_id": t.event}, &started)
	for err == nil {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(poll):
		}
		var state struct {
			Status string `json:"status"`
		}
		err = s.Admin().Do(ctx, http.MethodGet, "/_synapse/admin/v1/purge_history_status/"+started.PurgeID, nil, nil, &state)
		switch state.Status {
		case "complete":
			return err
		case "failed":
			return fmt.Errorf("purge %s failed", started.PurgeID)
		}
	}
	return err
}
