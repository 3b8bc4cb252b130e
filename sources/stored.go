package sources

import (
	"context"
	"errors"
	"fmt"
	"time"

	"synupkeep/internal/item"
	"synupkeep/internal/mediastore"
)

// Stored compares a media store with the rows of a flow: whether it is the one that the rows speak of, and ours to delete in.
type Stored struct {
	Sample Sample // of which CutOff is not looked at
	// Look looks at the files of media, stages.CheckStored in a run.
	Look func(item.Media) (mediastore.Presence, error)
	// CutOff is that of the flow; the zero time means that none is known.
	CutOff time.Time
	// ByBlocks says that PostgreSQL can read a part of a table by its blocks.
	ByBlocks bool
}

// StoreError says that a store is not the one that the rows speak of, or not ours to delete in. Other errors are those of the
// database.
type StoreError struct{ Err error }

func (e *StoreError) Error() string { return e.Err.Error() }

func (e *StoreError) Unwrap() error { return e.Err }

// Sampled compares the store with a sample of the rows of a flow, and with one of those that are past the cut-off: a
// store whose old files were moved to S3 still has all the young ones. The error is a *StoreError when more than half of
// either are missing, or one may not be deleted.
func (s Stored) Sampled(ctx context.Context, f item.Flow) (warning string, err error) {
	for _, kind := range []struct {
		which  string
		cutOff time.Time
	}{{string(f), time.Time{}}, {"old " + string(f), s.CutOff}} {
		if kind.cutOff.IsZero() && kind.which != string(f) {
			continue
		}
		sample := s.Sample
		sample.CutOff = kind.cutOff
		rows, err := sample.Of(ctx, f)
		if err != nil {
			return "", err
		}
		said, err := s.compare(kind.which, rows)
		if err != nil {
			return "", &StoreError{Err: err}
		}
		if warning == "" {
			warning = said
		}
	}
	return warning, nil
}

// Newest refuses, with a *StoreError, a store in which none of the newest files is: an older copy of the server's, such as last
// night's backup. The rows would be the server's, and the files those of the backup.
func (s Stored) Newest(ctx context.Context, f item.Flow) error {
	sample := s.Sample
	sample.CutOff = time.Time{}
	rows, err := sample.Newest(ctx, f, s.ByBlocks)
	if err != nil {
		return err
	}
	missing, example := s.missing(rows)
	if len(rows) == 0 || missing < len(rows) {
		return nil
	}
	return &StoreError{Err: fmt.Errorf("not one of the %d newest files of %s is there, such as %s: it looks like an older copy of the server's "+
		"media store (if it is the server's, put back from a backup, it will be taken for it as soon as there is a newer file)", len(rows), f, example)}
}

// missing counts those whose file is not there.
func (s Stored) missing(rows []item.Media) (n int, example string) {
	for _, m := range rows {
		if found, err := s.Look(m); err == nil && !found.Exists {
			n++
			example = found.Path
		}
	}
	return n, example
}

// compare refuses a store in which more than half of a sample's files are missing, or that is not ours to delete in.
func (s Stored) compare(which string, rows []item.Media) (warning string, err error) {
	missing, example := 0, ""
	for _, m := range rows {
		found, err := s.Look(m)
		var denied *mediastore.NotDeletableError
		switch {
		case errors.As(err, &denied):
			return "", err
		case err != nil: // an impossible id, a link where a directory should be: that item will fail by itself
		case !found.Exists:
			missing++
			example = found.Path
		}
	}
	text := fmt.Sprintf("of %d sampled files of %s, %d are not there, such as %s", len(rows), which, missing, example)
	switch {
	case missing*2 > len(rows):
		return "", errors.New(text)
	case missing > 0:
		return text, nil
	}
	return "", nil
}
