package crowds_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"synupkeep/internal/sandbox"
)

// posted is an event that the server has acknowledged.
type posted struct{ room, id string }

// upload is media that the server has acknowledged.
type upload struct {
	mxc  string
	data []byte
}

// member is a client, and what the server told it.
type member struct {
	c      *crowd
	n      int
	as     *sandbox.Client
	random *rand.Rand

	in, own  []string // rooms
	events   []posted
	redacted map[string]bool
	uploads  []upload
	avatar   string
	told     map[string]time.Time // when it was told that something names media, by what and the media's id
	did      map[string]int
	wrong    []error
}

func newMember(c *crowd, n int, seed uint64) *member {
	m := &member{
		c: c, n: n, as: c.s.As(name(n)), random: rand.New(rand.NewPCG(seed, uint64(n))),
		redacted: map[string]bool{}, told: map[string]time.Time{}, did: map[string]int{},
	}
	for i, room := range c.rooms {
		if owner(i) == n {
			m.own = append(m.own, room)
			m.in = append(m.in, room)
		}
	}
	if n < faces {
		m.in = append(m.in, c.rooms[n])
	}
	return m
}

// told is when a client was told that an event, or its profile or account data, names media.
func (c *crowd) told(by, media string) (at time.Time, known bool) {
	for _, m := range c.members {
		if at, known = m.told[by+" "+media]; known {
			return at, known
		}
	}
	return at, false
}

func pick[T any](m *member, all []T) T { return all[m.random.IntN(len(all))] }

// live does one thing after the other until ctx ends. What is under way then is awaited.
func (m *member) live(ctx, tests context.Context) {
	for ctx.Err() == nil {
		something, chance := "", m.random.IntN(100)
		var do func(context.Context) error
		for _, a := range m.acts() {
			if chance -= a.weight; chance < 0 {
				something, do = a.name, a.do
				break
			}
		}
		m.did[something]++
		if err := do(tests); err != nil {
			m.wrong = append(m.wrong, fmt.Errorf("%s of %s: %w", something, m.as.UserID(), err))
			return
		}
		_ = pause(ctx, time.Duration(m.random.IntN(200))*time.Millisecond) // or the server would have no time for the run
	}
}

type act struct {
	name   string
	weight int // of 100
	do     func(context.Context) error
}

func (m *member) acts() []act {
	if m.n < faces {
		return []act{
			{"old avatar", 50, func(ctx context.Context) error { return m.setAvatar(ctx, m.oldPicture()) }},
			{"new avatar", 10, m.newAvatar},
			{"message with an old picture", 40, func(ctx context.Context) error { return m.postPicture(ctx, m.oldPicture()) }},
		}
	}
	return []act{
		{"message", 30, func(ctx context.Context) error {
			return m.post(ctx, map[string]any{"msgtype": "m.text", "body": "hello"})
		}},
		{"message with an old picture", 12, func(ctx context.Context) error { return m.postPicture(ctx, m.oldPicture()) }},
		{"message with a new picture", 8, func(ctx context.Context) error {
			mxc, err := m.upload(ctx)
			if err != nil {
				return err
			}
			return m.postPicture(ctx, mxc)
		}},
		{"old avatar of a room", 4, func(ctx context.Context) error { return m.state(ctx, "m.room.avatar", "url", m.oldPicture()) }},
		{"pin", 2, m.pin},
		{"account data", 4, m.setAccountData},
		{"join or leave", 6, m.comeOrGo},
		{"redaction", 4, m.redact},
		{"reaction", 8, m.react},
		{"reaction to an old message", 6, m.reactOld},
		{"report", 2, m.report},
		{"report of an old message", 2, m.reportOld},
		{"new room", 2, m.newRoom},
		{"download", 6, m.download},
		{"thumbnail", 4, m.thumbnail},
	}
}

// oldPicture is one that a run is about to come to.
func (m *member) oldPicture() string {
	m.c.mu.Lock()
	defer m.c.mu.Unlock()
	if len(m.c.next) == 0 {
		return "mxc://" + m.c.s.ServerName() + "/nothingisleftofthosethatwereold"
	}
	// Mostly within the next few batches.
	n := min(len(m.c.next), 30<<m.random.IntN(6))
	return "mxc://" + m.c.s.ServerName() + "/" + m.c.next[m.random.IntN(n)]
}

func (m *member) names(by, mxc string) {
	m.told[by+" "+mxc[strings.LastIndexByte(mxc, '/')+1:]] = time.Now()
}

func (m *member) acknowledged(room, id string) {
	m.events = append(m.events, posted{room, id})
	m.c.mu.Lock()
	m.c.shared = append(m.c.shared, posted{room, id})
	m.c.mu.Unlock()
}

func (m *member) post(ctx context.Context, content map[string]any) error {
	room := pick(m, m.in)
	id, err := m.as.SendContent(ctx, room, "m.room.message", content)
	if err != nil {
		return err
	}
	if mxc, ok := content["url"].(string); ok {
		m.names(id, mxc)
	}
	m.acknowledged(room, id)
	return nil
}

func (m *member) postPicture(ctx context.Context, mxc string) error {
	return m.post(ctx, map[string]any{"msgtype": "m.image", "body": "picture", "url": mxc})
}

func (m *member) upload(ctx context.Context) (string, error) {
	data := sandbox.Picture(48, 48)
	mxc, err := m.as.Upload(ctx, "image/png", data)
	if err == nil {
		m.uploads = append(m.uploads, upload{mxc, data})
	}
	return mxc, err
}

func (m *member) setAvatar(ctx context.Context, mxc string) error {
	err := m.as.SetAvatar(ctx, mxc)
	if err != nil {
		return err
	}
	m.avatar = mxc
	m.names(name(m.n), mxc) // profiles hold the localpart
	return m.known(ctx, mxc)
}

// known waits, for a while, until the new avatar is known in the rooms. Without this some changes were answered with 500. That is
// taken to be Synapse's own "Expected at most one task to cancel" (handlers/profile.py:925, 1.163.2), read in its source: a
// task that is cancelled while it is launched may go on. It was not compared with a crowd without a run.
func (m *member) known(ctx context.Context, mxc string) error {
	for range 200 {
		content, err := m.as.State(ctx, m.in[0], "m.room.member", m.as.UserID())
		if err != nil || content["avatar_url"] == mxc {
			return err
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

func pause(ctx context.Context, long time.Duration) error {
	timer := time.NewTimer(long)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (m *member) newAvatar(ctx context.Context) error {
	mxc, err := m.upload(ctx)
	if err != nil {
		return err
	}
	return m.setAvatar(ctx, mxc)
}

func (m *member) state(ctx context.Context, kind, field string, value any) error {
	room := pick(m, m.own)
	id, err := m.as.SetState(ctx, room, kind, "", map[string]any{field: value})
	if err != nil {
		return err
	}
	if mxc, ok := value.(string); ok {
		m.names(id, mxc)
	}
	m.events = append(m.events, posted{room, id})
	return nil
}

func (m *member) pin(ctx context.Context) error {
	if len(m.events) == 0 {
		return nil
	}
	return m.state(ctx, "m.room.pinned_events", "pinned", []string{pick(m, m.events).id})
}

func (m *member) setAccountData(ctx context.Context) error {
	mxc := m.oldPicture()
	path := "/_matrix/client/v3/user/" + m.as.UserID() + "/account_data/im.ponies.user_emotes"
	err := m.as.Do(ctx, http.MethodPut, path, nil, map[string]any{"images": map[string]any{"x": map[string]any{"url": mxc}}}, nil)
	if err == nil {
		m.names(m.as.UserID(), mxc)
	}
	return err
}

// comeOrGo leaves a room of somebody else, or joins one.
func (m *member) comeOrGo(ctx context.Context) error {
	room := pick(m, m.c.rooms)
	switch at := slices.Index(m.in, room); {
	case slices.Contains(m.own, room):
		return nil
	case at >= 0:
		if err := m.as.Leave(ctx, room); err != nil {
			return err
		}
		m.in = slices.Delete(m.in, at, at+1)
	default:
		if err := m.as.Join(ctx, room); err != nil {
			return err
		}
		m.in = append(m.in, room)
	}
	return nil
}

func (m *member) redact(ctx context.Context) error {
	mine := slices.DeleteFunc(slices.Clone(m.events), func(e posted) bool { return m.redacted[e.id] || !slices.Contains(m.in, e.room) })
	if len(mine) == 0 {
		return nil
	}
	e := pick(m, mine)
	id, err := m.as.Redact(ctx, e.room, e.id)
	if err != nil {
		return err
	}
	m.redacted[e.id] = true
	m.events = append(m.events, posted{e.room, id})
	return nil
}

// target is what somebody has said in a room that we are in.
func (m *member) target() (posted, bool) {
	m.c.mu.Lock()
	defer m.c.mu.Unlock()
	for range 20 {
		if len(m.c.shared) == 0 {
			break
		}
		if e := m.c.shared[m.random.IntN(len(m.c.shared))]; slices.Contains(m.in, e.room) {
			return e, true
		}
	}
	return posted{}, false
}

func annotation(id string, n int) map[string]any {
	return map[string]any{"m.relates_to": map[string]any{"rel_type": "m.annotation", "event_id": id, "key": fmt.Sprint("+", n)}}
}

func (m *member) react(ctx context.Context) error {
	e, ok := m.target()
	if !ok {
		return nil
	}
	id, err := m.as.SendContent(ctx, e.room, "m.reaction", annotation(e.id, len(m.events)))
	if err == nil {
		m.events = append(m.events, posted{e.room, id})
	}
	return err
}

// reactOld reacts to a message that may be purged at that moment: Synapse refuses what relates to an event that it does not have.
func (m *member) reactOld(ctx context.Context) error {
	room := pick(m, m.in)
	if len(m.c.old[room]) == 0 {
		return nil
	}
	id, err := m.as.SendContent(ctx, room, "m.reaction", annotation(pick(m, m.c.old[room]), len(m.events)))
	if err == nil {
		m.events = append(m.events, posted{room, id})
	}
	return but(err, http.StatusBadRequest, http.StatusNotFound)
}

func (m *member) report(ctx context.Context) error {
	e, ok := m.target()
	if !ok {
		return nil
	}
	return m.as.Report(ctx, e.room, e.id, "spam")
}

// reportOld reports a message that may be gone.
func (m *member) reportOld(ctx context.Context) error {
	room := pick(m, m.in)
	if len(m.c.old[room]) == 0 {
		return nil
	}
	id := pick(m, m.c.old[room])
	err := but(m.as.Report(ctx, room, id, "spam"), http.StatusNotFound)
	// Who asks for an event in the moment in which it is purged is answered so: its state group is looked for and is gone
	// (storage/databases/main/state.py:408, 1.98.0).
	if err != nil && but(err, http.StatusInternalServerError) == nil && m.c.logged("No state group for unknown or outlier event "+id) {
		return nil
	}
	return err
}

func (m *member) newRoom(ctx context.Context) error {
	room, err := m.as.CreateRoom(ctx, sandbox.RoomOptions{Name: "New"})
	if err == nil {
		m.own, m.in = append(m.own, room), append(m.in, room)
	}
	return err
}

// download reads what is ours and new, or what is old and may be gone.
func (m *member) download(ctx context.Context) error {
	if len(m.uploads) > 0 && m.random.IntN(2) == 0 {
		return m.downloads(ctx, pick(m, m.uploads))
	}
	status, _, err := m.as.Download(ctx, m.oldPicture())
	if err == nil && status != http.StatusOK && status != http.StatusNotFound {
		err = fmt.Errorf("status %d", status)
	}
	return err
}

// downloads fails unless an upload is there, every byte of it.
func (m *member) downloads(ctx context.Context, u upload) error {
	status, data, err := m.as.Download(ctx, u.mxc)
	if err == nil && (status != http.StatusOK || !slices.Equal(data, u.data)) {
		err = fmt.Errorf("%s is not as it was uploaded: status %d, %d bytes of %d", u.mxc, status, len(data), len(u.data))
	}
	return err
}

// thumbnail reads one of what is old. 400 is that of a picture without the size that is asked for.
func (m *member) thumbnail(ctx context.Context) error {
	status, _, err := m.as.Thumbnail(ctx, m.oldPicture(), 32, 32, "crop")
	if err == nil && status != http.StatusOK && status != http.StatusNotFound && status != http.StatusBadRequest {
		err = fmt.Errorf("status %d", status)
	}
	return err
}

// but tolerates some answers.
func but(err error, statuses ...int) error {
	var api *sandbox.APIError
	if errors.As(err, &api) && slices.Contains(statuses, api.Status) {
		return nil
	}
	return err
}
