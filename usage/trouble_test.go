package usage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"synupkeep/config"
	"synupkeep/internal/item"
	"synupkeep/internal/sandbox"
	"synupkeep/sinks"
)

// asSuperuser runs statements, and others at the end.
func asSuperuser(t *testing.T, s *sandbox.Server, do, undo string) {
	t.Helper()
	exec := func(sql string) func(context.Context, *pgx.Conn) error {
		return func(ctx context.Context, c *pgx.Conn) error { _, err := c.Exec(ctx, sql); return err }
	}
	must(t, s.WithDB(t.Context(), exec(do)))
	t.Cleanup(func() {
		if err := s.WithDB(context.Background(), exec(undo)); err != nil {
			t.Error(err)
		}
	})
}

// partsOf are those that are there.
func partsOf(u sinks.Usage) (names []string) {
	for name, there := range map[string]bool{
		"history": u.History != nil, "state groups": u.StateGroups != nil, "room media": u.RoomMedia != nil, "local": u.LocalMedia != nil,
		"remote": u.RemoteMedia != nil, "previews": u.Previews != nil, "url cache": u.URLCache != nil, "tables": u.Tables != nil,
		"leftovers": u.Leftovers != nil,
	} {
		if there {
			names = append(names, name)
		}
	}
	for _, c := range u.Curves {
		names = append(names, "curve of "+string(c.Flow))
	}
	slices.Sort(names)
	return names
}

func TestAPartThatMayNotBeReadIsNamedAndTheOthersAreShown(t *testing.T) {
	w := plantedWorld(t)
	asSuperuser(t, w.s, fmt.Sprintf(`REVOKE SELECT ON local_media_repository_url_cache, state_groups_state FROM %s`, w.s.PGUser()),
		fmt.Sprintf(`GRANT SELECT ON local_media_repository_url_cache, state_groups_state TO %s`, w.s.PGUser()))
	cfg := settings(w.s)
	got := look(t, cfg, nil)
	if diff := cmp.Diff([]item.Cause{item.CauseFailed}, got.causes); diff != "" || got.usage.ExitCode != 1 {
		t.Errorf("%d %s", got.usage.ExitCode, diff)
	}
	want := []sinks.RunFailure{
		{Cause: item.CauseFailed, Doing: "read the answers of previews", Error: "query: ERROR: permission denied for table local_media_repository_url_cache (SQLSTATE 42501)"},
		{Cause: item.CauseFailed, Doing: "read the state groups of rooms", Error: "query: ERROR: permission denied for table state_groups_state (SQLSTATE 42501)"},
	}
	for i, e := range got.usage.Errors {
		if !strings.Contains(e.Hint, "GRANT SELECT") {
			t.Errorf("hint %q", e.Hint)
		}
		got.usage.Errors[i].Hint = ""
	}
	if diff := cmp.Diff(want, got.usage.Errors); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{
		"curve of history", "curve of local-media", "curve of previews", "curve of remote-media", "history", "leftovers", "local", "previews",
		"remote", "room media", "tables",
	}, partsOf(got.usage)); diff != "" {
		t.Error(diff)
	}
	cfg.JSON = false
	got = look(t, cfg, nil)
	for _, text := range []string{"2 parts could not be read", "exit code 1", "History by room", "read the state groups of rooms: query: ERROR: permission denied"} {
		if !strings.Contains(got.out, text) {
			t.Errorf("no %q in\n%s", text, got.out)
		}
	}
}

// hold locks a table for as long as the test runs.
func hold(t *testing.T, s *sandbox.Server, table string) {
	t.Helper()
	c, err := s.DB(t.Context())
	must(t, err)
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	_, err = c.Exec(t.Context(), `BEGIN; LOCK TABLE `+table+` IN ACCESS EXCLUSIVE MODE`)
	must(t, err)
}

func TestAPartThatTakesTooLongIsGivenUpWithAHint(t *testing.T) {
	w := plantedWorld(t)
	hold(t, w.s, "local_media_repository_url_cache")
	got := look(t, settings(w.s), func(r *reader) {
		r.timeout = 2 * time.Second
		r.parts = slices.DeleteFunc(r.parts, func(p part) bool { return p.name == "the tables" }) // whose size cannot be asked for
	})
	u := got.usage
	if len(u.Errors) != 1 || u.Errors[0].Doing != "read the answers of previews" || !strings.Contains(u.Errors[0].Error, "statement timeout") ||
		!strings.Contains(u.Errors[0].Hint, "after 2s") || u.ExitCode != 1 || u.Leftovers == nil || u.History == nil {
		t.Errorf("%+v %d", u.Errors, u.ExitCode)
	}
}

func TestASignalEndsItAtOnceAndWhatWasReadIsShown(t *testing.T) {
	w := plantedWorld(t)
	hold(t, w.s, "local_media_repository_url_cache")
	feed, stop := context.WithCancelCause(t.Context())
	got := lookUntil(feed, t, settings(w.s), func(r *reader) {
		r.parts = slices.DeleteFunc(r.parts, func(p part) bool { return p.name == "the tables" })
		i := slices.IndexFunc(r.parts, func(p part) bool { return p.name == "the answers of previews" })
		read := r.parts[i].read
		r.parts[i].read = func(ctx context.Context) error {
			time.AfterFunc(100*time.Millisecond, func() { stop(&item.RunError{Cause: item.CauseInterrupt, Doing: "stopped by a signal"}) })
			return read(ctx)
		}
	})
	u := got.usage
	if !slices.Equal(got.causes, []item.Cause{item.CauseInterrupt}) || u.ExitCode != 130 || len(u.Errors) != 1 || u.LocalMedia == nil || u.History != nil {
		t.Errorf("%v %d %+v", got.causes, u.ExitCode, u.Errors)
	}
}

func TestADatabaseThatGoesAwayIsToldOnce(t *testing.T) {
	s := sandbox.Own(t, sandbox.Options{})
	must(t, s.StopSynapse(t.Context()))
	cfg := settings(s)
	cfg.RetryFor = time.Second
	got := look(t, cfg, func(r *reader) {
		read := r.parts[1].read
		r.parts[1].read = func(ctx context.Context) error {
			must(t, s.StopPostgres(ctx))
			return read(ctx)
		}
	})
	if len(got.usage.Errors) != 1 || got.usage.ExitCode != 1 || got.usage.Tables == nil || got.usage.LocalMedia != nil {
		t.Errorf("%+v", got.usage.Errors)
	}
	got = look(t, cfg, nil)
	if len(got.usage.Errors) != 1 || got.usage.Errors[0].Doing != "open the database" || got.usage.Errors[0].Hint == "" || got.usage.Database != nil {
		t.Errorf("%+v", got.usage.Errors)
	}
}

func TestAStandbyWillDo(t *testing.T) {
	s := sandbox.Own(t, sandbox.Options{})
	_, err := s.Admin().CreateRoom(t.Context(), sandbox.RoomOptions{})
	must(t, err)
	want := whole(t, settings(s))
	must(t, s.StandbyOfNow(t.Context(), func(_ context.Context, connString string) error {
		cfg := settings(s)
		cfg.Postgres = config.NewSecret(connString)
		got := whole(t, cfg)
		if !got.Database.Standby || want.Database.Standby || len(got.Warnings) != 1 || !strings.Contains(got.Warnings[0], "standby") {
			t.Errorf("%+v %q", got.Database, got.Warnings)
		}
		if got.History.Events != want.History.Events || got.History.Events.Number < 5 {
			t.Errorf("%+v events, the primary has %+v", got.History.Events, want.History.Events)
		}
		return nil
	}))
}

func TestAServerWithNothingOnItIsShownAsSuch(t *testing.T) {
	s := sandbox.Own(t, sandbox.Options{})
	must(t, s.WhileDown(t.Context(), func(ctx context.Context, c *pgx.Conn) error {
		if _, err := c.Exec(ctx, `DELETE FROM users`); err != nil { // nobody has registered
			return err
		}
		u := whole(t, settings(s))
		if len(u.Curves) != 4 || u.ServerName != "" || u.History.Events != (sinks.Counted{}) || len(u.History.ByRoom) != 0 || u.LocalMedia.Items != 0 {
			t.Errorf("%+v", u)
		}
		cfg := settings(s)
		cfg.JSON = false
		if got := look(t, cfg, nil); len(got.causes) != 0 || !strings.Contains(got.out, "Local media: 0 items, 0 B") {
			t.Error(got.out)
		}
		_, err := c.Exec(ctx, `INSERT INTO users (name) VALUES ('@admin:localhost')`)
		return err
	}))
}

func TestAnOldReleaseAndStateGroupsElsewhereAreNoError(t *testing.T) {
	w := plantedWorld(t)
	must(t, w.s.WhileDown(t.Context(), func(ctx context.Context, c *pgx.Conn) error {
		tables := []string{"state_groups_state", "state_groups_pending_deletion", "sliding_sync_joined_rooms", "delayed_events"}
		for _, table := range tables {
			if _, err := c.Exec(ctx, fmt.Sprintf(`ALTER TABLE IF EXISTS %s RENAME TO hidden_%s`, table, table)); err != nil {
				return err
			}
		}
		u := whole(t, settings(w.s))
		if u.StateGroups != nil || u.Leftovers == nil || len(u.Warnings) != 1 || !strings.Contains(u.Warnings[0], "database of their own") {
			t.Errorf("%+v %q", u.StateGroups, u.Warnings)
		}
		var errs []error
		for _, table := range tables {
			_, err := c.Exec(ctx, fmt.Sprintf(`ALTER TABLE IF EXISTS hidden_%s RENAME TO %s`, table, table))
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	}))
}

func TestWhatMakesTheNumbersWrongIsSaid(t *testing.T) {
	w := plantedWorld(t)
	must(t, w.s.WhileDown(t.Context(), func(ctx context.Context, c *pgx.Conn) error {
		const name = "events_populate_state_key_rejections"
		if _, err := c.Exec(ctx, `INSERT INTO background_updates (update_name, progress_json) VALUES ($1, '{}')`, name); err != nil {
			return err
		}
		if u := whole(t, settings(w.s)); len(u.Warnings) != 1 || !strings.Contains(u.Warnings[0], name) {
			t.Errorf("%q", u.Warnings)
		}
		_, err := c.Exec(ctx, `DELETE FROM background_updates WHERE update_name = $1`, name)
		return err
	}))
}

func TestTheOldestReleaseIsRead(t *testing.T) {
	s := sandbox.Own(t, sandbox.Options{Synapse: sandbox.Releases()[0]})
	_, err := s.Admin().CreateRoom(t.Context(), sandbox.RoomOptions{Name: "Old"})
	must(t, err)
	u := whole(t, settings(s))
	if len(u.History.ByRoom) != 1 || u.History.State.Number < 5 || u.StateGroups.Rows.Number < 5 || u.Leftovers == nil || len(u.Warnings) != 0 {
		t.Errorf("%+v %q", u.History, u.Warnings)
	}
}

const evil = "evil\n\x1b[31m\u202e\u009b\t\r<b>\"\\"

func TestWhatStrangersMadeUpReachesNoTerminal(t *testing.T) {
	w := plantedWorld(t)
	s := w.s
	must(t, s.Plant(t.Context(), func(ctx context.Context, p *sandbox.Plant) error {
		if err := p.Exec(ctx, `UPDATE room_stats_state SET name = $1, canonical_alias = $1 WHERE room_id = $2`, evil, w.room); err != nil {
			return err
		}
		return p.Exec(ctx, `INSERT INTO remote_media_cache (media_origin, media_id, media_type, media_length, last_access_ts, created_ts) VALUES ($1, $1, $1, 2000000000, 1, 1)`, evil)
	}))
	t.Cleanup(func() {
		must(t, s.Plant(context.Background(), func(ctx context.Context, p *sandbox.Plant) error {
			if err := p.Exec(ctx, `UPDATE room_stats_state SET name = 'Loud', canonical_alias = '#loud:localhost' WHERE room_id = $1`, w.room); err != nil {
				return err
			}
			return p.Exec(ctx, `DELETE FROM remote_media_cache WHERE media_origin = $1`, evil)
		}))
	})
	for _, asJSON := range []bool{false, true} {
		cfg := settings(s)
		cfg.JSON = asJSON
		got := look(t, cfg, nil)
		for _, r := range got.out + strings.ReplaceAll(got.log, "\t", "") {
			if r != '\n' && !unicode.IsPrint(r) {
				t.Fatalf("%q in\n%s", r, got.out)
			}
		}
		if !strings.Contains(got.out, `evil\n`) {
			t.Errorf("it is not shown at all:\n%s", got.out)
		}
		if asJSON && (got.usage.RemoteMedia.ByOrigin[0].Key != evil || !slices.ContainsFunc(got.usage.History.ByRoom, func(r sinks.RoomUsage) bool { return r.Name == evil && r.Alias == evil })) {
			t.Errorf("%+v", got.usage.RemoteMedia.ByOrigin)
		}
		for line := range strings.Lines(got.out) {
			if n := len([]rune(line)) - 1; n > 100 && !asJSON {
				t.Errorf("%d columns: %s", n, line)
			}
		}
	}
}

func TestALargeServerIsEstimatedAndTheTableSaysSo(t *testing.T) {
	w := plantedWorld(t)
	s := w.s
	room, err := s.As("bulky").CreateRoom(t.Context(), sandbox.RoomOptions{Name: "Bulk"})
	must(t, err)
	must(t, s.Plant(t.Context(), func(ctx context.Context, p *sandbox.Plant) error {
		_, err := p.BulkMessages(ctx, room, 15_000, ago(400*day), 30*time.Minute)
		return err
	}))
	truth := whole(t, settings(s))
	draw := func(r *reader) { r.blocks = 150 }
	got := look(t, settings(s), draw)
	u := got.usage
	if len(u.Errors) != 0 || len(u.History.Samples) != 2 || u.History.Samples[0].Table != "event_json" || u.History.Samples[1].Table != "events" ||
		u.Curves[0].Sample == nil || u.RoomMedia.Samples[0].Rows != u.Curves[0].Sample.Rows {
		t.Fatalf("%+v %+v", u.Errors, u.History.Samples)
	}
	nearly := func(what string, got, want sinks.Counted) {
		t.Helper()
		// Twice the margin: four standard deviations.
		if d := got.Number - want.Number; max(d, -d) > 2*got.Margin || want.Number > 1000 && got.Margin == 0 || got.Margin > got.Number/2 && got.Number > 10_000 {
			t.Errorf("%s: %+v, truly %d", what, got, want.Number)
		}
	}
	for _, c := range []sinks.Counted{u.History.Events, u.History.Messages, u.History.JSONBytes} {
		// Of a third of the blocks alone it cannot be known better, however alike they are.
		if c.Margin < c.Number/20 {
			t.Errorf("%+v claims to be better than it can", c)
		}
	}
	nearly("events", u.History.Events, truth.History.Events)
	nearly("messages", u.History.Messages, truth.History.Messages)
	nearly("JSON", u.History.JSONBytes, truth.History.JSONBytes)
	bulk := u.History.ByRoom[0]
	if bulk.RoomID != room || bulk.Name != "Bulk" {
		t.Errorf("%+v", bulk)
	}
	nearly("the room's events", bulk.Events, sinks.Counted{Number: truth.History.ByRoom[0].Events.Number})
	nearly("the room's JSON", bulk.JSONBytes, sinks.Counted{Number: truth.History.ByRoom[0].JSONBytes.Number})
	for i, p := range u.Curves[0].Points {
		nearly("messages older than "+p.Age, sinks.Counted{Number: p.Items, Margin: p.Margin}, sinks.Counted{Number: truth.Curves[0].Points[i].Items})
	}
	cfg := settings(s)
	cfg.JSON = false
	table := look(t, cfg, draw).out
	for _, text := range []string{"Messages are an estimate from", "History by room, an estimate from", "in 150 of its", "±"} {
		if !strings.Contains(table, text) {
			t.Errorf("no %q in\n%s", text, table)
		}
	}
}

func TestTheReportAndThePageAreWrittenAndNoOtherFile(t *testing.T) {
	w := plantedWorld(t)
	dir := t.TempDir()
	cfg := settings(w.s)
	cfg.Report, cfg.HTML = filepath.Join(dir, "usage.json"), filepath.Join(dir, "usage.html")
	got := look(t, cfg, nil)
	text, err := os.ReadFile(cfg.Report)
	must(t, err)
	if string(text) != got.out {
		t.Errorf("the report is not what is printed:\n%s", text)
	}
	entries, err := os.ReadDir(dir)
	must(t, err)
	if len(entries) != 2 {
		t.Errorf("%v", entries)
	}
	cfg.Report = filepath.Join(dir, "none", "usage.json")
	got = look(t, cfg, nil)
	if !slices.Equal(got.causes, []item.Cause{item.CauseUsage}) || got.usage.Database != nil {
		t.Errorf("%v\n%s", got.causes, got.out)
	}
}

func TestNothingCanBeWrittenAndNoSecretIsShown(t *testing.T) {
	w := plantedWorld(t)
	r := newReader(settings(w.s), logger(io.Discard))
	must(t, r.open(t.Context()))
	defer r.db.Close()
	if _, err := r.db.Reader.Exec(t.Context(), `DELETE FROM users`); err == nil || !strings.Contains(err.Error(), "25006") || r.db.Writer != nil {
		t.Errorf("%v", err)
	}
	cfg := settings(w.s)
	cfg.Postgres = config.NewSecret(w.s.ConnString() + " port=1")
	got := look(t, cfg, nil)
	if len(got.usage.Errors) != 1 || strings.Contains(got.out+got.log, w.s.PGPassword()) {
		t.Errorf("%s\n%s", got.out, got.log)
	}
	// Where nothing was read the page is not begun either, and what was made for it is gone.
	cfg.HTML = filepath.Join(t.TempDir(), "usage.html")
	look(t, cfg, nil)
	if left, err := os.ReadDir(filepath.Dir(cfg.HTML)); err != nil || len(left) != 0 {
		t.Errorf("%v %v", left, err)
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("no space") }

func TestOutputThatCannotBePrintedIsAFailure(t *testing.T) {
	w := plantedWorld(t)
	var log bytes.Buffer
	r := newReader(settings(w.s), logger(&log))
	if causes := r.run(t.Context(), t.Context(), broken{}); !slices.Equal(causes, []item.Cause{item.CauseFailed}) {
		t.Errorf("%v\n%s", causes, log.String())
	}
}
