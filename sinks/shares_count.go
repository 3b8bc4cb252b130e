package sinks

import (
	"cmp"
	"math"
	"mime"
	"slices"
	"strings"
	"time"

	"synupkeep/internal/item"
)

const (
	// defaultTop is how many shares are named where nobody says it.
	defaultTop = 10
	// countedKeys is how many users, origins or types are counted at once, at least. Strangers make up the latter two.
	countedKeys = 4096
	day         = 24 * time.Hour
)

// sharesTally adds up who has what of a flow. Its memory is bounded.
type sharesTally struct {
	top                   int
	rooms                 []RoomShare
	users, origins, types heavy
	days                  map[int64]*DayShare // by the number of the day since 1970
}

func (s *sharesTally) add(o item.Outcome) {
	switch {
	case o.Rows == 0: // the files that an earlier run left are nobody's any more
	case o.Flow == item.History:
		s.room(RoomShare{RoomID: key(o.Key), Messages: o.Rows})
	case o.Media != nil:
		switch o.Flow {
		case item.LocalMedia:
			s.users.add(o.Media.UserID, o.Bytes)
		case item.RemoteMedia:
			s.origins.add(o.Media.Origin, o.Bytes)
		case item.History, item.Previews, item.Drift: // of us all
		}
		s.types.add(mediaType(o.Media.Type), o.Bytes)
		s.day(o.Media.Created, o.Bytes)
	}
}

// room keeps the rooms with the most messages. Each room comes once.
func (s *sharesTally) room(r RoomShare) {
	s.rooms = append(s.rooms, r)
	if len(s.rooms) >= 2*s.top+countedKeys {
		s.rooms = s.topRooms()
	}
}

func (s *sharesTally) topRooms() []RoomShare {
	slices.SortFunc(s.rooms, func(a, b RoomShare) int {
		return cmp.Or(cmp.Compare(b.Messages, a.Messages), cmp.Compare(a.RoomID, b.RoomID))
	})
	return slices.Clone(s.rooms[:min(len(s.rooms), s.top)])
}

// day counts by the time when this server got it. What cannot be such a time counts for the first or last day that can.
func (s *sharesTally) day(created, bytes int64) {
	const first, last = 0, 130 * 366
	n := min(max(created/day.Milliseconds(), first), last)
	if s.days == nil {
		s.days = map[int64]*DayShare{}
	}
	d := s.days[n]
	if d == nil {
		d = &DayShare{Day: time.Unix(0, 0).UTC().Add(time.Duration(n) * day).Format(time.DateOnly)}
		s.days[n] = d
	}
	d.Items++
	d.Bytes += bytes
}

func (s *sharesTally) shares() Shares {
	all := Shares{
		ByRoom: s.topRooms(), ByUser: s.users.top(s.top), ByOrigin: s.origins.top(s.top), ByType: s.types.top(s.top),
		Uncertain: max(s.users.lost, s.origins.lost, s.types.lost),
	}
	for _, d := range s.days {
		all.ByDay = append(all.ByDay, *d)
	}
	slices.SortFunc(all.ByDay, func(a, b DayShare) int { return strings.Compare(a.Day, b.Day) })
	return all
}

// mediaType is a MIME type without its parameters, in small letters: strangers write it as they like.
func mediaType(text string) string {
	if parsed, _, err := mime.ParseMediaType(text); err == nil {
		return parsed
	}
	return text
}

// heavy finds the keys with the most bytes among any number of them, after Misra and Gries: when there is no room for another
// key, as much is taken off all of them as it takes for half to be nothing, and these are forgotten. What a key is said
// to have it has: it is counted from when it was last taken in. It may have up to lost more, which is at most the
// bytes of all keys divided by countedKeys. So one with much is never passed by, and one with little never looks large.
type heavy struct {
	keys map[string]*weight
	lost int64
}

type weight struct {
	Share
	left int64 // what was not taken off; at first the bytes, and one for each item, since an empty file is an item as well
}

func (h *heavy) add(name string, bytes int64) {
	bytes = max(0, bytes)
	name = key(name)
	w := h.keys[name]
	if w == nil {
		if len(h.keys) >= 2*countedKeys {
			h.shrink()
		}
		if h.keys == nil {
			h.keys = map[string]*weight{}
		}
		w = &weight{Share: Share{Key: name}}
		h.keys[name] = w
	}
	w.Items++
	w.Bytes += bytes
	w.left += bytes + 1
}

func (h *heavy) shrink() {
	left := make([]int64, 0, len(h.keys))
	for _, w := range h.keys {
		left = append(left, w.left)
	}
	slices.Sort(left)
	off := left[len(left)-countedKeys-1] // so that at most countedKeys stay
	h.lost = satAdd(h.lost, off)
	for name, w := range h.keys {
		if w.left -= off; w.left <= 0 {
			delete(h.keys, name)
		}
	}
}

func satAdd(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

func (h *heavy) top(n int) []Share {
	all := make([]Share, 0, len(h.keys))
	for _, w := range h.keys {
		all = append(all, w.Share)
	}
	slices.SortFunc(all, func(a, b Share) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(b.Items, a.Items), strings.Compare(a.Key, b.Key))
	})
	return slices.Clone(all[:min(len(all), n)])
}
