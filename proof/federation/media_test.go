package federation_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"testing"
	"time"

	"synupkeep/internal/item"
	"synupkeep/internal/sandbox"
	"synupkeep/internal/sandbox/stock"
	"synupkeep/proof/program"
	"synupkeep/sinks"
)

// picture is one that a client of the other server has looked at.
type picture struct {
	mxc                 string
	data                []byte
	content, thumbnails string // paths on the other server
}

// looks downloads a picture and one of its thumbnails, and checks what came and where it was put.
func (w world) looks(mxc string, data []byte) picture {
	w.t.Helper()
	ctx := w.t.Context()
	status, got, err := w.bob.Download(ctx, mxc)
	w.must(err)
	if status != http.StatusOK || !bytes.Equal(got, data) {
		w.t.Fatalf("%s: status %d, %d bytes instead of %d", mxc, status, len(got), len(data))
	}
	status, _, err = w.bob.Thumbnail(ctx, mxc, 32, 32, "crop")
	w.must(err)
	if status != http.StatusOK {
		w.t.Fatalf("thumbnail of %s: status %d", mxc, status)
	}
	content, thumbnails, err := w.there.RemotePaths(ctx, mxc)
	w.must(err)
	p := picture{mxc: mxc, data: data, content: content, thumbnails: thumbnails}
	if !exists(w.t, content) || !exists(w.t, thumbnails) || w.rows(mxc) < 2 {
		w.t.Fatalf("%s is not in the cache of %s", mxc, w.there.ServerName())
	}
	return p
}

func exists(t *testing.T, path string) bool {
	t.Helper()
	_, err := os.Stat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return err == nil
}

// rows are those that the other server has of a picture and its thumbnails.
func (w world) rows(mxc string) int {
	w.t.Helper()
	origin, id, err := sandbox.SplitMXC(mxc)
	w.must(err)
	return stock.All[int](w.t, w.there, `SELECT (SELECT count(*) FROM remote_media_cache WHERE media_origin = $1 AND media_id = $2)
		+ (SELECT count(*) FROM remote_media_cache_thumbnails WHERE media_origin = $1 AND media_id = $2)`, origin, id)[0]
}

// runs deletes remote media of the other server that was not looked at for 30 days.
func (w world) runs(args ...string) sinks.FlowSummary {
	w.t.Helper()
	ran := program.Run(w.t, program.Where{Server: w.there}, append([]string{"--only", "remote-media"}, args...)...)
	if ran.Code != 0 {
		w.t.Fatalf("exit code %d\n%s\n%s", ran.Code, ran.Log, ran.Out)
	}
	return flow(w.t, ran.Summary(w.t), item.RemoteMedia)
}

// TestCachedMediaGoesAndComesAgain is about pictures that Synapse fetched from the other server. They were planted where only
// one server was to be had.
func TestCachedMediaGoesAndComesAgain(t *testing.T) {
	w := federate(t)
	ctx := t.Context()
	var all []picture
	for range 3 {
		data := sandbox.Picture(200, 150)
		mxc, err := w.alice.Upload(ctx, "image/png", data)
		w.must(err)
		all = append(all, w.looks(mxc, data))
	}
	here, young := stock.OfMedia(t, w.here), all[2]
	stays := []string{young.content, young.thumbnails}
	for _, args := range [][]string{nil, {"--media-via", "api"}} {
		goes := all[:2]
		long := time.Now().Add(-60 * day)
		w.must(w.there.Plant(ctx, func(ctx context.Context, p *sandbox.Plant) error {
			return p.AgeMedia(ctx, long, long, goes[0].mxc, goes[1].mxc)
		}))
		if f := w.runs(args...); f.Done != 2 {
			t.Errorf("%v: %+v", args, f)
		}
		for i, p := range goes {
			if exists(t, p.content) || exists(t, p.thumbnails) || w.rows(p.mxc) != 0 {
				t.Errorf("%v: %s is still there, or a part of it", args, p.mxc)
			}
			again := w.looks(p.mxc, p.data)
			if again.content == p.content {
				t.Errorf("%s came again under the same name on disk", p.mxc)
			}
			all[i] = again
		}
		for _, path := range stays {
			if !exists(t, path) {
				t.Errorf("%v: young media is gone: %s", args, path)
			}
		}
		if f := w.runs(args...); f.Done != 0 {
			t.Errorf("%v: what has just come again went: %+v", args, f)
		}
	}
	stock.Exactly(t, w.here, here)
}

// TestMediaOfAServerThatDoesNotAnswerStays cuts the servers apart. What could not be fetched again stays once that has lasted
// for a week, and goes when the server answers again.
func TestMediaOfAServerThatDoesNotAnswerStays(t *testing.T) {
	w := federate(t)
	ctx := t.Context()
	data := sandbox.Picture(200, 150)
	mxc, err := w.alice.Upload(ctx, "image/png", data)
	w.must(err)
	p := w.looks(mxc, data)
	other, err := w.alice.Upload(ctx, "image/png", sandbox.Picture(50, 50))
	w.must(err)

	w.Cut()
	if status, _, err := w.bob.Download(ctx, other); err != nil || status == http.StatusOK {
		t.Fatalf("a download while they are cut: %d %v", status, err)
	}
	if n := stock.All[int](t, w.there, `SELECT count(*) FROM destinations WHERE destination = $1 AND failure_ts IS NOT NULL`, w.here.ServerName())[0]; n != 1 {
		t.Fatal("Synapse does not note that the other server does not answer")
	}
	long := time.Now().Add(-60 * day)
	w.must(w.there.Plant(ctx, func(ctx context.Context, p *sandbox.Plant) error {
		if err := p.Exec(ctx, `UPDATE destinations SET failure_ts = failure_ts - $1`, (8 * day).Milliseconds()); err != nil {
			return err
		}
		return p.AgeMedia(ctx, long, long, mxc)
	}))
	if f := w.runs(); f.Done != 0 || f.Kept[item.OriginDown] != 1 {
		t.Errorf("the only copy went: %+v", f)
	}
	if !exists(t, p.content) || !exists(t, p.thumbnails) || w.rows(mxc) < 2 {
		t.Errorf("%s is gone, or a part of it", mxc)
	}

	w.heal()
	if status, _, err := w.bob.Download(ctx, other); err != nil || status != http.StatusOK {
		t.Fatalf("a download after they are healed: %d %v", status, err)
	}
	if f := w.runs(); f.Done != 1 {
		t.Errorf("the server answers again: %+v", f)
	}
	if exists(t, p.content) || exists(t, p.thumbnails) || w.rows(mxc) != 0 {
		t.Errorf("%s is still there, or a part of it", mxc)
	}
	w.looks(mxc, data)
}
