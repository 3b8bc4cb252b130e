package repair

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"synupkeep/internal/item"
	"synupkeep/internal/sandbox"
)

func TestARoomWithOneBrokenEndAmongSoundOnesTakesMessagesAgainWithAllItsState(t *testing.T) {
	for _, version := range sandbox.Shared(t).RoomVersions() {
		t.Run(version, func(t *testing.T) {
			p, b := broken(t, sandbox.RoomOptions{Version: version})
			before := p.state()
			r := yes(t, p.s, p.id)
			room := r.room(t, p.id)
			if room.Status != Repaired || room.Forgotten != 1 || len(r.causes) != 0 || room.Broken[0].EventID != b.fork || room.Keeps != b.messages[11] {
				t.Fatalf("%v\n%s\n%s", r.causes, r.text, r.log)
			}
			if diff := cmp.Diff(before, p.state()); diff != "" {
				t.Error(diff)
			}
			p.takes()
			if diff := cmp.Diff(before, p.state()); diff != "" {
				t.Error(diff)
			}
			// All that had been impossible.
			_, err := p.alice.SetState(t.Context(), p.id, "m.room.name", "", map[string]any{"name": "once more"})
			must(t, err)
			must(t, p.s.As("carol").Join(t.Context(), p.id))
			must(t, p.bob.Leave(t.Context(), p.id))
			if again := yes(t, p.s, p.id); len(again.causes) != 0 || again.report.Found != 0 {
				t.Errorf("a second call: %v\n%s", again.causes, again.text)
			}
		})
	}
}

func TestWhatTheRoomWouldLoseIsNeverTakenFromIt(t *testing.T) {
	p := newPlace(t, sandbox.RoomOptions{})
	b := p.fork("org.example.fork", "", map[string]any{"only": "here"}, false)
	p.purge(b.messages[10])
	p.takesNone()
	before, state := p.snapshot(), p.state()
	r := yes(t, p.s, p.id)
	room := r.room(t, p.id)
	if room.Status != NotSafe || room.Loses != 1 || room.LosesNamed[0].Type != "org.example.fork" || cmp.Diff([]item.Cause{item.CauseItems}, r.causes) != "" {
		t.Fatalf("%v\n%s", r.causes, r.text)
	}
	if diff := cmp.Diff(before, p.snapshot()); diff != "" {
		t.Error(diff)
	}
	p.takesNone()
	p.byHand(room, state)
}

// byHand does what the report says, and looks whether that mends the room and keeps its state.
func (p *place) byHand(room Room, state map[string]string) {
	p.t.Helper()
	if len(room.SQL) == 0 {
		p.t.Fatalf("no statements: %+v", room)
	}
	p.sql(strings.Join(room.SQL, "\n"))
	if r := yes(p.t, p.s, p.id); len(r.causes) != 0 || r.report.Found != 0 {
		p.t.Errorf("after the statements: %s", r.text)
	}
	p.takes()
	_, err := p.alice.SetState(p.t.Context(), p.id, "org.example.another", "", map[string]any{"x": 1})
	must(p.t, err)
	now := p.state()
	for key := range now {
		if strings.Contains(key, "org.example.another") {
			delete(now, key)
		}
	}
	if diff := cmp.Diff(state, now); diff != "" {
		p.t.Error(diff)
	}
}
