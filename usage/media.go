package usage

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"synupkeep/internal/item"
	"synupkeep/sinks"
	"synupkeep/sources"
)

func (r *reader) messages(ctx context.Context) error {
	curve, err := r.space().History(ctx)
	if err == nil {
		r.addCurve(curve)
	}
	return err
}

func (r *reader) localMedia(ctx context.Context) error {
	uploads, previews, err := r.space().LocalMedia(ctx)
	if err != nil {
		return err
	}
	r.addCurve(uploads.Curve)
	r.addCurve(previews.Curve)
	r.usage.LocalMedia, r.usage.Previews = media(uploads), media(previews)
	r.usage.LocalMedia.Users, r.usage.LocalMedia.ByUser = uploads.AllOwners, shares(uploads.Owners)
	return nil
}

func (r *reader) remoteMedia(ctx context.Context) error {
	remote, err := r.space().RemoteMedia(ctx)
	if err != nil {
		return err
	}
	r.addCurve(remote.Curve)
	r.usage.RemoteMedia = media(remote)
	r.usage.RemoteMedia.Origins, r.usage.RemoteMedia.ByOrigin = remote.AllOwners, shares(remote.Owners)
	return nil
}

// addCurve keeps the curves in the order of the flows.
func (r *reader) addCurve(c item.AgeCurve) {
	flows := item.Flows()
	at, _ := slices.BinarySearchFunc(r.usage.Curves, c, func(a, b item.AgeCurve) int {
		return slices.Index(flows, a.Flow) - slices.Index(flows, b.Flow)
	})
	r.usage.Curves = slices.Insert(r.usage.Curves, at, c)
}

func media(m sources.MediaSpace) *sinks.UsageMedia {
	return &sinks.UsageMedia{
		ItemsBytes:  sinks.ItemsBytes{Items: m.Curve.Items, Bytes: m.Curve.Bytes},
		Quarantined: sinks.ItemsBytes(m.Quarantined), Protected: sinks.ItemsBytes(m.Protected), Uploading: sinks.ItemsBytes(m.Uploading),
		Types: m.AllTypes, ByType: shares(m.Types),
	}
}

func shares(amounts []sources.OwnAmount) (all []sinks.Share) {
	for _, a := range amounts {
		all = append(all, sinks.Share{Key: a.Key, Items: a.Items, Bytes: a.Bytes})
	}
	return all
}

func (r *reader) urlCache(ctx context.Context) error {
	var c sinks.UsageURLCache
	const query = `SELECT count(*), count(*) FILTER (WHERE expires_ts < $1) FROM local_media_repository_url_cache`
	err := r.query(ctx, query, []any{r.now.UnixMilli()}, func() {}, func(row pgx.CollectableRow) error {
		return row.Scan(&c.Answers, &c.Expired)
	})
	if err == nil {
		r.usage.URLCache = &c
	}
	return err
}
