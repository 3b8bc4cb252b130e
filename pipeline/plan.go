package pipeline

import (
	"context"
	"hash/maphash"
	"io"
	"math"
	"slices"
	"sync"

	"synupkeep/config"
	"synupkeep/internal/flow"
	"synupkeep/internal/item"
	"synupkeep/internal/logging"
	"synupkeep/internal/mediastore"
	"synupkeep/stages"
)

// plan is what the flows would do. It is made by the flows themselves, with counting stages in the place of those that
// act: a plan and a run cannot disagree about what is old, held or shown.
type plan struct {
	mu   sync.Mutex
	cuts map[string]int64 // of the rooms that would be purged, by their ids
	// drifted are hashes of the keys of the rows that drift would delete: in a run the flows after it do not find them any more.
	drifted map[uint64]struct{}
	seed    maphash.Seed
	// finished are files of which the journal of an earlier run has that they are to go.
	finished map[string]bool

	// only says that no run follows it: nothing at all is written.
	only bool
	// measure looks at the files. Without it media is counted as the database has it.
	measure func(*flow.Pipeline) *stages.Measure
	// note takes down what warnings are made of. It may be nil.
	note *noted
	// each is given every outcome of the plan, one at a time, with its Cut or Media. It may be nil.
	each func(item.Outcome) error
}

func newPlan() *plan {
	return &plan{cuts: map[string]int64{}, drifted: map[uint64]struct{}{}, finished: map[string]bool{}, seed: maphash.MakeSeed()}
}

// driftTakes notes that drift would delete the row of this media.
func (p *plan) driftTakes(key string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drifted[maphash.String(p.seed, key)] = struct{}{}
}

// finishes notes files that a run deletes before drift comes to them, because an earlier one had deleted their row.
func (p *plan) finishes(o item.Outcome) {
	if o.Media == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.finished[fileKey(o.Flow, o.Media.Origin, o.Media.FileID)] = true
}

func fileKey(f item.Flow, origin, fileID string) string {
	if f != item.RemoteMedia {
		origin = ""
	}
	return string(f) + " " + origin + " " + fileID
}

// unfinished leaves out the files that finishes was told of.
func (p *plan) unfinished(suspects []item.Suspect) []item.Suspect {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.finished) == 0 {
		return suspects
	}
	return slices.DeleteFunc(suspects, func(s item.Suspect) bool {
		if s.Flow == item.Previews && s.ID == "" {
			return slices.ContainsFunc(mediastore.PreviewIDs(s.FileID), func(id string) bool { return p.finished[fileKey(s.Flow, "", id)] })
		}
		return p.finished[fileKey(s.Flow, s.Origin, s.FileID)]
	})
}

// leaves says whether drift would leave the row of media to the flows after it.
func (p *plan) leaves(m item.Media) bool {
	if p == nil {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.drifted) == 0 {
		return true
	}
	_, taken := p.drifted[maphash.String(p.seed, m.Key())]
	return !taken
}

// Plan makes the plan of a run and shows it as Run shows what it did. It has nothing to delete with: its database sessions
// are read-only, its client of the admin API refuses what is no GET, and no stage that acts is ever made.
//
// It takes no lock and writes nothing but the files that were asked for.
func Plan(ctx, feed context.Context, cfg *config.Config, log *logging.Logger, stdout io.Writer) []item.Cause {
	return newPlanning(cfg, log).all(ctx, feed, stdout)
}

func newPlanning(cfg *config.Config, log *logging.Logger) *run {
	r := newRun(cfg, log.With(map[string]any{"plan": true}))
	r.plan, r.tally.Plan = newPlan(), true
	r.plan.only = true
	return r
}

// goes says whether a planned purge takes an event away.
func (p *plan) goes(roomID string, depth int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	cut, ok := p.cuts[roomID]
	return ok && depth < cut
}

func (p *plan) add(cut item.Cut) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cuts[cut.RoomID] = cut.Depth
	if cut.Pending != "" { // how far that purge goes is not known, and there may be another one after it
		p.cuts[cut.RoomID] = math.MaxInt64
	}
}

// outcome is where every outcome of a plan passes.
func (p *plan) outcome(o item.Outcome) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.note != nil {
		p.note.outcome(o)
	}
	if p.each == nil {
		return nil
	}
	return p.each(o)
}

// purges says whether a room would be purged.
func (p *plan) purges(roomID string) bool { return p.goes(roomID, math.MinInt64) }

// cutCounter counts purges.
func (p *plan) cutCounter(f *flow.Pipeline) func(context.Context, item.Cut) (item.Outcome, error) {
	count := stages.Count{Flow: f}
	return func(ctx context.Context, cut item.Cut) (item.Outcome, error) {
		out, err := count.Cut(ctx, cut)
		if out.Status == item.Done {
			p.add(cut)
		}
		return out, err
	}
}

// mediaCounter counts media, and measures its files where the plan is to.
func (p *plan) mediaCounter(f *flow.Pipeline) func(context.Context, item.Media) (item.Outcome, error) {
	if p.measure != nil {
		return p.measure(f).Do
	}
	count := stages.Count{Flow: f}
	return count.Media
}
