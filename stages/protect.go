package stages

import (
	"regexp"
	"strings"

	"synupkeep/internal/item"
)

// Protect decides which media stay.
type Protect struct {
	// Shown holds the local media that is still shown; nil where nothing is shown by its media id.
	Shown *Shown
	// Users, IDs and Types are what the admin wants to keep. They may be nil.
	Users, IDs, Types *Globs
	Budget            *Budget
	Flow              Stopper
}

// Do gives the outcome of media that is not to be deleted now; ok says that it may go.
func (p *Protect) Do(m item.Media) (out item.Outcome, ok bool) {
	keep := func(reason item.Reason) (item.Outcome, bool) {
		return item.Outcome{Flow: m.Flow, Key: m.Key(), Status: item.Kept, Reason: reason}, false
	}
	switch {
	case m.Keep != "":
		return keep(m.Keep)
	case p.Shown != nil && p.Shown.Has(m.ID):
		return keep(item.Avatar)
	case p.Users.Match(m.UserID), p.IDs.Match(m.ID), p.IDs.Match(m.Key()), p.Types.Match(m.Type):
		return keep(item.Admin)
	case p.Flow.Stopping():
		return left(m.Flow, m.Key(), item.Stopped), false
	case p.Budget.Spent():
		return left(m.Flow, m.Key(), item.Limit), false
	}
	return out, true
}

// Globs are patterns in which * stands for anything and ? for one character.
type Globs struct{ all []*regexp.Regexp }

// NewGlobs compiles patterns.
func NewGlobs(patterns []string) *Globs {
	g := &Globs{}
	for _, pattern := range patterns {
		quoted := regexp.QuoteMeta(pattern)
		quoted = strings.ReplaceAll(strings.ReplaceAll(quoted, `\*`, `.*`), `\?`, `.`)
		g.all = append(g.all, regexp.MustCompile(`(?s)\A`+quoted+`\z`))
	}
	return g
}

// Match says whether any of the patterns matches the whole of text. None matches nothing.
func (g *Globs) Match(text string) bool {
	if g == nil {
		return false
	}
	for _, re := range g.all {
		if re.MatchString(text) {
			return true
		}
	}
	return false
}
