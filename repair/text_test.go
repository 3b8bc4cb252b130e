package repair

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"synupkeep/config"
	"synupkeep/internal/item"
	"synupkeep/internal/logging"
	"synupkeep/internal/sandbox"
	"synupkeep/pipeline"
	"synupkeep/sources"
)

func TestWhatAPersonReads(t *testing.T) {
	p, b := broken(t, sandbox.RoomOptions{Name: "Kitchen \x1b[2J\u202eevil"})
	cfg := settings(p.s, p.id)
	cfg.JSON = false
	r := do(t.Context(), t, cfg, nobody())
	for _, want := range []string{
		"1 room of localhost takes no messages any more:", p.id, `Kitchen \x1b[2J\u202eevil`,
		"members      2, 2 of them of this server", "the next message would follow 2 latest events, of which 1 cannot be followed",
		b.fork + ": a purge took it out of the history", "goes on from " + b.messages[11], "0 rooms repaired, 1 still broken",
		"Nothing was done: there is no terminal",
	} {
		if !strings.Contains(r.text, want) {
			t.Errorf("%q is not in\n%s", want, r.text)
		}
	}
	cfg.Yes = true
	r = do(t.Context(), t, cfg, nobody())
	if !strings.Contains(r.text, "repaired     the server forgot 1 latest event") || !strings.Contains(r.text, "1 room repaired, 0 still broken") {
		t.Error(r.text)
	}
	if r = do(t.Context(), t, cfg, nobody()); r.text != "No room is broken.\n" {
		t.Error(r.text)
	}
}

// Nothing from the database reaches the terminal as it is, and no statement holds what could end it.
func TestNoTextOfARoomActsOnTheTerminal(t *testing.T) {
	evil := "a\x1b[31m\u009bb\r\n\u202ec'; DROP TABLE events; --"
	room := Room{
		ID: evil, Name: evil, Alias: evil, Keeps: evil, Why: evil, Advice: evil, Status: Failed, Repair: DropExtremities,
		Broken: []Broken{{EventID: evil, Wrong: sources.Wrong(evil)}}, Extremities: 1, Loses: 12,
		LosesNamed: []sources.StateKey{{Type: evil, Key: evil}},
	}
	other := room
	other.Repair = NoRepair
	report := newReport(time.Now())
	report.ServerName, report.Rooms = evil, []Room{room, other}
	report.end(time.Now(), nil, func(s string) string { return s })
	var out strings.Builder
	must(t, report.json(&out))
	for _, text := range []string{report.heading(), room.text(), other.text(), room.result(), report.summary(), out.String()} {
		if at := strings.IndexFunc(text, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }); at >= 0 {
			t.Errorf("%q", text)
		}
	}
	if printableID(evil) || printableID("!a b") || printableID("") || !printableID("!abc:hs") || !printableID("$a_-'b") {
		t.Error("which ids can be pasted")
	}
	sql := strings.Join(statements("!a'b:hs", "$c'd"), "\n")
	if strings.Count(sql, "'!a''b:hs'") == 0 || !strings.Contains(sql, "'$c''d'") || strings.Contains(sql, "a'b") && !strings.Contains(sql, "a''b") {
		t.Error(sql)
	}
}

func TestTheExitCodeSaysWhetherARoomIsStillBroken(t *testing.T) {
	for name, test := range map[string]struct {
		found  int64
		rooms  []Status
		err    error
		causes []item.Cause
	}{
		"nothing broken":           {0, nil, nil, []item.Cause{}},
		"all mended":               {2, []Status{Repaired, Repaired}, nil, []item.Cause{}},
		"one not safe":             {2, []Status{Repaired, NotSafe}, nil, []item.Cause{item.CauseItems}},
		"more than were looked at": {3, []Status{Repaired, Repaired}, nil, []item.Cause{item.CauseItems}},
		"stopped":                  {2, []Status{Repaired, NotReached}, &item.RunError{Cause: item.CauseTerminated}, []item.Cause{item.CauseTerminated, item.CauseItems}},
		"an error before":          {0, nil, context.DeadlineExceeded, []item.Cause{item.CauseFailed}},
	} {
		r := newReport(time.Now())
		r.Found = test.found
		for _, status := range test.rooms {
			r.Rooms = append(r.Rooms, Room{Status: status})
		}
		r.end(time.Now(), test.err, func(s string) string { return s })
		if diff := cmp.Diff(test.causes, r.Causes); diff != "" || r.Repaired+r.StillBroken != test.found {
			t.Errorf("%s: %s %+v", name, diff, r)
		}
	}
}

// The next run cuts the history of a room that was mended like that of any other, and does not break it again.
func TestTheNextRunDealsWithAMendedRoom(t *testing.T) {
	p, _ := broken(t, sandbox.RoomOptions{})
	yes(t, p.s, p.id)
	p.takes()
	cfg := settings(p.s, p.id)
	cfg.Command, cfg.Flows, cfg.RetryFor = config.CommandRun, []item.Flow{item.History}, 10*time.Second
	cfg.Ages = map[item.Flow]config.Age{item.History: {Delta: 30 * day}}
	cfg.History = config.History{Rooms: []string{p.id}, InFlight: 3, Timeout: time.Minute, GapGrace: 72 * time.Hour, ReportHold: 14 * day}
	cfg.Media = config.Media{DeleteConcurrency: 4, BatchSize: 1000, Via: config.ViaDisk}
	cfg.MediaStore, cfg.StateDir = p.s.MediaStore(), t.TempDir()
	var out, log strings.Builder
	causes := pipeline.Run(t.Context(), t.Context(), cfg, logging.New(&log, logging.LevelTrace, logging.Text), &out)
	if len(causes) != 0 || !strings.Contains(out.String(), `"rows_deleted": 3`) && !strings.Contains(out.String(), `"done": 1`) {
		t.Errorf("%v\n%s\n%s", causes, out.String(), log.String())
	}
	p.takes()
	if r := yes(t, p.s, p.id); r.report.Found != 0 {
		t.Error(r.text)
	}
}

// Two servers that were apart: the other one's state event is an end of ours when they come together, and then the purge
// comes. Messages go both ways afterwards.
func TestARoomOfTwoServersIsOneAfterTheRepair(t *testing.T) {
	for name, superseded := range map[string]bool{"Synapse forgets": true, "statements": false} {
		t.Run(name, func(t *testing.T) {
			fed, err := sandbox.StartFederation(t.Context(), 2, sandbox.Options{})
			must(t, err)
			defer fed.Stop() //nolint:errcheck // a test's
			ours, theirs := fed.Servers[0], fed.Servers[1]
			p := &place{t: t, s: ours, alice: ours.As("alice"), bob: ours.As("bob")}
			far := theirs.As("zoe")
			p.id, err = p.alice.CreateRoom(t.Context(), sandbox.RoomOptions{PowerLevels: map[string]any{"state_default": 0}})
			must(t, err)
			must(t, p.bob.Join(t.Context(), p.id))
			must(t, far.JoinVia(t.Context(), p.id, ours.ServerName()))
			first, err := p.alice.Send(t.Context(), p.id, "first")
			must(t, err)
			must(t, fed.Await(t.Context(), first))
			fed.Cut()
			topic, err := far.SetState(t.Context(), p.id, "m.room.topic", "", map[string]any{"topic": "theirs"})
			must(t, err)
			var last string
			for i := range 8 {
				if superseded && i == 4 {
					_, err = p.alice.SetState(t.Context(), p.id, "m.room.topic", "", map[string]any{"topic": "ours"})
					must(t, err)
				}
				last, err = p.alice.Send(t.Context(), p.id, "apart")
				must(t, err)
			}
			must(t, fed.Heal(t.Context()))
			must(t, fed.Await(t.Context(), topic, last))
			if superseded { // a message that does not know of theirs came after it
				must(t, ours.Plant(t.Context(), func(ctx context.Context, plant *sandbox.Plant) (err error) {
					last, err = plant.Event(ctx, sandbox.NewEvent{Room: p.id, Prev: []string{last}, Sender: p.alice.UserID()})
					return err
				}))
			}
			p.purge(last)
			p.takesNone()
			state := p.state()
			room := yes(t, ours, p.id).room(t, p.id)
			switch {
			case superseded && room.Status != Repaired, !superseded && room.Status != NotSafe:
				t.Fatalf("%+v", room)
			case !superseded: // theirs came last, and is what Synapse would keep
				p.byHand(room, state)
			}
			if diff := cmp.Diff(state, p.state()); superseded && diff != "" {
				t.Error(diff)
			}
			p.takes()
			must(t, fed.Heal(t.Context())) // they may have met ours while it was down
			here, err := p.alice.Send(t.Context(), p.id, "from here")
			must(t, err)
			within, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			// What they sent before they hear of ours would follow what is purged here, by the young cut of this test.
			must(t, fed.Await(within, here))
			there, err := far.Send(t.Context(), p.id, "from there")
			must(t, err)
			must(t, fed.Await(within, there))
			for _, c := range []*sandbox.Client{p.bob, far} {
				events, err := c.Timeline(t.Context(), p.id)
				must(t, err)
				for _, want := range []string{here, there} {
					if !slices.ContainsFunc(events, func(e sandbox.Event) bool { return e.ID == want }) {
						t.Errorf("%s does not get %s", c.UserID(), want)
					}
				}
			}
		})
	}
}
