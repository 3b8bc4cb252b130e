package stages

import (
	"context"
	"fmt"
	"time"

	"synupkeep/internal/item"
	"synupkeep/internal/mediastore"
	"synupkeep/internal/retry"
)

// Remover deletes the files of media. A plan has none.
type Remover interface {
	Remove(ctx context.Context, kind mediastore.Kind, origin, fileID string) (mediastore.Removed, error)
}

// DeleteFiles deletes what the rows that are gone left behind: content, thumbnails, directories that became empty.
type DeleteFiles struct {
	Store Remover
	// Retry is for errors of the file system that go away.
	Retry retry.Policy
	// Stopping says that no time is to be spent on that any more: each gets one last try.
	Stopping func() bool
}

// kindOf is where the files of a flow's media lie.
func kindOf(f item.Flow) mediastore.Kind {
	switch f {
	case item.LocalMedia:
		return mediastore.Local
	case item.RemoteMedia:
		return mediastore.Remote
	case item.Previews:
		return mediastore.Preview
	case item.History, item.Drift: // media of drift is of one of the others
	}
	return 0
}

// Do deletes the files of one media item. It returns no error. Once ctx is done none is begun: they are left to the next
// run, which finds them in the journal.
func (d *DeleteFiles) Do(ctx context.Context, m Deletion) (item.Outcome, error) {
	out := ofMedia(m.Media, item.Done, "")
	out.Rows, out.Length, out.ShownByEvent = 1, m.Bytes, m.ShownByEvent
	removed, tries, err := removeFiles(ctx, d.Store, d.Retry, d.Stopping, m.Media)
	out.Files, out.Missing, out.Bytes = removed.Files, removed.Missing, removed.Bytes
	out.Tries = max(m.Tries, tries)
	out.Took = time.Since(m.Began)
	switch {
	case err != nil && ctx.Err() != nil:
		out.Status, out.Reason = item.Left, item.FilesLeft
		err = errStopping
	case err != nil:
		out.Status, out.Err = item.Failed, fmt.Errorf("its row is deleted, its files are not all: %w", err)
	}
	m.Batch.Gone(m.Media, out.Files, err)
	return out, nil
}

// removeFiles deletes the files of one media item, as often as it takes, and adds up what the tries deleted. Once stopping
// says so there is no other try: a disk that fails must not hold up a stop, and the journal has the files.
func removeFiles(
	ctx context.Context, store Remover, again retry.Policy, stopping func() bool, m item.Media,
) (sum mediastore.Removed, tries int, err error) {
	hurried := false
	tries, err = again.Do(ctx, func() error {
		removed, err := store.Remove(ctx, kindOf(m.Flow), m.Origin, m.FileID)
		if sum.Files == 0 { // what an earlier try deleted is not missing now
			sum.Missing = removed.Missing
		}
		sum.Files += removed.Files
		sum.Bytes += removed.Bytes
		return err
	}, func(err error) (bool, time.Duration) {
		transient := mediastore.IsTransient(err)
		hurried = transient && stopping()
		return transient && !hurried, 0
	})
	if hurried {
		err = fmt.Errorf("not tried for longer because the run was told to stop: %w", err)
	}
	return sum, tries, err
}

// Inspector looks at the files of media without changing anything.
type Inspector interface {
	Check(kind mediastore.Kind, origin, fileID string) (mediastore.Presence, error)
}

// CheckFiles looks, before a row is deleted, whether its files can be deleted after it.
type CheckFiles struct{ Store Inspector }

// Do gives the outcome of media whose files could not be deleted; ok says that they can, or are not there any more.
func (c *CheckFiles) Do(m item.Media) (out item.Outcome, ok bool) {
	if _, err := CheckStored(c.Store, m); err != nil {
		return failedMedia(m, err), false
	}
	return out, true
}

// CheckName gives the outcome of media that can have no file; ok says that it can. It is for who does not have the store.
func CheckName(m item.Media) (out item.Outcome, ok bool) {
	if _, err := mediastore.Locate(kindOf(m.Flow), m.Origin, m.FileID); err != nil {
		return failedMedia(m, err), false
	}
	return out, true
}

// CheckStored looks at the files of one media item.
func CheckStored(store Inspector, m item.Media) (mediastore.Presence, error) {
	return store.Check(kindOf(m.Flow), m.Origin, m.FileID)
}
