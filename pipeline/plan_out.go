package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"time"

	"synupkeep/connect"
	"synupkeep/internal/item"
	"synupkeep/internal/planfile"
	"synupkeep/internal/references"
	"synupkeep/sinks"
	"synupkeep/sources"
)

// planOut is the file that a plan is written to.
type planOut struct {
	path  string
	file  *sinks.File
	items *planfile.Writer
	state references.Head
}

// createPlanOut makes sure that the plan can be written, before it is made. It is of mode 0600: it names rooms and media.
func (r *run) createPlanOut() error {
	if r.plan == nil || r.cfg.Out == "" {
		return nil
	}
	file, err := sinks.CreateFile(r.cfg.Out, sinks.FileKind{
		What: "the plan", Flag: "out", Mode: 0o600, Missing: "nothing was deleted, and there is no new plan to carry out",
	})
	if err != nil {
		return err
	}
	out := &planOut{path: r.cfg.Out, file: file}
	r.files.plan = out
	if out.items, err = planfile.NewWriter(filepath.Dir(out.path)); err != nil {
		return connect.Failed("create the plan "+out.path, err, "See to the disk, or name another file with --out.")
	}
	r.plan.each = out.add
	return nil
}

// beginPlanOut notes which database the plan is of, before anything of it is read.
func (r *run) beginPlanOut(ctx context.Context) (err error) {
	if r.files.plan == nil {
		return nil
	}
	r.files.plan.state, err = r.state().Read(ctx)
	if err != nil {
		return connect.Failed("read which database the plan is of", err, connect.DatabaseHint(err))
	}
	return nil
}

func (r *run) state() sources.State {
	return sources.State{DB: r.db.Reader, ServerName: r.serverName, Retry: r.retry}
}

// add adds what would be done. What an earlier run began is finished by any run, and is in no plan.
func (p *planOut) add(o item.Outcome) error {
	if o.Status != item.Done || o.Finished {
		return nil
	}
	err := p.addItem(o)
	if err != nil {
		err = connect.Failed("write the plan "+p.path, err, "Is there space on that disk? Nothing was deleted.")
	}
	return err
}

func (p *planOut) addItem(o item.Outcome) error {
	if o.Flow != item.History {
		return p.items.AddMedia(o.Flow, planfile.Media{Key: o.Key, Bytes: o.Bytes})
	}
	room := planfile.Room{ID: o.Key, HeldBy: o.Reason, Messages: o.Rows, UnderWay: o.Cut == nil}
	if o.Cut != nil {
		room.Depth, room.EventID = o.Cut.Depth, o.Cut.EventID
	}
	return p.items.AddRoom(room)
}

// tellPlan writes the plan, if it is whole: half a plan would look like a small one.
func (r *run) tellPlan(s *sinks.Summary) {
	out := r.files.plan
	if out == nil {
		return
	}
	err := r.writePlan(out, s)
	if out.items != nil {
		err = errors.Join(err, out.items.Close())
	}
	if err != nil {
		s.AddError(err)
		r.log.WithError(err).Error("the plan could not be written")
	}
}

func (r *run) writePlan(out *planOut, s *sinks.Summary) error {
	if !whole(*s) {
		s.Warnings = append(s.Warnings, fmt.Sprintf("%s was not written, because the plan is not whole or would be refused. "+
			"If there is a plan of that name, it is an older one", out.path))
		return out.file.Abandon()
	}
	head := planfile.Head{
		MadeAt: r.now, MadeBy: Version(), Settings: r.cfg.Deciding(), CutOffs: r.cutOffs,
		Server: planfile.Server{
			Name: r.serverName, Database: out.state.Database, Transaction: out.state.Transaction, Position: out.state.High,
		},
	}
	for _, a := range out.state.Anchors {
		head.Server.NewestEvents = append(head.Server.NewestEvents, planfile.Event{Stream: a.Stream, ID: a.EventID})
	}
	if err := out.file.Write(func(w io.Writer) error { return out.items.Write(w, head, r.cfg.Flows) }); err != nil {
		return err
	}
	r.log.WithField("fingerprint", head.Settings.Fingerprint()).Infof("the plan is in %s: run --plan carries it out, with the same flags, within %d days",
		out.path, mostPlanAge/(24*time.Hour))
	return nil
}

// whole says whether all that a run would do was counted: items that could not be deleted, and a limit, are a part of that.
func whole(s sinks.Summary) bool {
	return len(s.Errors) == 0 && !slices.ContainsFunc(s.Causes, func(c item.Cause) bool {
		return c != item.CauseItems && c != item.CauseLeft
	})
}
