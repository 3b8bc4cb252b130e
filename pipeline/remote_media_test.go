package pipeline

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"synupkeep/internal/item"
	"synupkeep/internal/sandbox"
	"synupkeep/internal/sandbox/stock"
)

// cached plants media of other servers, with thumbnails, by the name of the server.
func cached(t testing.TB, s *sandbox.Server, media ...sandbox.Media) (mxcs []string) {
	t.Helper()
	plantMedia(t, s, func(ctx context.Context, p *sandbox.Plant) error {
		for _, m := range media {
			m.Thumbnails = 3
			mxc, err := p.RemoteMedia(ctx, m)
			if err != nil {
				return err
			}
			mxcs = append(mxcs, mxc)
		}
		return nil
	})
	return mxcs
}

func TestOldRemoteMediaGoes(t *testing.T) {
	s := emptied(t)
	long := time.Now().Add(-longAgo)
	mxcs := cached(t, s,
		sandbox.Media{Origin: "up.example", Created: long, LastAccess: long},
		sandbox.Media{Origin: "up.example:8448", Created: long, LastAccess: long},
		sandbox.Media{Origin: "[2001:db8::1]:8448", Created: long, LastAccess: long},
		sandbox.Media{Origin: "down.example", Created: long, LastAccess: long},
		sandbox.Media{Origin: "justdown.example", Created: long, LastAccess: long},
		sandbox.Media{Origin: "up.example", Created: long, LastAccess: time.Now().Add(-29 * aDay)},
		sandbox.Media{Origin: "up.example", Created: long, LastAccess: long, QuarantinedBy: "@admin:" + s.ServerName()},
		sandbox.Media{Origin: "up.example", Created: long, Never: true},
	)
	execSQL(t, s, `INSERT INTO destinations (destination, failure_ts) VALUES ('down.example', $1), ('justdown.example', $2), ('up.example', NULL)
		ON CONFLICT (destination) DO UPDATE SET failure_ts = EXCLUDED.failure_ts`,
		time.Now().Add(-8*aDay).UnixMilli(), time.Now().Add(-6*aDay).UnixMilli())
	gone, down := []string{mxcs[0], mxcs[1], mxcs[2], mxcs[4]}, mxcs[3]
	before := stock.OfMedia(t, s)

	r := do(t, settings(s, item.RemoteMedia))
	wantCauses(t, r)
	wantCounts(t, r, item.RemoteMedia, map[string]int64{"done": 4, "kept origin down": 1, "kept quarantined": 1})
	stock.Exactly(t, s, before.Without(t, gone...))
	accounts(t, s, r, item.RemoteMedia, before)
	wantDownload(t, s, mxcs[5], http.StatusOK)

	again := do(t, settings(s, item.RemoteMedia))
	wantCauses(t, again)
	wantCounts(t, again, item.RemoteMedia, map[string]int64{"kept origin down": 1, "kept quarantined": 1})

	cfg := settings(s, item.RemoteMedia)
	cfg.Media.DeleteOfDeadServers = true
	r = do(t, cfg)
	wantCauses(t, r)
	wantCounts(t, r, item.RemoteMedia, map[string]int64{"done": 1, "kept quarantined": 1})
	stock.Exactly(t, s, before.Without(t, append(gone, down)...))
}

func TestRemoteMediaThatIsLookedAtDuringTheRunStays(t *testing.T) {
	s := emptied(t)
	long := time.Now().Add(-longAgo)
	mxcs := cached(t, s,
		sandbox.Media{Origin: "up.example", ID: "looked-at", Created: long, LastAccess: long},
		sandbox.Media{Origin: "up.example", ID: "quarantined", Created: long, LastAccess: long},
		sandbox.Media{Origin: "up.example", ID: "goes", Created: long, LastAccess: long},
	)
	before := stock.OfMedia(t, s)
	r := meanwhile(t, s, settings(s, item.RemoteMedia), "remote_media_cache", func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE remote_media_cache SET last_access_ts = $1 WHERE media_id = 'looked-at'`, time.Now().UnixMilli())
		if err == nil {
			_, err = tx.Exec(ctx, `UPDATE remote_media_cache SET quarantined_by = '@admin:x' WHERE media_id = 'quarantined'`)
		}
		return err
	})
	wantCauses(t, r)
	wantCounts(t, r, item.RemoteMedia, map[string]int64{"done": 1, "skipped changed": 2})
	execSQL(t, s, `UPDATE remote_media_cache SET quarantined_by = NULL`) // as it was before, to compare
	stock.Exactly(t, s, before.Without(t, mxcs[2]))
}
