package sinks_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"synupkeep/internal/item"
	"synupkeep/sinks"
)

// plan plays the making of a plan.
func plan() *run {
	r := newRun()
	r.tally.Plan, r.tally.Top = true, 3
	return r
}

func (r *run) planned() sinks.Summary {
	s := r.end()
	s.Command = "plan"
	return s
}

func media(f item.Flow, user, origin, kind string, bytes, daysAgo int64) item.Outcome {
	return item.Outcome{
		Key: "mxc://x/y", Status: item.Done, Rows: 1, Files: 4, Bytes: bytes, Length: bytes / 2, Media: &item.Media{
			Flow: f, Origin: origin, UserID: user, Type: kind, Created: fourOClock.Add(-time.Duration(daysAgo) * 24 * time.Hour).UnixMilli(),
		},
	}
}

func goodPlan() sinks.Summary {
	r := plan()
	rooms := []item.Outcome{
		{Key: "!big:example.org", Status: item.Done, Reason: item.YoungEvent, Rows: 123_456, Pinned: 3},
		{Key: "!middle:example.org", Status: item.Done, Reason: item.Reported, Rows: 2_000},
		{Key: "!1iAmA43CharacterRoomIdOfVersion12aaaaaaaaaaa", Status: item.Done, Reason: item.YoungEvent, Rows: 900},
		{Key: "!small:example.org", Status: item.Done, Reason: item.YoungEvent, Rows: 1},
		{Key: "!limit:example.org", Status: item.Left, Reason: item.Limit},
	}
	r.flow(item.History, 2*time.Second, nil, append(rooms, times(40, item.Outcome{Key: "!n", Status: item.Kept, Reason: item.NothingOld})...)...)
	r.flow(item.LocalMedia, time.Second, nil,
		media(item.LocalMedia, "@alice:example.org", "example.org", "image/png", 3<<20, 400),
		media(item.LocalMedia, "@alice:example.org", "example.org", "Image/PNG; quality=\"high\"", 1<<20, 400),
		media(item.LocalMedia, "@bob:example.org", "example.org", "application/octet-stream", 9<<20, 100),
		media(item.LocalMedia, "", "example.org", "not a\x1b[2Jtype", 10, 99),
		item.Outcome{Key: "mxc://example.org/a", Status: item.Kept, Reason: item.Avatar},
		item.Outcome{Key: "mxc://example.org/b", Status: item.Failed, Err: errors.New("may not delete in local_content/aa/bb")},
	)
	r.flow(item.RemoteMedia, time.Second, nil,
		media(item.RemoteMedia, "", "one.example", "image/png", 5<<20, 31), media(item.RemoteMedia, "", "two.example", "video/mp4", 700<<20, 31))
	r.flow(item.Previews, time.Second, nil)
	s := r.planned()
	rooms0 := s.Flows[0].ByRoom
	rooms0[0].Name, rooms0[0].Alias, rooms0[0].Members, rooms0[0].Encrypted, rooms0[0].Events = "The Big Room", "#big:example.org", 1_204, true, 200_000
	rooms0[1].Name, rooms0[1].Events = "\x1b[2J\u202eevil \"name\" that goes on for much longer than anybody would want to read it in a table", 2_100
	rooms0[2].Alias, rooms0[2].Members = "#twelve:example.org", 2
	s.Warnings = []string{"nobody but the members can see what is attached in an encrypted room, so that its messages protect nothing: " +
		"attachments there go by their age. Such rooms: 12"}
	return s
}

// TestAPlanSaysWouldAndNothingElse: a tired operator must not think that something was deleted.
func TestAPlanSaysWouldAndNothingElse(t *testing.T) {
	stopped := plan()
	stopped.flow(item.History, time.Second, &item.RunError{Cause: item.CauseTerminated, Doing: "stopped by SIGTERM"},
		item.Outcome{Key: "!a:b", Status: item.Done, Rows: 3})
	tooLarge := goodPlan()
	tooLarge.AddError(&item.RunError{
		Cause: item.CauseRefused, Doing: "compare the plan with the limits", Err: errors.New("history: 4 rooms would be purged, --max-rooms 3"),
		Hint: "raise the limit once",
	})
	broken := plan().planned()
	broken.AddError(&item.RunError{Cause: item.CauseFailed, Doing: "open the database", Err: errors.New("connection refused"), Hint: "is it running?"})
	empty := plan()
	for _, f := range item.Flows() {
		empty.flow(f, time.Second, nil)
	}
	for name, test := range map[string]struct {
		summary sinks.Summary
		code    int
		last    string
	}{
		"plan":             {goodPlan(), 3, "plan: 126,357 messages of 4 rooms would be purged"},
		"plan_stopped":     {stopped.planned(), 143, "the plan is not whole"},
		"plan_too_large":   {tooLarge, 13, "a run would be refused: "},
		"plan_broken":      {broken, 1, "no plan could be made: open the database"},
		"plan_for_nothing": {empty.planned(), 0, "plan: there is nothing to delete"},
	} {
		t.Run(name, func(t *testing.T) {
			var table, object bytes.Buffer
			if err := sinks.WriteTable(&table, test.summary); err != nil {
				t.Fatal(err)
			}
			if err := sinks.WriteJSON(&object, test.summary); err != nil {
				t.Fatal(err)
			}
			compare(t, name+".txt", table.Bytes())
			compare(t, name+".json", object.Bytes())
			text := table.String()
			for l := range strings.Lines(text) {
				l = strings.TrimSuffix(l, "\n")
				if n := utf8.RuneCountInString(l); n > 100 && !strings.Contains(l, "!") && !strings.Contains(l, "exit code") {
					t.Errorf("%d columns: %s", n, l)
				}
				if strings.ContainsFunc(l, func(r rune) bool { return !unicode.IsPrint(r) }) {
					t.Errorf("not fit for a terminal: %q", l)
				}
			}
			for _, word := range []string{"purged", "deleted"} {
				for l := range strings.SplitSeq(text, word) {
					before := strings.Fields(l)
					if strings.HasSuffix(text, l) {
						break // behind the last one
					}
					switch last := strings.Join(before[max(0, len(before)-2):], " "); last {
					case "would be", "has been", "cannot be":
					default:
						t.Errorf("it says that something is %s (after %q):\n%s", word, last, text)
					}
				}
			}
			end := text[strings.LastIndex(strings.TrimSpace(text), "\n")+1:]
			if says := fmt.Sprintf(". Nothing has been deleted (exit code %d)\n", test.code); !strings.HasPrefix(end, test.last) ||
				!strings.HasSuffix(end, says) {
				t.Errorf("the last line is %q", end)
			}
		})
	}
}
