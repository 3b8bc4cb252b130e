package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/dustin/go-humanize"

	"synupkeep/config"
	"synupkeep/connect"
	"synupkeep/internal/item"
	"synupkeep/sinks"
)

// refuseIfTooLarge makes a plan, when there is a limit to compare it with, and refuses a run that would do more.
func (r *run) refuseIfTooLarge(ctx context.Context) error {
	if !r.cfg.Max.Any() {
		return nil
	}
	const doing = "making a plan first, to compare it with --max-rooms, --max-media and --max-bytes"
	r.log.Info(doing)
	r.board.Phase(doing)
	defer r.board.Forget() // what the flows did was the plan's
	ceilings, err := r.readCeilings(r.feed)
	if r.stopped() {
		return nil
	}
	if err != nil {
		return connect.Failed("read how much there is to compare a plan with", err, connect.DatabaseHint(err))
	}
	planning := *r
	planning.plan = newPlan()
	planning.tally = sinks.NewTally(r.cfg.Flows)
	planning.ceilings = ceilings
	planning.log = r.log.With(map[string]any{"plan": true})
	if err := planning.flows(ctx); err != nil {
		return fmt.Errorf("make a plan: %w", err)
	}
	if r.stopped() {
		return nil
	}
	if err := tooLarge(ceilings); err != nil {
		return err
	}
	for _, c := range ceilings {
		c.used.Store(0)
	}
	r.ceilings = ceilings
	return nil
}

// ceiling is what a run may do at most of one kind.
type ceiling struct {
	flag  string // as the user gave it
	what  string // rooms, media, bytes
	whose string // in words
	flows []item.Flow
	max   int64
	total int64 // max is a part of this; 0 where it is a number of its own
	used  atomic.Int64
}

func (c *ceiling) add(o item.Outcome) {
	switch {
	case !slices.Contains(c.flows, o.Flow), o.Finding == item.EmptyDirectories: // a directory is no media
	case o.Status != item.Done && (o.Flow == item.History || o.Rows == 0):
	case c.what == "bytes":
		c.used.Add(o.Length)
	default:
		c.used.Add(1) // also when its row is gone and not all of its files are
	}
}

func (c *ceiling) exceeded() bool { return c.used.Load() > c.max }

// String tells by how much it is exceeded.
func (c *ceiling) String() string {
	show := func(n int64) string {
		if c.what == "bytes" {
			return humanize.IBytes(uint64(n))
		}
		return humanize.Comma(n) + " " + c.what
	}
	text := c.whose + ": " + show(c.used.Load())
	if c.total > 0 {
		text += fmt.Sprintf(" of %s (%.1f%%)", show(c.total), 100*float64(c.used.Load())/float64(c.total))
	}
	does := " would be deleted, "
	if c.what == "rooms" {
		does = " would be purged, "
	}
	text += does + c.flag
	if c.total > 0 {
		text += " allows " + show(c.max)
	}
	return text
}

const tooLargeHint = "Nothing was deleted. Are the cut-offs the right ones, and does something protect less than before? " +
	"If all is as it should be, raise the limit once, or take less at a time with --limit-rooms and --limit-media."

func tooLarge(ceilings []*ceiling) error {
	var texts []string
	for _, c := range ceilings {
		if c.exceeded() {
			texts = append(texts, c.String())
		}
	}
	if len(texts) == 0 {
		return nil
	}
	return &item.RunError{
		Cause: item.CauseRefused, Doing: "compare the plan with the limits",
		Err: errors.New(strings.Join(texts, "; ")), Hint: tooLargeHint,
	}
}

// watchCeilings stops a run that does more than its plan, and more than it may: what was planned is some minutes old.
func (r *run) watchCeilings(o item.Outcome) {
	for _, c := range r.ceilings {
		c.add(o)
		if r.plan == nil && c.exceeded() {
			r.stop(&item.RunError{
				Cause: item.CauseRefused, Doing: "keep within the limits",
				Err:  errors.New("more than was planned: " + c.String()),
				Hint: "More has become old or unprotected since the plan was made. The report tells what was done.",
			})
		}
	}
}

// readCeilings turns the limits into numbers. A number is for all media together, a percentage for each flow by itself: a
// flow that would lose everything must not hide behind a larger one.
func (r *run) readCeilings(ctx context.Context) ([]*ceiling, error) {
	var media []item.Flow
	var ceilings []*ceiling
	all := map[item.Flow]totals{}
	for _, f := range r.cfg.Flows {
		if f != item.History {
			media = append(media, f)
		}
		if r.cfg.Max.Rooms.Percent+r.cfg.Max.Media.Percent+r.cfg.Max.Bytes.Percent == 0 {
			continue
		}
		t, err := r.totalsOf(ctx, f)
		if err != nil {
			return nil, err
		}
		all[f] = t
	}
	add := func(name, what string, m config.Max, flows []item.Flow, total func(totals) int64) {
		if m.Count > 0 {
			c := &ceiling{flag: fmt.Sprintf("%s %d", name, m.Count), what: what, whose: words(flows), flows: flows, max: m.Count}
			if what == "bytes" {
				c.flag += " (" + humanize.IBytes(uint64(m.Count)) + ")"
			}
			ceilings = append(ceilings, c)
		}
		for _, f := range flows {
			if m.Percent == 0 {
				break
			}
			whole := total(all[f])
			ceilings = append(ceilings, &ceiling{
				flag: fmt.Sprintf("%s %g%%", name, m.Percent), what: what, whose: words([]item.Flow{f}), flows: []item.Flow{f},
				max: int64(m.Percent*float64(whole)/100 + 1e-6), total: whole,
			})
		}
	}
	items := func(t totals) int64 { return t.items }
	if len(media) < len(r.cfg.Flows) {
		add("--max-rooms", "rooms", r.cfg.Max.Rooms, []item.Flow{item.History}, items)
	}
	add("--max-media", "media", r.cfg.Max.Media, media, items)
	add("--max-bytes", "bytes", r.cfg.Max.Bytes, media, func(t totals) int64 { return t.bytes })
	return ceilings, nil
}

func words(flows []item.Flow) string {
	var texts []string
	for _, f := range flows {
		texts = append(texts, string(f))
	}
	return strings.Join(texts, ", ")
}

// totals is how much there is of what a flow deletes.
type totals struct{ items, bytes int64 }

func (r *run) totalsOf(ctx context.Context, f item.Flow) (t totals, err error) {
	const local = `SELECT count(*), COALESCE(sum(media_length), 0)::bigint FROM local_media_repository WHERE url_cache IS `
	query := map[item.Flow]string{
		item.History:     `SELECT count(*), 0::bigint FROM rooms`,
		item.LocalMedia:  local + `NULL`,
		item.Previews:    local + `NOT NULL`,
		item.RemoteMedia: `SELECT count(*), COALESCE(sum(media_length), 0)::bigint FROM remote_media_cache`,
		// A part of all media that there is.
		item.Drift: `SELECT count(*), COALESCE(sum(media_length), 0)::bigint FROM (
			SELECT media_length FROM local_media_repository UNION ALL SELECT media_length FROM remote_media_cache) m`,
	}[f]
	err = r.db.Reader.QueryRow(ctx, query).Scan(&t.items, &t.bytes)
	return t, err
}
