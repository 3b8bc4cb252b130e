package usage

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"synupkeep/internal/item"
	"synupkeep/internal/sandbox"
	"synupkeep/sinks"
)

const day = 24 * time.Hour

func ago(d time.Duration) time.Time { return time.Now().Add(-d) }

// world is what the tests plant, once: they change nothing.
type world struct {
	s               *sandbox.Server
	room, quiet     string
	big, thumb, far string // media that messages of room name
}

var planted *world

func plantedWorld(t *testing.T) *world {
	t.Helper()
	if planted != nil {
		return planted
	}
	s := sandbox.Shared(t)
	ctx := t.Context()
	admin, bob := s.Admin(), s.As("bob") // only the admin may give an alias
	w := &world{s: s}
	var err error
	w.room, err = admin.CreateRoom(ctx, sandbox.RoomOptions{Name: "Loud", Alias: "loud"})
	must(t, err)
	must(t, bob.Join(ctx, w.room))
	w.quiet, err = bob.CreateRoom(ctx, sandbox.RoomOptions{Name: "Quiet"})
	must(t, err)
	w.big, err = admin.Upload(ctx, "image/png", make([]byte, 5000))
	must(t, err)
	w.thumb, err = admin.Upload(ctx, "image/jpeg", make([]byte, 300))
	must(t, err)
	_, err = bob.Upload(ctx, "text/plain; charset=utf-8", []byte("not named by anybody"))
	must(t, err)
	_, err = bob.CreateMedia(ctx)
	must(t, err)
	must(t, s.Plant(ctx, w.plant))
	// What is named twice counts once, what nobody has does not count, and neither does what state names.
	for range 2 {
		_, err = admin.SendContent(ctx, w.room, "m.room.message", map[string]any{
			"msgtype": "m.image", "body": "b", "url": w.big, "info": map[string]any{"thumbnail_url": w.thumb},
		})
		must(t, err)
	}
	for _, mxc := range []string{w.far, "mxc://one.example/nosuchmedia", "not an mxc"} {
		_, err = bob.SendContent(ctx, w.room, "m.room.message", map[string]any{"msgtype": "m.file", "body": `"url":"mxc://x/y"`, "url": mxc})
		must(t, err)
	}
	face, err := admin.Upload(ctx, "image/png", make([]byte, 1000))
	must(t, err)
	_, err = admin.SetState(ctx, w.room, "m.room.avatar", "", map[string]any{"url": face})
	must(t, err)
	planted = w
	return w
}

func (w *world) plant(ctx context.Context, p *sandbox.Plant) (err error) {
	for i, age := range []time.Duration{2 * time.Hour, 36 * time.Hour, 5 * day, 20 * day, 45 * day, 100 * day, 300 * day, 500 * day, 1000 * day, 2000 * day} {
		if _, err = p.LocalMedia(ctx, i+1, sandbox.Media{User: "@carol:localhost", Data: make([]byte, 100), Created: ago(age), LastAccess: ago(age)}, 0); err != nil {
			return err
		}
		for range i + 2 {
			if _, err = p.RemoteMedia(ctx, sandbox.Media{Origin: "one.example", ContentType: "video/mp4", Data: make([]byte, 70), Created: ago(age), LastAccess: ago(age / 2)}); err != nil {
				return err
			}
		}
		if _, err = p.Preview(ctx, fmt.Sprintf("https://page.example/%d", i), sandbox.Media{Created: ago(age)}); err != nil {
			return err
		}
	}
	if _, err = p.LocalMedia(ctx, 3, sandbox.Media{QuarantinedBy: "@admin:localhost", Data: make([]byte, 11)}, 0); err != nil {
		return err
	}
	if _, err = p.LocalMedia(ctx, 2, sandbox.Media{Protected: true, Data: make([]byte, 13)}, 0); err != nil {
		return err
	}
	if w.far, err = p.RemoteMedia(ctx, sandbox.Media{Origin: "two.example", Data: make([]byte, 900), QuarantinedBy: "@admin:localhost"}); err != nil {
		return err
	}
	bulk, err := p.BulkMessages(ctx, w.room, 700, ago(3*365*day), 37*time.Hour)
	if err != nil {
		return err
	}
	// As an earlier purge leaves messages that it was told to hide only.
	if err = p.Exec(ctx, `UPDATE events SET outlier = true WHERE event_id = ANY ($1)`, bulk[5:9]); err != nil {
		return err
	}
	if _, err = p.Event(ctx, sandbox.NewEvent{Room: w.quiet, Place: sandbox.Backfilled, Sent: ago(800 * day)}); err != nil {
		return err
	}
	if _, err = p.PendingTask(ctx, "purge_history", "failed", w.room, "{}", ago(3*day)); err != nil {
		return err
	}
	if _, err = p.PendingTask(ctx, "purge_history", "complete", w.room, "{}", ago(3*day)); err != nil {
		return err
	}
	_, err = p.PendingTask(ctx, "purge_room", "scheduled", w.quiet, "{}", ago(-100*day))
	return err
}

func TestEveryPointOfEveryCurveIsWhatIsCountedWithoutIt(t *testing.T) {
	w := plantedWorld(t)
	u := whole(t, settings(w.s))
	var flows []item.Flow
	for _, c := range u.Curves {
		flows = append(flows, c.Flow)
		query := map[item.Flow]string{
			item.History: `SELECT count(*), 0 FROM events e WHERE NOT outlier AND NOT EXISTS (SELECT FROM state_events s WHERE s.event_id = e.event_id)
				AND (stream_ordering >= 0 AND received_ts < $1 OR stream_ordering < 0 AND (received_ts < $1 OR origin_server_ts < $1))`,
			item.LocalMedia:  `SELECT count(*), COALESCE(sum(media_length), 0) FROM local_media_repository WHERE url_cache IS NULL AND created_ts < $1`,
			item.RemoteMedia: `SELECT count(*), COALESCE(sum(media_length), 0) FROM remote_media_cache WHERE last_access_ts < $1`,
			item.Previews:    `SELECT count(*), COALESCE(sum(media_length), 0) FROM local_media_repository WHERE url_cache IS NOT NULL AND created_ts < $1`,
		}[c.Flow]
		values := map[int64]bool{}
		for _, p := range append(c.Points, item.AgePoint{Age: "all", CutOff: ago(-day), Items: c.Items, Bytes: c.Bytes}) {
			var items, bytes int64
			ask(t, w.s, query, []any{p.CutOff.UnixMilli()}, &items, &bytes)
			if c.Flow == item.History {
				bytes = p.Bytes
			}
			if p.Items != items || p.Bytes != bytes {
				t.Errorf("%s %s: %d items of %d bytes, want %d of %d", c.Flow, p.Age, p.Items, p.Bytes, items, bytes)
			}
			values[items] = true
		}
		if len(values) < 8 {
			t.Errorf("%s: with %d values it tests little", c.Flow, len(values))
		}
	}
	if diff := gocmp.Diff(item.Flows(), flows); diff != "" {
		t.Error(diff)
	}
}

func TestMediaIsAsItWasPlanted(t *testing.T) {
	w := plantedWorld(t)
	u := whole(t, settings(w.s))
	var all, users, types, quarantined, quarantinedBytes, protected, protectedBytes, uploading int64
	ask(t, w.s, `SELECT sum(media_length), count(DISTINCT COALESCE(user_id, '')), count(DISTINCT COALESCE(split_part(media_type, ';', 1), '')),
		count(*) FILTER (WHERE quarantined_by IS NOT NULL), sum(media_length) FILTER (WHERE quarantined_by IS NOT NULL),
		count(*) FILTER (WHERE safe_from_quarantine), sum(media_length) FILTER (WHERE safe_from_quarantine),
		count(*) FILTER (WHERE media_length IS NULL) FROM local_media_repository WHERE url_cache IS NULL`, nil,
		&all, &users, &types, &quarantined, &quarantinedBytes, &protected, &protectedBytes, &uploading)
	l := u.LocalMedia
	if l.Bytes != all || l.Users != users || l.Types != types || l.Quarantined != (sinks.ItemsBytes{Items: quarantined, Bytes: quarantinedBytes}) ||
		l.Protected != (sinks.ItemsBytes{Items: protected, Bytes: protectedBytes}) || l.Uploading.Items != uploading {
		t.Errorf("%+v", l)
	}
	for _, test := range []struct {
		what   string
		shares []sinks.Share
		want   sinks.Share
	}{
		{"a user", l.ByUser, sinks.Share{Key: "@carol:localhost", Items: 55, Bytes: 5500}},
		{"a type", l.ByType, sinks.Share{Key: "text/plain", Items: 1, Bytes: 20}},
		{"a server", u.RemoteMedia.ByOrigin, sinks.Share{Key: "one.example", Items: 65, Bytes: 65 * 70}},
		{"a type of other servers", u.RemoteMedia.ByType, sinks.Share{Key: "video/mp4", Items: 65, Bytes: 65 * 70}},
	} {
		if !slices.Contains(test.shares, test.want) {
			t.Errorf("%s: no %+v in %+v", test.what, test.want, test.shares)
		}
	}
	r := u.RemoteMedia
	if r.Items != 66 || r.Bytes != 65*70+900 || r.Origins != 2 || r.Types != 2 || r.Quarantined != (sinks.ItemsBytes{Items: 1, Bytes: 900}) {
		t.Errorf("%+v", r)
	}
	if u.Previews.Items != 20 || len(u.Previews.ByUser) != 0 {
		t.Errorf("%+v", u.Previews)
	}
	// The last preview was fetched two hours ago, and its answer has expired for an hour.
	if diff := gocmp.Diff(&sinks.UsageURLCache{Answers: 10, Expired: 10}, u.URLCache); diff != "" {
		t.Error(diff)
	}
}

func TestHistoryIsThatOfEachRoom(t *testing.T) {
	w := plantedWorld(t)
	cfg := settings(w.s)
	cfg.Top = 1000
	u := whole(t, cfg)
	counts := func(where string, args ...any) (r sinks.RoomUsage) {
		ask(t, w.s, `SELECT count(*), count(*) FILTER (WHERE NOT e.outlier AND s.event_id IS NULL), count(s.event_id), sum(pg_column_size(j.json))
			FROM events e JOIN event_json j USING (event_id) LEFT JOIN state_events s USING (event_id) WHERE `+where, args,
			&r.Events.Number, &r.Messages.Number, &r.State.Number, &r.JSONBytes.Number)
		return r
	}
	h := u.History
	if diff := gocmp.Diff(counts("true"), sinks.RoomUsage{Events: h.Events, Messages: h.Messages, State: h.State, JSONBytes: h.JSONBytes}); diff != "" {
		t.Error(diff)
	}
	var rooms int
	ask(t, w.s, `SELECT count(DISTINCT room_id) FROM events`, nil, &rooms)
	if len(u.History.ByRoom) != rooms || len(u.History.Samples) != 0 {
		t.Errorf("%d rooms of %d, %v", len(u.History.ByRoom), rooms, u.History.Samples)
	}
	for _, got := range u.History.ByRoom {
		want := counts("e.room_id = $1", got.RoomID)
		want.RoomName = got.RoomName
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("%s:\n%s", got.RoomID, diff)
		}
	}
	if !slices.IsSortedFunc(u.History.ByRoom, func(a, b sinks.RoomUsage) int { return cmp.Compare(b.JSONBytes.Number, a.JSONBytes.Number) }) {
		t.Error("the room with the most is not the first")
	}
	loud := slices.IndexFunc(u.History.ByRoom, func(r sinks.RoomUsage) bool { return r.RoomID == w.room })
	if diff := gocmp.Diff(sinks.RoomName{RoomID: w.room, Name: "Loud", Alias: "#loud:localhost", Members: 2}, u.History.ByRoom[loud].RoomName); diff != "" {
		t.Error(diff)
	}
}

func TestStateGroupsAreThoseOfEachRoom(t *testing.T) {
	w := plantedWorld(t)
	cfg := settings(w.s)
	cfg.Top = 1000
	g := whole(t, cfg).StateGroups
	var all, bytes int64
	ask(t, w.s, `SELECT count(*), pg_total_relation_size('state_groups_state') FROM state_groups_state`, nil, &all, &bytes)
	if g.Rows != (sinks.Counted{Number: all}) || g.Bytes != bytes || len(g.Samples) != 0 {
		t.Errorf("%+v, want %d rows of %d bytes", g, all, bytes)
	}
	var sum int64
	for _, r := range g.ByRoom {
		var want int64
		ask(t, w.s, `SELECT count(*) FROM state_groups_state WHERE room_id = $1`, []any{r.RoomID}, &want)
		if r.Rows.Number != want || r.Bytes != int64(float64(bytes)*float64(want)/float64(all)) {
			t.Errorf("%s: %+v of %d bytes, want %d rows", r.RoomID, r.Rows, r.Bytes, want)
		}
		sum += r.Rows.Number
	}
	if sum != all {
		t.Errorf("the rooms have %d rows together, all is %d", sum, all)
	}
}

func TestMediaOfARoomIsWhatItsMessagesName(t *testing.T) {
	w := plantedWorld(t)
	u := whole(t, settings(w.s))
	want := []sinks.RoomMedia{{
		RoomName:   sinks.RoomName{RoomID: w.room, Name: "Loud", Alias: "#loud:localhost", Members: 2},
		LocalItems: 2, LocalBytes: 5300, RemoteItems: 1, RemoteBytes: 900,
	}}
	if diff := gocmp.Diff(want, u.RoomMedia.ByRoom); diff != "" {
		t.Error(diff)
	}
}

func TestTablesAreAsLargeAsPostgreSQLSays(t *testing.T) {
	w := plantedWorld(t)
	u := whole(t, settings(w.s))
	var all int64
	ask(t, w.s, `SELECT count(*) FROM pg_tables WHERE schemaname = 'public'`, nil, &all)
	if len(u.Tables.Largest) != 10 || u.Tables.NotNamed != all-10 {
		t.Errorf("%d and %d tables, want 10 of %d", len(u.Tables.Largest), u.Tables.NotNamed, all)
	}
	last := int64(1 << 62)
	for _, got := range u.Tables.Largest {
		var bytes, indexes, toast int64
		ask(t, w.s, `SELECT pg_total_relation_size(c.oid), pg_indexes_size(c.oid), COALESCE(pg_total_relation_size(NULLIF(c.reltoastrelid, 0)), 0)
			FROM pg_class c WHERE oid = to_regclass($1)`, []any{got.Name}, &bytes, &indexes, &toast)
		if got.Bytes != bytes || got.IndexBytes != indexes || got.ToastBytes != toast || got.HeapBytes != bytes-indexes-toast {
			t.Errorf("%+v, want %d bytes, %d of indexes, %d of TOAST", got, bytes, indexes, toast)
		}
		if got.Bytes > last {
			t.Errorf("%s is out of order", got.Name)
		}
		last = got.Bytes
	}
}

func TestDeadRowsAndVacuumAreShown(t *testing.T) {
	w := plantedWorld(t)
	must(t, w.s.WithDB(t.Context(), func(ctx context.Context, c *pgx.Conn) error {
		for _, sql := range []string{
			`CREATE TABLE our_largest AS SELECT repeat('x', 1000) AS x, i FROM generate_series(1, 20000) i`, `VACUUM ANALYZE our_largest`,
			`ALTER TABLE our_largest SET (autovacuum_enabled = false)`, `DELETE FROM our_largest WHERE i <= 123`, `SELECT pg_stat_force_next_flush()`,
		} {
			if _, err := c.Exec(ctx, sql); err != nil {
				return err
			}
		}
		return nil
	}))
	t.Cleanup(func() {
		must(t, w.s.WithDB(context.Background(), func(ctx context.Context, c *pgx.Conn) error {
			_, err := c.Exec(ctx, `DROP TABLE our_largest`)
			return err
		}))
	})
	got := whole(t, settings(w.s)).Tables.Largest[0]
	var live int64
	ask(t, w.s, `SELECT n_live_tup FROM pg_stat_user_tables WHERE relname = 'our_largest'`, nil, &live)
	if got.Name != "our_largest" || got.LiveRows != live || live == 0 || got.DeadRows != 123 || time.Since(got.LastVacuum) > time.Hour || time.Since(got.LastAnalyze) > time.Hour {
		t.Errorf("%+v", got)
	}
}

func TestPurgesThatHaveNotEndedWellAreCounted(t *testing.T) {
	w := plantedWorld(t)
	want := []sinks.TaskUsage{
		{Action: "purge_history", Status: "failed", Number: 1},
		{Action: "purge_room", Status: "scheduled", Number: 1},
	}
	for i := range want {
		var ms int64
		ask(t, w.s, `SELECT timestamp FROM scheduled_tasks WHERE action = $1 AND status = $2`, []any{want[i].Action, want[i].Status}, &ms)
		want[i].Oldest = time.UnixMilli(ms).UTC()
	}
	if diff := gocmp.Diff(want, whole(t, settings(w.s)).Leftovers.Tasks); diff != "" {
		t.Error(diff)
	}
}

func TestStateGroupsThatWaitToBeDeletedAreCounted(t *testing.T) {
	sandbox.Needs(t, "1.124.0", "state groups are deleted in the purge itself before")
	w := plantedWorld(t)
	var u sinks.Usage
	must(t, w.s.WhileDown(t.Context(), func(ctx context.Context, c *pgx.Conn) error {
		if _, err := c.Exec(ctx, `INSERT INTO state_groups_pending_deletion (state_group, insertion_ts)
			VALUES (1000001, 1700000000000), (1000002, 1700000001000)`); err != nil {
			return err
		}
		u = whole(t, settings(w.s))
		_, err := c.Exec(ctx, `DELETE FROM state_groups_pending_deletion`)
		return err
	}))
	if l := u.Leftovers; l.PendingStateGroups != 2 || !l.OldestPending.Equal(time.UnixMilli(1_700_000_000_000)) {
		t.Errorf("%+v", l)
	}
}
