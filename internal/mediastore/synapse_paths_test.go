package mediastore_test

import (
	"encoding/json"
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"

	"synupkeep/internal/mediastore"
)

// TestLocateAsSynapseDoes compares with what Synapse's own code answers for many ids, most of them hostile: testdata/filepath.py
// has asked it.
func TestLocateAsSynapseDoes(t *testing.T) {
	text, err := os.ReadFile("testdata/filepath.json")
	if err != nil {
		t.Fatal(err)
	}
	var answers struct{ Cases [][4]any }
	if err := json.Unmarshal(text, &answers); err != nil {
		t.Fatal(err)
	}
	kinds := map[string]mediastore.Kind{"local": mediastore.Local, "remote": mediastore.Remote, "preview": mediastore.Preview}
	same := map[string]int{}
	for _, c := range answers.Cases {
		kind, origin, id := c[0].(string), c[1].(string), c[2].(string)
		loc, err := mediastore.Locate(kinds[kind], origin, id)
		if c[3] == nil || tooLong(c[3].([]any)) || strings.Contains(id, "/") {
			// No file system has what has too long a name, and no id of Synapse's making has a slash, though it would read one
			// behind the date of a preview.
			if !errors.Is(err, mediastore.ErrInvalidID) {
				t.Errorf("%s %q %q: %s, %v; it must be refused", kind, origin, id, loc.Content(), err)
			}
			continue
		}
		want := c[3].([]any)
		if err != nil || loc.Content() != want[0] || loc.Thumbnails() != want[1] {
			t.Errorf("%s %q %q: %s and %s, %v; Synapse has %v", kind, origin, id, loc.Content(), loc.Thumbnails(), err, want)
		}
		same[kind]++
	}
	for kind := range kinds {
		if same[kind] < 100 {
			t.Errorf("only %d ids of %s media were located", same[kind], kind)
		}
	}
}

func tooLong(paths []any) bool {
	for _, p := range paths {
		for _, part := range strings.Split(p.(string), "/") {
			if len(part) > 255 {
				return true
			}
		}
	}
	return false
}

// FuzzMXCOfSynapse: what is parsed here is parsed alike by Synapse (util/stringutils.py:45, 1.163.2).
func FuzzMXCOfSynapse(f *testing.F) {
	synapses := regexp.MustCompile(`^mxc://([^/]+)/([^/#?]+)$`)
	for _, uri := range []string{"mxc://a/b", "mxc://h/../../etc/passwd", "mxc://[::1]:1/x", "mxc://a/b#c", "mxc://a?x/b", "mxc://a/b\n"} {
		f.Add(uri)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		origin, id, err := mediastore.ParseMXC(uri)
		if err != nil {
			return
		}
		if m := synapses.FindStringSubmatch(uri); m == nil || m[1] != origin || m[2] != id {
			t.Errorf("%q: %q and %q, Synapse has %q", uri, origin, id, m)
		}
	})
}
