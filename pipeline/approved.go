package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"time"

	"synupkeep/config"
	"synupkeep/connect"
	"synupkeep/internal/item"
	"synupkeep/internal/planfile"
	"synupkeep/internal/references"
	"synupkeep/sources"
	"synupkeep/stages"
)

// mostPlanAge is how old a plan may be that is carried out. Each item is looked at again, so an older one does no harm; but
// whoever agreed to it agreed to what was so then.
const mostPlanAge = 7 * 24 * time.Hour

// approved is the plan that a run carries out. It can only take away: a run with the same configuration would do by itself
// whatever a run does with it. A nil one is no plan, and takes nothing away.
type approved struct {
	*planfile.Plan
	path string

	mu    sync.Mutex
	rooms *stages.PlannedRooms
	media map[item.Flow]*stages.PlannedMedia
}

const (
	makeAnew = "Make a new plan: synupkeep plan --out "
	noEdit   = "A plan is not edited: to leave something out make it anew, with --not-room, --keep-media, --keep-user or --keep-type. " +
		"If nobody edited it, did something change its line ends on the way (git: core.autocrlf)?"
)

// readPlan reads the plan that is to be carried out, and compares the configurations.
func (r *run) readPlan(ctx context.Context) error {
	path := r.cfg.Plan
	if path == "" || r.plan != nil {
		return nil
	}
	p, err := planfile.Open(ctx, path)
	if err != nil {
		return notRead(path, err)
	}
	r.approved = &approved{Plan: p, path: path, media: map[item.Flow]*stages.PlannedMedia{}}
	if texts := differences(p.Settings, r.cfg.Deciding()); len(texts) > 0 {
		return &item.RunError{
			Cause: item.CauseRefused, Doing: "compare this configuration with that of the plan " + path, Err: errors.New(strings.Join(texts, "; ")),
			Hint: "Nothing was deleted. Give run the flags and variables that plan had, or make a new plan with these: synupkeep plan --out " + path,
		}
	}
	return nil
}

func notRead(path string, err error) error {
	run := &item.RunError{Cause: item.CauseRefused, Doing: "read the plan " + path, Err: err, Hint: makeAnew + path}
	switch {
	case errors.Is(err, planfile.ErrNotAPlan):
		run.Hint = "Give the file that synupkeep plan --out wrote."
	case errors.Is(err, planfile.ErrDamaged):
		run.Hint = noEdit
	case errors.Is(err, fs.ErrNotExist):
		run.Cause, run.Hint = item.CauseUsage, "Give the file that synupkeep plan --out wrote: --plan FILE."
	case errors.Is(err, fs.ErrPermission):
		run.Cause, run.Hint = item.CauseUsage, "The plan is of mode 0600: let the user that runs synupkeep read it."
	}
	run.Hint = "Nothing was deleted. " + run.Hint
	return run
}

// differences says which settings are not those of the plan. An age that is another one for all flows is said once, and of a
// flow that only one of the two has, its age says nothing.
func differences(was planfile.Settings, now map[string][]string) (texts []string) {
	say := func(name string, was, now []string) string {
		return fmt.Sprintf("%s was %s, is %s", name, config.SayDeciding(was), config.SayDeciding(now))
	}
	var ages []string
	same := true
	for _, d := range was.Differences(now) {
		switch {
		case d.Flag == config.FlowsSetting:
			texts = append(texts, say("the choice of flows (--only, --skip)", d.Was, d.Now))
		case !strings.HasSuffix(d.Flag, "-delta"):
			texts = append(texts, say("--"+d.Flag, d.Was, d.Now))
		case len(d.Was) > 0 && len(d.Now) > 0:
			ages = append(ages, say("--"+d.Flag, d.Was, d.Now))
			same = same && strings.HasSuffix(ages[0], say("", d.Was, d.Now))
		}
	}
	if len(ages) > 1 && len(ages) == len(was[config.FlowsSetting]) && same {
		_, was, _ := strings.Cut(ages[0], " ")
		ages = []string{"--delta " + was}
	}
	return append(ages, texts...)
}

// begin is the time from which ages are counted: now, or when the plan was made that is carried out.
func (r *run) begin() (time.Time, error) {
	p := r.approved
	if p == nil {
		return r.now, nil
	}
	refuse := func(err error, hint string) (time.Time, error) {
		return r.now, &item.RunError{
			Cause: item.CauseRefused, Doing: "compare the plan " + p.path + " with the database's clock", Err: err, Hint: "Nothing was deleted. " + hint,
		}
	}
	made, now := p.MadeAt.Format(time.RFC3339), r.now.UTC().Format(time.RFC3339)
	switch age := r.now.Sub(p.MadeAt); {
	case age < 0:
		return refuse(fmt.Errorf("it was made at %s, and it is %s now", made, now),
			"Is this another database than that of the plan, or was its clock put back? "+makeAnew+p.path)
	case age > mostPlanAge:
		return refuse(fmt.Errorf("it was made at %s, %d days ago, and a plan is good for %d days", made, age/(24*time.Hour), mostPlanAge/(24*time.Hour)),
			makeAnew+p.path)
	}
	for _, f := range r.cfg.Flows {
		if cutOff := r.cfg.Ages[f].CutOff(p.MadeAt); !cutOff.Equal(p.CutOffs[f]) {
			return refuse(fmt.Errorf("the cut-off of %s is %s, and by its settings it is %s", f, p.CutOffs[f].Format(time.RFC3339Nano),
				cutOff.UTC().Format(time.RFC3339Nano)), makeAnew+p.path)
		}
	}
	return p.MadeAt, nil
}

// checkPlan refuses the plan of another server, of another database, and of this one before it was put back to an earlier
// state.
func (r *run) checkPlan(ctx context.Context) error {
	p := r.approved
	if p == nil {
		return nil
	}
	doing := "compare the plan " + p.path + " with the server"
	if p.Server.Name != r.serverName {
		return &item.RunError{
			Cause: item.CauseRefused, Doing: doing, Err: fmt.Errorf("it is of %s, and this is %s", p.Server.Name, r.serverName),
			Hint: "Nothing was deleted. Is it the right plan, and are --api-url and the connection string the right ones?",
		}
	}
	was := references.Head{Database: p.Server.Database, Transaction: p.Server.Transaction, High: p.Server.Position}
	for _, e := range p.Server.NewestEvents {
		was.Anchors = append(was.Anchors, references.Anchor{Stream: e.Stream, EventID: e.ID})
	}
	err := r.state().GoesOn(ctx, was)
	var other *sources.StateError
	switch {
	case errors.As(err, &other):
		return &item.RunError{
			Cause: item.CauseRefused, Doing: doing,
			Err:  fmt.Errorf("the plan was made of another database, or of this one before it was restored, upgraded or replaced by its standby: %w", err),
			Hint: "Nothing was deleted. " + makeAnew + p.path + " (as the same database role).",
		}
	case err != nil:
		return connect.Failed(doing, err, connect.DatabaseHint(err))
	}
	var media int64
	for _, f := range item.AllFlows()[1:] {
		media += p.Totals[f].Items
	}
	r.log.WithField("plan", p.path).Infof("carrying out the plan of %s (%d rooms, %d media) and nothing beyond it",
		p.MadeAt.Format(time.RFC3339), p.Totals[item.History].Items, media)
	return nil
}

// begins makes what the stages of a flow are given.
func (p *approved) begins(f item.Flow) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if f == item.History {
		p.rooms = stages.NewPlannedRooms(p.Rooms())
		return
	}
	p.media[f] = stages.NewPlannedMedia(p.Media(f))
}

func (p *approved) roomsOf() *stages.PlannedRooms {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rooms
}

func (p *approved) mediaOf(f item.Flow) *stages.PlannedMedia {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.media[f]
}

// missing says how many of the plan a flow that has ended did not find any more, or "".
func (p *approved) missing(f item.Flow) string {
	if p == nil {
		return ""
	}
	var n int
	what, why := "media", "its row is gone"
	switch f {
	case item.History:
		n, what, why = p.roomsOf().Unseen(), "rooms", "they are gone from the server"
	case item.RemoteMedia:
		n, why = p.mediaOf(f).Unseen(), "its row is gone, or somebody has looked at it since"
	case item.LocalMedia, item.Previews:
		n = p.mediaOf(f).Unseen()
	case item.Drift:
		n = p.mediaOf(f).Unseen()
		what, why = "findings", "what they were about has been put right, or is gone"
	}
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%s: of the plan %d %s could not be found any more: %s", f, n, what, why)
}

// ended says what of the plan was not there any more, after a flow that has looked at everything.
func (r *run) ended(f item.Flow) {
	if r.plan != nil || r.stopped() {
		return
	}
	if text := r.approved.missing(f); text != "" {
		r.log.Warn(text)
		r.looked.warn(text)
	}
}
