package synapse_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"synupkeep/internal/sandbox"
	"synupkeep/internal/synapse"
)

// What a real Synapse answers.

func admin(t testing.TB, s *sandbox.Server) *synapse.Client {
	t.Helper()
	c, _ := newClient(t, s.APIURL(), s.AdminToken())
	return c
}

// tokenOf is a token of a user who is no admin.
func tokenOf(t testing.TB, s *sandbox.Server, user string) string {
	t.Helper()
	var answer struct {
		Token string `json:"access_token"`
	}
	path := "/_synapse/admin/v1/users/" + url.PathEscape(s.As(user).UserID()) + "/login"
	if _, err := s.As(user).Sync(t.Context(), ""); err != nil { // registers the user
		t.Fatal(err)
	}
	if err := s.Admin().Do(t.Context(), "POST", path, nil, map[string]any{}, &answer); err != nil {
		t.Fatal(err)
	}
	return answer.Token
}

func refusal(t testing.TB, err error) *synapse.Error {
	t.Helper()
	var refused *synapse.Error
	if !errors.As(err, &refused) {
		t.Fatalf("no answer of a server: %v", err)
	}
	return refused
}

// room makes a room of a version with messages until one of them suits, and returns it and that message.
func room(t testing.TB, s *sandbox.Server, version string, suits func(eventID string) bool) (roomID, eventID string) {
	t.Helper()
	c := s.As("alice")
	roomID, err := c.CreateRoom(t.Context(), sandbox.RoomOptions{Version: version})
	if err != nil {
		t.Fatal(err)
	}
	for range 300 {
		if eventID, err = c.Send(t.Context(), roomID, "hello"); err != nil {
			t.Fatal(err)
		}
		if suits(eventID) {
			return roomID, eventID
		}
	}
	t.Fatal("none of 300 event ids suits")
	return "", ""
}

func anyID(string) bool { return true }

func TestRealServerIsAsWeThink(t *testing.T) {
	s := sandbox.Shared(t)
	c, _ := newClient(t, s.APIURL()+"//", s.AdminToken()) // trailing slashes do no harm
	text, err := c.ServerVersion(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	version, err := synapse.ParseVersion(text)
	if err != nil || text != s.Release() || !strings.HasPrefix(text, version.String()+".") {
		t.Errorf("version %v of %q, %v", version, text, err)
	}
	if err := c.CheckAdmin(t.Context()); err != nil {
		t.Error(err)
	}
	if user, err := c.WhoAmI(t.Context()); err != nil || user != s.Admin().UserID() {
		t.Errorf("the token is %s's, it should be %s's (%v)", user, s.Admin().UserID(), err)
	}
}

func TestVersionNeedsNoToken(t *testing.T) {
	c, source := newClient(t, sandbox.Shared(t).APIURL(), "nonsense")
	if _, err := c.ServerVersion(t.Context()); err != nil {
		t.Error(err)
	}
	if source.renewals > 0 {
		t.Error("the token was renewed")
	}
}

func TestUnknownTokenOfARealServer(t *testing.T) {
	s := sandbox.Shared(t)
	c, source := newClient(t, s.APIURL(), "syt_unknown_to_anybody")
	err := c.CheckAdmin(t.Context())
	refused := refusal(t, err)
	if refused.Status != 401 || refused.Code != "M_UNKNOWN_TOKEN" || refused.Foreign || synapse.Classify(err) != synapse.Unauthorized {
		t.Errorf("%+v", refused)
	}
	if source.renewals != 1 {
		t.Errorf("%d renewals", source.renewals)
	}
	if !strings.Contains(synapse.Advice(err), "--token-file") || !strings.Contains(synapse.Advice(err), "Matrix Authentication Service") {
		t.Errorf("advice %q", synapse.Advice(err))
	}
	if strings.Contains(err.Error(), "syt_unknown") {
		t.Errorf("the token shows: %v", err)
	}
}

func TestTokenIsRenewedAtARealServer(t *testing.T) {
	s := sandbox.Shared(t)
	c, source := newClient(t, s.APIURL(), "syt_expired", s.AdminToken())
	if err := c.CheckAdmin(t.Context()); err != nil {
		t.Error(err)
	}
	if source.renewals != 1 {
		t.Errorf("%d renewals", source.renewals)
	}
}

func TestTokenOfNoAdmin(t *testing.T) {
	s := sandbox.Shared(t)
	c, source := newClient(t, s.APIURL(), tokenOf(t, s, "bob"))
	_, postErr := c.StartPurge(t.Context(), "!room:"+s.ServerName(), "$event")
	_, pollErr := c.PurgeStatus(t.Context(), "id")
	for _, err := range []error{c.CheckAdmin(t.Context()), postErr, pollErr} {
		if refused := refusal(t, err); refused.Status != 403 || refused.Code != "M_FORBIDDEN" || synapse.Classify(err) != synapse.Unauthorized {
			t.Errorf("%+v", refused)
		}
		if !strings.Contains(synapse.Advice(err), "not an admin's") {
			t.Errorf("advice %q", synapse.Advice(err))
		}
	}
	if source.renewals != 0 {
		t.Error("another token of the same user would be refused as well, yet one was asked for")
	}
}

func TestWhatIsNotThere(t *testing.T) {
	s := sandbox.Shared(t)
	c := admin(t, s)
	roomID, _ := room(t, s, "10", anyID)
	rooms := []string{roomID, "!no/such room?a=b&c%2F#frag;ü:" + s.ServerName(), "!without-a-server"}
	events := []string{"$no-such-event", "$a/b%2F?c#d e+ü", `$"quoted\`}
	for _, r := range rooms {
		for _, e := range events {
			_, err := c.StartPurge(t.Context(), r, e)
			if refused := refusal(t, err); synapse.Classify(err) != synapse.NotFound || !strings.Contains(refused.Message, e) {
				t.Errorf("room %q, event %q: %v", r, e, err)
			}
		}
	}
	for _, id := range []string{"unknown", "a/b?c#d%2F e"} {
		_, err := c.PurgeStatus(t.Context(), id)
		if refused := refusal(t, err); synapse.Classify(err) != synapse.NotFound || !strings.Contains(refused.Message, id) {
			t.Errorf("purge %q: %v", id, err)
		}
	}
}

func TestEventOfAnotherRoomIsRefusedForGood(t *testing.T) {
	s := sandbox.Shared(t)
	one, _ := room(t, s, "10", anyID)
	_, event := room(t, s, "10", anyID)
	_, err := admin(t, s).StartPurge(t.Context(), one, event)
	if refused := refusal(t, err); refused.Status != 400 || synapse.Classify(err) != synapse.Permanent || synapse.IsAmbiguous(err) {
		t.Errorf("%+v", refused)
	}
}

func TestPathThatSynapseDoesNotServe(t *testing.T) {
	s := sandbox.Shared(t)
	c, _ := newClient(t, s.APIURL()+"/_synapse/admin", s.AdminToken())
	err := c.CheckAdmin(t.Context())
	if refused := refusal(t, err); refused.Code != "M_UNRECOGNIZED" || synapse.Classify(err) != synapse.Misrouted {
		t.Errorf("%+v", refused)
	}
	if !strings.Contains(synapse.Advice(err), "main process") {
		t.Errorf("advice %q", synapse.Advice(err))
	}
}

// Event ids of room version 3 are plain base64 and may hold a slash.
func TestPurgeUpToAnEventWithASlash(t *testing.T) {
	s := sandbox.Shared(t)
	c := admin(t, s)
	roomID, eventID := room(t, s, "3", func(id string) bool { return strings.Contains(id, "/") })
	if _, err := s.As("alice").Send(t.Context(), roomID, "the end"); err != nil {
		t.Fatal(err)
	}
	id, err := c.StartPurge(t.Context(), roomID, eventID)
	if err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(20 * time.Second)
	for {
		state, err := c.PurgeStatus(t.Context(), id)
		if err != nil || state.Status == synapse.PurgeFailed || time.Now().After(deadline) {
			t.Fatalf("%+v, %v", state, err)
		}
		if state.Status == synapse.PurgeComplete {
			break
		}
	}
	events, err := s.As("alice").Timeline(t.Context(), roomID)
	if err != nil {
		t.Fatal(err)
	}
	messages := 0
	for _, e := range events {
		if e.Type == "m.room.message" {
			messages++
		}
	}
	if messages != 2 {
		t.Errorf("%d messages are left, want the one that was named and the one after it", messages)
	}
}

func TestServerThatIsDown(t *testing.T) {
	s := sandbox.Shared(t)
	if err := s.StopSynapse(t.Context()); err != nil {
		t.Fatal(err)
	}
	err := admin(t, s).CheckAdmin(t.Context())
	if err := s.StartSynapse(t.Context()); err != nil {
		t.Fatal(err)
	}
	var lost *synapse.TransportError
	if !errors.As(err, &lost) || synapse.Classify(err) != synapse.Unavailable || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("%v", err)
	}
	if !strings.Contains(synapse.Advice(err), "Is Synapse running") {
		t.Errorf("advice %q", synapse.Advice(err))
	}
}
