package stages

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"synupkeep/internal/item"
	"synupkeep/internal/journal"
	"synupkeep/internal/mediastore"
	"synupkeep/internal/retry"
)

// disk notes what is removed and cannot remove some.
type disk struct {
	removed map[string]bool
	stuck   string
	then    func() // called after each
}

func (d *disk) Remove(_ context.Context, kind mediastore.Kind, origin, fileID string) (mediastore.Removed, error) {
	if d.then != nil {
		defer d.then()
	}
	if fileID == d.stuck {
		return mediastore.Removed{}, errors.New("not deletable")
	}
	d.removed[fmt.Sprint(kind, " ", origin, " ", fileID)] = true
	return mediastore.Removed{Files: 2, Bytes: 10}, nil
}

// finishing is a Finish on a disk and a journal in memory.
func finishing(db Transactor) (*Finish, *disk, *notes) {
	store, kept := &disk{removed: map[string]bool{}, stuck: "stuck"}, &notes{}
	return &Finish{DB: db, Store: store, Journal: kept, Stopping: func() bool { return false }}, store, kept
}

// finished begins an entry, finishes it and returns the outcomes.
func finished(t *testing.T, f *Finish, flow item.Flow, rows ...journal.Row) map[string]string {
	t.Helper()
	id, err := f.Journal.Begin(flow, rows)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	err = f.Do(t.Context(), journal.Batch{ID: id, Flow: flow, Rows: len(rows)}, rows, func(o item.Outcome) error {
		got[o.Key] = fmt.Sprint(o.Status, " ", o.Rows, " ", o.Files, " ", o.Bytes)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func named(origin, id, file string) journal.Row {
	return journal.Row{Origin: origin, ID: id, FileID: file}
}

func TestTheNextRunFinishesWhatNoRowNames(t *testing.T) {
	db := copies(t)
	f, store, kept := finishing(db)
	// Their deletion was not committed, or a backup has brought them back.
	there := localRow(t, db, "there", "")
	preview := localRow(t, db, "preview", "url_cache = 'https://example.org/'")
	cached := remoteRow(t, db, "server", "cached", "")
	// Fetched again after the run had ended: the row is back, with other files.
	again := remoteRow(t, db, "server", "again", "")

	got := finished(t, f, item.LocalMedia, named(there.Origin, there.ID, there.FileID), named("hs", "gone", "gone"))
	if diff := cmp.Diff(map[string]string{"mxc://hs/gone": "done 0 2 10"}, got); diff != "" {
		t.Error(diff)
	}
	got = finished(t, f, item.Previews, named("hs", "goneToo", "goneToo"), named(preview.Origin, preview.ID, preview.FileID))
	if diff := cmp.Diff(map[string]string{"mxc://hs/goneToo": "done 0 2 10"}, got); diff != "" {
		t.Error(diff)
	}
	got = finished(t, f, item.RemoteMedia, named(again.Origin, again.ID, "formerFile"), named(cached.Origin, cached.ID, "filecached"),
		named("elsewhere", cached.ID, "filecached"))
	if diff := cmp.Diff(map[string]string{again.Key(): "done 0 2 10", "mxc://elsewhere/cached": "done 0 2 10"}, got); diff != "" {
		t.Error(diff)
	}
	if left := kept.unfinished(); len(left) > 0 {
		t.Errorf("still in the journal: %v", left)
	}
	want := []string{
		fmt.Sprint(mediastore.Local, " hs gone"), fmt.Sprint(mediastore.Preview, " hs goneToo"),
		fmt.Sprint(mediastore.Remote, " elsewhere filecached"), fmt.Sprint(mediastore.Remote, " server formerFile"),
	}
	if diff := cmp.Diff(slices.Sorted(slices.Values(want)), slices.Sorted(maps.Keys(store.removed))); diff != "" {
		t.Error(diff)
	}
}

func TestWhatCannotBeFinishedStaysInTheJournalAlone(t *testing.T) {
	f, store, kept := finishing(copies(t))
	got := finished(t, f, item.LocalMedia, named("hs", "a", "a"), named("hs", "stuck", "stuck"), named("hs", "b", "b"))
	want := map[string]string{"mxc://hs/a": "done 0 2 10", "mxc://hs/b": "done 0 2 10", "mxc://hs/stuck": "failed 0 0 0"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"stuck"}, kept.unfinished()); diff != "" {
		t.Error(diff)
	}
	if len(store.removed) != 2 {
		t.Errorf("removed: %v", store.removed)
	}
}

func TestAStopWhileFinishingLeavesTheRestInTheJournal(t *testing.T) {
	f, store, kept := finishing(copies(t))
	flow := &memFlow{}
	f.Stopping = flow.Stopping
	store.then = func() { flow.StopFeeding(errors.New("terminated")) }
	got := finished(t, f, item.Previews, named("hs", "a", "a"), named("hs", "b", "b"), named("hs", "c", "c"))
	if diff := cmp.Diff(map[string]string{"mxc://hs/a": "done 0 2 10"}, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"b", "c"}, kept.unfinished()); diff != "" {
		t.Error(diff)
	}
}

// dead is a disk that fails for the moment, and for good.
type dead struct {
	flow  *memFlow
	calls map[string]int // by file, once the flow stops
}

func (d *dead) Remove(_ context.Context, _ mediastore.Kind, _, fileID string) (mediastore.Removed, error) {
	if d.flow.Stopping() {
		d.calls[fileID]++
	}
	return mediastore.Removed{}, unix.EIO
}

// TestADiskThatFailsDoesNotHoldUpAStop: what is being tried again and again gets one last try, what comes after it one.
func TestADiskThatFailsDoesNotHoldUpAStop(t *testing.T) {
	const patience = time.Hour
	synctest.Test(t, func(t *testing.T) {
		flow := &memFlow{}
		store := &dead{flow: flow, calls: map[string]int{}}
		d := DeleteFiles{Store: store, Retry: retry.Policy{For: patience, First: time.Second, Most: time.Second}, Stopping: flow.Stopping}
		ramp := NewRamp(10, flow)
		batch, err := ramp.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var kept []journal.Row
		batch.Expect(3, func(stuck []journal.Row) { kept = stuck })
		time.AfterFunc(patience/2, func() { flow.StopFeeding(errors.New("terminated")) })
		for _, id := range []string{"underway", "next", "last"} {
			m := Deletion{Media: item.Media{Flow: item.LocalMedia, Origin: "hs", ID: id, FileID: id}, Batch: batch, Began: time.Now()}
			out, err := d.Do(t.Context(), m)
			if err != nil || out.Status != item.Failed || !errors.Is(out.Err, unix.EIO) || out.Rows != 1 {
				t.Errorf("%+v, %v", out, err)
			}
		}
		if diff := cmp.Diff(map[string]int{"underway": 1, "next": 1, "last": 1}, store.calls); diff != "" {
			t.Errorf("tries after the stop: %s", diff)
		}
		if len(kept) != 3 {
			t.Errorf("the journal keeps %v", kept)
		}
	})
}

func TestADiskThatFailsDoesNotHoldUpAStopWhileFinishing(t *testing.T) {
	const patience = time.Hour
	synctest.Test(t, func(t *testing.T) {
		flow := &memFlow{}
		store := &dead{flow: flow, calls: map[string]int{}}
		f := Finish{Store: store, FileRetry: retry.Policy{For: patience, First: time.Second, Most: time.Second}, Stopping: flow.Stopping}
		time.AfterFunc(patience/2, func() { flow.StopFeeding(errors.New("terminated")) })
		out := f.remove(t.Context(), item.Media{Flow: item.RemoteMedia, Origin: "elsewhere", ID: "id", FileID: "file"})
		if out.Status != item.Failed || !errors.Is(out.Err, unix.EIO) {
			t.Errorf("%+v", out)
		}
		if diff := cmp.Diff(map[string]int{"file": 1}, store.calls); diff != "" {
			t.Errorf("tries after the stop: %s", diff)
		}
	})
}
