package stages

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"synupkeep/internal/item"
)

// TestChooseTakesTheFirstThatMayGoAndNoMore draws media of which some is protected and some cannot be deleted: what is chosen
// is as many of the rest as the limit allows, in order, and everything has exactly one outcome or is chosen.
func TestChooseTakesTheFirstThatMayGoAndNoMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(0, 8).Draw(t, "limit")
		budget := NewBudget(limit)
		flow := &memFlow{}
		choose := Choose{Protect: &Protect{Budget: budget, Flow: flow}, Budget: budget, Check: func(m item.Media) (item.Outcome, bool) {
			if m.Type == "stuck" {
				return failedMedia(m, errors.New("stuck")), false
			}
			return item.Outcome{}, true
		}}
		var want, got []string
		outcomes := map[string]string{}
		for i := range rapid.IntRange(0, 20).Draw(t, "media") {
			m := item.Media{Flow: item.LocalMedia, ID: fmt.Sprint(i)}
			switch rapid.IntRange(0, 3).Draw(t, "kind") {
			case 0:
				m.Keep = item.Protected
			case 1:
				m.Type = "stuck"
			default:
				if limit == 0 || len(want) < limit {
					want = append(want, m.ID)
				}
			}
			err := choose.InOrder(t.Context(), m, func(m item.Media) error {
				got = append(got, m.ID)
				return nil
			}, func(o item.Outcome) error {
				if o.Media == nil || o.Media.ID != m.ID || o.Key != m.Key() {
					t.Errorf("%+v", o)
				}
				outcomes[m.ID] = says(o)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			says, chosen := outcomes[m.ID], slices.Contains(got, m.ID)
			over := limit > 0 && len(got) == limit
			switch {
			case chosen == (says != ""):
				t.Fatalf("%s: chosen %t, and has the outcome %q", m.ID, chosen, says)
			case m.Keep != "" && says != "kept protected":
				t.Fatalf("protected media: %q", says)
			case m.Keep == "" && !chosen && !over && says != "failed ":
				t.Fatalf("before the limit: %q", says)
			case m.Keep == "" && !chosen && over && says != "left limit" && says != "failed ":
				t.Fatalf("after the limit: %q", says)
			}
		}
		if !slices.Equal(want, got) || limit > 0 && budget.TakeUpTo(100) != limit-len(got) {
			t.Fatalf("chosen %v, want %v", got, want)
		}
	})
}

// TestDecideTakesOfTheBudget for each cut, so that rooms beyond the limit are left before anything is asked for.
func TestDecideTakesOfTheBudget(t *testing.T) {
	r := newRig()
	d := &Decide{Cutter: r.cutter, Tasks: r.server, Budget: NewBudget(2), Flow: r.flow}
	var got []string
	r.server.add("purge_history", "!under way", 0)
	for _, room := range []string{"!a", "!under way", "!b", "!c"} {
		cut, out, ok := d.Do(t.Context(), item.Room{ID: room})
		if ok {
			got = append(got, "cut of "+cut.RoomID)
		} else {
			got = append(got, says(out))
		}
	}
	if want := []string{"cut of !a", "cut of !under way", "cut of !b", "left limit"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
