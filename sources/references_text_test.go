package sources

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"synupkeep/internal/references"
)

func TestWhatATextNames(t *testing.T) {
	for text, want := range map[string][]string{
		`{"url":"mxc://hs/abcDEF123"}`:                      {"abcDEF123"},
		`{"url":"mxc:\/\/hs\/abc"}`:                         {"abc"}, // as ujson wrote it, until Synapse 0.33
		`{"data":"{\"url\":\"mxc:\\/\\/hs\\/abc\"}"}`:       {"abc"},
		`{"a":"mxc://hs/abc","b":"mxc://hs/def"}`:           {"abc", "def"},
		`<img src=\"mxc://hs/abc\"><img src='mxc://hs/def'`: {"abc", "def"},
		`mxc://hs/abc#auto mxc://hs/def?width=5`:            {"abc", "def"},
		`mxc://hs/abc/def`:                                  {"abc"},
		`mxc://hs/abc\n`:                                    {"abc"},
		`mxc://hs/abc\u003c`:                                {"abc"},
		`mxc://hs/abc&quot;`:                                {"abc"},
		`mxc://hs/abc.`:                                     {"abc", "abc."},
		`see mxc://hs/abc...`:                               {"abc", "abc..."},
		`[mxc://hs/abc](mxc://hs/def)`:                      {"abc", "abc]", "def"},
		`mxc://hs/abc].[x`:                                  {"abc", "abc].[x"},
		`mxc://hs/abc.png`:                                  {"abc", "abc.png"},
		`*mxc://hs/abc_*`:                                   {"abc", "abc_"},
		`mxc://hs/a-b_c`:                                    {"a", "a-b_c"},
		`mxc://hs/ünïcode`:                                  nil,
		`https://hs/_matrix/media/v3/download/hs/abc?x`:     {"_matrix", "abc"},
		`mxc://hs2/abc`:                                     nil,
		`mxc://hs.org/abc`:                                  nil,
		`mxc://hs:8448/abc`:                                 nil,
		`mxc://other.hs/abc`:                                nil,
		`mxc://hs`:                                          nil,
		`mxc://hs/`:                                         nil,
		`mxc://hs//abc`:                                     nil,
		`@user:hs`:                                          nil,
		``:                                                  nil,
	} {
		hashes := []uint64{}
		for _, id := range want {
			hashes = append(hashes, references.Hash(id))
		}
		slices.Sort(hashes)
		got := append([]uint64{}, named(text, "hs")...)
		if diff := cmp.Diff(hashes, got); diff != "" {
			t.Errorf("%s does not name %v:\n%s", text, want, diff)
		}
	}
	for _, server := range []string{"[::1]:8448", "a.b-c.example:80"} {
		if got := named("mxc://"+server+"/abc", server); !slices.Equal(got, []uint64{references.Hash("abc")}) {
			t.Errorf("%s: %v", server, got)
		}
	}
}

// FuzzNamed puts an id into any text, in either way of writing it.
func FuzzNamed(f *testing.F) {
	f.Add(`{"url":"`, "abc", `"}`, false)
	f.Add("", "a.b", " ", true)
	f.Add("mxc://hs", "x", "/hs/", true)
	f.Fuzz(func(t *testing.T, before, id, after string, escaped bool) {
		if id == "" || length(id, inWord) != len(id) || after != "" && inID(after[0]) {
			return
		}
		uri := "mxc://hs/" + id
		if escaped {
			uri = strings.ReplaceAll(uri, "/", `\/`)
		}
		text := before + uri + after
		if !strings.Contains(text, needle("hs")) {
			t.Error("PostgreSQL would not find it")
		}
		if !slices.Contains(named(text, "hs"), references.Hash(id)) {
			t.Errorf("%q is not found in %q", id, text)
		}
	})
}
