package sandbox_test

import (
	"bytes"
	"context"
	"os"
	"testing"
	"time"

	"synupkeep/internal/sandbox"
)

func TestPlantedMediaIsServed(t *testing.T) {
	s := sandbox.Shared(t)
	old := time.Now().Add(-100 * day)
	var remote string
	var local []string
	var preview sandbox.Preview
	data := sandbox.Picture(100, 100)
	plant(t, s, func(ctx context.Context, p *sandbox.Plant) (err error) {
		if remote, err = p.RemoteMedia(ctx, sandbox.Media{Origin: "other.example:8448", Data: data, Thumbnails: 5, Created: old, LastAccess: old}); err != nil {
			return err
		}
		if local, err = p.LocalMedia(ctx, 50, sandbox.Media{User: "@alice:" + s.ServerName(), Thumbnails: 3, Created: old, Never: true}, time.Hour); err != nil {
			return err
		}
		if preview, err = p.Preview(ctx, "http://127.0.0.1/page", sandbox.Media{Thumbnails: 2, Created: old}); err != nil {
			return err
		}
		for _, id := range []string{"../../../x", "/etc/passwd", "", string(bytes.Repeat([]byte("x"), 5000))} {
			if err := p.RawLocalRow(ctx, id, sandbox.Media{Created: old}); err != nil {
				return err
			}
		}
		return p.AgeMedia(ctx, old, old, local[0], remote)
	})
	alice := s.As("alice")
	status, got, err := alice.Download(t.Context(), remote)
	if err != nil || status != 200 || !bytes.Equal(got, data) {
		t.Errorf("remote: %d, %d bytes, %v", status, len(got), err)
	}
	for _, mxc := range []string{local[0], local[49], "mxc://" + s.ServerName() + "/" + preview.ImageID} {
		status, got, err := alice.Download(t.Context(), mxc)
		if err != nil || status != 200 || !bytes.HasPrefix(got, []byte("\x89PNG")) {
			t.Errorf("%s: %d, %d bytes, %v", mxc, status, len(got), err)
		}
		status, got, err = alice.Thumbnail(t.Context(), mxc, 32, 32, "crop")
		if err != nil || status != 200 || !bytes.HasPrefix(got, []byte("\x89PNG")) {
			t.Errorf("thumbnail of %s: %d, %d bytes, %v", mxc, status, len(got), err)
		}
	}
	content, thumbs, err := s.RemotePaths(t.Context(), remote)
	if err != nil {
		t.Fatal(err)
	}
	localContent, localThumbs, err := s.LocalPaths(local[0])
	if err != nil {
		t.Fatal(err)
	}
	pageContent, _ := s.PreviewPaths(preview.PageID)
	for _, path := range []string{content, thumbs + "/800-600-image-png-scale", localContent, localThumbs + "/320-240-image-png-scale", pageContent} {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
	if got := column[int64](t, s, `SELECT count(*) FROM local_media_repository_thumbnails WHERE media_id = ANY ($1)`, []string{preview.ImageID}); got[0] != 2 {
		t.Errorf("%d rows of thumbnails of the preview", got[0])
	}
}
