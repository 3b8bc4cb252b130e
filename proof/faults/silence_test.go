package faults_test

import (
	"bytes"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"synupkeep/internal/sandbox/stock"
	"synupkeep/proof/program"
	"synupkeep/sinks"
)

// TestPostgreSQLFallsSilentBeforeAnythingIsDeleted keeps every connection open and answers none, for good: the run ends all
// the same, by itself, and says what held it up.
func TestPostgreSQLFallsSilentBeforeAnythingIsDeleted(t *testing.T) {
	t.Parallel()
	w := lend(t)
	w.back(t)
	t.Run("both", func(t *testing.T) {
		for name, test := range map[string]struct{ at, says string }{
			"before there is a lock": {"schema_version", "no answer within"},
			"with the lock":          {"FROM users WHERE name", "the lock was lost"},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				where := w.silentFrom(t, test.at)
				where.StateDir = t.TempDir()
				r := program.Run(t, where, slowly()...)
				if sum, _ := w.honest(t, r); r.Code != 1 || !says(sum, test.says) {
					t.Errorf("exit code %d, %+v\n%s", r.Code, sum.Errors, r.Log)
				}
			})
		}
	})
	if diff := cmp.Diff(w.before, stock.OfServer(t, w.s)); diff != "" {
		t.Errorf("something was changed:\n%s", diff)
	}
	w.unlock(t)
	w.finishes(t)
}

// TestPostgreSQLFallsSilentWhileMediaGoes: the time budget holds for a run whose database says nothing more, too.
func TestPostgreSQLFallsSilentWhileMediaGoes(t *testing.T) {
	t.Parallel()
	w := lend(t)
	w.back(t)
	r := program.Run(t, w.silentFrom(t, "DELETE FROM local_media_repository"), append(slowly(), "--skip", "history", "--max-duration", "3s")...)
	sum, _ := w.honest(t, r)
	if r.Code != 1 || !says(sum, "has not ended") {
		t.Errorf("exit code %d, %+v\n%s", r.Code, sum, r.Log)
	}
	w.unlock(t)
	w.finishes(t)
}

// silentFrom is the world through connections that all fall silent once one sends this text.
func (w *world) silentFrom(t *testing.T, text string) program.Where {
	where := w.where()
	where.Postgres = program.ThroughPort(w.s, newTap(t, w.s, silentFrom(text)))
	return where
}

// silentFrom lets every connection fall silent once one sends this text.
func silentFrom(text string) func(c *tapped, sent []byte) {
	var mu sync.Mutex
	all := false
	var known []*tapped
	return func(c *tapped, sent []byte) {
		mu.Lock()
		defer mu.Unlock()
		known = append(known, c)
		all = all || bytes.Contains(sent, []byte(text))
		if all {
			for _, c := range known {
				c.silent.Store(true)
			}
		}
	}
}

// TestSynapseFallsSilentForGood: a call is given half a minute.
func TestSynapseFallsSilentForGood(t *testing.T) {
	t.Parallel()
	w := lend(t)
	w.suffers(t, fault{at: inHistory, codes: []int{1}, inflict: func(t *testing.T, x *through) func() {
		return x.api.toxic(t, "timeout", "downstream", `"timeout":0`)
	}})
}

// says whether the text is in an error of the run.
func says(sum sinks.Summary, text string) bool {
	return slices.ContainsFunc(sum.Errors, func(e sinks.RunFailure) bool { return strings.Contains(e.Error, text) })
}
