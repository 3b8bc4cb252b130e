package sandbox_test

import (
	"testing"
	"time"

	"synupkeep/internal/sandbox"
)

// What the demo promises: at least 30 rooms and 500 media with thumbnails, most of them older than 30 days.
func TestSeed(t *testing.T) {
	s := sandbox.Own(t, sandbox.Options{})
	if s.Seeded() {
		t.Fatal("a new sandbox is seeded")
	}
	began := time.Now()
	if err := s.Seed(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("seeding took %v", time.Since(began).Round(time.Second))
	if !s.Seeded() {
		t.Error("it does not know that it is seeded")
	}
	old := time.Now().Add(-30 * day).UnixMilli()
	for _, c := range []struct {
		what, sql string
		least     int64
	}{
		{"rooms", `SELECT count(*) FROM rooms`, 36},
		{"room versions", `SELECT count(DISTINCT room_version) FROM rooms`, 3},
		{"rooms with old messages", `SELECT count(DISTINCT room_id) FROM events WHERE type = 'm.room.message' AND received_ts < $1`, 25},
		{"rooms with old and young messages", `SELECT count(*) FROM (SELECT 1 FROM events WHERE type = 'm.room.message'
			GROUP BY room_id HAVING min(received_ts) < $1 AND max(received_ts) >= $1) x`, 11},
		{"rooms with young messages only", `SELECT count(*) FROM (SELECT 1 FROM events GROUP BY room_id HAVING min(received_ts) >= $1) x`, 8},
		{"a room with many state events", `SELECT max(current_state_events) FROM room_stats_current WHERE $1::bigint > 0`, 300},
		{"redactions, reactions, replies", `SELECT count(*) FROM events e JOIN event_json j USING (event_id) WHERE received_ts < $1 AND
			(type IN ('m.room.redaction', 'm.reaction') OR position('m.in_reply_to' in json) > 0)`, 60},
		{"reports", `SELECT count(*) FROM event_reports WHERE $1::bigint > 0`, 1},
		{"old local media with thumbnails", `SELECT count(DISTINCT media_id) FROM local_media_repository JOIN local_media_repository_thumbnails
			USING (media_id) WHERE created_ts < $1 AND url_cache IS NULL`, 500},
		{"young local media", `SELECT count(*) FROM local_media_repository WHERE created_ts >= $1 AND url_cache IS NULL`, 72},
		{"avatars replaced long ago", `SELECT count(DISTINCT avatar_url) FROM room_memberships m JOIN events USING (event_id)
			WHERE received_ts < $1 AND avatar_url NOT IN (SELECT p.avatar_url FROM profiles p WHERE p.avatar_url IS NOT NULL)`, 10},
		{"current avatars", `SELECT count(DISTINCT avatar_url) FROM profiles WHERE $1::bigint > 0`, 24},
		{"quarantined media", `SELECT count(*) FROM local_media_repository WHERE quarantined_by IS NOT NULL AND created_ts < $1`, 1},
		{"protected media", `SELECT count(*) FROM local_media_repository WHERE safe_from_quarantine AND created_ts < $1`, 1},
		{"uploads under way", `SELECT count(*) FROM local_media_repository WHERE media_length IS NULL AND $1::bigint > 0`, 1},
		{"old previews", `SELECT count(*) FROM local_media_repository_url_cache WHERE download_ts < $1`, 30},
		{"young previews with a picture", `SELECT count(*) FROM local_media_repository WHERE url_cache LIKE '%.png' AND created_ts >= $1`, 6},
		{"old remote media", `SELECT count(*) FROM remote_media_cache WHERE last_access_ts < $1`, 90},
		{"young remote media", `SELECT count(*) FROM remote_media_cache WHERE last_access_ts >= $1`, 20},
	} {
		sql := c.sql
		args := []any{old}
		if c.what == "rooms" || c.what == "room versions" {
			args = nil
		}
		if got := column[int64](t, s, sql, args...); len(got) != 1 || got[0] < c.least {
			t.Errorf("%s: %v, want at least %d", c.what, got, c.least)
		}
	}
	if got := column[int64](t, s, `SELECT count(*) FROM local_media_repository WHERE quarantined_by IS NOT NULL`); got[0] != 1 {
		t.Errorf("%d media are quarantined, want 1: contents are equal", got[0])
	}
	validates(t, s)
}
