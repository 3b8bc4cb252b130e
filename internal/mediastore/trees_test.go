package mediastore_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"synupkeep/internal/mediastore"
)

// TestTheTreesOfAStoreAreLookedAt: what is there, what is a link, and where we may not delete.
func TestTheTreesOfAStoreAreLookedAt(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	for _, name := range []string{"local_content", "local_thumbnails", "url_cache"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(elsewhere, filepath.Join(dir, "remote_content")); err != nil {
		t.Fatal(err)
	}
	store, err := mediastore.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	us := uint32(os.Geteuid())
	want := []mediastore.Tree{
		{Name: "local_content", Exists: true, Owner: us},
		{Name: "local_thumbnails", Exists: true, Owner: us},
		{Name: "remote_content", Exists: true, Link: elsewhere, Owner: us},
		{Name: "remote_thumbnail"},
		{Name: "url_cache", Exists: true, Owner: us},
		{Name: "url_cache_thumbnails"},
	}
	if diff := cmp.Diff(want, store.Trees(), cmpopts.EquateErrors()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestATreeThatIsNotOursIsNamed with its owner.
func TestATreeThatIsNotOursIsNamed(t *testing.T) {
	if path := os.Getenv(storeVariable); path != "" {
		checkTreesNotOurs(t, path)
		return
	}
	path := t.TempDir()
	must(t, os.Mkdir(filepath.Join(path, "url_cache"), 0o755))
	asAnotherUser(t, path, checkTreesNotOurs)
}

func checkTreesNotOurs(t *testing.T, path string) {
	store, err := mediastore.Open(path)
	must(t, err)
	defer store.Close() //nolint:errcheck // it was only looked at
	for _, tree := range store.Trees() {
		var denied *mediastore.NotDeletableError
		if refused := errors.As(tree.Err, &denied); refused != (tree.Name == "url_cache") || tree.Exists != refused {
			t.Errorf("%+v", tree)
		}
	}
}
