package pipeline

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"synupkeep/internal/item"
	"synupkeep/sources"
)

// encryptedType is what clients name the type of an encrypted attachment.
const encryptedType = "application/octet-stream"

// noted is what is taken down of the outcomes of a plan, to warn of. The plan's mutex guards it.
type noted struct {
	bridgedBy func(users []string) (map[string]string, error)

	opaque  amount             // local media that may be an encrypted attachment
	users   map[string]amount  // local media that would go, by its user, until it is looked up whose user that is
	bridged map[string]*amount // by application service
	failed  error
}

type amount struct{ items, bytes int64 }

func (a *amount) add(b amount) { a.items, a.bytes = a.items+b.items, a.bytes+b.bytes }

func (a amount) String() string {
	return fmt.Sprintf("%s media (%s)", humanize.Comma(a.items), humanize.IBytes(uint64(max(0, a.bytes))))
}

// usersAtOnce is how many users are looked up together.
const usersAtOnce = 1000

func (r *run) newNoted(ctx context.Context) *noted {
	return &noted{
		users: map[string]amount{}, bridged: map[string]*amount{},
		bridgedBy: func(users []string) (map[string]string, error) { return r.bridgedBy(ctx, users) },
	}
}

// bridgedBy asks the database, which knows who was registered by an application service, and the registrations, which know
// the user that a service itself acts as.
func (r *run) bridgedBy(ctx context.Context, users []string) (map[string]string, error) {
	found, err := sources.BridgedBy(ctx, r.db.Reader, users)
	if err != nil {
		return nil, err
	}
	for _, user := range users {
		if as := r.cfg.BridgeOf(user, r.serverName); as != "" && found[user] == "" {
			found[user] = as
		}
	}
	return found, nil
}

func (n *noted) outcome(o item.Outcome) {
	if o.Flow != item.LocalMedia || o.Rows == 0 || o.Media == nil {
		return
	}
	one := amount{1, o.Bytes}
	if o.Media.Type == encryptedType {
		n.opaque.add(one)
	}
	one.add(n.users[o.Media.UserID])
	n.users[o.Media.UserID] = one
	if len(n.users) >= usersAtOnce {
		n.lookUp()
	}
}

// lookUp finds out which users belong to application services.
func (n *noted) lookUp() {
	users := make([]string, 0, len(n.users))
	for user := range n.users {
		users = append(users, user)
	}
	found, err := n.bridgedBy(users)
	if err != nil {
		n.failed = err
	}
	for user, as := range found {
		if n.bridged[as] == nil {
			n.bridged[as] = &amount{}
		}
		n.bridged[as].add(n.users[user])
	}
	clear(n.users)
}

// warnOfPlan says what somebody should know before a run does what the plan says. What cannot be looked up is said as well.
func (r *run) warnOfPlan(ctx context.Context) {
	if r.stopped() || ctx.Err() != nil {
		return
	}
	for _, warnings := range []func(context.Context) ([]string, error){
		r.warnOfEncrypted, r.warnOfBridged, r.warnOfHistory, r.warnOfBridges, r.warnOfServers,
	} {
		texts, err := warnings(ctx)
		r.looked.warn(texts...)
		if err != nil && !r.stopped() {
			r.looked.warn("a warning may be missing: " + err.Error())
		}
	}
}

func (r *run) warnOfEncrypted(ctx context.Context) ([]string, error) {
	if !r.has(item.LocalMedia) {
		return nil, nil
	}
	rooms, err := sources.EncryptedRooms(ctx, r.db.Reader)
	opaque := r.plan.note.opaque
	if err != nil || rooms == 0 || opaque.items == 0 {
		return nil, err
	}
	return []string{fmt.Sprintf("nobody but the members can see what is attached in an encrypted room, so that its messages protect nothing: attachments "+
		"there go by their age. Such rooms: %s; of the local media that would go, %s have the type of encrypted attachments (%s). "+
		"--keep-type %s keeps them", humanize.Comma(rooms), opaque, encryptedType, encryptedType)}, nil
}

func (r *run) warnOfBridged(context.Context) ([]string, error) {
	note := r.plan.note
	note.lookUp()
	var services []string
	var all amount
	for as, a := range note.bridged {
		services = append(services, as)
		all.add(*a)
	}
	if len(services) == 0 {
		return nil, note.failed
	}
	slices.SortFunc(services, func(a, b string) int {
		return int(note.bridged[b].items - note.bridged[a].items)
	})
	return []string{fmt.Sprintf("of the local media that would go, %s were uploaded by users of application services (%s). Bridges remember "+
		"what they uploaded and send the same id again, which would then show nothing. --keep-user keeps the media of users, --keep-user bridges of all of them",
		all, some(services))}, note.failed
}

func (r *run) warnOfHistory(context.Context) (texts []string, _ error) {
	if !r.has(item.History) {
		return nil, nil
	}
	for _, f := range r.tally.Summary().Flows {
		if f.Flow != item.History {
			continue
		}
		if n := f.Kept[item.NotSelected]; n > 0 {
			texts = append(texts, fmt.Sprintf("rooms whose history stays because of --not-room: %s", humanize.Comma(n)))
		}
		if f.Pinned > 0 {
			texts = append(texts, fmt.Sprintf("messages that are pinned in their room and would go with the history around them: %s. "+
				"--keep-pinned keeps the history of these rooms from the oldest of them on", humanize.Comma(f.Pinned)))
		}
	}
	if n := len(r.onlyRooms); n > 0 {
		texts = append(texts, fmt.Sprintf("--room names %s: the history of all others stays and is not looked at", several(int64(n), "room")))
	}
	return texts, nil
}

func (r *run) warnOfBridges(ctx context.Context) (texts []string, _ error) {
	if !r.has(item.History) {
		return nil, nil
	}
	bridges, err := sources.WaitingBridges(ctx, r.db.Reader, r.plan.goes)
	for _, b := range bridges {
		texts = append(texts, fmt.Sprintf("application service %s has not taken what Synapse sent it: %s of %s that wait for it "+
			"would be gone before it has them. Is it running?", b.Who, several(b.Events, "message"), several(b.Rooms, "room")))
	}
	return texts, err
}

func (r *run) warnOfServers(ctx context.Context) ([]string, error) {
	if !r.has(item.History) {
		return nil, nil
	}
	servers, err := sources.ServersBehind(ctx, r.db.Reader, r.cutOffs[item.History], r.plan.purges)
	if err != nil || len(servers) == 0 {
		return nil, err
	}
	var names []string
	for _, s := range servers {
		names = append(names, s.Who)
	}
	return []string{fmt.Sprintf("servers that have not been reachable since before the cut-off, and are in rooms that would be purged: %d (%s; the last of "+
		"them since %s). Should they come back, they could not fetch what was said before the cut-off while they were away",
		len(servers), some(names), servers[0].Since.Format(time.RFC3339))}, nil
}

func several(n int64, what string) string {
	if n != 1 {
		what += "s"
	}
	return humanize.Comma(n) + " " + what
}

// some names the first of many.
func some(names []string) string {
	const few = 3
	if len(names) <= few {
		return strings.Join(names, ", ")
	}
	return strings.Join(names[:few], ", ") + fmt.Sprintf(" and %d more", len(names)-few)
}
