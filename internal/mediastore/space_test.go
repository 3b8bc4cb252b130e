package mediastore_test

import (
	"path/filepath"
	"testing"

	"synupkeep/internal/mediastore"
)

func TestTheSpaceOfAStoreIsThatOfItsFileSystem(t *testing.T) {
	dir := t.TempDir()
	s, err := mediastore.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // nothing was written
	free, all, err := s.Space()
	if err != nil || all <= 0 || free < 0 || free > all || all%512 != 0 {
		t.Errorf("%d of %d bytes are free, %v", free, all, err)
	}
	if _, err := mediastore.Open(filepath.Join(dir, "missing")); err == nil {
		t.Error("a store that is not there was opened")
	}
}
