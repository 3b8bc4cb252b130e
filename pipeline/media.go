package pipeline

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"synupkeep/internal/flow"
	"synupkeep/internal/item"
	"synupkeep/internal/mediastore"
	"synupkeep/internal/retry"
	"synupkeep/sources"
	"synupkeep/stages"
)

// mediaStages are what the three media flows have in common.
type mediaStages struct {
	protect *stages.Protect
	check   *stages.CheckFiles
	ramp    *stages.Ramp
	rows    stages.DeleteRows // the common part; each flow makes its own of it
	files   *stages.DeleteFiles
}

func (r *run) mediaStages(p *flow.Pipeline, f item.Flow) mediaStages {
	m := r.cfg.Media
	budget := stages.NewBudget(m.Limit)
	ramp := stages.NewRamp(m.BatchSize, p)
	ramp.Doubt = func() error { return r.doubt(p.Context(), f) }
	return mediaStages{
		protect: &stages.Protect{Budget: budget, Flow: p},
		check:   &stages.CheckFiles{Store: r.store},
		ramp:    ramp,
		rows:    stages.DeleteRows{DB: r.db.Writer, Ramp: ramp, Budget: budget, Retry: r.retry, Flow: p},
		files:   &stages.DeleteFiles{Store: r.store, Retry: fileRetry()},
	}
}

// fileRetry: what ails a file system for a moment is over in seconds or needs a person.
func fileRetry() retry.Policy {
	return retry.Policy{For: 15 * time.Second, First: 50 * time.Millisecond, Most: 3 * time.Second}
}

// unless forks on a decision: what has an outcome already goes to the report.
func unless(decide func(item.Media) (item.Outcome, bool)) func(context.Context, item.Media, func(item.Media) error, func(item.Outcome) error) error {
	return func(_ context.Context, m item.Media, pass func(item.Media) error, keep func(item.Outcome) error) error {
		if out, ok := decide(m); !ok {
			return keep(out)
		}
		return pass(m)
	}
}

// gently lets an error of the source stop the flow softly: rows that are gone must be followed by their files.
func gently(p *flow.Pipeline, source flow.Source[item.Media]) flow.Source[item.Media] {
	return func(ctx context.Context) iter.Seq2[item.Media, error] {
		return func(yield func(item.Media, error) bool) {
			for m, err := range source(ctx) {
				if err != nil {
					p.StopFeeding(failed("read which media is past the cut-off", err, databaseHint(err)))
					return
				}
				if !yield(m, nil) {
					return
				}
			}
		}
	}
}

// openStore makes sure that the media store is the one that the rows speak of and ours to delete in.
func (r *run) openStore(ctx context.Context) (err error) {
	media := slices.DeleteFunc(slices.Clone(r.cfg.Flows), func(f item.Flow) bool { return f == item.History })
	if len(media) == 0 {
		return nil
	}
	const doing = "look at the media store"
	if r.store, err = mediastore.Open(r.cfg.MediaStore); err != nil {
		return &item.RunError{
			Cause: item.CauseRefused, Doing: doing, Err: err,
			Hint: "Give --media-store the media_store_path of Synapse's homeserver.yaml.",
		}
	}
	for _, f := range media {
		warning, err := r.checkStore(ctx, f)
		if err != nil {
			return r.refusedStore(doing, err, "Nothing was deleted. ")
		}
		if warning != "" {
			r.warnings = append(r.warnings, warning)
		}
	}
	return nil
}

// doubt looks at the store again after a batch that found no files. That some are missing was said at the begin.
func (r *run) doubt(ctx context.Context, f item.Flow) error {
	if _, err := r.checkStore(ctx, f); err != nil {
		return r.refusedStore("look again at the media store", err, "No more rows are deleted; the report names what was begun. ")
	}
	return nil
}

// checkStore compares the store with a sample of the rows of a flow.
func (r *run) checkStore(ctx context.Context, f item.Flow) (warning string, err error) {
	sample := sources.Sample{DB: r.db.Reader, ServerName: r.serverName, Retry: r.retry}
	rows, err := sample.Of(ctx, f)
	if err != nil {
		return "", failed("look at the media store", err, databaseHint(err))
	}
	return r.checkSample(f, rows)
}

func (r *run) refusedStore(doing string, err error, consequence string) error {
	var known *item.RunError
	if errors.As(err, &known) {
		return err
	}
	return &item.RunError{
		Cause: item.CauseRefused, Doing: doing + " " + r.store.Path(), Err: err,
		Hint: consequence + "--media-store must be the media_store_path of this server, mounted here and ours to write; " +
			"media that lies in S3 or another storage provider alone cannot be deleted yet (--only history).",
	}
}

// checkSample refuses a store in which more than half of a sample's files are missing, or that is not ours to delete in.
func (r *run) checkSample(f item.Flow, rows []item.Media) (warning string, err error) {
	missing, example := 0, ""
	for _, m := range rows {
		found, err := stages.CheckStored(r.store, m)
		var denied *mediastore.NotDeletableError
		switch {
		case errors.As(err, &denied):
			return "", err
		case err != nil: // an impossible id, a link where a directory should be: that item will fail by itself
		case !found.Exists:
			missing++
			example = found.Path
		}
	}
	text := fmt.Sprintf("of %d sampled files of %s, %d are not there, such as %s", len(rows), f, missing, example)
	switch {
	case missing*2 > len(rows):
		return "", errors.New(text)
	case missing > 0:
		return text, nil
	}
	return "", nil
}
