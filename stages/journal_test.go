package stages

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"synupkeep/internal/item"
	"synupkeep/internal/journal"
)

// notes is a journal in memory.
type notes struct {
	mu      sync.Mutex
	last    uint64
	open    map[uint64][]string
	begun   int
	failure error
}

func (n *notes) Begin(_ item.Flow, rows []journal.Row) (uint64, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.failure != nil {
		return 0, n.failure
	}
	n.last++
	n.begun++
	if n.open == nil {
		n.open = map[uint64][]string{}
	}
	for _, r := range rows {
		n.open[n.last] = append(n.open[n.last], r.FileID)
	}
	slices.Sort(n.open[n.last])
	return n.last, nil
}

func (n *notes) End(id uint64, left []journal.Row) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.open, id)
	for _, r := range left {
		n.open[id] = append(n.open[id], r.FileID)
	}
	return nil
}

func (n *notes) unfinished() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var all []string
	for _, files := range n.open {
		all = append(all, files...)
	}
	slices.Sort(all)
	return all
}

// deleteBatch deletes the rows and says what is to become of the files of each.
func deleteBatch(t *testing.T, d *DeleteRows, media []item.Media, files func(id string) error) {
	t.Helper()
	var rowless []Deletion
	err := d.Do(t.Context(), media, func(m Deletion) error {
		rowless = append(rowless, m)
		return nil
	}, func(item.Outcome) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range rowless {
		m.Batch.Gone(m.Media, 1, files(m.ID))
	}
}

func TestABatchStaysInTheJournalUntilItsFilesAreGone(t *testing.T) {
	db := copies(t)
	var media []item.Media
	for i := range 3 {
		media = append(media, localRow(t, db, fmt.Sprint("note", i), ""))
	}
	kept := &notes{}
	common := deleteRows(db, &memFlow{})
	common.Journal = kept
	d := NewDeleteLocal(common, limit(), nil)
	var during []string
	deleteBatch(t, d, media[:2], func(id string) error {
		during = kept.unfinished()
		if id == "note1" {
			return errors.New("not deletable")
		}
		return nil
	})
	if diff := cmp.Diff([]string{"note0", "note1"}, during); diff != "" {
		t.Errorf("while the files go: %s", diff)
	}
	if diff := cmp.Diff([]string{"note1"}, kept.unfinished()); diff != "" {
		t.Errorf("with a file that is still there: %s", diff)
	}
	deleteBatch(t, d, media[2:], func(string) error { return nil })
	if diff := cmp.Diff([]string{"note1"}, kept.unfinished()); diff != "" {
		t.Errorf("a batch that is done: %s", diff)
	}
	deleteBatch(t, d, media, func(string) error { return nil }) // there is nothing to delete any more
	if kept.begun != 2 {
		t.Errorf("%d batches were written down", kept.begun)
	}
}

func TestWithoutItsJournalNothingIsDeleted(t *testing.T) {
	db := copies(t)
	m := localRow(t, db, "unwritten", "")
	flow := &memFlow{}
	common := deleteRows(db, flow)
	common.Journal = &notes{failure: errors.New("no space left on device")}
	d := NewDeleteLocal(common, limit(), nil)
	deleteBatch(t, d, []item.Media{m}, func(string) error { t.Error("a row is gone"); return nil })
	var stopped *item.RunError
	if !errors.As(flow.Cause(), &stopped) || stopped.Cause != item.CauseFailed {
		t.Errorf("the flow ends with %v", flow.Cause())
	}
	there, err := d.keys(t.Context(), localThere, []item.Media{m}, false)
	if err != nil || len(there) != 1 {
		t.Errorf("rows: %v, %v", there, err)
	}
}
