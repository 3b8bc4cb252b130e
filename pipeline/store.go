package pipeline

import (
	"context"
	"errors"
	"slices"

	"synupkeep/config"
	"synupkeep/connect"
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
	for _, f := range mediaFlows(media) {
		warning, err := r.checkStore(ctx, f)
		if err == nil {
			err = fromStore(r.stored(f).Newest(ctx, f))
		}
		var wrong *sources.StoreError
		if errors.As(err, &wrong) && !r.deletesFrom(f) { // drift is only to be told of
			warning, err = "is it the server's media store? "+err.Error(), nil
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

// mediaFlows are the flows whose media is looked at: drift looks at that of all three.
func mediaFlows(flows []item.Flow) []item.Flow {
	if slices.Contains(flows, item.Drift) {
		return item.Flows()[1:]
	}
	return flows
}

// deletesFrom says whether files of a flow's media may be deleted, by the flow or as drift.
func (r *run) deletesFrom(f item.Flow) bool {
	return r.has(f) || r.has(item.Drift) && len(r.cfg.Drift.Delete) > 0
}

// doubt looks at the store again after a batch that found no files. That some are missing was said at the begin.
func (r *run) doubt(ctx context.Context, f item.Flow) error {
	if _, err := r.checkStore(ctx, f); err != nil {
		return r.refusedStore("look again at the media store", err, "No more rows are deleted; the report names what was begun. ")
	}
	return nil
}

func (r *run) stored(f item.Flow) sources.Stored {
	return sources.Stored{
		Sample: sources.Sample{DB: r.db.Reader, ServerName: r.serverName, Retry: r.retry}, CutOff: r.cutOffs[f], ByBlocks: r.features.TIDRange,
		Look: func(m item.Media) (mediastore.Presence, error) { return stages.CheckStored(r.store, m) },
	}
}

// checkStore looks whether it is the store that the rows speak of and ours to delete in.
func (r *run) checkStore(ctx context.Context, f item.Flow) (warning string, err error) {
	warning, err = r.stored(f).Sampled(ctx, f)
	return warning, fromStore(err)
}

// fromStore makes of an error that is not about the store one of the database.
func fromStore(err error) error {
	var store *sources.StoreError
	if err == nil || errors.As(err, &store) {
		return err
	}
	return connect.Failed("look at the media store", err, connect.DatabaseHint(err))
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
