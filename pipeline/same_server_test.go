package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"synupkeep/config"
	"synupkeep/internal/item"
	"synupkeep/internal/sandbox"
	"synupkeep/internal/sandbox/stock"
)

// copied makes a copy of the database as it is now and returns its connection string.
func copied(t testing.TB, s *sandbox.Server, name string) string {
	t.Helper()
	if err := s.Snapshot(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	return strings.Replace(s.ConnString(), "dbname="+s.Database(), "dbname=snapshot_"+name, 1)
}

func execOn(t testing.TB, connString, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), connString)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background()) //nolint:errcheck // of a test
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// twoRooms makes an old picture and two rooms, the second of which is the latest.
func twoRooms(t testing.TB, s *sandbox.Server) (older, latest string) {
	t.Helper()
	upload(t, s, "copycat", longAgo)
	for _, room := range []*string{&older, &latest} {
		*room = mustDo(t, func(ctx context.Context) (string, error) {
			return s.As("copycat").CreateRoom(ctx, sandbox.RoomOptions{})
		})
	}
	return older, latest
}

func say(t testing.TB, s *sandbox.Server, room string) {
	t.Helper()
	if _, err := s.As("copycat").Send(t.Context(), room, "time goes on"); err != nil {
		t.Fatal(err)
	}
}

// wantRefused runs local media alone and wants it refused, for that reason, with every file and row in its place.
func wantRefused(t *testing.T, s *sandbox.Server, connString, apiURL, reason string) {
	t.Helper()
	before := stock.OfMedia(t, s)
	cfg := settings(s, item.LocalMedia)
	cfg.Postgres, cfg.APIURL = config.NewSecret(connString), apiURL
	r := do(t, cfg)
	if !slices.Equal(r.causes, []item.Cause{item.CauseRefused}) || !strings.Contains(r.log+r.out, reason) {
		t.Errorf("causes %v, want it refused because %q\n%s", r.causes, reason, r.log)
	}
	if diff := cmp.Diff(before, stock.OfMedia(t, s)); diff != "" {
		t.Error(diff)
	}
}

// TestACopyThatTheServerLeftBehindIsRefused: by one message, in another room than the latest of the copy, so that only the
// position of the server tells.
func TestACopyThatTheServerLeftBehindIsRefused(t *testing.T) {
	s := emptied(t)
	older, _ := twoRooms(t, s)
	behind := copied(t, s, "left_behind")
	say(t, s, older)
	wantRefused(t, s, behind, s.APIURL(), "it is a copy of the server's database that was left behind")
	cfg := settings(s, item.LocalMedia)
	if r := do(t, cfg); len(r.causes) > 0 || r.flow(t, item.LocalMedia).Done != 1 {
		t.Errorf("the server's own database: %v\n%s", r.causes, r.log)
	}
}

// TestACopyIsRefusedByItsLatestRoomAlone: the numbers of a copy that was made from the files of a running PostgreSQL may be
// some ahead of those that were given out.
func TestACopyIsRefusedByItsLatestRoomAlone(t *testing.T) {
	s := emptied(t)
	_, latest := twoRooms(t, s)
	behind := copied(t, s, "left_behind")
	say(t, s, latest)
	execOn(t, behind, `SELECT nextval('events_stream_seq') FROM generate_series(1, 32)`)
	wantRefused(t, s, behind, s.APIURL(), "One of the two is a copy of the other")
}

// TestAServerThatIsOlderThanTheDatabaseIsRefused has the server go back to an older state of itself, as one that was
// restored for a test would be: the database that knows more is not its own.
func TestAServerThatIsOlderThanTheDatabaseIsRefused(t *testing.T) {
	s := emptied(t)
	older, _ := twoRooms(t, s)
	if err := s.Snapshot(t.Context(), "younger"); err != nil {
		t.Fatal(err)
	}
	say(t, s, older)
	ahead := copied(t, s, "ahead")
	if err := s.Reset(t.Context(), "younger"); err != nil {
		t.Fatal(err)
	}
	wantRefused(t, s, ahead, s.APIURL(), "One of the two is a copy of the other")
}

func TestADatabaseOfAnotherServerIsRefused(t *testing.T) {
	s := emptied(t)
	twoRooms(t, s)
	other := copied(t, s, "other")
	execOn(t, other, `UPDATE users SET name = replace(name, ':', ':not.')`)
	wantRefused(t, s, other, s.APIURL(), "belong to different servers")
}

// altering is a proxy before Synapse whose answers to some calls are changed.
func altering(t *testing.T, s *sandbox.Server, change func(path string, w http.ResponseWriter) (done bool)) string {
	t.Helper()
	target, err := url.Parse(s.APIURL())
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !change(r.URL.Path, w) {
			proxy.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// TestWhatCannotBeComparedIsSaid: a server that does not tell its position or the end of a room is no reason to refuse.
func TestWhatCannotBeComparedIsSaid(t *testing.T) {
	for name, change := range map[string]struct {
		suffix, answer string
		status         int
		says           string
	}{
		"a token of another form":           {"/messages", `{"start":"z1","chunk":[]}`, 200, `cannot be read from its answer: "z1"`},
		"no such call":                      {"/messages", `{"errcode":"M_NOT_FOUND","error":"no room"}`, 404, "M_NOT_FOUND"},
		"a path that a proxy does not pass": {"/forward_extremities", `<html>`, 404, "forward_extremities: 404"},
	} {
		t.Run(name, func(t *testing.T) {
			s := emptied(t)
			twoRooms(t, s)
			cfg := settings(s, item.LocalMedia)
			cfg.APIURL = altering(t, s, func(path string, w http.ResponseWriter) bool {
				if strings.HasPrefix(path, "/_synapse/admin/v1/rooms/") && strings.HasSuffix(path, change.suffix) {
					w.WriteHeader(change.status)
					_, _ = w.Write([]byte(change.answer))
					return true
				}
				return false
			})
			r := do(t, cfg)
			if len(r.causes) > 0 || r.flow(t, item.LocalMedia).Done != 1 {
				t.Errorf("%v\n%s", r.causes, r.log)
			}
			if !strings.Contains(r.log, "could not be told in every way") || !strings.Contains(r.log, change.says) {
				t.Errorf("the log does not say what could not be compared:\n%s", r.log)
			}
		})
	}
}

func TestARoleThatMayNotAskForThePositionIsWarned(t *testing.T) {
	s := emptied(t)
	twoRooms(t, s)
	execSQL(t, s, `ALTER SEQUENCE events_stream_seq OWNER TO CURRENT_USER`)
	t.Cleanup(func() {
		err := s.WithDB(context.Background(), func(ctx context.Context, c *pgx.Conn) error {
			_, err := c.Exec(ctx, `ALTER SEQUENCE events_stream_seq OWNER TO `+s.PGUser())
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
	r := do(t, settings(s, item.LocalMedia))
	if len(r.causes) > 0 || !strings.Contains(r.log, "SELECT on events_stream_seq") {
		t.Errorf("%v\n%s", r.causes, r.log)
	}
}

// TestARoomInWhichMuchIsSaidIsStillTheServers: what comes between two questions is no difference.
func TestARoomInWhichMuchIsSaidIsStillTheServers(t *testing.T) {
	s := emptied(t)
	_, latest := twoRooms(t, s)
	ctx, stop := context.WithCancel(t.Context())
	talked := make(chan int)
	go func() {
		n := 0
		for ctx.Err() == nil {
			if _, err := s.As("copycat").Send(ctx, latest, "and on"); err == nil {
				n++
			}
		}
		talked <- n
	}()
	for range 5 {
		if r := do(t, settings(s, item.LocalMedia)); len(r.causes) > 0 {
			t.Errorf("%v\n%s", r.causes, r.log)
		}
	}
	stop()
	if n := <-talked; n < 5 {
		t.Errorf("only %d messages came between", n)
	}
}

// TestAPositionOfTheFutureIsRefused puts a proxy before Synapse that answers for one that has gone on.
func TestAPositionOfTheFutureIsRefused(t *testing.T) {
	s := emptied(t)
	twoRooms(t, s)
	api := altering(t, s, func(path string, w http.ResponseWriter) bool {
		if !strings.HasSuffix(path, "/messages") {
			return false
		}
		last := stock.All[int64](t, s, `SELECT last_value FROM events_stream_seq`)[0]
		_ = json.NewEncoder(w).Encode(map[string]any{"chunk": []any{}, "start": fmt.Sprintf("m%d~2.%d_0_0", last+1, last+9)})
		return true
	})
	wantRefused(t, s, s.ConnString(), api, "was left behind")
}

// A connection to Synapse that is lost is no connection to PostgreSQL.
func TestAServerThatGoesAwayIsNotTakenForItsDatabase(t *testing.T) {
	s := emptied(t)
	newRoom(t, s, "alice", sandbox.RoomOptions{})
	target, err := url.Parse(s.APIURL())
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/forward_extremities") {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				err = errors.Join(conn.(*net.TCPConn).SetLinger(0), conn.Close()) // a reset
			}
			if err != nil {
				t.Error(err)
			}
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	defer front.Close()
	cfg := settings(s, item.LocalMedia)
	cfg.APIURL, cfg.RetryFor = front.URL, 200*time.Millisecond
	r := do(t, cfg)
	endsWith(t, r, item.CauseFailed)
	if e := r.summary.Errors; len(e) != 1 || strings.Contains(e[0].Hint, "PostgreSQL") || e[0].Hint == "" {
		t.Errorf("%+v", e)
	}
}
