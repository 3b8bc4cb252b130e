package mediastore_test

import (
	"errors"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"synupkeep/internal/mediastore"
)

// TestLocate: the expected paths are what MediaFilePaths of Synapse 1.163.2 returns; empty where it raises ValueError.
func TestLocate(t *testing.T) {
	long := strings.Repeat("x", 255)
	cases := []struct {
		kind       mediastore.Kind
		origin, id string
		content    string
		thumbnails string
	}{
		{mediastore.Local, "", "abcdefghijklmnopqrstuvwx", "local_content/ab/cd/efghijklmnopqrstuvwx", "local_thumbnails/ab/cd/efghijklmnopqrstuvwx"},
		{mediastore.Local, "", "abcde", "local_content/ab/cd/e", "local_thumbnails/ab/cd/e"},
		{mediastore.Local, "", "abcd...", "local_content/ab/cd/...", "local_thumbnails/ab/cd/..."},
		{mediastore.Local, "", "ab.dx", "local_content/ab/.d/x", "local_thumbnails/ab/.d/x"},
		{mediastore.Local, "", "a.b.c.d", "local_content/a./b./c.d", "local_thumbnails/a./b./c.d"},
		{mediastore.Local, "", "AB[:]x-_", "local_content/AB/[:/]x-_", "local_thumbnails/AB/[:/]x-_"},
		{mediastore.Local, "", "2024-01-31_abc", "local_content/20/24/-01-31_abc", "local_thumbnails/20/24/-01-31_abc"},
		{mediastore.Local, "", "2024-01-31_..", "local_content/20/24/-01-31_..", "local_thumbnails/20/24/-01-31_.."},
		{mediastore.Local, "", "abcd" + long, "local_content/ab/cd/" + long, "local_thumbnails/ab/cd/" + long},
		{mediastore.Local, "../origin of local media does not matter", "abcde", "local_content/ab/cd/e", "local_thumbnails/ab/cd/e"},

		{mediastore.Preview, "", "2024-01-31_abcdefghijklmnop", "url_cache/2024-01-31/abcdefghijklmnop", "url_cache_thumbnails/2024-01-31/abcdefghijklmnop"},
		{mediastore.Preview, "", "2024-01-31-abc", "url_cache/2024-01-31/abc", "url_cache_thumbnails/2024-01-31/abc"},
		{mediastore.Preview, "", "9999-99-99_z", "url_cache/9999-99-99/z", "url_cache_thumbnails/9999-99-99/z"},
		{mediastore.Preview, "", "2024-1-31_abcdefgh", "url_cache/20/24/-1-31_abcdefgh", "url_cache_thumbnails/20/24/-1-31_abcdefgh"},
		{mediastore.Preview, "", "2024_01_31_abc", "url_cache/20/24/_01_31_abc", "url_cache_thumbnails/20/24/_01_31_abc"},
		{mediastore.Preview, "", "abcdefgh", "url_cache/ab/cd/efgh", "url_cache_thumbnails/ab/cd/efgh"},

		{mediastore.Remote, "example.org", "abcdefgh", "remote_content/example.org/ab/cd/efgh", "remote_thumbnail/example.org/ab/cd/efgh"},
		{mediastore.Remote, "[2001:db8::1]:8448", "abcdefgh", "remote_content/[2001:db8::1]:8448/ab/cd/efgh", "remote_thumbnail/[2001:db8::1]:8448/ab/cd/efgh"},
		{mediastore.Remote, "...", "abcdefgh", "remote_content/.../ab/cd/efgh", "remote_thumbnail/.../ab/cd/efgh"},
		{mediastore.Remote, long, "abcdefgh", "remote_content/" + long + "/ab/cd/efgh", "remote_thumbnail/" + long + "/ab/cd/efgh"},
	}
	for _, c := range cases {
		loc, err := mediastore.Locate(c.kind, c.origin, c.id)
		if err != nil {
			t.Errorf("%v %q %q: %v", c.kind, c.origin, c.id, err)
			continue
		}
		if loc.Content() != c.content || loc.Thumbnails() != c.thumbnails {
			t.Errorf("%v %q %q: %s and %s, want %s and %s",
				c.kind, c.origin, c.id, loc.Content(), loc.Thumbnails(), c.content, c.thumbnails)
		}
	}
}

// hostileIDs are ids that no kind of media can have.
func hostileIDs() []string {
	return []string{
		"", ".", "..", "...", "abcd", "ab..x", "..abx", "abcd.", "abcd..", "..ab..", "....x",
		"abcd/x", "ab/dxx", "/etc/passwd", "../../../x", "abcd/../../../../etc/passwd", "abcd\x00x", "abcdé", "abcd\xffx",
		"a b c d e", "abcd\n", `abcd\x`, "abcd%2e%2e", "~root/x", "2024-01-31/../x", "٢٠٢٤-٠١-٣١_abc",
		"abcd" + strings.Repeat("x", 256), "2024-01-31_" + strings.Repeat("x", 300),
	}
}

func TestInvalidID(t *testing.T) {
	for _, kind := range []mediastore.Kind{mediastore.Local, mediastore.Remote, mediastore.Preview} {
		for _, id := range hostileIDs() {
			loc, err := mediastore.Locate(kind, "example.org", id)
			checkInvalid(t, err, id)
			if loc.Content() != "" {
				t.Errorf("%v %q: located at %s", kind, id, loc.Content())
			}
		}
	}
	// Preview ids: the eleventh character is not in the path, but an id with a slash is none of Synapse's.
	for _, id := range []string{"2024-01-31", "2024-01-31_", "2024-01-31_.", "2024-01-31_..", "2024-01-31/abc"} {
		_, err := mediastore.Locate(mediastore.Preview, "", id)
		checkInvalid(t, err, id)
	}
	for _, origin := range []string{"", ".", "..", "a/b", "/", "ex ample", "a\x00", "é.org", strings.Repeat("a", 256)} {
		_, err := mediastore.Locate(mediastore.Remote, origin, "abcdefgh")
		checkInvalid(t, err, origin)
	}
	if _, err := mediastore.Locate(0, "", "abcdefgh"); err == nil {
		t.Error("a kind that does not exist has a place")
	}
}

func checkInvalid(t *testing.T, err error, value string) {
	t.Helper()
	var invalid *mediastore.InvalidIDError
	if !errors.As(err, &invalid) || !errors.Is(err, mediastore.ErrInvalidID) {
		t.Errorf("%q: %v, want an InvalidIDError", value, err)
		return
	}
	if invalid.Value != value || invalid.Why == "" {
		t.Errorf("%q: the error is about %q: %q", value, invalid.Value, invalid.Why)
	}
	if strings.ContainsAny(err.Error(), "\x00\n") || len(err.Error()) > 300 {
		t.Errorf("%q: the error text is not fit for a log: %q", value, err.Error())
	}
	if mediastore.IsTransient(err) {
		t.Errorf("%q: transient", value)
	}
}

func TestParseMXC(t *testing.T) {
	for uri, want := range map[string][2]string{
		"mxc://example.org/abcDEF123":             {"example.org", "abcDEF123"},
		"mxc://example.org:8448/a":                {"example.org:8448", "a"},
		"mxc://[2001:db8::1]:8448/2024-01-31_abc": {"[2001:db8::1]:8448", "2024-01-31_abc"},
	} {
		origin, id, err := mediastore.ParseMXC(uri)
		if err != nil || origin != want[0] || id != want[1] {
			t.Errorf("%q: %q, %q, %v", uri, origin, id, err)
		}
	}
	for _, uri := range []string{
		"", "mxc", "mxc://", "mxc:///", "mxc://a", "mxc://a/", "mxc:///a", "MXC://a/b", "http://a/b", " mxc://a/b", "mxc://a/b ",
		"mxc://a/b/c", "mxc://a/b#auto", "mxc://a/b?x=1", "mxc://../b", "mxc://a/..", "mxc://a/.", "mxc://h/../../etc/passwd",
		"mxc://a/b\n", "mxc://a/\x00", "mxc://a/é", "mxc://a\\b/c", "mxc://user@a/b", "mxc://a/" + strings.Repeat("x", 256),
	} {
		origin, id, err := mediastore.ParseMXC(uri)
		checkInvalid(t, err, uri)
		if origin != "" || id != "" {
			t.Errorf("%q: %q, %q beside the error", uri, origin, id)
		}
	}
}

// FuzzLocate: a path has the components that Synapse's layout has, in the right tree, and gives the id back.
func FuzzLocate(f *testing.F) {
	for _, id := range append(hostileIDs(), "abcdefghijklmnopqrstuvwx", "2024-01-31_abcdefghijklmnop", "abcd...") {
		f.Add("example.org", id)
		f.Add(id, "abcdefgh")
	}
	f.Fuzz(func(t *testing.T, origin, id string) {
		for _, kind := range []mediastore.Kind{mediastore.Local, mediastore.Remote, mediastore.Preview} {
			loc, err := mediastore.Locate(kind, origin, id)
			if err != nil {
				if !errors.Is(err, mediastore.ErrInvalidID) {
					t.Fatalf("%v %q %q: %v", kind, origin, id, err)
				}
				continue
			}
			checkPath(t, kind, origin, id, loc.Content())
			checkPath(t, kind, origin, id, loc.Thumbnails())
		}
	})
}

func checkPath(t *testing.T, kind mediastore.Kind, origin, id, got string) {
	t.Helper()
	if !filepath.IsLocal(got) || path.Clean(got) != got {
		t.Fatalf("%v %q %q: %q leads out of the store", kind, origin, id, got)
	}
	parts := strings.Split(got, "/")[1:]
	for _, part := range parts {
		if part == "" || part == "." || part == ".." || len(part) > 255 || strings.ContainsAny(part, "/\x00") {
			t.Fatalf("%v %q %q: component %q of %q", kind, origin, id, part, got)
		}
	}
	if kind == mediastore.Remote {
		if parts[0] != origin {
			t.Fatalf("%q %q: %q lies with %q", origin, id, got, parts[0])
		}
		parts = parts[1:]
	}
	switch len(parts) {
	case 3:
		if len(parts[0]) != 2 || len(parts[1]) != 2 || strings.Join(parts, "") != id {
			t.Fatalf("%v %q: %q", kind, id, got)
		}
	case 2:
		if kind != mediastore.Preview || len(parts[0]) != 10 || parts[0]+id[10:11]+parts[1] != id {
			t.Fatalf("%v %q: %q", kind, id, got)
		}
	default:
		t.Fatalf("%v %q: %q has %d components", kind, id, got, len(parts))
	}
}

// FuzzParseMXC: what is parsed is what was written, and safe as two components of a path.
func FuzzParseMXC(f *testing.F) {
	for _, uri := range []string{"mxc://a/b", "mxc://h/../../etc/passwd", "mxc://[::1]:1/x", "", "mxc:///", "mxc://a/b#c"} {
		f.Add(uri)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		origin, id, err := mediastore.ParseMXC(uri)
		if err != nil {
			if !errors.Is(err, mediastore.ErrInvalidID) || origin != "" || id != "" {
				t.Fatalf("%q: %q, %q, %v", uri, origin, id, err)
			}
			return
		}
		if "mxc://"+origin+"/"+id != uri {
			t.Fatalf("%q: %q, %q", uri, origin, id)
		}
		if both := origin + "/" + id; !filepath.IsLocal(both) || path.Clean(both) != both || strings.Count(both, "/") != 1 {
			t.Fatalf("%q: %q is no safe path", uri, both)
		}
	})
}
