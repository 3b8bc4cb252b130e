package stages

import (
	"context"
	"errors"
	"strings"
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

// shakyStore gives one answer after the other, the last one for good.
type shakyStore struct {
	answers []answer
	calls   []mediastore.Kind
}

type answer struct {
	mediastore.Removed
	err error
}

func (s *shakyStore) Remove(_ context.Context, kind mediastore.Kind, _, _ string) (mediastore.Removed, error) {
	a := s.answers[min(len(s.calls), len(s.answers)-1)]
	s.calls = append(s.calls, kind)
	return a.Removed, a.err
}

func (s *shakyStore) Check(kind mediastore.Kind, _, _ string) (mediastore.Presence, error) {
	s.calls = append(s.calls, kind)
	return mediastore.Presence{}, s.answers[0].err
}

func deletion(f item.Flow, r *Ramp) Deletion {
	b := &Batch{ramp: r}
	b.Expect(1, func([]journal.Row) {})
	return Deletion{Media: item.Media{Flow: f, Origin: "hs", ID: "id", FileID: "file"}, Began: time.Now(), Batch: b, Tries: 1}
}

func TestDeleteFilesCountsEachFileOnce(t *testing.T) {
	removed := func(files, missing, bytes int64) mediastore.Removed {
		return mediastore.Removed{Files: files, Missing: missing, Bytes: bytes}
	}
	for name, test := range map[string]struct {
		answers               []answer
		files, missing, bytes int64
		tries                 int
	}{
		"at once":                       {[]answer{{removed(4, 0, 400), nil}}, 4, 0, 400, 1},
		"missing":                       {[]answer{{removed(0, 1, 0), nil}}, 0, 1, 0, 1},
		"missing, thumbnails there":     {[]answer{{removed(3, 1, 30), nil}}, 3, 1, 30, 1},
		"content first, then the rest":  {[]answer{{removed(1, 0, 100), unix.EIO}, {removed(3, 1, 30), nil}}, 4, 0, 130, 2},
		"nothing at first":              {[]answer{{removed(0, 0, 0), unix.ESTALE}, {removed(4, 0, 40), nil}}, 4, 0, 40, 2},
		"missing in the second attempt": {[]answer{{removed(0, 0, 0), unix.EBUSY}, {removed(0, 1, 0), nil}}, 0, 1, 0, 2},
		"missing, then thumbnails":      {[]answer{{removed(2, 1, 20), unix.EIO}, {removed(1, 1, 10), nil}}, 3, 1, 30, 2},
	} {
		synctest.Test(t, func(t *testing.T) {
			flow := &memFlow{}
			ramp := NewRamp(10, flow)
			ramp.Doubt = func() error { return nil }
			store := &shakyStore{answers: test.answers}
			d := DeleteFiles{Store: store, Retry: retry.Policy{For: time.Minute}, Stopping: flow.Stopping}
			out, err := d.Do(t.Context(), deletion(item.RemoteMedia, ramp))
			if err != nil || out.Status != item.Done || out.Rows != 1 {
				t.Errorf("%s: %+v, %v", name, out, err)
			}
			if out.Files != test.files || out.Missing != test.missing || out.Bytes != test.bytes || out.Tries != test.tries {
				t.Errorf("%s: %+v", name, out)
			}
			if store.calls[0] != mediastore.Remote {
				t.Errorf("%s: looked in %v", name, store.calls)
			}
		})
	}
}

func TestFilesThatStayAreSaidSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, test := range map[string]struct {
			err   error
			calls bool // more than one
		}{"for good": {unix.EACCES, false}, "away for too long": {unix.EIO, true}} {
			flow := &memFlow{}
			store := &shakyStore{answers: []answer{{err: test.err}}}
			d := DeleteFiles{Store: store, Retry: retry.Policy{For: time.Second}, Stopping: flow.Stopping}
			out, err := d.Do(t.Context(), deletion(item.LocalMedia, NewRamp(10, flow)))
			if err != nil || out.Status != item.Failed || out.Rows != 1 || !errors.Is(out.Err, test.err) {
				t.Errorf("%s: %+v, %v", name, out, err)
			}
			if !strings.Contains(out.Err.Error(), "its row is deleted, its files are not all") {
				t.Errorf("%s: %v", name, out.Err)
			}
			if len(store.calls) > 1 != test.calls {
				t.Errorf("%s: %d calls", name, len(store.calls))
			}
			refusedBecause(t, flow, test.err)
		}
	})
}

// The row is gone, so it is not as if nothing had been begun; and the store is not to blame.
func TestAHardStopLeavesFilesToTheJournal(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("hard stop"))
	store := &shakyStore{answers: []answer{{}}}
	flow := &memFlow{}
	ramp := NewRamp(10, flow)
	batch, err := ramp.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	settled := 0
	var kept []journal.Row
	batch.Expect(1, func(stuck []journal.Row) { settled, kept = settled+1, stuck })
	m := deletion(item.LocalMedia, ramp)
	m.Batch = batch
	out, err := (&DeleteFiles{Store: store, Stopping: flow.Stopping}).Do(ctx, m)
	if err != nil || out.Status != item.Left || out.Reason != item.FilesLeft || out.Rows != 1 || out.Files != 0 {
		t.Errorf("%+v, %v", out, err)
	}
	if len(store.calls) > 0 {
		t.Error("it deletes on a dead context")
	}
	if diff := cmp.Diff([]journal.Row{{Origin: m.Origin, ID: m.ID, FileID: m.FileID}}, kept); settled != 1 || diff != "" {
		t.Errorf("settled %d times, the journal must keep it: %s", settled, diff)
	}
	if flow.Stopping() {
		t.Errorf("the flow's cause is %v", flow.Cause())
	}
}

func TestEachFlowHasItsTrees(t *testing.T) {
	for f, want := range map[item.Flow]mediastore.Kind{
		item.LocalMedia: mediastore.Local, item.RemoteMedia: mediastore.Remote, item.Previews: mediastore.Preview, item.History: 0,
	} {
		if got := kindOf(f); got != want {
			t.Errorf("%s: %v", f, got)
		}
	}
}

func TestWhatCannotBeDeletedKeepsItsRow(t *testing.T) {
	m := item.Media{Flow: item.Previews, Origin: "hs", ID: "id"}
	bad := errors.New("is a symbolic link")
	out, ok := (&CheckFiles{Store: &shakyStore{answers: []answer{{err: bad}}}}).Do(m)
	if ok || out.Status != item.Failed || !errors.Is(out.Err, bad) || out.Rows != 0 || out.Key != m.Key() {
		t.Errorf("%+v, %t", out, ok)
	}
	if out, ok := (&CheckFiles{Store: &shakyStore{answers: []answer{{}}}}).Do(m); !ok {
		t.Errorf("%+v", out)
	}
}
