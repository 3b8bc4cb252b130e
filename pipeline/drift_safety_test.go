package pipeline

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"synupkeep/config"
	"synupkeep/internal/item"
	"synupkeep/internal/sandbox"
	"synupkeep/internal/sandbox/stock"
)

// TestUploadsDuringADeletionAreNeverTouched uploads for real, to new ids and to ids that were given out before, and has thumbnails
// and previews made, while runs delete drift with the shortest grace that there is.
func TestUploadsDuringADeletionAreNeverTouched(t *testing.T) {
	s := emptied(t)
	upload(t, s, "alice", 0) // so that there is a row before the first run
	cfg := driftSettings(s, slices.Concat(item.Deletable(), item.DeletableByName())...)
	cfg.Ages[item.Drift] = config.Age{Delta: time.Hour}
	ctx, cancel := context.WithCancel(t.Context())
	var mu sync.Mutex
	var all []string
	var uploading sync.WaitGroup
	for _, name := range []string{"alice", "bob"} {
		user := s.As(name)
		uploading.Go(func() {
			for ctx.Err() == nil {
				mxc, err := user.Upload(t.Context(), "image/png", sandbox.Picture(80, 60))
				if err != nil {
					t.Errorf("an upload failed: %v", err)
					return
				}
				if status, _, err := user.Thumbnail(t.Context(), mxc, 32, 32, "crop"); err != nil || status != http.StatusOK {
					t.Errorf("no thumbnail of %s: %d, %v", mxc, status, err)
				}
				if _, err := user.CreateMedia(t.Context()); err != nil {
					t.Error(err)
				}
				mu.Lock()
				all = append(all, mxc)
				mu.Unlock()
			}
		})
	}
	for range 12 {
		r := do(t, cfg)
		wantCauses(t, r)
		if f := r.flow(t, item.Drift); f.Examined > 0 {
			t.Errorf("found: %s", r.out)
		}
	}
	cancel()
	uploading.Wait()
	t.Logf("%d uploads", len(all))
	if len(all) < 20 {
		t.Error("the test shows nothing")
	}
	for _, mxc := range all {
		wantDownload(t, s, mxc, http.StatusOK)
	}
}

// TestFilesWrittenBeforeTheirRowAreNotTouched goes through what an upload and a download do, one after the other, as slowly as can be: the
// file is there for the whole of many runs, and then comes the row.
func TestFilesWrittenBeforeTheirRowAreNotTouched(t *testing.T) {
	s := emptied(t)
	upload(t, s, "alice", 0)
	cfg := driftSettings(s, item.Deletable()...)
	cfg.Ages[item.Drift] = config.Age{Delta: time.Hour}
	g := &grown{s: s, goes: map[item.Reason][]string{}}
	files := []string{
		"local_content/aa/bb/UploadUnderWay", "remote_content/o.example/aa/bb/DownloadUnderWay", "url_cache/2024-01-31/PreviewUnderWay",
		"local_thumbnails/aa/bb/UploadUnderWay" + thumbnail, "remote_thumbnail/o.example/aa/bb/DownloadUnderWay" + thumbnail,
		"url_cache_thumbnails/2024-01-31/PreviewUnderWay" + thumbnail,
	}
	for _, file := range files {
		g.put(t, "", 59*time.Minute, file)
	}
	do(t, cfg)
	for _, file := range files {
		if _, err := os.Stat(filepath.Join(s.MediaStore(), file)); err != nil {
			t.Error(err)
		}
		old(t, filepath.Join(s.MediaStore(), file), 2*time.Hour)
		old(t, filepath.Dir(filepath.Join(s.MediaStore(), file)), 2*time.Hour)
	}
	if r := do(t, cfg); r.flow(t, item.Drift).Files != int64(len(files)) {
		t.Errorf("an hour later they are no uploads any more:\n%s", r.out)
	}
}

// settle makes all files and directories as old as that.
func settle(t testing.TB, s *sandbox.Server, age time.Duration) {
	t.Helper()
	files, dirs := stock.Listing(t, s.MediaStore())
	for path := range files {
		old(t, filepath.Join(s.MediaStore(), path), age)
	}
	for path := range dirs {
		old(t, filepath.Join(s.MediaStore(), path), age)
	}
}

// TestADeadPictureLivesAgain: Synapse answers 404 for remote media whose file is gone, for as long as there is the row, and asks the
// other server once it is gone.
func TestADeadPictureLivesAgain(t *testing.T) {
	f, err := sandbox.StartFederation(t.Context(), 2, sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Stop() })
	here, there := f.Servers[0], f.Servers[1]
	mxc, err := there.As("bob").Upload(t.Context(), "image/png", sandbox.Picture(80, 60))
	if err != nil {
		t.Fatal(err)
	}
	wantDownload(t, here, mxc, http.StatusOK)
	execSQL(t, here, `UPDATE remote_media_cache SET created_ts = created_ts - $1`, longAgo.Milliseconds())
	for i := range 3 { // so that most of the store is as it should be
		m := upload(t, here, "alice", 0)
		more, err := there.As("bob").Upload(t.Context(), "image/png", sandbox.Picture(80+i, 60))
		if err != nil {
			t.Fatal(err)
		}
		wantDownload(t, here, more, http.StatusOK)
		wantDownload(t, here, m, http.StatusOK)
	}
	file := stock.All[string](t, here, `SELECT filesystem_id FROM remote_media_cache WHERE media_id = $1`, idOf(mxc))[0]
	path := filepath.Join(here.MediaStore(), "remote_content", there.ServerName(), file[:2], file[2:4], file[4:])
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	wantDownload(t, here, mxc, http.StatusNotFound)
	settle(t, here, longAgo)

	r := do(t, driftSettings(here, item.RemoteWithoutFile))
	wantCauses(t, r)
	if findings := r.flow(t, item.Drift).Findings; len(findings) == 0 || findings[0].Samples[0] != mxc || findings[0].Deleted != 1 {
		t.Errorf("%+v", findings)
	}
	wantDownload(t, here, mxc, http.StatusOK)
}

// TestDriftIsNotDeletedFromAStoreThatIsAnother, and is told of with a warning.
func TestDriftIsNotDeletedFromAStoreThatIsAnother(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(t *testing.T, s *sandbox.Server)
		says  string
	}{
		"most files are not there": {func(t *testing.T, s *sandbox.Server) {
			plenty(t, s, 30)
			if err := os.RemoveAll(filepath.Join(s.MediaStore(), "local_content")); err != nil {
				t.Fatal(err)
			}
		}, "sampled files of local-media"},
		"the database knows of no upload": {func(t *testing.T, s *sandbox.Server) {
			plenty(t, s, 30)
			execSQL(t, s, `TRUNCATE local_media_repository`)
		}, "not one row of an upload in the database"},
	} {
		t.Run(name, func(t *testing.T) {
			s := emptied(t)
			test.spoil(t, s)
			settle(t, s, longAgo)
			(&grown{s: s, goes: map[item.Reason][]string{}}).put(t, "", longAgo, "remote_content/o.example/Or/ph/an")
			before := stock.OfMedia(t, s)
			for _, r := range []result{do(t, driftSettings(s, item.Deletable()...)), makePlan(t, driftSettings(s, item.Deletable()...))} {
				wantCauses(t, r, item.CauseRefused)
				if !strings.Contains(r.out, test.says) {
					t.Error(r.out)
				}
				stock.Exactly(t, s, before)
			}
			r := do(t, driftSettings(s))
			wantCauses(t, r)
			if f := r.flow(t, item.Drift); f.KeptTotal < 30 || f.Done > 0 {
				t.Errorf("%+v", f)
			}
			stock.Exactly(t, s, before)
		})
	}
}

// TestLimitsHoldForDrift, but for directories, which are no media.
func TestLimitsHoldForDrift(t *testing.T) {
	s := emptied(t)
	healthy(t, s)
	g := &grown{s: s, goes: map[item.Reason][]string{}}
	for i := range 9 {
		g.put(t, "", longAgo, fmt.Sprintf("local_content/Or/p%d/an", i))
		g.dir(t, longAgo, fmt.Sprintf("local_content/Em/p%d", i))
	}
	before := stock.OfMedia(t, s)
	cfg := driftSettings(s, item.Deletable()...)
	cfg.Max.Media.Count = 8
	wantCauses(t, do(t, cfg), item.CauseRefused)
	stock.Exactly(t, s, before)

	cfg = driftSettings(s, item.Deletable()...)
	cfg.Media.Limit = 4
	r := do(t, cfg)
	wantCauses(t, r, item.CauseLeft)
	wantCounts(t, r, item.Drift, map[string]int64{"done": 4 + 9, "left limit": 5})
	cfg.Media.Limit, cfg.Max.Media.Count = 0, 5
	r = do(t, cfg)
	wantCauses(t, r)
	wantCounts(t, r, item.Drift, map[string]int64{"done": 5})
}

// TestAKilledDeletionOfDriftIsFinishedByTheNext kills a run with signal 9 while it deletes rows and files.
func TestAKilledDeletionOfDriftIsFinishedByTheNext(t *testing.T) {
	s := emptied(t)
	var kept, lost []string
	plantMedia(t, s, func(ctx context.Context, p *sandbox.Plant) error {
		for i := range 400 {
			m := sandbox.Media{Origin: "o.example", Created: time.Now().Add(-longAgo), LastAccess: time.Now(), Thumbnails: 3, Data: []byte("x")}
			mxc, err := p.RemoteMedia(ctx, m)
			if err != nil {
				return err
			}
			if i%4 == 0 {
				lost = append(lost, mxc)
			} else {
				kept = append(kept, mxc)
			}
		}
		_, err := p.LocalMedia(ctx, 3, sandbox.Media{Thumbnails: 1, Created: time.Now().Add(-longAgo)}, time.Second)
		return err
	})
	intact := stock.OfMedia(t, s)
	for _, row := range intact.Rows {
		if mxc := "mxc://o.example/" + row.Text("media_id"); row.Table == "remote_media_cache" && slices.Contains(lost, mxc) {
			content, _ := row.Places()
			if err := os.Remove(filepath.Join(s.MediaStore(), content)); err != nil {
				t.Fatal(err)
			}
		}
	}
	settle(t, s, longAgo)
	k := &killing{s: s, flow: item.Drift, stateDir: filepath.Join(t.TempDir(), "state")}
	for i := range 3 {
		v := k.start(t, s.PGPort())
		until(t, "some rows are gone", func() bool {
			return stock.All[int](t, s, `SELECT count(*)::int FROM remote_media_cache`)[0] < 400-5-15*i
		})
		v.kill(t)
		k.unlocked(t)
	}
	if left := stock.All[int](t, s, `SELECT count(*)::int FROM remote_media_cache`)[0]; left <= len(kept) {
		t.Log("the last kill came after the last row")
	}
	settle(t, s, longAgo) // the next night: a directory that was just emptied might be of an upload
	r := do(t, driftSettings(s, item.Deletable()...))
	wantCauses(t, r)
	want := intact.Without(t, lost...)
	stock.Exactly(t, s, want)
	if f := do(t, driftSettings(s, item.Deletable()...)).flow(t, item.Drift); f.Examined > 0 {
		t.Errorf("a second run found %+v", f.Findings)
	}
}

// TestDriftThatIsStoppedReportsWhatItDid: what is on disk is what it says.
func TestDriftThatIsStoppedReportsWhatItDid(t *testing.T) {
	s := emptied(t)
	healthy(t, s)
	g := &grown{s: s, goes: map[item.Reason][]string{}}
	for i := range 2500 {
		g.put(t, "", longAgo, fmt.Sprintf("local_content/Or/%02d/an%d", i%100, i))
	}
	stops := newStops(t)
	cfg := driftSettings(s, item.Deletable()...)
	cfg.Media.DeleteConcurrency = 1
	done := 0
	r := doStopped(t, cfg, stops, time.Hour, func(line string) {
		if strings.Contains(line, " done") && strings.Contains(line, "item=") {
			if done++; done == 30 {
				stops.first()
			}
		}
	})
	f := r.flow(t, item.Drift)
	wantCauses(t, r, item.CauseTerminated)
	files, _ := stock.Listing(t, s.MediaStore())
	left := 0
	for path := range files {
		if strings.HasPrefix(path, "local_content/Or/") {
			left++
		}
	}
	if f.Files != int64(2500-left) || f.Done != f.Files || f.Done < 30 || left == 0 {
		t.Errorf("%d files are left, and it says %+v", left, f)
	}
}
