package pipeline

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"synupkeep/config"
	"synupkeep/internal/item"
	"synupkeep/internal/sandbox"
	"synupkeep/internal/sandbox/stock"
)

// driftSettings are those of --only drift --drift with these findings.
func driftSettings(s *sandbox.Server, findings ...item.Reason) *config.Config {
	cfg := settings(s, item.Drift)
	cfg.Ages[item.Drift] = config.Age{Delta: aDay}
	cfg.Drift = config.Drift{Delete: findings, UploadLifetime: aDay}
	return cfg
}

// grown is a media store with one or more of each kind of drift.
type grown struct {
	s *sandbox.Server
	// found are the keys of what is to be found, by kind.
	found map[item.Reason][]string
	// goes and stays are what else a deletion of a kind takes away: files, directories and rows.
	goes map[item.Reason][]string
	rows map[item.Reason][]string
}

// put makes a file of this age and says that a deletion of this kind takes it away.
func (g *grown) put(t testing.TB, kind item.Reason, age time.Duration, path string) {
	t.Helper()
	full := filepath.Join(g.s.MediaStore(), path)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte("left over"), 0o644); err != nil {
		t.Fatal(err)
	}
	old(t, full, age)
	old(t, filepath.Dir(full), age)
	if kind != "" {
		g.goes[kind] = append(g.goes[kind], path)
	}
}

// dir makes a directory of this age.
func (g *grown) dir(t testing.TB, age time.Duration, path string) {
	t.Helper()
	full := filepath.Join(g.s.MediaStore(), path)
	if err := os.MkdirAll(full, 0o755); err != nil {
		t.Fatal(err)
	}
	old(t, full, age)
}

func old(t testing.TB, path string, age time.Duration) {
	t.Helper()
	at := time.Now().Add(-age)
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

func (g *grown) finds(kind item.Reason, keys ...string) {
	g.found[kind] = append(g.found[kind], keys...)
}

const thumbnail = "/32-32-image-png-crop"

// healthy plants media of all kinds that is as it should be, of all ages, and empty directories that stay.
func healthy(t testing.TB, s *sandbox.Server) {
	t.Helper()
	plantMedia(t, s, func(ctx context.Context, p *sandbox.Plant) error {
		for _, age := range []time.Duration{0, aDay, longAgo} {
			at := time.Now().Add(-age)
			m := sandbox.Media{Thumbnails: 2, Created: at, LastAccess: at, Data: []byte("healthy")}
			if _, err := p.LocalMedia(ctx, 20, m, time.Second); err != nil {
				return err
			}
			for _, origin := range []string{"remote.example", "remote.example:8448", "[::1]:8448", "a-z"} {
				m.Origin = origin
				for range 5 {
					if _, err := p.RemoteMedia(ctx, m); err != nil {
						return err
					}
				}
			}
			if _, err := p.Preview(ctx, "https://page.example/", m); err != nil {
				return err
			}
		}
		// Of very old previews, whose ids do not begin with a date.
		return p.Exec(ctx, `INSERT INTO local_media_repository (media_id, media_type, media_length, created_ts, user_id, url_cache)
			VALUES ('LegacyPreview', 'image/png', 9, 1, '@a:b', 'http://x')`)
	})
	g := &grown{s: s, goes: map[item.Reason][]string{}}
	g.put(t, "", longAgo, "url_cache/Le/ga/cyPreview")
	g.put(t, "", longAgo, "url_cache_thumbnails/Le/ga/cyPreview/32-32-image-png-scale")
	g.dir(t, longAgo, "local_content/_-")
	g.dir(t, longAgo, "remote_content/nobody.example/aa")
	g.dir(t, longAgo, "remote_thumbnail/nobody.example")
}

// grow plants every kind of drift in both directions, in all six trees.
func grow(t testing.TB, s *sandbox.Server) *grown {
	t.Helper()
	g := &grown{s: s, found: map[item.Reason][]string{}, goes: map[item.Reason][]string{}, rows: map[item.Reason][]string{}}
	g.growFiles(t)
	g.growRows(t)
	g.growDirectories(t)
	g.growOdd(t)
	return g
}

func (g *grown) growFiles(t testing.TB) {
	t.Helper()
	for _, file := range []string{
		"local_content/Or/ph/anOfTheLocalKind", "remote_content/remote.example/Or/ph/anOfARemoteKind", "remote_content/gone.example/Or/ph/an",
		"url_cache/2020-01-31/orphanOfAPage", "url_cache/Ol/dO/rphan",
	} {
		g.put(t, item.FilesWithoutRow, longAgo, file)
		g.finds(item.FilesWithoutRow, file)
	}
	// With thumbnails they go together, the legacy names among them.
	g.put(t, item.FilesWithoutRow, longAgo, "local_thumbnails/Or/ph/anOfTheLocalKind"+thumbnail)
	g.put(t, item.FilesWithoutRow, longAgo, "remote_thumbnail/remote.example/Or/ph/anOfARemoteKind/32-32-image-png")
	g.put(t, item.FilesWithoutRow, longAgo, "url_cache_thumbnails/2020-01-31/orphanOfAPage"+thumbnail)
	for _, file := range []string{
		"local_thumbnails/Th/um/bnailsAlone", "remote_thumbnail/remote.example/Th/um/bnailsAlone", "url_cache_thumbnails/2020-02-28/alone",
		"url_cache_thumbnails/Th/um/bnails",
	} {
		g.put(t, item.ThumbnailsWithoutRow, longAgo, file+thumbnail)
		g.finds(item.ThumbnailsWithoutRow, file)
	}
	// Uploads and downloads under way, and media of which a thumbnail has just been made.
	g.put(t, "", time.Hour, "local_content/Un/de/rWay")
	g.put(t, "", time.Hour, "remote_content/remote.example/Un/de/rWay")
	g.put(t, "", time.Hour, "url_cache/2020-01-31/underWay")
	g.put(t, "", longAgo, "local_content/Ju/st/thumbnailed")
	g.put(t, "", time.Hour, "local_thumbnails/Ju/st/thumbnailed"+thumbnail)
}

func (g *grown) growRows(t testing.TB) {
	t.Helper()
	at := time.Now().Add(-longAgo)
	home := "mxc://" + g.s.ServerName() + "/"
	plantMedia(t, g.s, func(ctx context.Context, p *sandbox.Plant) error {
		m := sandbox.Media{Created: at, LastAccess: time.Now(), NoFile: true, Origin: "remote.example", Thumbnails: 1}
		for _, change := range []func(*sandbox.Media){
			func(m *sandbox.Media) { m.ID = "RemoteWithoutFile" },
			func(m *sandbox.Media) { m.ID = "RemoteQuarantined"; m.QuarantinedBy = "@admin:x" },
			func(m *sandbox.Media) { m.ID = "RemoteOfToday"; m.Created = time.Now() },
		} {
			m := m
			change(&m)
			if _, err := p.RemoteMedia(ctx, m); err != nil {
				return err
			}
		}
		for _, change := range []func(*sandbox.Media){
			func(m *sandbox.Media) { m.ID = "LostUpload" },
			func(m *sandbox.Media) { m.ID = "LostOriginal" },
			func(m *sandbox.Media) { m.ID = "LostProtected"; m.Protected = true },
			func(m *sandbox.Media) { m.ID = "LostQuarantined"; m.QuarantinedBy = "@admin:x" },
			func(m *sandbox.Media) { m.ID = "UnfinishedUpload" },
			func(m *sandbox.Media) { m.ID = "UnfinishedWithFile" },
			func(m *sandbox.Media) { m.ID = "UnfinishedOfToday"; m.Created = time.Now().Add(-23 * time.Hour) },
		} {
			m := m
			change(&m)
			if _, err := p.LocalMedia(ctx, 1, m, 0); err != nil {
				return err
			}
		}
		if err := p.RawLocalRow(ctx, "../../../odd", m); err != nil {
			return err
		}
		if err := p.Exec(ctx, `UPDATE local_media_repository SET media_length = NULL WHERE media_id LIKE 'Unfinished%'`); err != nil {
			return err
		}
		return p.Exec(ctx, `INSERT INTO local_media_repository (media_id, media_type, media_length, created_ts, user_id, url_cache)
			VALUES ('2020-03-01_withoutFile', 'image/png', 9, $1, '@a:b', 'http://x'), ('PreviewOfOld', 'image/png', 9, $1, '@a:b', 'http://x'),
				('2020-03-01_answerExpired', 'image/png', 9, $2, '@a:b', 'http://x')`, at.UnixMilli(), time.Now().Add(-47*time.Hour).UnixMilli())
	})
	execSQL(t, g.s, `INSERT INTO local_media_repository_url_cache (url, response_code, media_id, download_ts) VALUES ('http://x', 200, '2020-03-01_withoutFile', 1)`)
	fsid := stock.All[string](t, g.s, `SELECT filesystem_id FROM remote_media_cache WHERE media_id = 'RemoteWithoutFile'`)[0]
	g.put(t, item.RemoteWithoutFile, longAgo, "remote_thumbnail/remote.example/"+fsid[:2]+"/"+fsid[2:4]+"/"+fsid[4:]+thumbnail)
	g.put(t, item.LostOriginals, longAgo, "local_thumbnails/Lo/st/Original"+thumbnail)
	g.put(t, item.UnfinishedUploads, longAgo, "local_content/Un/fi/nishedWithFile")
	g.finds(item.RemoteWithoutFile, "mxc://remote.example/RemoteWithoutFile")
	g.finds(item.PreviewsWithoutFile, home+"2020-03-01_withoutFile", home+"PreviewOfOld")
	g.finds(item.Lost, home+"LostProtected", home+"LostUpload")
	g.finds(item.LostOriginals, home+"LostOriginal")
	g.finds(item.UnfinishedUploads, home+"UnfinishedUpload", home+"UnfinishedWithFile")
	g.finds(item.QuarantinedWithoutFile, home+"LostQuarantined", "mxc://remote.example/RemoteQuarantined")
	g.finds(item.NotSynapses, home+"../../../odd")
	g.rows[item.RemoteWithoutFile] = []string{"RemoteWithoutFile"}
	g.rows[item.PreviewsWithoutFile] = []string{"2020-03-01_withoutFile", "PreviewOfOld"}
	g.rows[item.Lost] = []string{"LostUpload"}
	g.rows[item.LostOriginals] = []string{"LostOriginal"}
	g.rows[item.UnfinishedUploads] = []string{"UnfinishedUpload", "UnfinishedWithFile"}
}

func (g *grown) growDirectories(t testing.TB) {
	t.Helper()
	for _, dir := range []string{
		"local_content/Em/pt", "local_thumbnails/Em/pt", "local_thumbnails/Em/py/thumbnails", "remote_content/empty.example/Em/pt",
		"remote_thumbnail/empty.example/Em/pt", "url_cache/2020-04-01", "url_cache/Em/pt", "url_cache_thumbnails/2020-04-01",
	} {
		g.dir(t, longAgo, dir)
		g.finds(item.EmptyDirectories, dir)
		g.goes[item.EmptyDirectories] = append(g.goes[item.EmptyDirectories], dir)
	}
	old(t, filepath.Join(g.s.MediaStore(), "local_thumbnails/Em/py"), longAgo) // it becomes empty, and is old as well
	g.goes[item.EmptyDirectories] = append(g.goes[item.EmptyDirectories], "local_thumbnails/Em/py")
	g.dir(t, time.Hour, "local_content/Yo/un")
	g.dir(t, time.Hour, "remote_thumbnail/empty.example/Yo/un")
}

func (g *grown) growOdd(t testing.TB) {
	t.Helper()
	odd := func(path string) {
		g.finds(item.NotSynapses, path)
	}
	for _, file := range []string{
		"local_content/file", "local_content/lost+found/file", "local_content/Od/file2long/x", "local_content/Od/dd/sp ace", "local_content/Od/dd/directory/file",
		"local_thumbnails/Od/dd/file", "local_thumbnails/Od/de/media/notes.txt", "remote_content/bad origin/Od/dd/x", "remote_content/file",
		"url_cache/2020-1-1/x", "url_cache/Od/dd/file\x1b[2J", "url_cache_thumbnails/2020-05-01/file",
	} {
		g.put(t, "", longAgo, file)
	}
	for _, path := range []string{
		"local_content/file", "local_content/lost+found", "local_content/Od/file2long", "local_content/Od/dd/sp ace", "local_content/Od/dd/directory",
		"local_thumbnails/Od/dd/file", "local_thumbnails/Od/de/media/notes.txt", "remote_content/bad origin", "remote_content/file",
		"url_cache/2020-1-1", "url_cache/Od/dd/file\x1b[2J", "url_cache_thumbnails/2020-05-01/file",
	} {
		odd(path)
	}
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "Outside"), []byte("not ours"), 0o644); err != nil {
		t.Fatal(err)
	}
	old(t, filepath.Join(outside, "Outside"), longAgo)
	for link, target := range map[string]string{
		"local_content/Li": outside, "local_content/Od/Li": outside, "local_content/Od/dd/linkedFile": filepath.Join(outside, "Outside"),
		"local_thumbnails/Od/dd/linkedDirectory": outside, "remote_content/linked.example": outside, "url_cache/2020-06-01": outside,
	} {
		if err := os.Symlink(target, filepath.Join(g.s.MediaStore(), link)); err != nil {
			t.Fatal(err)
		}
		odd(link)
	}
}

// after is what is left when these kinds were deleted.
func (g *grown) after(t testing.TB, kinds ...item.Reason) stock.Media {
	t.Helper()
	left := stock.OfMedia(t, g.s)
	for _, kind := range kinds {
		for _, path := range g.goes[kind] {
			delete(left.Files, path)
			delete(left.Dirs, path)
		}
		for text, row := range left.Rows {
			if slices.Contains(g.rows[kind], row.Text("media_id")) {
				delete(left.Rows, text)
			}
		}
	}
	// Directories that became empty go as with any other deletion.
	for _, kind := range kinds {
		for _, path := range g.goes[kind] {
			for dir := filepath.Dir(path); strings.Count(dir, "/") >= levelOf(dir); dir = filepath.Dir(dir) {
				if !slices.ContainsFunc(slices.Concat(slices.Collect(maps.Keys(left.Files)), slices.Collect(maps.Keys(left.Dirs))),
					func(other string) bool { return strings.HasPrefix(other, dir+"/") }) {
					delete(left.Dirs, dir)
				}
			}
		}
	}
	return left
}

// levelOf is how deep a directory lies at least that may go.
func levelOf(dir string) int {
	switch {
	case strings.HasPrefix(dir, "remote_"):
		return 3
	case strings.HasPrefix(dir, "url_cache") && strings.Contains(dir, "/2020-"):
		return 1
	}
	return 2
}

// wantFindings compares what was found with what there is, by kind: how many, and the first of them.
func (g *grown) wantFindings(t testing.TB, r result, deleted ...item.Reason) {
	t.Helper()
	type numbers struct {
		Items, Deleted int
		Samples        []string
	}
	want, got := map[item.Reason]numbers{}, map[item.Reason]numbers{}
	for kind, keys := range g.found {
		n := numbers{Items: len(keys), Samples: slices.Sorted(slices.Values(keys))}
		if n.Samples = n.Samples[:min(5, len(keys))]; slices.Contains(deleted, kind) {
			n.Deleted = n.Items
			if kind == item.Lost {
				n.Deleted-- // one is protected
			}
		}
		want[kind] = n
	}
	for _, f := range r.flow(t, item.Drift).Findings {
		got[f.Finding] = numbers{int(f.Items), int(f.Deleted), f.Samples}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("findings:\n%s\n%s", diff, r.log)
	}
}

// TestAStoreWithoutDriftHasNone, and a deletion changes nothing there.
func TestAStoreWithoutDriftHasNone(t *testing.T) {
	s := emptied(t)
	healthy(t, s)
	before := stock.OfMedia(t, s)
	r := do(t, driftSettings(s, slices.Concat(item.Deletable(), item.DeletableByName())...))
	wantCauses(t, r)
	if f := r.flow(t, item.Drift); f.Examined != 0 || len(f.Findings) != 0 {
		t.Errorf("found: %+v\n%s", f, r.out)
	}
	stock.Exactly(t, s, before)
}

// TestDriftIsFoundAndDeleted plants every kind in both directions in all six trees, finds exactly those, and deletes exactly those
// that it is told to.
func TestDriftIsFoundAndDeleted(t *testing.T) {
	for name, kinds := range map[string][]item.Reason{
		"reported":          nil,
		"deleted":           item.Deletable(),
		"deleted, all":      slices.Concat(item.Deletable(), item.DeletableByName()),
		"files alone":       {item.FilesWithoutRow},
		"thumbnails alone":  {item.ThumbnailsWithoutRow},
		"remote alone":      {item.RemoteWithoutFile},
		"directories alone": {item.EmptyDirectories},
		"lost alone":        {item.Lost},
	} {
		t.Run(name, func(t *testing.T) {
			s := emptied(t)
			healthy(t, s)
			g := grow(t, s)
			before, want := stock.OfMedia(t, s), g.after(t, kinds...)
			cfg := driftSettings(s, kinds...)

			plan := makePlan(t, cfg)
			g.wantFindings(t, plan, kinds...)
			stock.Exactly(t, s, before)

			run := do(t, cfg)
			g.wantFindings(t, run, kinds...)
			agrees(t, plan, run)
			stock.Exactly(t, s, want)
			wantCauses(t, run)

			for _, f := range do(t, cfg).flow(t, item.Drift).Findings {
				if f.Deleted > 0 || slices.Contains(kinds, f.Finding) && f.Finding != item.Lost {
					t.Errorf("a second run found %+v", f)
				}
			}
		})
	}
}
