package item

import "time"

// What drift finds. The words are those of --drift, and of the report.
const (
	// FilesWithoutRow are content files, with their thumbnails, that no row names.
	FilesWithoutRow Reason = "files-without-row"
	// ThumbnailsWithoutRow are thumbnails that no row names, of a content file that is gone.
	ThumbnailsWithoutRow Reason = "thumbnails-without-row"
	// RemoteWithoutFile are rows of remote media whose file is gone. Synapse answers 404 for as long as there is the row, and
	// fetches the media again once there is none.
	RemoteWithoutFile Reason = "remote-without-file"
	// PreviewsWithoutFile are rows of previews whose file is gone.
	PreviewsWithoutFile Reason = "previews-without-file"
	// UnfinishedUploads are ids that somebody was given to upload to, and did not until they expired.
	UnfinishedUploads Reason = "unfinished-uploads"
	// EmptyDirectories are those that a deletion would have taken away.
	EmptyDirectories Reason = "empty-directories"
	// Lost are rows of uploads of which nothing is on disk any more.
	Lost Reason = "lost"
	// LostOriginals are rows of uploads of which thumbnails alone are on disk.
	LostOriginals Reason = "lost-originals"
	// QuarantinedWithoutFile are quarantined rows without a file: an admin may have removed it, and the row is what blocks the
	// media.
	QuarantinedWithoutFile Reason = "quarantined-without-file"
	// NotSynapses are names in the trees that no path of Synapse has, links, and what is not what its place is for.
	NotSynapses Reason = "not-synapses"
)

// Deletable are the findings that --drift delete deletes.
func Deletable() []Reason {
	return []Reason{FilesWithoutRow, ThumbnailsWithoutRow, RemoteWithoutFile, PreviewsWithoutFile, UnfinishedUploads, EmptyDirectories}
}

// DeletableByName are those that are deleted when they are named: with the row of a lost upload goes the knowledge that there was
// one, and a backup may still have its file.
func DeletableByName() []Reason { return []Reason{Lost, LostOriginals} }

// Findings returns all that drift finds.
func Findings() []Reason {
	return append(append(Deletable(), DeletableByName()...), QuarantinedWithoutFile, NotSynapses)
}

// Suspect is what a comparison of files and rows came upon. It is a finding when both have been looked at again.
type Suspect struct {
	// Flow is that whose media it would be: LocalMedia, RemoteMedia or Previews.
	Flow Flow
	// Origin and FileID name the files, as those of Media do; of previews without a row the FileID may not be the id.
	Origin, FileID string
	// ID is the media id of the row that is there, without a content file or unfinished; empty when files were found and no row.
	ID string
	// Path is set instead of these for what is no media, relative to the media store: an empty directory, last changed at
	// Modified, or with Odd or Err something else.
	Path     string
	Modified time.Time
	// Odd is why it is not Synapse's.
	Odd error
	// Err is what kept a directory from being read.
	Err error
}
