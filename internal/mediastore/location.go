package mediastore

import (
	"fmt"
	"path"
	"strings"
)

// Kind says in which pair of trees media lies.
type Kind uint8

// The kinds of media. The zero value is none of them.
const (
	Local   Kind = iota + 1 // uploaded by a user of this server
	Remote                  // cached from another server
	Preview                 // fetched for a URL preview
)

func (k Kind) String() string {
	switch k {
	case Local:
		return "local"
	case Remote:
		return "remote"
	case Preview:
		return "preview"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// trees are the names of the content tree and the thumbnail tree; the singular is Synapse's.
func (k Kind) trees() (content, thumbnails string) {
	switch k {
	case Local:
		return "local_content", "local_thumbnails"
	case Remote:
		return "remote_content", "remote_thumbnail"
	case Preview:
		return "url_cache", "url_cache_thumbnails"
	}
	return "", ""
}

// Location is where the files of one media item lie. Only Locate makes one, so every component of it is one that Synapse
// itself would use.
type Location struct {
	content    string   // name of the content tree
	thumbnails string   // name of the thumbnail tree
	parts      []string // below either tree: directories, and last the content file or the thumbnail directory
}

// Locate says where Synapse keeps the media: the same place as MediaFilePaths in synapse/media/filepath.py 1.163.2.
//
// origin is the server that remote media comes from and does not matter otherwise. fileID is the filesystem_id of
// remote media, else the media id. Both may hold anything; the error is an *InvalidIDError for what Synapse could not
// have stored.
func Locate(kind Kind, origin, fileID string) (Location, error) {
	var loc Location
	if loc.content, loc.thumbnails = kind.trees(); loc.content == "" {
		return Location{}, fmt.Errorf("locate media %s: unknown %v", shorten(fileID), kind)
	}
	if kind == Remote {
		if err := checkComponent("origin", origin, origin); err != nil {
			return Location{}, err
		}
		loc.parts = append(loc.parts, origin)
	}
	if why := badCharacter(fileID); why != "" {
		return Location{}, &InvalidIDError{What: "media id", Value: fileID, Why: why}
	}
	split, err := splitID(kind, fileID)
	if err != nil {
		return Location{}, err
	}
	for _, part := range split {
		if err := checkComponent("media id", fileID, part); err != nil {
			return Location{}, err
		}
	}
	loc.parts = append(loc.parts, split...)
	return loc, nil
}

// Content is the path of the content file, relative to the store.
func (l Location) Content() string { return path.Join(l.content, path.Join(l.parts...)) }

// Thumbnails is the path of the directory that holds all thumbnails of this media and nothing else, relative to the
// store.
func (l Location) Thumbnails() string { return path.Join(l.thumbnails, path.Join(l.parts...)) }

// splitID takes a media id apart as Synapse does. Preview ids begin with a date, and their eleventh character is not in
// the path; those of very old ones do not, and are taken apart like all others.
func splitID(kind Kind, id string) ([]string, error) {
	if kind == Preview && beginsWithDate(id) {
		if len(id) < len(dateForm)+2 {
			return nil, &InvalidIDError{What: "media id", Value: id, Why: "is too short: nothing comes after the date"}
		}
		return []string{id[:len(dateForm)], id[len(dateForm)+1:]}, nil
	}
	if len(id) < 5 {
		return nil, &InvalidIDError{What: "media id", Value: id, Why: "is too short: at least 5 characters are needed"}
	}
	return []string{id[0:2], id[2:4], id[4:]}, nil
}

const dateForm = "dddd-dd-dd"

func beginsWithDate(id string) bool {
	if len(id) < len(dateForm) {
		return false
	}
	for i := range len(dateForm) {
		digit := id[i] >= '0' && id[i] <= '9'
		if dateForm[i] == 'd' != digit || !digit && id[i] != '-' {
			return false
		}
	}
	return true
}

// maxComponent is the longest file name in bytes on every file system that Synapse runs on (NAME_MAX).
const maxComponent = 255

// checkComponent says whether part, taken from whole, may be one component of a path.
func checkComponent(what, whole, part string) error {
	why := badCharacter(part)
	switch {
	case why != "":
	case part == "":
		why = "is empty"
	case part == "." || part == "..":
		why = fmt.Sprintf("would make %q a part of the path", part)
	case len(part) > maxComponent:
		why = fmt.Sprintf("is too long: no file name has more than %d bytes", maxComponent)
	default:
		return nil
	}
	return &InvalidIDError{What: what, Value: whole, Why: why}
}

// badCharacter names the first character that Synapse allows in no media path (ALLOWED_CHARACTERS in filepath.py).
func badCharacter(s string) string {
	for _, c := range s {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.ContainsRune("_-.[]:", c):
		default:
			return fmt.Sprintf("holds %q; only letters, digits and _ - . [ ] : can be in a media path", c)
		}
	}
	return ""
}

// ParseMXC takes an mxc URI apart. It accepts what can be the name of stored media and nothing else: neither a query nor
// a fragment, no character that Synapse allows in no path. Where a reference must not be overlooked because somebody
// wrote it carelessly, this is too strict.
func ParseMXC(uri string) (origin, mediaID string, err error) {
	rest, ok := strings.CutPrefix(uri, "mxc://")
	if !ok {
		return "", "", &InvalidIDError{What: "mxc URI", Value: uri, Why: "does not begin with mxc://"}
	}
	origin, mediaID, ok = strings.Cut(rest, "/")
	if !ok {
		return "", "", &InvalidIDError{What: "mxc URI", Value: uri, Why: "has no media id"}
	}
	for _, part := range []string{origin, mediaID} {
		if err := checkComponent("mxc URI", uri, part); err != nil {
			return "", "", err
		}
	}
	return origin, mediaID, nil
}
