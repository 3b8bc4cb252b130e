package pipeline

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"synupkeep/internal/item"
	"synupkeep/internal/sandbox"
	"synupkeep/internal/sandbox/stock"
)

func TestOldUploadsGoThroughTheAPI(t *testing.T) {
	s := emptied(t)
	gone := []string{upload(t, s, "alice", longAgo), upload(t, s, "alice", 31*aDay), upload(t, s, "bob", longAgo)}
	upload(t, s, "alice", 29*aDay)
	avatar, quarantined, protected, byAdmin := upload(t, s, "heather", longAgo), upload(t, s, "alice", longAgo),
		upload(t, s, "alice", longAgo), upload(t, s, "mallory", longAgo)
	setAvatar(t, s, "heather", avatar)
	uploading, err := s.As("alice").CreateMedia(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	aged(t, s, longAgo, uploading)
	if err := s.Quarantine(t.Context(), quarantined); err != nil {
		t.Fatal(err)
	}
	if err := s.Protect(t.Context(), protected); err != nil {
		t.Fatal(err)
	}
	before := stock.OfMedia(t, s)
	f := newMediaFront(t, s)
	cfg := viaAPI(t, s, item.LocalMedia)
	cfg.APIURL = f.URL
	cfg.Media.KeepUsers = []string{"@mallory:*"}

	r := do(t, cfg)
	wantCauses(t, r)
	kept := map[string]int64{"kept avatar": 1, "kept quarantined": 1, "kept protected": 1, "kept uploading": 1, "kept admin": 1}
	want := map[string]int64{"done": 3}
	for reason, n := range kept {
		want[reason] = n
	}
	wantCounts(t, r, item.LocalMedia, want)
	filesAndRows(t, s, before.Without(t, gone...))
	lengths(t, s, before, item.LocalMedia, r)
	f.oneByOne(t)
	for _, mxc := range gone {
		wantDownload(t, s, mxc, http.StatusNotFound)
	}
	wantDownload(t, s, avatar, http.StatusOK)
	wantDownload(t, s, byAdmin, http.StatusOK)

	asked := len(f.asked())
	again := do(t, cfg)
	wantCauses(t, again)
	wantCounts(t, again, item.LocalMedia, kept)
	if asked != len(gone) || len(f.asked()) != asked {
		t.Errorf("%d media and %d calls, then %d more: %v", len(gone), asked, len(f.asked())-asked, f.asked())
	}
}

func TestAPlanAsksTheAPIForNothing(t *testing.T) {
	s := emptied(t)
	upload(t, s, "alice", longAgo)
	long := time.Now().Add(-longAgo)
	cached(t, s, sandbox.Media{Origin: "up.example", Created: long, LastAccess: long})
	before := stock.OfMedia(t, s)
	f := newMediaFront(t, s)
	cfg := viaAPI(t, s, item.LocalMedia, item.RemoteMedia)
	cfg.APIURL = f.URL
	cfg.Max.Media.Count = 1
	r := do(t, cfg)
	wantCauses(t, r, item.CauseRefused)
	if !strings.Contains(r.out, "2 media would be deleted") {
		t.Errorf("the plan counts otherwise: %s", r.out)
	}
	filesAndRows(t, s, before)
	if len(f.asked()) > 0 {
		t.Errorf("asked for %v", f.asked())
	}
}

func TestTheLimitHoldsForTheAPI(t *testing.T) {
	s := emptied(t)
	plantMedia(t, s, func(ctx context.Context, p *sandbox.Plant) error {
		_, err := p.LocalMedia(ctx, 7, sandbox.Media{Data: []byte("x"), Created: time.Now().Add(-longAgo)}, time.Second)
		return err
	})
	cfg := viaAPI(t, s, item.LocalMedia)
	cfg.Media.Limit = 5
	r := do(t, cfg)
	wantCauses(t, r, item.CauseLeft)
	wantCounts(t, r, item.LocalMedia, map[string]int64{"done": 5, "left limit": 2})
	r = do(t, cfg)
	wantCauses(t, r)
	wantCounts(t, r, item.LocalMedia, map[string]int64{"done": 2})
}

// TestAnUploadIsNotAskedForTwice: the proxy gives up while Synapse has yet to begin.
func TestAnUploadIsNotAskedForTwice(t *testing.T) {
	s := emptied(t)
	for range 4 {
		upload(t, s, "alice", longAgo)
	}
	f := newMediaFront(t, s)
	f.on = func(n int) reaction {
		if n%2 == 1 {
			return reaction{status: http.StatusGatewayTimeout, forward: true, slow: 300 * time.Millisecond}
		}
		return reaction{}
	}
	cfg := viaAPI(t, s, item.LocalMedia)
	cfg.APIURL = f.URL
	r := do(t, cfg)
	wantCauses(t, r)
	wantCounts(t, r, item.LocalMedia, map[string]int64{"done": 4})
	f.oneByOne(t)
	if len(f.asked()) != 4 {
		t.Errorf("%d calls for 4 media: %v", len(f.asked()), f.asked())
	}
}

// TestWhatChangesBeforeTheCallStays changes the row of the second while the first is deleted.
func TestWhatChangesBeforeTheCallStays(t *testing.T) {
	for name, change := range map[string]string{
		"quarantined": `quarantined_by = '@admin:x'`,
		"protected":   `safe_from_quarantine = true`,
		"young":       `created_ts = 9999999999999`,
	} {
		t.Run(name, func(t *testing.T) {
			s := emptied(t)
			first, second := upload(t, s, "alice", 2*longAgo), upload(t, s, "alice", longAgo)
			before := stock.OfMedia(t, s)
			f := newMediaFront(t, s)
			f.on = func(int) reaction {
				return reaction{before: func() {
					execSQL(t, s, `UPDATE local_media_repository SET `+change+` WHERE media_id = $1`, idOf(second))
				}}
			}
			cfg := viaAPI(t, s, item.LocalMedia)
			cfg.APIURL = f.URL
			r := do(t, cfg)
			wantCauses(t, r)
			wantCounts(t, r, item.LocalMedia, map[string]int64{"done": 1, "skipped changed": 1})
			want, got := before.Without(t, first), stock.OfMedia(t, s)
			if len(got.Rows) != len(want.Rows) || len(got.Files) != len(want.Files) {
				t.Errorf("left are %v %v", got.Rows, got.Files)
			}
		})
	}
}

func TestUploadsWithOddIDsAreNotAskedFor(t *testing.T) {
	s := emptied(t)
	good := upload(t, s, "alice", longAgo)
	plantMedia(t, s, func(ctx context.Context, p *sandbox.Plant) error {
		for _, id := range oddIDs() {
			if err := p.RawLocalRow(ctx, id, sandbox.Media{Created: time.Now().Add(-longAgo)}); err != nil {
				return err
			}
		}
		return nil
	})
	before := stock.OfMedia(t, s)
	f := newMediaFront(t, s)
	cfg := viaAPI(t, s, item.LocalMedia)
	cfg.APIURL = f.URL
	r := do(t, cfg)
	wantCauses(t, r, item.CauseItems)
	wantCounts(t, r, item.LocalMedia, map[string]int64{"done": 1, "failed": int64(len(oddIDs()))})
	filesAndRows(t, s, before.Without(t, good))
	if len(f.asked()) != 1 {
		t.Errorf("asked for %v", f.asked())
	}
}
