package pipeline

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"synupkeep/config"
	"synupkeep/internal/item"
	"synupkeep/internal/sandbox"
)

// granted makes a role that may read all tables, and do that, and returns its connection string.
func granted(t *testing.T, s *sandbox.Server, grants ...string) string {
	t.Helper()
	const outsider = "outsider"
	if !strings.Contains(s.OutsiderConnString(), "user="+outsider) {
		t.Fatal("the sandbox gives that role another name")
	}
	t.Cleanup(func() {
		err := s.WithDB(context.Background(), func(ctx context.Context, c *pgx.Conn) error {
			_, err := c.Exec(ctx, `REVOKE ALL ON ALL TABLES IN SCHEMA public FROM `+outsider+`; REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM `+outsider)
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
	for _, grant := range append(grants, "SELECT ON ALL TABLES IN SCHEMA public") {
		execSQL(t, s, "GRANT "+grant+" TO "+outsider)
	}
	return s.OutsiderConnString()
}

// TestARoleWithNoMoreThanItNeeds: a run needs the privileges for what it deletes itself, and they suffice.
func TestARoleWithNoMoreThanItNeeds(t *testing.T) {
	const (
		position = "SELECT ON account_data_sequence"
		local    = "DELETE ON local_media_repository"
		lock     = "UPDATE ON local_media_repository"
		remote   = "DELETE ON remote_media_cache"
		along    = "DELETE ON local_media_repository_thumbnails"
		back     = "INSERT ON local_media_repository"
		backToo  = "INSERT ON local_media_repository_thumbnails"
	)
	for name, test := range map[string]struct {
		flow   item.Flow
		viaAPI bool
		grants []string
	}{
		"history":                  {item.History, false, nil},
		"uploads through the API":  {item.LocalMedia, true, []string{position}},
		"cached media, too":        {item.RemoteMedia, true, nil},
		"uploads on the disk":      {item.LocalMedia, false, []string{position, lock, local, along, back, backToo}},
		"previews":                 {item.Previews, false, []string{lock, local, along, "DELETE ON local_media_repository_url_cache"}},
		"cached media on the disk": {item.RemoteMedia, false, []string{"UPDATE ON remote_media_cache", remote, "DELETE ON remote_media_cache_thumbnails"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := emptied(t)
			cfg := settings(s, test.flow)
			if test.viaAPI {
				cfg = viaAPI(t, s, test.flow)
			}
			oneOld(t, s, cfg, test.flow)
			for i := range test.grants { // one is lacking
				t.Run("without "+test.grants[i], func(t *testing.T) {
					cfg.Postgres = config.NewSecret(granted(t, s, slices.Delete(slices.Clone(test.grants), i, i+1)...))
					r := do(t, cfg)
					wantCauses(t, r, item.CauseFailed)
					if !strings.Contains(r.out, "privileges: ") || r.flow(t, test.flow).Ran {
						t.Error(r.out)
					}
				})
			}
			cfg.Postgres = config.NewSecret(granted(t, s, test.grants...))
			r := do(t, cfg)
			wantCauses(t, r)
			if f := r.flow(t, test.flow); f.Done == 0 || f.Failed > 0 {
				t.Errorf("%s\n%s", r.out, r.log)
			}
		})
	}
}

// oneOld makes one thing that a flow deletes.
func oneOld(t *testing.T, s *sandbox.Server, cfg *config.Config, f item.Flow) {
	t.Helper()
	long := time.Now().Add(-longAgo)
	switch f {
	case item.History:
		room := newTalk(t, s, "granted", sandbox.RoomOptions{}, 5)
		plant(t, s, func(ctx context.Context, p *sandbox.Plant) error { return room.plantOld(ctx, p, 3) })
		cfg.History.Rooms = []string{room.id}
	case item.LocalMedia:
		upload(t, s, "alice", longAgo)
	case item.RemoteMedia:
		cached(t, s, sandbox.Media{Origin: "up.example", Created: long, LastAccess: long})
	case item.Previews:
		plantMedia(t, s, func(ctx context.Context, p *sandbox.Plant) error {
			_, err := p.Preview(ctx, "https://granted.example/", sandbox.Media{Created: long})
			return err
		})
	}
}
