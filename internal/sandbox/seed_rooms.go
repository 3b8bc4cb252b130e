package sandbox

import (
	"context"
	"fmt"
	"time"
)

// makeRooms makes the rooms with what is to become old, each by one sender at a time so that depths are in line.
func (d *seeding) makeRooms(ctx context.Context) error {
	return each(ctx, len(d.rooms), func(ctx context.Context, i int) error {
		if err := d.makeRoom(ctx, d.rooms[i], i); err != nil {
			return fmt.Errorf("room %s: %w", d.rooms[i].name, err)
		}
		return nil
	})
}

func (d *seeding) makeRoom(ctx context.Context, r *seedRoom, i int) error {
	owner := d.server.As(r.owner)
	options := RoomOptions{Version: r.version, Name: r.name, Topic: "Topic of " + r.name}
	for k := range r.state {
		options.InitialState = append(options.InitialState, StateEvent{
			Type: "org.example.entry", StateKey: fmt.Sprintf("entry%03d", k), Content: map[string]any{"value": k},
		})
	}
	var err error
	if r.id, err = owner.CreateRoom(ctx, options); err != nil {
		return err
	}
	for _, m := range r.members {
		if err := d.server.As(m).Join(ctx, r.id); err != nil {
			return err
		}
	}
	r.first, err = d.talk(ctx, r, r.sent, i)
	if err != nil {
		return err
	}
	if r.state > 0 { // its three messages are not worth a purge
		return nil
	}
	_, err = owner.SetState(ctx, r.id, "m.room.topic", "", map[string]any{"topic": "Another topic of " + r.name})
	return err
}

// talk sends n events of the kinds that clients send.
func (d *seeding) talk(ctx context.Context, r *seedRoom, n, salt int) ([]string, error) {
	speakers := append([]string{r.owner}, r.members...)
	var ids []string
	for k := range n {
		eventType, content := "m.room.message", map[string]any{"msgtype": "m.text", "body": fmt.Sprintf("Message %d in %s", k+1, r.name)}
		switch {
		case k == 2:
			content["m.relates_to"] = map[string]any{"m.in_reply_to": map[string]any{"event_id": ids[0]}}
		case k == 3:
			eventType = "m.reaction"
			content = map[string]any{"m.relates_to": map[string]any{"rel_type": "m.annotation", "event_id": ids[0], "key": "+1"}}
		case k == 4:
			content["m.relates_to"] = map[string]any{"rel_type": "m.thread", "event_id": ids[1]}
		case k >= 5 && len(d.old) > 0:
			content["msgtype"], content["url"] = "m.image", d.old[(salt*7+k)%len(d.old)]
		}
		id, err := d.server.As(speakers[k%len(speakers)]).SendContent(ctx, r.id, eventType, content)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	if n >= 6 {
		if _, err := d.server.As(r.owner).Redact(ctx, r.id, ids[1]); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// plantRooms adds the many old messages and makes what was sent so far old. The planted ones come last and are aged by
// a little less than what came before them, so that the room's history is in order.
func (d *seeding) plantRooms(ctx context.Context, p *Plant) error {
	for _, r := range d.rooms {
		if r.age == 0 {
			// As on any server what comes later in the stream was received later: else all between would pass for news.
			if err := p.AgeRoom(ctx, r.id, time.Hour); err != nil {
				return err
			}
			continue
		}
		if err := p.AgeRoom(ctx, r.id, r.age+10*day); err != nil {
			return err
		}
		if _, err := p.BulkMessages(ctx, r.id, r.bulk, p.now.Add(-r.age-9*day), 30*time.Minute); err != nil {
			return fmt.Errorf("room %s: %w", r.name, err)
		}
	}
	return nil
}

// youngRooms sends what stays young and reports an old message, which is then kept for the admin to see.
func (d *seeding) youngRooms(ctx context.Context) error {
	return each(ctx, len(d.rooms), func(ctx context.Context, i int) error {
		r := d.rooms[i]
		if _, err := d.talk(ctx, r, r.young, i); err != nil {
			return fmt.Errorf("room %s: %w", r.name, err)
		}
		if r.name == "Mixed 2" {
			return d.server.As(r.members[0]).Report(ctx, r.id, r.first[0], "spam")
		}
		return nil
	})
}
