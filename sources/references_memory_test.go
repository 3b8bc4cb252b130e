package sources

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"synupkeep/internal/item"
	"synupkeep/internal/references"
	"synupkeep/internal/sandbox"
)

// remembering is a world whose events are old enough to be remembered, with a memory and what was said of it.
func remembering(t testing.TB) (w *world, said *[]string) {
	w = newWorld(t)
	w.refs.Memory = references.In(t.TempDir(), w.ServerName())
	said = &[]string{}
	w.refs.Say = func(text string) { *said = append(*said, text) }
	return w, said
}

// settle makes all events old, and sends one that is not.
func (w *world) settle() {
	w.t.Helper()
	w.sql(`UPDATE events SET received_ts = received_ts - 7200000`)
	w.send("m.room.message", map[string]any{"body": "now"})
}

// unread makes the JSON of an event unreadable for who does not remember it.
func (w *world) unread(event string) {
	w.t.Helper()
	w.sql(`UPDATE event_json SET json = '{}' WHERE event_id = $1`, event)
}

func TestWhatEventsNameIsReadOnce(t *testing.T) {
	w, said := remembering(t)
	kept, gone, redacted, refused := w.id("kept"), w.id("gone"), w.id("redacted"), w.id("refused")
	event, message, cleared, notCleared := w.picture(kept), w.picture(gone), w.picture(redacted), w.picture(refused)
	for _, e := range []string{cleared, notCleared} {
		w.must(w.user.Redact(t.Context(), w.room, e))
	}
	w.settle()
	shown := map[string][]item.Reason{kept: {item.Event}, gone: {item.Event}, redacted: {item.Event}, refused: {item.Event}}
	wantShown(t, each(t, w.refs), shown)

	young := w.id("young")
	w.picture(young)
	w.unread(event)
	w.unread(cleared) // by the server, which censors what was redacted; it marks a redaction that it refused the same way
	w.sql(`UPDATE redactions SET have_censored = true WHERE redacts = ANY ($1)`, []string{cleared, notCleared})
	w.sql(`DELETE FROM event_edges WHERE event_id = $1`, message)
	w.sql(`DELETE FROM events WHERE event_id = $1`, message)
	shown[young], shown[gone], shown[redacted] = []item.Reason{item.Event}, nil, nil
	for range 2 {
		wantShown(t, each(t, w.refs), shown)
	}
	if len(*said) > 0 {
		t.Errorf("%q", *said)
	}
	w.refs.Memory = nil
	shown[kept] = nil
	wantShown(t, each(t, w.refs), shown)
}

// TestStateThatWasRememberedIsProtectedAsOutlierToo: remembered before the purge.
func TestStateThatWasRememberedIsProtectedAsOutlierToo(t *testing.T) {
	w, said := remembering(t)
	avatar, pack, member, replaced := w.id("avatar"), w.id("pack"), w.id("member"), w.id("replaced")
	events := []string{
		w.state("m.room.avatar", "", map[string]any{"url": w.hs + avatar}),
		w.state("im.ponies.room_emotes", "", map[string]any{"images": map[string]any{"x": map[string]any{"url": w.hs + pack}}}),
		w.state("m.room.member", w.user.UserID(), map[string]any{"membership": "join", "avatar_url": w.hs + member}),
		w.state("org.example.state", "", map[string]any{"x": w.hs + replaced}),
	}
	w.state("org.example.state", "", map[string]any{})
	w.settle()
	want := map[string][]item.Reason{
		avatar: {item.Avatar}, pack: {"state:im.ponies.room_emotes"}, member: {item.Avatar}, replaced: {item.Event},
	}
	wantShown(t, each(t, w.refs), want)
	for _, event := range events {
		w.outlier(event)
		w.unread(event)
	}
	want[replaced] = nil
	wantShown(t, each(t, w.refs), want)

	// An outlier stays remembered: it may come back.
	w.sql(`UPDATE events SET outlier = false WHERE event_id = $1`, events[3])
	want[replaced] = []item.Reason{item.Event}
	wantShown(t, each(t, w.refs), want)
	if len(*said) > 0 {
		t.Errorf("%q", *said)
	}
}

// TestAPlanKnowsWhichEventsAPurgeWillTake and takes nothing out of the memory.
func TestAPlanKnowsWhichEventsAPurgeWillTake(t *testing.T) {
	w, _ := remembering(t)
	low, high, pack := w.id("low"), w.id("high"), w.id("pack")
	w.picture(low)
	w.state("m.image_pack", "", map[string]any{"url": w.hs + pack})
	last := w.picture(high)
	w.settle()
	var cut int64
	if err := w.refs.DB.QueryRow(t.Context(), `SELECT depth FROM events WHERE event_id = $1`, last).Scan(&cut); err != nil {
		t.Fatal(err)
	}
	plan := w.refs
	plan.Memory = plan.Memory.ReadOnly()
	plan.Going = func(room string, depth int64) bool { return room == w.room && depth < cut }
	want := map[string][]item.Reason{low: nil, high: {item.Event}, pack: {"state:m.image_pack"}}
	wantShown(t, each(t, plan), want)
	if _, err := w.refs.Memory.Read(); !errors.Is(err, references.ErrNothing) {
		t.Errorf("the plan wrote: %v", err)
	}
	each(t, w.refs)
	wantShown(t, each(t, plan), want)
	want[low] = []item.Reason{item.Event}
	wantShown(t, each(t, w.refs), want)
}

// TestAMemoryOfAnotherStateOfTheDatabaseIsNotBelieved: a database that is put back to an earlier state gives the same
// places in the stream to other events, and has again what was purged.
func TestAMemoryOfAnotherStateOfTheDatabaseIsNotBelieved(t *testing.T) {
	for name, test := range map[string]struct{ sql, said string }{
		"other events are in the places": {`UPDATE events SET event_id = '$other' WHERE stream_ordering = 30`, "put back to an earlier state"},
		"backfilled ones are others":     {`UPDATE events SET event_id = '$other' WHERE stream_ordering = -5`, "put back to an earlier state"},
		"none of them is there":          {`UPDATE events SET stream_ordering = stream_ordering + 1000`, "is there any more"},
		"the events end earlier":         {`DELETE FROM events WHERE stream_ordering > 10`, "older than what is remembered"},
		"the table is another":           {`CREATE TABLE b AS SELECT * FROM event_json; DROP TABLE event_json; ALTER TABLE b RENAME TO event_json`, "another database"},
	} {
		t.Run(name, func(t *testing.T) {
			db := emptyTables(t, eventTables()...)
			var said []string
			refs := References{
				DB: db, ServerName: "hs", Memory: references.In(t.TempDir(), "hs"),
				Say: func(text string) { said = append(said, text) },
			}
			now := time.Now()
			copyIn(t, db, "events", eventColumns(), [][]any{
				eventRow(1, -5, now.Add(-9*time.Hour)), eventRow(2, 10, now.Add(-9*time.Hour)), eventRow(3, 20, now.Add(-2*time.Hour)), eventRow(4, 30, now),
			})
			run(t, db, `INSERT INTO event_json SELECT event_id, room_id, '', '{"mxc://hs/' || depth || '"}', 3 FROM events`)
			want := map[string][]item.Reason{"2": {item.Event}}
			wantShown(t, each(t, refs), want)
			run(t, db, `UPDATE event_json SET json = '{}' WHERE event_id = '$2'`)
			wantShown(t, each(t, refs), want)
			if len(said) > 0 {
				t.Fatalf("the memory was not used: %q", said)
			}
			run(t, db, test.sql)
			want["2"] = nil
			wantShown(t, each(t, refs), want)
			if len(said) != 1 || !strings.Contains(said[0], test.said) {
				t.Errorf("said %q, want %q", said, test.said)
			}
		})
	}
}

// TestAMemoryFromTheFutureIsNotBelieved: a database that was put back to an earlier state is at an earlier transaction.
func TestAMemoryFromTheFutureIsNotBelieved(t *testing.T) {
	w, said := remembering(t)
	id := w.id("x")
	w.picture(id)
	w.settle()
	each(t, w.refs)
	old, err := w.refs.Memory.Read()
	if err != nil {
		t.Fatal(err)
	}
	head := old.Head()
	old.Close()
	head.Transaction += 1_000_000
	out, err := w.refs.Memory.Write(head) // and nothing else
	if err == nil {
		err = out.Commit()
	}
	if err != nil {
		t.Fatal(err)
	}
	wantShown(t, each(t, w.refs), map[string][]item.Reason{id: {item.Event}})
	if len(*said) != 1 {
		t.Errorf("%q", *said)
	}
}

// TestARestoredDatabaseIsReadAnew restores one.
func TestARestoredDatabaseIsReadAnew(t *testing.T) {
	s := sandbox.Shared(t)
	memory := references.In(t.TempDir(), s.ServerName())
	w := newWorld(t)
	before := w.id("before")
	w.picture(before)
	if err := s.Snapshot(t.Context(), "restored"); err != nil {
		t.Fatal(err)
	}
	now := func() (References, func()) {
		db, err := pgxpool.New(t.Context(), s.ConnString())
		if err != nil {
			t.Fatal(err)
		}
		r := w.refs
		r.DB, r.Memory = db, memory
		return r, db.Close
	}
	lost, new := w.id("lost"), w.id("new")
	w.picture(lost)
	w.settle()
	r, done := now()
	wantShown(t, each(t, r), map[string][]item.Reason{before: {item.Event}, lost: {item.Event}})
	done()
	if err := s.Reset(t.Context(), "restored"); err != nil {
		t.Fatal(err)
	}
	w.user = s.As("wilma")
	w.picture(new)
	w.settle()
	r, done = now()
	defer done()
	wantShown(t, each(t, r), map[string][]item.Reason{before: {item.Event}, lost: nil, new: {item.Event}})
}

// TestWithoutAUsableMemoryEverythingIsRead whatever is wrong with it, and the next run has one.
func TestWithoutAUsableMemoryEverythingIsRead(t *testing.T) {
	w, said := remembering(t)
	dir := t.TempDir()
	w.refs.Memory = references.In(dir, "hs")
	id := w.id("x")
	w.picture(id)
	w.settle()
	want := map[string][]item.Reason{id: {item.Event}}
	file := filepath.Join(dir, "references-hs.bin")
	for _, damage := range []func() error{
		func() error { return nil },
		func() error { return os.Truncate(file, 100) },
		func() error { return os.WriteFile(file, []byte("synupkeep references 0\n"), 0o600) },
		func() error { return os.WriteFile(file, nil, 0o600) },
	} {
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		wantShown(t, each(t, w.refs), want)
	}
	if len(*said) != 3 {
		t.Errorf("%q", *said)
	}
	wantShown(t, each(t, w.refs), want)
	if len(*said) != 3 {
		t.Errorf("%q", *said)
	}

	// A state directory that cannot be written is said and costs the next run time, nothing else.
	w.refs.Memory = references.In(file, "hs")
	wantShown(t, each(t, w.refs), want)
	if n := len(*said); n != 5 || !strings.Contains((*said)[4], "next run") {
		t.Errorf("%q", *said)
	}
}

// TestWhatIsBeingWrittenHasNotSettled: of two writers the one with the lower number may commit later.
func TestWhatIsBeingWrittenHasNotSettled(t *testing.T) {
	db := emptyTables(t, "events")
	want := func(want ends) {
		t.Helper()
		if got, err := readEnds(t.Context(), db, 5*time.Minute, 4); err != nil || got != want {
			t.Errorf("%+v, %v; want %+v", got, err, want)
		}
	}
	n := 0
	insert := func(stream int64, ago time.Duration) {
		t.Helper()
		n++
		copyIn(t, db, "events", eventColumns(), [][]any{eventRow(n, stream, time.Now().Add(-ago))})
	}
	want(ends{})
	insert(100, time.Hour)
	want(ends{top: 100}) // by the server's clock it is now
	insert(110, 3*time.Hour)
	insert(-50, 2*time.Hour)
	want(ends{low: -50, top: 110, bottom: -50})
	insert(130, 0) // 111 to 129 may be on their way
	insert(-70, 0)
	want(ends{high: 110, low: -50, top: 130, bottom: -70})
	insert(120, 4*time.Minute)
	insert(140, time.Hour)
	want(ends{high: 110, low: -50, top: 140, bottom: -70})
	insert(125, 0)
	want(ends{high: 119, low: -50, top: 140, bottom: -70}) // no more than four are looked at
}
