package pipeline

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"synupkeep/internal/item"
	"synupkeep/internal/sandbox"
	"synupkeep/sinks"
)

// TestPinnedMessagesAreCountedOrKept runs over rooms with pinned messages, with --keep-pinned and then without.
func TestPinnedMessagesAreCountedOrKept(t *testing.T) {
	s := sandbox.Shared(t)
	rooms := oldTalks(t, s, 1, 3)[0]
	pinned := rooms[0].messages[5]
	state(t, s.As("alice"), rooms[0].id, "m.room.pinned_events", "", map[string]any{"pinned": []string{pinned, rooms[0].messages[9], "$gone"}})
	rooms[0].before = rowsOf(t, s, rooms[0].id)

	cfg := only(s, nil, rooms)
	cfg.History.KeepPinned = true
	r := do(t, cfg)
	endsWith(t, r)
	h := r.flow(t, item.History)
	if h.Done != 3 || h.HeldBy[item.Pinned] != 1 || h.Pinned != 0 || h.Rows != 2*20+5 {
		t.Errorf("%+v", h)
	}
	if !slices.ContainsFunc(rowsOf(t, s, rooms[0].id), func(e row) bool { return e.ID == pinned && e.JSON && !e.Outlier }) {
		t.Error("a pinned message has gone")
	}

	r = do(t, only(s, nil, rooms))
	endsWith(t, r)
	if h = r.flow(t, item.History); h.Done != 1 || h.Pinned != 2 || h.Rows != 15 {
		t.Errorf("%+v", h)
	}
	var table bytes.Buffer
	if err := sinks.WriteTable(&table, r.summary); err != nil || !strings.Contains(table.String(), "15 messages, 2 of them pinned (--keep-pinned keeps those)") {
		t.Errorf("%v\n%s", err, table.String())
	}
	for _, room := range rooms {
		room.deleted(t, s)
		alive(t, s, room.id)
	}
}
