package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"synupkeep/config"
	"synupkeep/internal/item"
	"synupkeep/internal/mediastore"
	"synupkeep/sources"
	"synupkeep/stages"
)

// openStore makes sure that the media store is the one that the rows speak of and ours to delete in.
func (r *run) openStore(ctx context.Context) (err error) {
	media := slices.DeleteFunc(slices.Clone(r.cfg.Flows), func(f item.Flow) bool { return f == item.History })
	if len(media) == 0 {
		return nil
	}
	if r.cfg.Media.Via == config.ViaAPI {
		return r.checkMediaAPI(ctx)
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
		if err == nil {
			err = r.checkNewest(ctx, f)
		}
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

// checkStore compares the store with a sample of the rows of a flow, and with one of those that are past the cut-off: a
// store whose old files were moved to S3 still has all the young ones.
func (r *run) checkStore(ctx context.Context, f item.Flow) (warning string, err error) {
	for _, kind := range []struct {
		which  string
		cutOff time.Time
	}{{string(f), time.Time{}}, {"old " + string(f), r.cutOffs[f]}} {
		sample := sources.Sample{DB: r.db.Reader, ServerName: r.serverName, CutOff: kind.cutOff, Retry: r.retry}
		rows, err := sample.Of(ctx, f)
		if err != nil {
			return "", failed("look at the media store", err, databaseHint(err))
		}
		said, err := r.checkSample(kind.which, rows)
		if err != nil {
			return "", err
		}
		if warning == "" {
			warning = said
		}
	}
	return warning, nil
}

// checkNewest refuses a store in which none of the newest files is: an older copy of the server's, such as last night's
// backup. The rows would be the server's, and the files those of the backup.
func (r *run) checkNewest(ctx context.Context, f item.Flow) error {
	rows, err := sources.Sample{DB: r.db.Reader, ServerName: r.serverName, Retry: r.retry}.Newest(ctx, f, r.features.TIDRange)
	if err != nil {
		return failed("look at the media store", err, databaseHint(err))
	}
	missing, example := r.missing(rows)
	if len(rows) == 0 || missing < len(rows) {
		return nil
	}
	return fmt.Errorf("not one of the %d newest files of %s is there, such as %s: it looks like an older copy of the server's media store "+
		"(if it is the server's, put back from a backup, it will be taken for it as soon as there is a newer file)", len(rows), f, example)
}

// missing counts those whose file is not there.
func (r *run) missing(rows []item.Media) (n int, example string) {
	for _, m := range rows {
		if found, err := stages.CheckStored(r.store, m); err == nil && !found.Exists {
			n++
			example = found.Path
		}
	}
	return n, example
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
func (r *run) checkSample(which string, rows []item.Media) (warning string, err error) {
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
	text := fmt.Sprintf("of %d sampled files of %s, %d are not there, such as %s", len(rows), which, missing, example)
	switch {
	case missing*2 > len(rows):
		return "", errors.New(text)
	case missing > 0:
		return text, nil
	}
	return "", nil
}
