package stages

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"synupkeep/internal/item"
	"synupkeep/internal/mediastore"
	"synupkeep/internal/postgres"
	"synupkeep/internal/retry"
)

// DriftStore is what Drift does with a media store. A plan uses none of what removes.
type DriftStore interface {
	Remover
	Inspector
	Inspect(ctx context.Context, kind mediastore.Kind, origin, fileID string) (mediastore.Contents, error)
	InspectEmpty(path string) (modified time.Time, empty bool, err error)
	RemoveEmpty(ctx context.Context, path string, before time.Time) (removed bool, err error)
}

// Drift looks again at what a comparison of files and rows came upon, and deletes what it is told to. Neither files nor rows
// stand still: a suspect that is none any more has no outcome.
type Drift struct {
	DB         postgres.Querier
	Writer     Transactor // nil in a plan: then nothing is deleted
	Store      DriftStore
	ServerName string
	// Delete says which findings are deleted; all others are told of.
	Delete map[item.Reason]bool
	// What was last written to or, of rows, made at Before or later is taken to be under way. Uploads and Previews are the
	// same for uploads that nobody finished, and for previews.
	Before, Uploads, Previews time.Time
	// Planned is what the plan holds that is carried out; nil without one.
	Planned *PlannedMedia
	Budget  *Budget
	Flow    Stopper
	// Retry is for the database, FileRetry for the disk.
	Retry, FileRetry retry.Policy
	// Held is asked whether the run's lock is still held; its error stops the flow.
	Held func(context.Context) error
	// Doubt is asked before the first rows are deleted, and now and then after, whether it is still the server's store; its
	// error stops the flow.
	Doubt func() error
	// Note is told the key of each row that is deleted, or would be. It may be nil.
	Note func(key string)

	mu      sync.Mutex
	checked time.Time // when Held was last asked
	rows    int       // that were deleted since Doubt was asked
}

const (
	// heldFor is how long an answer of Held is good for: a look-up for each of a million files would double their time.
	heldFor = time.Second
	// knownFor is how long it is good for that no row names a file.
	knownFor = 2 * time.Second
	// doubtEvery is after how many rows Doubt is asked again.
	doubtEvery = 200
)

// Do gives the outcomes of those suspects that are findings, in their order.
func (d *Drift) Do(ctx context.Context, suspects []item.Suspect, emit func(item.Outcome) error) error {
	var known map[string]bool // of the files, by their paths
	var asked time.Time
	for i, s := range suspects {
		if d.stopping(ctx) {
			return nil // nobody has looked whether the others are findings
		}
		began := time.Now()
		if s.Path == "" && s.ID == "" && (known == nil || time.Since(asked) > knownFor) {
			asked = time.Now()
			var err error
			if known, err = d.known(ctx, suspects[i:]); err != nil {
				return d.unanswered(ctx, suspects[i:], err, emit)
			}
		}
		out, found := d.one(ctx, s, known)
		if !found {
			continue
		}
		out.Took = time.Since(began)
		if err := emit(out); err != nil {
			return err
		}
	}
	return nil
}

func (d *Drift) stopping(ctx context.Context) bool { return ctx.Err() != nil || d.Flow.Stopping() }

func (d *Drift) one(ctx context.Context, s item.Suspect, known map[string]bool) (out item.Outcome, found bool) {
	switch {
	case s.Err != nil:
		return failedDrift(s, "", s.Err), true
	case s.Odd != nil:
		return keptDrift(s, item.NotSynapses), true
	case s.Path != "":
		return d.directory(ctx, s)
	case s.ID == "":
		return d.files(ctx, s, known)
	}
	return d.row(ctx, s)
}

// ofDrift is a finding, and what became of it. Its key is that of its row, or its path.
func ofDrift(s item.Suspect, finding item.Reason, status item.Status, why item.Reason) item.Outcome {
	out := item.Outcome{Flow: item.Drift, Finding: finding, Status: status, Reason: why, Key: s.Path}
	if s.Path == "" && s.ID != "" {
		out.Key = item.Media{Origin: s.Origin, ID: s.ID}.Key()
	}
	return out
}

func keptDrift(s item.Suspect, finding item.Reason) item.Outcome {
	return ofDrift(s, finding, item.Kept, finding)
}

func failedDrift(s item.Suspect, finding item.Reason, err error) item.Outcome {
	out := ofDrift(s, finding, item.Failed, "")
	out.Err = err
	return out
}

// may says whether a finding is to be deleted, and takes it of the budget; else out is its outcome. found is false when the
// flow has been stopped.
func (d *Drift) may(ctx context.Context, out item.Outcome) (_ item.Outcome, ok, found bool) {
	keep := func(status item.Status, why item.Reason) (item.Outcome, bool, bool) {
		out.Status, out.Reason, out.Rows, out.Files = status, why, 0, 0
		out.Length, out.Bytes = out.Bytes, 0
		return out, false, true
	}
	switch {
	case !d.Delete[out.Finding]:
		return keep(item.Kept, out.Finding)
	case !d.Planned.seeKey(out.Key):
		return keep(item.Kept, item.NotPlanned)
	case out.Finding != item.EmptyDirectories && !d.Budget.Take():
		return keep(item.Left, item.Limit)
	}
	out.Status, out.Length = item.Done, out.Bytes
	if d.Writer == nil {
		return out, false, true
	}
	if d.begin(ctx) != nil {
		d.giveBack(out)
		return out, false, false
	}
	return out, true, true
}

func (d *Drift) giveBack(out item.Outcome) {
	if out.Finding != item.EmptyDirectories {
		d.Budget.GiveBack(1)
	}
}

// begin says whether something that deletes may begin.
func (d *Drift) begin(ctx context.Context) error {
	if d.stopping(ctx) {
		return errStopping
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if time.Since(d.checked) < heldFor {
		return nil
	}
	if err := mayBegin(ctx, d.Flow, d.Held); err != nil {
		return err
	}
	d.checked = time.Now()
	return nil
}

// directory looks at an empty directory.
func (d *Drift) directory(ctx context.Context, s item.Suspect) (out item.Outcome, found bool) {
	modified, empty, err := d.Store.InspectEmpty(s.Path)
	switch {
	case err != nil:
		return d.unseen(s, err)
	case !modified.IsZero() && (!empty || !modified.Before(d.Before)), !s.Modified.Before(d.Before):
		return out, false
	}
	out, ok, found := d.may(ctx, ofDrift(s, item.EmptyDirectories, "", ""))
	if !ok {
		return out, found
	}
	// One that was old and empty and is gone went with what one of us deleted beside it.
	removed, err := d.Store.RemoveEmpty(ctx, s.Path, d.Before)
	if err != nil {
		return failedDrift(s, item.EmptyDirectories, err), ctx.Err() == nil
	}
	if !removed {
		modified, _, err = d.Store.InspectEmpty(s.Path)
		removed = err == nil && modified.IsZero()
	}
	return out, removed
}

// files looks at files without a row.
func (d *Drift) files(ctx context.Context, s item.Suspect, known map[string]bool) (out item.Outcome, found bool) {
	loc, err := mediastore.Locate(kindOf(s.Flow), s.Origin, s.FileID)
	if err != nil || known[loc.Content()] {
		return out, false
	}
	seen, err := d.inspect(ctx, s)
	finding := item.FilesWithoutRow
	if s.Path = loc.Content(); err == nil && !seen.Content {
		s.Path, finding = loc.Thumbnails(), item.ThumbnailsWithoutRow
	}
	switch {
	case err != nil:
		return d.unseen(s, err)
	case seen.Files == 0, !seen.Newest.Before(d.Before):
		return out, false
	}
	if err := d.deletable(s, finding); err != nil {
		return failedDrift(s, finding, err), true
	}
	out = ofDrift(s, finding, "", "")
	out.Files, out.Bytes = seen.Files, seen.Bytes
	out, ok, found := d.may(ctx, out)
	if ok {
		out = d.remove(ctx, s, out)
	}
	return out, found
}

// deletable says why the files of a finding could not be deleted, should they be.
func (d *Drift) deletable(s item.Suspect, finding item.Reason) error {
	if !d.Delete[finding] {
		return nil
	}
	_, err := CheckStored(d.Store, mediaOfSuspect(s))
	return err
}

// remove deletes the files of a finding.
func (d *Drift) remove(ctx context.Context, s item.Suspect, out item.Outcome) item.Outcome {
	removed, tries, err := removeFiles(ctx, d.Store, d.FileRetry, d.Flow.Stopping, mediaOfSuspect(s))
	out.Files, out.Bytes, out.Tries = removed.Files, removed.Bytes, tries
	switch {
	case err != nil && ctx.Err() != nil:
		out.Status, out.Reason = item.Left, item.FilesLeft
	case err != nil && out.Rows > 0:
		out.Status, out.Err = item.Failed, fmt.Errorf("its row is deleted, its files are not all: %w", err)
	case err != nil:
		out.Status, out.Err = item.Failed, err
	}
	return out
}

func mediaOfSuspect(s item.Suspect) item.Media {
	return item.Media{Flow: s.Flow, Origin: s.Origin, ID: s.ID, FileID: s.FileID}
}

// inspect looks at the files, as often as it takes: a disk that does not answer must not pass for one without them.
func (d *Drift) inspect(ctx context.Context, s item.Suspect) (seen mediastore.Contents, err error) {
	_, err = d.FileRetry.Do(ctx, func() error {
		seen, err = d.Store.Inspect(ctx, kindOf(s.Flow), s.Origin, s.FileID)
		return err
	}, func(err error) (bool, time.Duration) { return mediastore.IsTransient(err) && !d.Flow.Stopping(), 0 })
	return seen, err
}

// unseen is the outcome of what could not be looked at: what is not as Synapse makes it is left alone.
func (d *Drift) unseen(s item.Suspect, err error) (out item.Outcome, found bool) {
	odd := errors.Is(err, mediastore.ErrInvalidID) || errors.Is(err, mediastore.ErrSymlink) ||
		errors.Is(err, mediastore.ErrNotDirectory) || errors.Is(err, mediastore.ErrNotFile)
	switch {
	case odd:
		return keptDrift(s, item.NotSynapses), true
	case errors.Is(err, context.Canceled), errors.Is(err, fs.ErrNotExist):
		return out, false
	}
	return failedDrift(s, "", err), true
}

// unanswered is what becomes of suspects where the database did not answer. When it is away, nothing more is begun.
func (d *Drift) unanswered(ctx context.Context, suspects []item.Suspect, cause error, emit func(item.Outcome) error) error {
	if d.stopping(ctx) {
		return nil
	}
	d.stopWhenAway(cause)
	for _, s := range suspects {
		if loc, locErr := mediastore.Locate(kindOf(s.Flow), s.Origin, s.FileID); s.Path == "" && s.ID == "" && locErr == nil {
			s.Path = loc.Content()
		}
		if err := emit(failedDrift(s, "", cause)); err != nil {
			return err
		}
	}
	return nil
}
