package sandbox

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// Media describes media to plant. The zero value is a small picture without thumbnails, made and last read now.
type Media struct {
	Origin      string // remote media: the server it came from
	ID          string // default: a random one of 24 letters
	User        string // local media and previews: the full id of the uploader; default @admin
	ContentType string // default image/png
	Name        string // upload_name
	Data        []byte // default: a picture, another one for each
	Thumbnails  int    // how many, up to 5
	// Created and LastAccess default to now. Never means that LastAccess stays NULL.
	Created, LastAccess time.Time
	Never               bool
	QuarantinedBy       string // full user id
	Protected           bool   // local media
	NoFile              bool   // only the rows
}

// complete fills in the defaults.
func (p *Plant) complete(m *Media) error {
	if m.ID == "" {
		m.ID = randomLetters(24)
	}
	if m.User == "" {
		m.User = "@admin:" + p.server.state.ServerName
	}
	if m.ContentType == "" {
		m.ContentType = "image/png"
	}
	if m.Data == nil {
		m.Data = Picture(800, 600)
	}
	m.Created, m.LastAccess = p.orNow(m.Created), p.orNow(m.LastAccess)
	if m.Never {
		m.LastAccess = time.Time{}
	}
	if m.Thumbnails > len(p.thumbnails) {
		return fmt.Errorf("media %s: at most %d thumbnails", m.ID, len(p.thumbnails))
	}
	return nil
}

// shard is how Synapse lays out an id below its directory.
func shard(id string) string { return path.Join(id[:2], id[2:4], id[4:]) }

// previewShard is the same for a preview, whose id starts with its day.
func previewShard(id string) string { return path.Join(id[:10], id[11:]) }

// writeMedia writes the content and the thumbnails.
func (p *Plant) writeMedia(m Media, content, thumbnails string) error {
	if m.NoFile {
		return nil
	}
	if err := p.writeFile(content, m.Data, m.Created); err != nil {
		return err
	}
	for _, t := range p.thumbnails[:m.Thumbnails] {
		if err := p.writeFile(path.Join(thumbnails, t.file()), t.data, m.Created); err != nil {
			return err
		}
	}
	return nil
}

// RemoteMedia plants cached remote media, rows and files, and returns its mxc URI.
func (p *Plant) RemoteMedia(ctx context.Context, m Media) (string, error) {
	if err := p.complete(&m); err != nil {
		return "", err
	}
	filesystemID := randomLetters(24) // as in Synapse not the media id
	err := p.writeMedia(m, path.Join("remote_content", m.Origin, shard(filesystemID)),
		path.Join("remote_thumbnail", m.Origin, shard(filesystemID)))
	if err != nil {
		return "", err
	}
	err = p.Exec(ctx, `INSERT INTO remote_media_cache (media_origin, media_id, media_type, created_ts, upload_name, media_length,
			filesystem_id, last_access_ts, quarantined_by)
		VALUES ($1, $2, $3, $4, NULLIF($5, ''), $6, $7, $8, NULLIF($9, ''))`,
		m.Origin, m.ID, m.ContentType, ms(m.Created), m.Name, len(m.Data), filesystemID, ms(m.LastAccess), m.QuarantinedBy)
	if err == nil {
		err = p.fillNewColumns(ctx, "remote_media_cache", m.ID, m.Data)
	}
	for _, t := range p.thumbnails[:m.Thumbnails] {
		if err != nil {
			break
		}
		err = p.Exec(ctx, `INSERT INTO remote_media_cache_thumbnails (media_origin, media_id, thumbnail_width, thumbnail_height,
				thumbnail_method, thumbnail_type, thumbnail_length, filesystem_id) VALUES ($1, $2, $3, $4, $5, 'image/png', $6, $7)`,
			m.Origin, m.ID, t.width, t.height, t.method, len(t.data), filesystemID)
	}
	return "mxc://" + m.Origin + "/" + m.ID, err
}

// LocalMedia plants n local media alike, rows and files, about 5,000 a second without thumbnails, and returns their mxc
// URIs. The i-th is i steps younger than the first.
func (p *Plant) LocalMedia(ctx context.Context, n int, m Media, step time.Duration) ([]string, error) {
	distinct := m.Data == nil
	if err := p.complete(&m); err != nil {
		return nil, err
	}
	mxcs := make([]string, n)
	rows := make([][]any, n)
	thumbs := make([][]any, 0, n*m.Thumbnails)
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for i := range n {
		one := m
		if n > 1 {
			one.ID = randomLetters(24)
		}
		if distinct {
			one.Data = append(slices.Clip(m.Data), one.ID...)
		}
		one.Created = m.Created.Add(time.Duration(i) * step)
		if !m.Never {
			one.LastAccess = m.LastAccess.Add(time.Duration(i) * step)
		}
		group.Go(func() error {
			if err := groupCtx.Err(); err != nil {
				return err
			}
			return p.writeMedia(one, path.Join("local_content", shard(one.ID)), path.Join("local_thumbnails", shard(one.ID)))
		})
		mxcs[i] = "mxc://" + p.server.state.ServerName + "/" + one.ID
		rows[i] = []any{
			one.ID, one.ContentType, len(one.Data), ms(one.Created), nullable(one.Name), one.User, ms(one.LastAccess),
			nullable(one.QuarantinedBy), one.Protected,
		}
		rows[i] = append(rows[i], p.server.newValues(one.Data)...)
		for _, t := range p.thumbnails[:m.Thumbnails] {
			thumbs = append(thumbs, []any{one.ID, t.width, t.height, "image/png", t.method, len(t.data)})
		}
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if err := p.copyRows(ctx, "local_media_repository", append([]string{
		"media_id", "media_type", "media_length", "created_ts", "upload_name", "user_id", "last_access_ts",
		"quarantined_by", "safe_from_quarantine",
	}, p.server.newColumns()...), rows); err != nil {
		return nil, err
	}
	return mxcs, p.copyRows(ctx, "local_media_repository_thumbnails", []string{
		"media_id", "thumbnail_width", "thumbnail_height", "thumbnail_type", "thumbnail_method", "thumbnail_length",
	}, thumbs)
}

func nullable(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// Preview is what a planted URL preview consists of.
type Preview struct {
	PageID  string // media id of the page, named by local_media_repository_url_cache
	ImageID string // media id of its picture, which has the thumbnails
}

// Preview plants the preview of a page with a picture as Synapse keeps it: two rows and files in the URL cache, the
// thumbnails of the picture and the row with the OpenGraph data. Of m, Data and Thumbnails are those of the picture.
func (p *Plant) Preview(ctx context.Context, url string, m Media) (Preview, error) {
	m.Never = true
	if err := p.complete(&m); err != nil {
		return Preview{}, err
	}
	day := m.Created.UTC().Format(time.DateOnly)
	v := Preview{PageID: day + "_" + randomLetters(16), ImageID: day + "_" + randomLetters(16)}
	page := m
	page.ID, page.ContentType, page.Thumbnails = v.PageID, "text/html", 0
	page.Data = []byte(`<html><head><meta property="og:image" content="` + url + `.png"></head></html>`)
	m.ID = v.ImageID
	for _, one := range []struct {
		Media
		url string
	}{{page, url}, {m, url + ".png"}} {
		if err := p.cachedURL(ctx, one.Media, one.url); err != nil {
			return v, err
		}
	}
	og, err := json.Marshal(map[string]any{
		"og:title": url, "og:image": "mxc://" + p.server.state.ServerName + "/" + v.ImageID, "og:image:type": m.ContentType,
		"matrix:image:size": len(m.Data),
	})
	if err != nil {
		return v, err
	}
	return v, p.Exec(ctx, `INSERT INTO local_media_repository_url_cache (url, response_code, etag, expires_ts, og, media_id, download_ts)
		VALUES ($1, 200, NULL, $2, $3, $4, $5)`, url, ms(m.Created.Add(time.Hour)), string(og), v.PageID, ms(m.Created))
}

// cachedURL plants one download of the previewer.
func (p *Plant) cachedURL(ctx context.Context, m Media, url string) error {
	err := p.writeMedia(m, path.Join("url_cache", previewShard(m.ID)), path.Join("url_cache_thumbnails", previewShard(m.ID)))
	if err != nil {
		return err
	}
	err = p.Exec(ctx, `INSERT INTO local_media_repository (media_id, media_type, media_length, created_ts, user_id, url_cache)
		VALUES ($1, $2, $3, $4, $5, $6)`, m.ID, m.ContentType, len(m.Data), ms(m.Created), m.User, url)
	if err == nil {
		err = p.fillNewColumns(ctx, "local_media_repository", m.ID, m.Data)
	}
	for _, t := range p.thumbnails[:m.Thumbnails] {
		if err != nil {
			break
		}
		err = p.Exec(ctx, `INSERT INTO local_media_repository_thumbnails (media_id, thumbnail_width, thumbnail_height, thumbnail_type,
				thumbnail_method, thumbnail_length) VALUES ($1, $2, $3, 'image/png', $4, $5)`, m.ID, t.width, t.height, t.method, len(t.data))
	}
	return err
}

// RawLocalRow plants a row of local media, without a file, with any media id: ../../../x, absolute, empty, over-long. (A
// NUL cannot be stored in PostgreSQL's text.) Only ContentType, User, Created, LastAccess, Never and the length of Data of
// m count.
func (p *Plant) RawLocalRow(ctx context.Context, mediaID string, m Media) error {
	if err := p.complete(&m); err != nil {
		return err
	}
	return p.Exec(ctx, `INSERT INTO local_media_repository (media_id, media_type, media_length, created_ts, user_id, last_access_ts)
		VALUES ($1, $2, $3, $4, $5, $6)`, mediaID, m.ContentType, len(m.Data), ms(m.Created), m.User, ms(m.LastAccess))
}

// AgeMedia sets when media, local or remote, was created and last read; a zero lastAccess becomes NULL. Files keep their
// times.
func (p *Plant) AgeMedia(ctx context.Context, created, lastAccess time.Time, mxcs ...string) error {
	for _, mxc := range mxcs {
		server, id, err := SplitMXC(mxc)
		if err != nil {
			return err
		}
		if server == p.server.state.ServerName {
			err = p.affects(ctx, 1, `UPDATE local_media_repository SET created_ts = $1, last_access_ts = $2 WHERE media_id = $3`,
				ms(created), ms(lastAccess), id)
		} else {
			err = p.affects(ctx, 1, `UPDATE remote_media_cache SET created_ts = $1, last_access_ts = $2
				WHERE media_origin = $4 AND media_id = $3`, ms(created), ms(lastAccess), id, server)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", mxc, err)
		}
	}
	return nil
}

// LocalPaths are the content file and the thumbnails' directory of local media, absolute.
func (s *Server) LocalPaths(mxc string) (content, thumbnails string, err error) {
	_, id, err := SplitMXC(mxc)
	if err != nil {
		return "", "", err
	}
	if len(id) < 5 {
		return "", "", fmt.Errorf("media id %q is too short to have a path", id)
	}
	return filepath.Join(s.MediaStore(), "local_content", shard(id)), filepath.Join(s.MediaStore(), "local_thumbnails", shard(id)), nil
}

// PreviewPaths are those of one media of a URL preview.
func (s *Server) PreviewPaths(mediaID string) (content, thumbnails string) {
	return filepath.Join(s.MediaStore(), "url_cache", previewShard(mediaID)),
		filepath.Join(s.MediaStore(), "url_cache_thumbnails", previewShard(mediaID))
}

// RemotePaths are those of cached remote media, which lies under an id of its own.
func (s *Server) RemotePaths(ctx context.Context, mxc string) (content, thumbnails string, err error) {
	origin, id, err := SplitMXC(mxc)
	if err != nil {
		return "", "", err
	}
	conn, err := s.DB(ctx)
	if err != nil {
		return "", "", err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	var fs string
	err = conn.QueryRow(ctx, `SELECT filesystem_id FROM remote_media_cache WHERE media_origin = $1 AND media_id = $2`, origin, id).Scan(&fs)
	if err != nil {
		return "", "", fmt.Errorf("%s: %w", mxc, err)
	}
	return filepath.Join(s.MediaStore(), "remote_content", origin, shard(fs)),
		filepath.Join(s.MediaStore(), "remote_thumbnail", origin, shard(fs)), nil
}
