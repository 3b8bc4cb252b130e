package synapse

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestPinnedIDs(t *testing.T) {
	long := "$" + strings.Repeat("x", 254)
	for event, want := range map[string][]string{
		``:                                     {},
		`null`:                                 {},
		`{`:                                    {},
		`[]`:                                   {},
		`{"content":null}`:                     {},
		`{"content":[]}`:                       {},
		`{"content":{"pinned":"$a"}}`:          {},
		`{"content":{"pinned":{"$a":"$b"}}}`:   {},
		`{"content":{"pinned":null}}`:          {},
		`{"Content":{"pinned":["$a"]}}`:        {},
		`{"content":{"Pinned":["$a"]}}`:        {},
		`{"pinned":["$a"]}`:                    {},
		`{"content":{"pinned":[]},"x":1}`:      {},
		`{"content":{"pinned":["$b","$a"]}}`:   {"$a", "$b"},
		`{"content":{"pinned":["$a","$a"]}}`:   {"$a"},
		`{"content":{"pinned":["$a:hs","b"]}}`: {"$a:hs"},
		`{"content":{"pinned":[1,null,["$a"],{},true,"$b",""]}}`:                            {"$b"},
		`{"content":{"pinned":["$a\u0000","$\ud800","$b"]}}`:                                {"$b", "$\uFFFD"},
		`{"content":{"pinned":["` + long + `","` + long + `x"]}}`:                           {long},
		strings.Repeat("[", 20_000):                                                         {},
		`{"content":{"pinned":["$a"]},"x":` + strings.Repeat("[", 20_000):                   {},
		`{"content":{"pinned":["$a"]},"unsigned":{"replaces_state":"$b"},"state_key":"\n"}`: {"$a"},
	} {
		if diff := cmp.Diff(want, PinnedIDs(event)); diff != "" {
			t.Errorf("%.80s (-want +got):\n%s", event, diff)
		}
	}
}

// FuzzPinnedIDs: whatever strangers write, what is asked of PostgreSQL is a text that it takes.
func FuzzPinnedIDs(f *testing.F) {
	f.Add(`{"content":{"pinned":["$a","$b\u0000",3]}}`)
	f.Add("{\"content\":{\"pinned\":[\"$\xff\"]}}")
	f.Fuzz(func(t *testing.T, event string) {
		ids := PinnedIDs(event)
		if ids == nil || !slices.IsSorted(ids) || len(slices.Compact(slices.Clone(ids))) != len(ids) {
			t.Errorf("%q", ids)
		}
		for _, id := range ids {
			if !utf8.ValidString(id) || strings.Contains(id, "\x00") || len(id) > 255 || !strings.HasPrefix(id, "$") {
				t.Errorf("%q", id)
			}
		}
		if len(ids) > 0 && !json.Valid([]byte(event)) {
			t.Errorf("%q of what is no JSON", ids)
		}
	})
}
