package faults_test

import (
	"slices"
	"strings"
	"testing"

	"synupkeep/internal/item"
	"synupkeep/internal/sandbox/stock"
	"synupkeep/proof/program"
	"synupkeep/sinks"
)

// honest compares what a run says with what it did, and fails if the run deleted anything that was to stay.
func (w *world) honest(t *testing.T, r program.Result) (sinks.Summary, stock.Server) {
	t.Helper()
	return w.honestFrom(t, w.before, r)
}

// honestFrom does so for a run that found the world as it was then.
func (w *world) honestFrom(t *testing.T, then stock.Server, r program.Result) (sinks.Summary, stock.Server) {
	t.Helper()
	now := w.halfWay(t)
	sum := r.Summary(t)
	if sum.ExitCode == 0 {
		w.same(t)
	} else if len(sum.Errors)+len(sum.Failures) == 0 && !slices.Contains(sum.Causes, item.CauseLeft) {
		t.Errorf("exit code %d, and nothing says why", sum.ExitCode)
	}
	for _, e := range sum.Errors {
		if e.Doing == "" || e.Error == "" && e.Cause == item.CauseFailed {
			t.Errorf("an error that does not tell what it is about: %+v", e)
		}
	}
	// What a run had to let go of is not in its numbers, and it says so.
	letGo := slices.ContainsFunc(sum.Errors, func(e sinks.RunFailure) bool { return strings.Contains(e.Error, "not in the numbers") })
	for _, f := range sum.Flows {
		if f.Examined != f.Done+f.KeptTotal+f.SkippedTotal+f.LeftTotal+f.Failed {
			t.Errorf("%s does not add up: %+v", f.Flow, f)
		}
		if f.Flow == item.History {
			w.honestHistory(t, then, now, sum, f, letGo)
		} else {
			honestMedia(t, then, now, f, letGo)
		}
	}
	if t.Failed() {
		t.Logf("exit code %d, causes %v\nerrors %+v\nfailures %+v\n%s", sum.ExitCode, sum.Causes, sum.Errors, sum.Failures, r.Log)
	}
	return sum, now
}

// honestHistory: what is said to be purged is purged, and what is purged beyond that was not said to be as it was.
func (w *world) honestHistory(t *testing.T, then, now stock.Server, sum sinks.Summary, f sinks.FlowSummary, letGo bool) {
	t.Helper()
	var purged []string
	for _, id := range w.purged(now) {
		if !slices.Equal(then.Rooms[id], now.Rooms[id]) {
			purged = append(purged, id)
		}
	}
	messages := messagesGone(then, now, purged)
	extra := int64(len(purged)) - f.Done
	uncertain := int64(len(sum.LeftPurges))
	for _, failure := range sum.Failures {
		if failure.Flow == item.History {
			uncertain++
		}
	}
	switch {
	case extra < 0:
		t.Errorf("%d rooms are said to be purged, %d are", f.Done, len(purged))
	case extra > uncertain && !letGo:
		t.Errorf("%d rooms are said to be purged, %d are; %d failed or are left to the server", f.Done, len(purged), uncertain)
	case extra == 0 && f.Rows != messages:
		t.Errorf("%d messages are said to be deleted, %d are", f.Rows, messages)
	case f.Rows > messages:
		t.Errorf("%d messages are said to be deleted, %d are", f.Rows, messages)
	}
}

// honestMedia: the numbers are those of what is gone, but for rows of which the run says that it does not know.
func honestMedia(t *testing.T, then, now stock.Server, f sinks.FlowSummary, letGo bool) {
	t.Helper()
	rows := rowsGone(then, now, string(f.Flow))
	files, length := filesGone(then, now, string(f.Flow))
	if f.Rows > rows || f.Files > files || f.Bytes > length {
		t.Errorf("%s says that %d rows and %d files with %d bytes are gone, that are %d, %d, %d",
			f.Flow, f.Rows, f.Files, f.Bytes, rows, files, length)
	}
	if letGo {
		return
	}
	if rows-f.Rows > f.Failed {
		t.Errorf("%s says that %d rows are gone and %d media failed, and %d rows are gone", f.Flow, f.Rows, f.Failed, rows)
	}
	if f.Files != files || f.Bytes != length {
		t.Errorf("%s says that %d files with %d bytes are gone, that are %d with %d", f.Flow, f.Files, f.Bytes, files, length)
	}
}

// namesPurges says whether at least that many failed rooms are named together with their purge.
func namesPurges(failures []sinks.Failure, n int) bool {
	for _, f := range failures {
		if f.PurgeID != "" {
			n--
		}
	}
	return n <= 0
}
