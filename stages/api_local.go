package stages

import (
	"context"
	"errors"
	"fmt"
	"time"

	"synupkeep/internal/item"
	"synupkeep/internal/mediastore"
	"synupkeep/internal/synapse"
)

// DeleteMedia deletes uploads through the admin API, one at a time. That call heeds neither quarantine nor protection,
// so right before it the row is looked at once more. Choose took each of the budget; it gets back what was not deleted.
type DeleteMedia struct {
	APICalls
	CutOff time.Time
	// News tells what has come to be shown since the protected set was read. It may be nil.
	News News

	astray int // media in a row that ended with an error of the server
	stuck  int // media in a row that the server could not delete
}

// Do deletes one upload. What goes wrong with it is in the outcome; what goes wrong with the server ends the flow gently.
// It returns no error. Once ctx is done nothing is asked for. It is called for one upload at a time.
func (d *DeleteMedia) Do(ctx context.Context, m item.Media) (item.Outcome, error) {
	began := time.Now()
	out := d.do(ctx, m)
	out.Took = time.Since(began)
	return out, nil
}

func (d *DeleteMedia) do(ctx context.Context, m item.Media) item.Outcome {
	out := d.mayDelete(ctx, m)
	if out.Status != item.Done {
		d.Budget.GiveBack(1)
	}
	return out
}

func (d *DeleteMedia) mayDelete(ctx context.Context, m item.Media) item.Outcome {
	out := ofMedia(m, item.Done, "")
	if d.Flow.Stopping() || ctx.Err() != nil {
		return interrupted(out)
	}
	// Once more, before it becomes a part of an address.
	if _, err := mediastore.Locate(mediastore.Local, "", m.ID); err != nil {
		return failedMedia(m, err)
	}
	if d.Turn.take(ctx) != nil {
		return interrupted(out)
	}
	defer d.Turn.give()
	return d.delete(ctx, m, out)
}

// errSpared ends a call that is not to be made after all.
var errSpared = errors.New("it is not to be deleted any more")

func (d *DeleteMedia) delete(ctx context.Context, m item.Media, out item.Outcome) item.Outcome {
	var spared item.Outcome
	asked := d.ask(ctx, func(ctx context.Context) error {
		var err error
		if spared, err = d.spare(ctx, m); err == nil && spared.Status != "" {
			err = errSpared
		}
		return err
	}, func(ctx context.Context) (int64, error) {
		deleted, err := d.API.DeleteMedia(ctx, m.Origin, m.ID)
		if deleted {
			return 1, err
		}
		return 0, err
	})
	out.Tries = asked.tries
	switch {
	case errors.Is(asked.err, errSpared):
		spared.Tries = asked.tries
		return spared
	case errors.Is(asked.err, errStopping):
		return interrupted(out)
	case asked.mayRun:
		return d.unanswered(ctx, m, out, asked.err)
	case ctx.Err() != nil && asked.err != nil:
		return interrupted(out)
	case asked.err != nil && synapse.Classify(asked.err) != synapse.NotFound:
		return d.failed(out, asked.err)
	}
	return d.judge(ctx, m, out, asked)
}

// spare gives the outcome of an upload that is not what it was any more, or that has come to be shown; an empty one when
// it may go.
func (d *DeleteMedia) spare(ctx context.Context, m item.Media) (item.Outcome, error) {
	out := ofMedia(m, item.Skipped, item.Changed)
	sql := localRows(d.CutOff)
	eligible, err := selectKeys(ctx, d.DB, sql.eligible, append([]any{[]string{m.Origin}, []string{m.ID}}, sql.args...)...)
	if err != nil {
		return out, fmt.Errorf("look once more whether it may go: %w", err)
	}
	if !eligible[keyOf(m)] {
		return out, nil
	}
	if d.News == nil {
		return item.Outcome{}, nil
	}
	shown, err := d.News.Shown(ctx, d.DB, []string{m.ID})
	if err != nil {
		return out, fmt.Errorf("read what has come to be shown meanwhile: %w", err)
	}
	if why, ok := shown[m.ID]; ok {
		out.Status, out.Reason = item.Kept, why
		return out, nil
	}
	return item.Outcome{}, nil
}

// judge looks in the database what became of the upload after the server has answered.
func (d *DeleteMedia) judge(ctx context.Context, m item.Media, out item.Outcome, asked askedAPI) item.Outcome {
	longer, cancel := outlast(ctx, answerGrace)
	defer cancel()
	rows, err := d.rows(longer, m)
	unknown := asked.err != nil // 404: the server knows no such media
	switch {
	case err != nil:
		return d.failed(out, fmt.Errorf("the server was asked to delete it, but whether its row is gone could not be looked up: %w", err))
	case rows > 0 && unknown:
		return d.failed(out, notTheServers("the server does not know "+m.Key()+", and the database has it"))
	case rows > 0 && asked.deleted > 0:
		return d.failed(out, notTheServers("the server says that it has deleted "+m.Key()+", and the database still has it"))
	case rows > 0:
		return d.stays(out)
	case unknown:
		out.Status, out.Reason = item.Skipped, item.Changed
		return out
	}
	return d.done(m, out)
}

func (d *DeleteMedia) done(m item.Media, out item.Outcome) item.Outcome {
	d.astray, d.stuck = 0, 0
	out.Rows, out.Bytes, out.Length, out.ShownByEvent = 1, m.Bytes, m.Bytes, m.ShownByEvent
	return out
}

// stays is the outcome of an upload whose file the server could not delete.
func (d *DeleteMedia) stays(out item.Outcome) item.Outcome {
	out.Status, out.Err = item.Failed, errors.New(mediaKept)
	if d.stuck++; d.stuck == mostStuck {
		d.Flow.StopFeeding(errStuck("delete media through the admin API", d.stuck))
	}
	return out
}

// unanswered waits for what the server may still be at, and asks for nothing meanwhile.
func (d *DeleteMedia) unanswered(ctx context.Context, m item.Media, out item.Outcome, err error) item.Outcome {
	longer, cancel := outlast(ctx, answerGrace)
	defer cancel()
	gone := d.await(longer, func(ctx context.Context) (int, error) { return d.rows(ctx, m) })
	if gone {
		return d.done(m, out)
	}
	stopped := ctx.Err() != nil || d.Flow.Stopping()
	d.stillRuns(d.call(m))
	if stopped {
		return interrupted(out)
	}
	out.Status, out.Err = item.Failed, fmt.Errorf("the server may still be at it, it was not asked again: %w", err)
	return out
}

// failed is the outcome of an upload that was not deleted because of an error; some errors end the flow.
func (d *DeleteMedia) failed(out item.Outcome, err error) item.Outcome {
	out.Status, out.Err = item.Failed, err
	if !d.stop(err) {
		d.count(err)
	}
	return out
}

// count ends the flow after several errors of the server in a row.
func (d *DeleteMedia) count(err error) {
	if d.astray++; d.astray == mostAstray {
		d.Flow.StopFeeding(&item.RunError{
			Cause: item.CauseFailed, Doing: "delete media through the admin API",
			Err: fmt.Errorf("%d media in a row: %w", mostAstray, err), Hint: synapse.MediaAdvice(err),
		})
	}
}

// rows is how many rows the upload still has: 1 or 0.
func (d *DeleteMedia) rows(ctx context.Context, m item.Media) (n int, err error) {
	err = d.DB.QueryRow(ctx, `SELECT count(*) FROM local_media_repository WHERE media_id = $1`, m.ID).Scan(&n)
	return n, err
}

func (d *DeleteMedia) call(m item.Media) string { return "DELETE of " + m.Key() }
