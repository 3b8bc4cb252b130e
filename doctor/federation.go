package doctor

import (
	"context"
	"fmt"
	"time"

	"synupkeep/internal/item"
	"synupkeep/sources"
)

// retained are the rooms whose current state asks for a retention.
const retained = `
	SELECT count(*), count(*) FILTER (WHERE r.max_lifetime IS NULL), COALESCE((array_agg(r.room_id ORDER BY r.room_id))[1:10], '{}')
	FROM current_state_events c JOIN room_retention r ON r.room_id = c.room_id AND r.event_id = c.event_id
	WHERE c.type = 'm.room.retention' AND (r.max_lifetime IS NOT NULL OR r.min_lifetime IS NOT NULL)`

func checkRetention(ctx context.Context, e *exam) finding {
	var asked, endless int64
	var rooms []string
	if err := e.db.Reader.QueryRow(ctx, retained).Scan(&asked, &endless, &rooms); err != nil {
		return unread(err)
	}
	f := finding{details: shorten(rooms, int(asked))}
	var known []string
	if s := e.cfg.Synapse; s != nil {
		if s.Retention.Messages {
			known = append(known, "retention is enabled")
		}
		if s.Retention.LocalMedia != "" {
			known = append(known, "media_retention.local_media_lifetime is "+s.Retention.LocalMedia)
		}
		if s.Retention.RemoteMedia != "" {
			known = append(known, "media_retention.remote_media_lifetime is "+s.Retention.RemoteMedia)
		}
	}
	return f.judgeRetention(e.cfg.Synapse != nil, known, asked, endless)
}

func (f finding) judgeRetention(configKnown bool, known []string, asked, endless int64) finding {
	rooms := plural(asked, "room has", "rooms have") + " an m.room.retention of its own"
	if asked != 1 {
		rooms = plural(asked, "room has", "rooms have") + " an m.room.retention of their own"
	}
	switch {
	case len(known) > 0:
		f.result, f.found = Warning, "Synapse deletes by itself as well: "+joinedWords(known)+"; "+rooms
		f.means = "Two programs delete by different rules, and the stricter one wins. Synapse's purges may break a room (see broken-rooms), its media_retention goes " +
			"by the last access and keeps nothing of what is shown but avatars; neither can be seen in synupkeep's report."
		f.do = "Decide for one: remove retention and media_retention from homeserver.yaml, or leave the flows out that they do."
		if endless > 0 {
			f.means += fmt.Sprintf(" Of these rooms %d name no max_lifetime: without a default one Synapse's job stops at the first of them.", endless)
		}
	case asked > 0 && !configKnown:
		f.result, f.found = Warning, rooms
		f.means = "If retention is enabled in homeserver.yaml, Synapse purges these by itself: two programs delete by different rules. It is not known here whether it is."
		f.do = "Give --homeserver-config, and doctor tells."
	case configKnown:
		return fine("homeserver.yaml has Synapse delete nothing by itself; %s, which it does not act upon", rooms)
	default:
		return fine("no room asks for one; whether homeserver.yaml has Synapse delete by itself is not known (--homeserver-config)")
	}
	return f
}

// deadServers are how many other servers do not answer: at all, and for a week.
const deadServers = `
	SELECT count(*), count(*) FILTER (WHERE failure_ts IS NOT NULL), count(*) FILTER (WHERE failure_ts < $1),
		count(*) FILTER (WHERE failure_ts >= $2) FROM destinations`

func checkDestinations(ctx context.Context, e *exam) finding {
	var all, down, long, lately int64
	err := e.db.Reader.QueryRow(ctx, deadServers, sources.DownSince(e.now).UnixMilli(), e.now.Add(-24*time.Hour).UnixMilli()).Scan(&all, &down, &long, &lately)
	if err != nil {
		return unread(err)
	}
	const some = 10
	up := all - long
	if up >= some && lately*10 >= up*8 {
		return finding{
			result: Warning, found: fmt.Sprintf("%d of %d other servers stopped answering within the last day", lately, up),
			means: "That is not theirs but ours: federation is broken. Media that was purged from the cache cannot be fetched again meanwhile.",
			do:    "Look at Synapse's log, at DNS and the firewall; skip remote-media until they answer.",
		}
	}
	if all == 0 {
		return fine("this server speaks to no others")
	}
	if !e.flows(item.RemoteMedia) || e.cfg.Media.DeleteOfDeadServers {
		return fine("%s, %d without an answer for a week", plural(all, "other server", "other servers"), long)
	}
	return fine("%s, %d without an answer for a week, whose media stays (--remote-dead delete lets it go)", plural(all, "other server", "other servers"), long)
}

func joinedWords(words []string) string {
	text := ""
	for i, word := range words {
		switch {
		case i == 0:
		case i == len(words)-1:
			text += " and "
		default:
			text += ", "
		}
		text += word
	}
	return text
}
