package sandbox

import (
	"context"
	"fmt"
	"time"
)

// uploadOld uploads avatars and attachments that become old. Pictures are small: Synapse makes three thumbnails of each.
func (d *seeding) uploadOld(ctx context.Context) error {
	const attachments = 520
	n := 2*len(d.users) + attachments
	d.old = make([]string, n)
	if err := each(ctx, n, func(ctx context.Context, i int) (err error) {
		c := d.server.As(d.users[i%len(d.users)])
		if i%13 == 12 {
			d.old[i], err = c.UploadNamed(ctx, "text/plain", "notes.txt", Picture(16, 16))
		} else {
			d.old[i], err = c.UploadNamed(ctx, "image/png", "picture.png", Picture(400, 300))
		}
		return err
	}); err != nil {
		return err
	}
	// The first of a user is the avatar for now, the second that of later.
	return each(ctx, len(d.users), func(ctx context.Context, i int) error {
		return d.server.As(d.users[i]).SetAvatar(ctx, d.old[i])
	})
}

// replaceAvatars gives half of the users another avatar; the one before stays in the history of their rooms.
func (d *seeding) replaceAvatars(ctx context.Context) error {
	half := len(d.users) / 2
	if err := each(ctx, half, func(ctx context.Context, i int) error {
		return d.server.As(d.users[i]).SetAvatar(ctx, d.old[len(d.users)+i])
	}); err != nil {
		return err
	}
	attachments := d.old[2*len(d.users):]
	if err := d.server.Quarantine(ctx, attachments[0]); err != nil {
		return err
	}
	return d.server.Protect(ctx, attachments[1])
}

// plant makes old what was seeded so far and adds what comes from other servers.
func (d *seeding) plant(ctx context.Context, p *Plant) error {
	if err := d.plantRooms(ctx, p); err != nil {
		return err
	}
	for i, mxc := range d.old {
		created := p.now.Add(-40*day - time.Duration(i)*day/2)
		var accessed time.Time
		switch {
		case i%10 == 9: // read yesterday
			accessed = p.now.Add(-day)
		case i%3 == 0:
			accessed = created.Add(2 * day)
		}
		if err := p.AgeMedia(ctx, created, accessed, mxc); err != nil {
			return err
		}
	}
	const down = "gone.example"
	if err := p.DestinationFailure(ctx, down, p.now.Add(-20*day)); err != nil {
		return err
	}
	for i := range 120 {
		origin := []string{"one.example", "two.example:8448", "three.example", down}[i%4]
		created := p.now.Add(-35*day - time.Duration(i)*day)
		accessed := created.Add(day)
		if i%6 == 5 {
			accessed = p.now.Add(-2 * day)
		}
		if _, err := p.RemoteMedia(ctx, Media{Origin: origin, Thumbnails: 3, Created: created, LastAccess: accessed}); err != nil {
			return err
		}
	}
	for i := range 30 {
		created := p.now.Add(-35*day - time.Duration(i)*2*day)
		if _, err := p.Preview(ctx, fmt.Sprintf("https://news.example/%d", i), Media{Thumbnails: 3, Created: created}); err != nil {
			return err
		}
	}
	return nil
}

// makeYoung adds what no run may touch: media, previews, an upload under way, messages.
func (d *seeding) makeYoung(ctx context.Context) error {
	if err := each(ctx, 72, func(ctx context.Context, i int) error {
		_, err := d.server.As(d.users[i%len(d.users)]).Upload(ctx, "image/png", Picture(400, 300))
		return err
	}); err != nil {
		return err
	}
	if _, err := d.server.As(d.users[0]).CreateMedia(ctx); err != nil {
		return err
	}
	if err := each(ctx, 6, func(ctx context.Context, i int) error {
		_, err := d.server.As(d.users[i]).PreviewURL(ctx, fmt.Sprintf("%s/page%d", d.page, i))
		return err
	}); err != nil {
		return err
	}
	return d.youngRooms(ctx)
}
