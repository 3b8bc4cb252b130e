package repair

import (
	"context"
	"errors"
	"fmt"
	"time"

	"synupkeep/connect"
	"synupkeep/internal/retry"
	"synupkeep/internal/synapse"
)

// each shows the rooms and mends them one after the other, until one of them is not mended by what should have mended it:
// then something is not as we think, and nothing further is touched.
func (c *command) each(ctx context.Context, rooms []Room) error {
	c.report.Rooms = rooms
	if len(rooms) > 0 {
		c.show("%s\n", c.report.heading())
	}
	for i := range rooms {
		room := &rooms[i]
		if err := c.stopped(ctx); err != nil {
			return err
		}
		c.show("\n%s", room.text())
		if room.Repair == NoRepair {
			room.Status = NotSafe
			continue
		}
		wanted, err := c.wanted(room)
		if err != nil {
			return err
		}
		if !wanted {
			continue
		}
		begun := time.Now()
		err = c.mend(ctx, room)
		room.TookS = time.Since(begun).Seconds()
		c.show("%s", room.result())
		if err != nil {
			return err
		}
		if room.Status == Failed {
			return nil
		}
	}
	return nil
}

// wanted asks whether a room is to be repaired, if that was not said before.
func (c *command) wanted(room *Room) (bool, error) {
	switch {
	case c.cfg.Yes:
		return true, nil
	case !c.ask.Terminal():
		room.Status, room.Why = NotAsked, "there was nobody to ask"
		return false, nil
	}
	yes, err := c.ask.Yes(c.feed, "Repair room "+shown(room.ID)+"?")
	if cause := context.Cause(c.feed); cause != nil {
		return false, cause
	}
	if err != nil {
		return false, connect.Failed("ask whether to repair a room", err, "Call it at a terminal, or with --yes.")
	}
	if !yes {
		room.Status = Declined
		c.show("%s", room.result())
	}
	return yes, nil
}

// mend has Synapse forget what is broken, and looks before and after. It returns an error when the command must end.
func (c *command) mend(ctx context.Context, room *Room) error {
	if err := c.lock.Check(ctx); err != nil {
		return lost(err)
	}
	changed, err := c.changed(ctx, room)
	if err != nil {
		room.fail("it could not be looked at once more", err)
		return nil
	}
	if changed {
		room.Status, room.Why = Changed, "it is not as it was shown any more: nothing was done"
		return nil
	}
	// Whoever cannot be asked afterwards is not asked to change anything.
	if err := c.check(ctx, room.ID); err != nil && !errors.Is(err, synapse.ErrNoState) {
		room.fail("the server cannot be asked whether it takes messages: nothing was done", err)
		return nil
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if room.Forgotten, err = c.api.DropExtremities(ctx, room.ID); err != nil {
		room.fail("the server did not say that it forgot the broken events", err)
		return nil
	}
	c.verify(ctx, room)
	return nil
}

// changed says whether a room is not any more what was shown of it. In a broken room nothing can happen but its healing:
// another server sends once more what is an outlier here.
func (c *command) changed(ctx context.Context, room *Room) (bool, error) {
	found, _, err := c.broken([]string{room.ID}).Find(ctx, "", 1)
	if err != nil {
		return false, err
	}
	if len(found) == 0 {
		return true, nil
	}
	now, err := c.judge(ctx, found[0])
	return !now.same(*room), err
}

// verify says repaired only of a room that the server makes the next event of, and whose latest events are sound in the
// database.
func (c *command) verify(ctx context.Context, room *Room) {
	found, _, err := c.broken([]string{room.ID}).Find(ctx, "", 1)
	switch {
	case err != nil:
		room.fail("it could not be looked at afterwards", err)
		return
	case len(found) > 0:
		room.fail(fmt.Sprintf("the server forgot %d of its latest events, and it is still broken", room.Forgotten), nil)
		return
	}
	if err := c.check(ctx, room.ID); err != nil {
		room.fail("its latest events are sound now, and the server still makes no message of it", err)
		return
	}
	room.Status = Repaired
}

// check asks the server whether it can make the next event of a room.
func (c *command) check(ctx context.Context, roomID string) error {
	_, err := retry.Policy{For: retryFor}.Do(ctx, func() error { return c.api.CheckRoom(ctx, roomID, c.server) }, synapse.Again())
	return err
}
