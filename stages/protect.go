package stages

import (
	"path"
	"strings"

	"synupkeep/internal/item"
)

// Protect decides which media stay.
type Protect struct {
	// Shown holds the local media that is still shown; nil where nothing is shown by its media id.
	Shown *Shown
	// LetEventsGo gives up what nothing but a kept event shows.
	LetEventsGo bool
	// Users, IDs and Types are what the admin wants to keep. They may be nil.
	Users, IDs, Types *Globs
	// Bridged says of a user whose media the admin wants to keep as that of bridges; nil if they do not.
	Bridged func(userID string) bool
	// Planned is the media of the plan that is carried out; nil without one.
	Planned *PlannedMedia
	Budget  *Budget
	Flow    Stopper
}

// Do gives the outcome of media that is not to be deleted now; ok says that it may go. It notes in the media that a kept
// event shows it.
func (p *Protect) Do(m *item.Media) (out item.Outcome, ok bool) {
	keep := func(reason item.Reason) (item.Outcome, bool) {
		return ofMedia(*m, item.Kept, reason), false
	}
	why := p.shownBy(m.ID)
	planned := p.Planned.see(*m)
	switch {
	case m.Keep != "":
		return keep(m.Keep)
	case why != "" && (why != item.Event || !p.LetEventsGo):
		return keep(why)
	case p.Users.Match(m.UserID), p.Bridged != nil && p.Bridged(m.UserID), p.IDs.Match(m.ID), p.IDs.Match(m.Key()), p.Types.Match(m.Type):
		return keep(item.Admin)
	case !planned:
		return keep(item.NotPlanned)
	case p.Flow.Stopping():
		return leftMedia(*m, item.Stopped), false
	case p.Budget.Spent():
		return leftMedia(*m, item.Limit), false
	}
	m.ShownByEvent = why == item.Event
	return out, true
}

func (p *Protect) shownBy(mediaID string) item.Reason {
	if p.Shown == nil {
		return ""
	}
	why, _ := p.Shown.Why(mediaID)
	return why
}

// Globs are patterns as of path.Match, but in which * and ? also stand for a slash.
type Globs struct{ patterns []string }

// NewGlobs takes patterns that path.Match accepts.
func NewGlobs(patterns []string) *Globs {
	g := &Globs{}
	for _, pattern := range patterns {
		g.patterns = append(g.patterns, unslash(pattern))
	}
	return g
}

// unslash makes the slash an ordinary character for path.Match. User ids may hold one.
func unslash(text string) string { return strings.ReplaceAll(text, "/", "\x00") }

// Match says whether any of the patterns matches the whole of text. None matches nothing; what is no pattern matches
// everything, since what the admin meant to keep must not go.
func (g *Globs) Match(text string) bool {
	if g == nil {
		return false
	}
	for _, pattern := range g.patterns {
		if ok, err := path.Match(pattern, unslash(text)); ok || err != nil {
			return true
		}
	}
	return false
}
