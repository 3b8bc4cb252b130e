package pipeline

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"synupkeep/config"
	"synupkeep/internal/item"
	"synupkeep/internal/sandbox"
	"synupkeep/internal/sandbox/stock"
)

// loseLock ends the session that holds the lock of the run.
func loseLock(t *testing.T, s *sandbox.Server) {
	t.Helper()
	ended := stock.All[bool](t, s, `SELECT pg_terminate_backend(l.pid, 10000) FROM pg_locks l
		WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
		  AND (l.classid::bigint << 32) | l.objid::bigint = x'73796e75706b6565'::bigint`)
	if len(ended) != 1 || !ended[0] {
		t.Errorf("of the locks %v were ended", ended)
	}
}

// TestHistoryWithoutItsLockBeginsNothing loses it in the middle, and with the last purge: long before the next look at it
// is due.
func TestHistoryWithoutItsLockBeginsNothing(t *testing.T) {
	s := sandbox.Shared(t)
	const n = 5
	groups := oldTalks(t, s, 2, n)
	for i, lostAt := range []int{2, n} {
		rooms := groups[i]
		f := newFront(t, s)
		f.onPurge = func(n int) int {
			if n == lostAt {
				loseLock(t, s)
			}
			return 0
		}
		cfg := only(s, f, rooms)
		cfg.History.InFlight = 1
		r := do(t, cfg)
		addsUp(t, r)
		want := []item.Cause{item.CauseFailed, item.CauseLeft}
		if lostAt == n {
			want = want[:1]
		}
		endsWith(t, r, want...)
		if h := r.flow(t, item.History); len(f.asked()) != lostAt || h.Done != int64(lostAt) || h.Left[item.Stopped] != int64(n-lostAt) {
			t.Errorf("lost at %d: %d asked for, %+v", lostAt, len(f.asked()), h)
		}
		if e := r.summary.Errors; len(e) != 1 || e[0].Doing != "hold the lock" || !strings.Contains(e[0].Hint, "Nothing new was begun") {
			t.Errorf("lost at %d: %+v", lostAt, e)
		}
		finish(t, s, rooms)
	}
}

// anotherAdmin is an admin with a token of its own.
func anotherAdmin(t *testing.T, s *sandbox.Server, name string) (user, token string) {
	t.Helper()
	user = "@" + name + ":" + s.ServerName()
	admin := map[string]any{"password": "a long password of an admin", "admin": true}
	if err := s.Admin().Do(t.Context(), http.MethodPut, "/_synapse/admin/v2/users/"+url.PathEscape(user), nil, admin, nil); err != nil {
		t.Fatal(err)
	}
	var login struct {
		Token string `json:"access_token"`
	}
	body := map[string]any{
		"type": "m.login.password", "password": admin["password"], "identifier": map[string]any{"type": "m.id.user", "user": name},
	}
	if err := s.Admin().Do(t.Context(), http.MethodPost, "/_matrix/client/v3/login", nil, body, &login); err != nil {
		t.Fatal(err)
	}
	return user, login.Token
}

// TestTheTokenIsTakenAwayInTheMiddle: what is asked for then is refused, once, and the rest is left.
func TestTheTokenIsTakenAwayInTheMiddle(t *testing.T) {
	s := sandbox.Shared(t)
	tests := []struct {
		name string
		take map[string]any // by PUT of the user
		says string
	}{
		{"not an admin any more", map[string]any{"admin": false}, "not a server admin"},
		{"logged out everywhere", map[string]any{"password": "another password that is long", "logout_devices": true}, "M_UNKNOWN_TOKEN"},
	}
	groups := oldTalks(t, s, len(tests), 5)
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			user, token := anotherAdmin(t, s, []string{"heidi", "ivan"}[i])
			f := newFront(t, s)
			f.onPurge = func(n int) int {
				if n != 3 {
					return 0
				}
				path := "/_synapse/admin/v2/users/" + url.PathEscape(user)
				if err := s.Admin().Do(t.Context(), http.MethodPut, path, nil, test.take, nil); err != nil {
					t.Error(err)
				}
				return 0
			}
			cfg := only(s, f, groups[i])
			cfg.Token = config.Token{Given: config.NewSecret(token)}
			cfg.History.InFlight, cfg.RetryFor = 1, 2*time.Second
			cfg.Flows = append(cfg.Flows, item.Previews)
			cfg.Ages[item.Previews] = cfg.Ages[item.History]
			r := do(t, cfg)
			addsUp(t, r)
			endsWith(t, r, item.CauseToken, item.CauseItems, item.CauseLeft)
			h := r.flow(t, item.History)
			if len(f.asked()) != 3 || h.Done != 2 || h.Failed != 1 || h.Left[item.Stopped] != 2 {
				t.Errorf("%d asked for, %+v", len(f.asked()), h)
			}
			if e := r.summary.Errors; len(e) != 1 || !strings.Contains(e[0].Error, test.says) || e[0].Hint == "" {
				t.Errorf("%+v", e)
			}
			if r.flow(t, item.Previews).Ran {
				t.Error("media is deleted on behalf of somebody who may not any more")
			}
			if strings.Contains(r.out+r.log, token) {
				t.Error("the token was written")
			}
			finish(t, s, groups[i])
		})
	}
}
