package pipeline

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"synupkeep/internal/item"
	"synupkeep/internal/sandbox"
	"synupkeep/internal/sandbox/stock"
)

func TestOldPreviewsGo(t *testing.T) {
	s := emptied(t)
	var gone, kept []string
	plantMedia(t, s, func(ctx context.Context, p *sandbox.Plant) error {
		for url, age := range map[string]time.Duration{"https://old.example/": longAgo, "https://older.example/": 2 * longAgo, "https://young.example/": 29 * aDay} {
			v, err := p.Preview(ctx, url, sandbox.Media{Thumbnails: 3, Created: time.Now().Add(-age)})
			if err != nil {
				return err
			}
			of := &gone
			if age == 29*aDay {
				of = &kept
			}
			*of = append(*of, "mxc://"+s.ServerName()+"/"+v.PageID, "mxc://"+s.ServerName()+"/"+v.ImageID)
		}
		for _, m := range []sandbox.Media{{}, {Protected: true}} {
			v, err := p.Preview(ctx, "https://kept.example/", sandbox.Media{Created: time.Now().Add(-longAgo)})
			if err != nil {
				return err
			}
			change := `UPDATE local_media_repository SET quarantined_by = '@admin:x' WHERE media_id = ANY ($1)`
			if m.Protected {
				change = `UPDATE local_media_repository SET safe_from_quarantine = true WHERE media_id = ANY ($1)`
			}
			if err := p.Exec(ctx, change, []string{v.PageID, v.ImageID}); err != nil {
				return err
			}
		}
		// An upload that is just as old is not the business of this flow.
		_, err := p.LocalMedia(ctx, 1, sandbox.Media{Created: time.Now().Add(-longAgo), Thumbnails: 1}, 0)
		return err
	})
	before := stock.OfMedia(t, s)

	r := do(t, settings(s, item.Previews))
	wantCauses(t, r)
	wantCounts(t, r, item.Previews, map[string]int64{"done": 4, "kept quarantined": 2, "kept protected": 2})
	stock.Exactly(t, s, before.Without(t, gone...))
	accounts(t, s, r, item.Previews, before)
	for _, mxc := range gone {
		wantDownload(t, s, mxc, http.StatusNotFound)
	}
	wantDownload(t, s, kept[1], http.StatusOK)

	again := do(t, settings(s, item.Previews))
	wantCounts(t, again, item.Previews, map[string]int64{"kept quarantined": 2, "kept protected": 2})

	// The flow of local media leaves previews alone, at whatever age.
	r = do(t, settings(s, item.LocalMedia))
	wantCounts(t, r, item.LocalMedia, map[string]int64{"done": 1})
}

// TestARealPreviewGoes lets Synapse preview a page with a picture.
func TestARealPreviewGoes(t *testing.T) {
	s := emptied(t)
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/picture.png" {
			w.Header().Set("Content-Type", "image/png")
			_, _ = w.Write(sandbox.Picture(200, 150))
			return
		}
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte(`<html><head><meta property="og:title" content="Hello"><meta property="og:image" content="/picture.png"></head></html>`))
	}))
	defer site.Close()
	if host, _, err := net.SplitHostPort(site.Listener.Addr().String()); err != nil || host != "127.0.0.1" {
		t.Fatal(host, err)
	}
	og, err := s.As("alice").PreviewURL(t.Context(), site.URL+"/page")
	if err != nil {
		t.Fatal(err)
	}
	image, _ := og["og:image"].(string)
	wantDownload(t, s, image, http.StatusOK)
	before := stock.OfMedia(t, s)
	if len(before.Files) < 3 || len(before.Rows) < 4 {
		t.Fatalf("there is no picture with thumbnails: %v", before.Files)
	}

	r := do(t, settings(s, item.Previews))
	wantCounts(t, r, item.Previews, map[string]int64{})
	stock.Exactly(t, s, before)

	execSQL(t, s, `UPDATE local_media_repository SET created_ts = created_ts - $1`, longAgo.Milliseconds())
	r = do(t, settings(s, item.Previews))
	wantCauses(t, r)
	wantCounts(t, r, item.Previews, map[string]int64{"done": 2})
	if left := stock.OfMedia(t, s); len(left.Files) != 0 || len(left.Rows) != 0 {
		t.Errorf("left are %v and %v", left.Files, left.Rows)
	}
	wantDownload(t, s, image, http.StatusNotFound)
}
