package pipeline

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"synupkeep/internal/item"
	"synupkeep/internal/sandbox"
	"synupkeep/internal/sandbox/stock"
)

// TestWhatTheServerCannotDeleteIsNamed puts a directory in the place of a file.
func TestWhatTheServerCannotDeleteIsNamed(t *testing.T) {
	s := emptied(t)
	mxcs := seen(t, s, longAgo+2*time.Minute, longAgo+time.Minute, longAgo)
	stuck := upload(t, s, "alice", longAgo)
	upload(t, s, "alice", 2*longAgo)
	before := stock.OfMedia(t, s)
	for _, mxc := range []string{mxcs[1], stuck} {
		for key, row := range before.Rows {
			if row.Text("media_id") == idOf(mxc) && !strings.Contains(key, "thumbnails") {
				content, _ := row.Places()
				at := filepath.Join(s.MediaStore(), content)
				if err := os.Remove(at); err != nil {
					t.Fatal(err)
				}
				if err := os.Mkdir(at, 0o755); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = os.Remove(at) })
			}
		}
	}
	_, cfg := through(t, s, item.RemoteMedia, item.LocalMedia)
	r := do(t, cfg)
	wantCauses(t, r, item.CauseItems)
	wantCounts(t, r, item.RemoteMedia, map[string]int64{"done": 2, "failed": 1})
	wantCounts(t, r, item.LocalMedia, map[string]int64{"done": 1, "failed": 1})
	for _, f := range r.summary.Failures {
		if f.Key != mxcs[1] && f.Key != stuck || !strings.Contains(f.Cause, "could not delete its file") {
			t.Errorf("%+v", f)
		}
	}
}

func TestAFileNameThatSynapseRefusesEndsThePurge(t *testing.T) {
	s := emptied(t)
	mxcs := seen(t, s, longAgo+2*time.Minute, longAgo+time.Minute, longAgo)
	execSQL(t, s, `UPDATE remote_media_cache SET filesystem_id = '../../x' WHERE media_id = $1`, idOf(mxcs[1]))
	f, cfg := through(t, s, item.RemoteMedia)
	r := do(t, cfg)
	f.within(t, cfg, 1)
	if sum := r.flow(t, item.RemoteMedia); sum.Done != 1 || sum.Failed != 1 || r.causes[0] != item.CauseFailed {
		t.Errorf("%v %+v", r.causes, sum)
	}
	if !strings.Contains(r.out, "Delete the row from remote_media_cache") {
		t.Error(r.out)
	}
}

// TestTheMediaAPIMayBeElsewhere: it is looked for before anything is deleted.
func TestTheMediaAPIMayBeElsewhere(t *testing.T) {
	s := sandbox.Own(t, sandbox.Options{ExtraConfig: "enable_media_repo: false\n"})
	r := do(t, viaAPI(t, s, item.History, item.LocalMedia))
	wantCauses(t, r, item.CauseFailed)
	for _, f := range r.summary.Flows {
		if f.Ran {
			t.Errorf("%s ran", f.Flow)
		}
	}
	if !strings.Contains(r.out, "enable_media_repo") || !strings.Contains(r.out, "--api-url") {
		t.Errorf("the hint is of no use: %s", fmt.Sprint(r.summary.Errors))
	}
}
