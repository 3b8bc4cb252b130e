package crowds_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"synupkeep/internal/sandbox/stock"
	"synupkeep/proof/wire"
)

// ledger makes PostgreSQL write down, in the transactions that do so, which media is deleted and what comes to name media.
// A deletion notes the transactions that it could see: whatever they wrote was there before the run looked, which it does
// after the DELETE.
const ledger = `
CREATE TABLE ledger (what text, key text, content text, xid xid8 DEFAULT pg_current_xact_id(),
	sees pg_snapshot DEFAULT pg_current_snapshot(), at timestamptz DEFAULT clock_timestamp());
CREATE FUNCTION note_deletion() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
	IF OLD.url_cache IS NULL THEN INSERT INTO public.ledger (what, key) VALUES ('deletion', OLD.media_id); END IF;
	RETURN NULL; END $$;
CREATE FUNCTION note_profile() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
	INSERT INTO public.ledger (what, key, content) VALUES ('profile', NEW.user_id, NEW.avatar_url); RETURN NULL; END $$;
CREATE FUNCTION note_event() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
	IF position('mxc://' in NEW.json) > 0 THEN
		INSERT INTO public.ledger (what, key, content) VALUES ('event', NEW.event_id, NEW.json); END IF;
	RETURN NULL; END $$;
CREATE FUNCTION note_account_data() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
	INSERT INTO public.ledger (what, key, content) VALUES ('account data', NEW.user_id, NEW.content); RETURN NULL; END $$;
CREATE TRIGGER ledger AFTER DELETE ON local_media_repository FOR EACH ROW EXECUTE FUNCTION note_deletion();
CREATE TRIGGER ledger AFTER INSERT OR UPDATE OF avatar_url ON profiles FOR EACH ROW WHEN (NEW.avatar_url IS NOT NULL) EXECUTE FUNCTION note_profile();
CREATE TRIGGER ledger AFTER INSERT ON event_json FOR EACH ROW EXECUTE FUNCTION note_event();
CREATE TRIGGER ledger AFTER INSERT OR UPDATE ON account_data FOR EACH ROW EXECUTE FUNCTION note_account_data()`

// look is what a deleting transaction of local media did when.
type look struct{ deletion, events, profiles, commit time.Time }

// looks are those of all runs, heard between the runs and PostgreSQL.
type looks struct {
	mu      sync.Mutex
	current map[int64]*look
	all     []*look
}

func (l *looks) hear(x wire.Word) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.current[x.Conn]
	switch {
	case x.Answer:
	case strings.Contains(x.Text, "DELETE FROM local_media_repository m") && !strings.Contains(x.Text, "url_cache IS NOT NULL"):
		l.current[x.Conn] = &look{deletion: x.At}
	case now == nil:
	case strings.Contains(x.Text, "ex_outlier_stream"):
		now.events = x.At
	case strings.Contains(x.Text, "SELECT avatar_url FROM profiles"):
		now.profiles = x.At
	case strings.EqualFold(x.Text, "commit"):
		now.commit = x.At
		l.all = append(l.all, now)
		delete(l.current, x.Conn)
	case strings.EqualFold(x.Text, "rollback"):
		delete(l.current, x.Conn)
	}
	return true
}

// of is the transaction that deleted at a time; there is one at a time.
func (l *looks) of(at time.Time) *look {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, one := range l.all {
		if !at.Before(one.deletion) && !at.After(one.commit) {
			return one
		}
	}
	return nil
}

// loss is media that is gone and is named by something that is there.
type loss struct {
	Media, What, By string
	Seen            bool // its transaction was over before the deletion began
	After           bool // it was committed after the deletion was
	Deleted         time.Time
	Named           time.Time // committed
}

// losses are all media that is gone and named: by a profile as it is, by account data as it is, by any event since the world
// was planted that nobody has redacted.
func losses(t *testing.T, c *crowd) []loss {
	t.Helper()
	return stock.All[loss](t, c.s, `
		WITH named AS (
			SELECT what, key, content, xid FROM ledger l WHERE what = 'event' AND NOT EXISTS (SELECT FROM redactions r WHERE r.redacts = l.key)
			UNION ALL
			(SELECT DISTINCT ON (what, key) what, key, content, xid FROM ledger WHERE what IN ('profile', 'account data') ORDER BY what, key, at DESC)
		)
		SELECT ROW(d.key, n.what, n.key, pg_visible_in_snapshot(n.xid, d.sees),
			pg_xact_commit_timestamp(n.xid::xid) > pg_xact_commit_timestamp(d.xid::xid), d.at, pg_xact_commit_timestamp(n.xid::xid))
		FROM (SELECT DISTINCT ON (key) * FROM ledger WHERE what = 'deletion' ORDER BY key, at DESC) d
		JOIN named n ON position(d.key in n.content) > 0
		WHERE NOT EXISTS (SELECT FROM local_media_repository m WHERE m.media_id = d.key)`) // or it was put back
}

// accountDataGoes is how long new account data may go unnoticed (docs/safety.md, what is not promised).
const accountDataGoes = 5 * time.Second

// judge fails for every loss that is not the one that is said not to be promised: what names the media was committed after
// the deletion was. New account data is looked for every five seconds only. It counts those, and what was put back because it
// was named in between.
func judge(t *testing.T, c *crowd) (afterCommit, back int) {
	t.Helper()
	for _, l := range losses(t, c) {
		looked := c.looks.of(l.Deleted)
		if looked == nil {
			t.Errorf("%+v: deleted by none of the transactions that were heard", l)
			continue
		}
		at := looked.events
		switch l.What {
		case "profile":
			at = looked.profiles
		case "account data":
			at, l.Seen = looked.profiles.Add(-accountDataGoes), false
		}
		told, known := c.told(l.By, l.Media)
		switch {
		case l.Seen:
			t.Errorf("%+v was named before it was deleted", l)
		case at.IsZero():
			t.Errorf("%+v was deleted without a look", l)
		case known && told.Before(at):
			t.Errorf("%+v was named, and the user told so at %v, before the run looked at %v", l, told, at)
		case l.After, l.What == "account data":
			afterCommit++
		default:
			t.Errorf("%+v was named before the deletion was committed, and not put back", l)
		}
	}
	return afterCommit, stock.All[int](t, c.s, `SELECT count(DISTINCT d.key)::int FROM ledger d JOIN local_media_repository m ON m.media_id = d.key
		WHERE d.what = 'deletion'`)[0]
}
